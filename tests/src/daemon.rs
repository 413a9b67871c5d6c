//! A `wharf serve` for one test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{env, thread};

use netlab::{Lab, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{Api, eventually};

/// A running daemon with a socket of its own. Dropping it stops it; if the test is failing, its log is shown.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    lab: Lab,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Daemon {
    /// Starts the `wharf` that was built with the tests, or `$WHARF_BIN`, and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments for `wharf serve`.
    pub fn start_with(arguments: &[&str]) -> Self {
        let lab = Lab::new("daemon").unwrap_or_else(|e| panic!("{e}"));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let process = spawn(&lab, directory.path(), &arguments);
        let daemon = Self { process, lab, directory, arguments };
        daemon.wait_until_ready();
        daemon
    }

    /// A client of it.
    pub fn api(&self) -> Api {
        Api::new(self.socket())
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        socket(self.directory.path())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A call of the command line, `wharf ARGUMENTS`, that asks this daemon.
    pub fn wharf(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).env("WHARF_SOCKET", self.socket()).stdin(Stdio::null());
        command
    }

    /// What it has written to standard error, since the first start.
    pub fn log(&self) -> String {
        fs::read_to_string(log(self.directory.path())).unwrap_or_default()
    }

    /// Asks it to stop (SIGTERM), and waits for that.
    pub fn stop(&self) -> ExitStatus {
        if self.status().is_none() {
            kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM).expect("it has not been reaped");
        }
        eventually("the daemon to stop", || self.status().is_some());
        self.status().expect("it has ended")
    }

    /// Ends it without a chance to clean up (SIGKILL).
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again, on the same socket, after [`Self::stop`] or [`Self::kill`].
    pub fn restart(&mut self) {
        self.start_anew();
        self.wait_until_ready();
    }

    /// Ends it without a chance to clean up, and starts it again; it may not be ready yet.
    pub fn start_anew(&mut self) {
        self.process.kill();
        self.process = spawn(&self.lab, self.directory.path(), &self.arguments);
    }

    fn status(&self) -> Option<ExitStatus> {
        self.process.try_wait().expect("our own child can be waited for")
    }

    fn wait_until_ready(&self) {
        let api = self.api();
        eventually("the daemon to be ready", || {
            assert!(self.status().is_none(), "the daemon ended at once: {:?}", self.status());
            api.try_get("/readyz").is_ok_and(|(status, _)| status == 200)
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill();
        if thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}--- end of the log ---", self.log());
        }
    }
}

fn spawn(lab: &Lab, directory: &Path, arguments: &[String]) -> Process {
    let log = File::options().create(true).append(true).open(log(directory)).expect("a file for the log");
    let mut command = Command::new(program());
    command.args(["serve", "--socket"]).arg(socket(directory)).args(arguments);
    // Most tests want a daemon that leaves nothing, whatever the machine has.
    if !arguments.iter().any(|argument| argument == "--state") {
        command.args(["--state", "none"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    lab.spawn(command).unwrap_or_else(|e| panic!("{e}"))
}

/// The `wharf` of the tests. Cargo puts tests into `target/PROFILE/deps`, and binaries one directory up.
pub fn program() -> PathBuf {
    if let Some(path) = env::var_os("WHARF_BIN") {
        return path.into();
    }
    let test = env::current_exe().expect("the path of this test");
    let program = test.ancestors().nth(2).expect("target/PROFILE").join("wharf");
    assert!(
        program.exists(),
        "{} is missing: run `cargo build --bin wharf`, or set WHARF_BIN",
        program.display()
    );
    program
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("wharf.sock")
}

fn log(directory: &Path) -> PathBuf {
    directory.join("stderr")
}
