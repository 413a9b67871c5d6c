//! Programs that do one thing and end: what they print, or why they failed.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{RwLock, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// A program did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// Its name.
        program: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// It failed.
    #[error("{program}: {said}")]
    Failed {
        /// Its name with its arguments.
        program: String,
        /// What it printed about it.
        said: String,
    },
}

/// Held by whoever runs a program, and alone by whoever removes what programs write.
static RUNNING: RwLock<()> = RwLock::new(());

/// How long programs that run are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does something while no program runs; or while those run that do not end.
pub fn at_rest(then: impl FnOnce()) {
    let start = Instant::now();
    let alone = loop {
        match RUNNING.try_write() {
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            alone => break alone,
        }
    };
    then();
    drop(alone);
}

/// Runs it, and returns its standard output.
pub fn output(command: &mut Command) -> Result<String, ProgramError> {
    output_with(command, "")
}

/// Runs it with this standard input.
pub fn output_with(command: &mut Command, input: &str) -> Result<String, ProgramError> {
    let mut running = Some(RUNNING.read());
    while netlab::is_ending() {
        // It would make again what is being removed.
        running = None;
        thread::park();
    }
    let cannot = |command: &Command| {
        let program = command.get_program().to_string_lossy().into_owned();
        move |source| ProgramError::Start { program, source }
    };
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(cannot(command))?;
    // A program that does not read it says by itself what it misses.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(cannot(command))?;
    drop(running);
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|o| String::from_utf8_lossy(&o).trim().to_owned());
    if output.status.success() {
        return Ok(stdout);
    }
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let program = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let said = [stderr, stdout].into_iter().find(|said| !said.is_empty());
    let said = said.unwrap_or_else(|| output.status.to_string());
    Err(ProgramError::Failed { program, said: said.replace('\n', "; ") })
}
