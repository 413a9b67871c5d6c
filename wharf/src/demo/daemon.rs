//! The demo's daemon: this very program as a process of its own, with a socket of its own.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netlab::{Namespace, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::api::Api;
use super::directory;
use super::error::DemoError;

/// How long it may take to come up, and to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// A daemon that runs. Dropping it ends the process and removes socket and log.
pub(super) struct Daemon {
    process: Process,
    socket: PathBuf,
    directory: TempDir,
}

impl Daemon {
    /// Starts it inside `home`, so that the machine's own network stays untouched, and waits until it answers.
    pub(super) fn start(home: &Namespace) -> Result<(Self, Api), DemoError> {
        let directory = directory::make().map_err(DemoError::system("make a directory for the socket"))?;
        let socket = directory.path().join("wharf.sock");
        let log = directory.path().join("log");
        let command = command(&socket, &log).map_err(DemoError::system("prepare the daemon"))?;
        let daemon = Self { process: home.spawn(command)?, socket, directory };
        let api = daemon.answer()?;
        Ok((daemon, api))
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    fn answer(&self) -> Result<Api, DemoError> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && !self.has_ended() {
            match self.ready() {
                // Not yet, or no more; which of them, the next look at the process tells.
                Err(DemoError::Client(_)) => {}
                answered => return answered,
            }
            std::thread::sleep(LOOK);
        }
        Err(DemoError::Daemon(self.log()))
    }

    fn ready(&self) -> Result<Api, DemoError> {
        let mut api = Api::connect(&self.socket)?;
        api.get("/readyz")?;
        Ok(api)
    }

    /// What it said.
    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default().trim_end().to_owned()
    }

    /// Asks it to end, so that it cleans up by itself.
    fn stop(&self) {
        let pid = Pid::from_raw(self.process.id().cast_signed());
        let asked = kill(pid, Signal::SIGTERM);
        let start = Instant::now();
        while asked.is_ok() && start.elapsed() < PATIENCE && !self.has_ended() {
            std::thread::sleep(LOOK);
        }
    }

    /// Whether it is a zombie: nobody but the drop of `process` waits for it, so its id stays its own until then.
    fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Whatever does not end by itself is killed by the drop of `process`.
        self.stop();
    }
}

fn command(socket: &Path, log: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["serve", "--color", "never", "--state", "none", "--socket"])
        .arg(socket)
        .stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(File::create(log)?);
    // Ctrl-C is for the demo, which then ends the daemon in its own order.
    command.process_group(0);
    Ok(command)
}
