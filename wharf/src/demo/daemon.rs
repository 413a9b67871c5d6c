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

use super::api::Api;
use super::directory::Directory;
use super::error::DemoError;

/// How long it may take to come up, and to go with all of its containers.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a daemon has its containers, beside its socket.
const CONTAINERS: &str = "containers";

/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// What the daemon is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// Containers of others.
    Network,
    /// Functions too, which have their code and root filesystems in the daemon's directory.
    Functions,
    /// Nothing: it removes what is left of the containers of a daemon that was killed, as every daemon does first.
    Remains,
}

/// A daemon that runs. Dropping it ends the process and removes socket and log.
pub(super) struct Daemon {
    process: Process,
    socket: PathBuf,
    directory: Directory,
}

impl Daemon {
    /// Starts it inside `home`, so that the machine's own network stays untouched, and waits until it answers.
    pub(super) fn start(home: &Namespace, serving: Serving) -> Result<(Self, Api), DemoError> {
        for left in Directory::left_behind() {
            if left.path().join(CONTAINERS).exists() {
                // What cannot be removed does no harm.
                let _ = Self::start_in(left, home, Serving::Remains);
            }
        }
        let directory = Directory::make().map_err(DemoError::system("make a directory for the socket"))?;
        Self::start_in(directory, home, serving)
    }

    fn start_in(directory: Directory, home: &Namespace, serving: Serving) -> Result<(Self, Api), DemoError> {
        let socket = directory.path().join("wharf.sock");
        let command = command(directory.path(), &socket, serving);
        let command = command.map_err(DemoError::system("prepare the daemon"))?;
        let daemon = Self { process: home.spawn(command)?, socket, directory };
        let api = daemon.answer()?;
        Ok((daemon, api))
    }

    /// A directory that goes with it.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
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
    pub(super) fn log(&self) -> String {
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

fn command(directory: &Path, socket: &Path, serving: Serving) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--color", "never", "--socket"]).arg(socket);
    match serving {
        Serving::Network => command.args(["--state", "none", "--functions", "off"]),
        Serving::Functions => command.arg("--state").arg(directory.join("state")),
        Serving::Remains => command.args(["--state", "none"]),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(directory.join("log"))?);
    // Ctrl-C is for the demo, which then ends the daemon in its own order.
    command.process_group(0);
    Ok(command)
}
