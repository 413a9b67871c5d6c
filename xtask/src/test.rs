//! `cargo xtask test`: every test of the workspace in one call of `cargo test`, and one line that sums it up.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo::{self, RunError};
use crate::setup;

/// Results of all test programs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    programs: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Builds `wharf`, which the end-to-end tests start, and runs the tests. Benches are not run, documentation examples are.
pub(crate) fn run(filters: &[String]) -> Result<ExitCode, RunError> {
    setup::for_test()?;
    let start = Instant::now();
    cargo::build(cargo::WHARF)?;
    let (passed, tally) = run_tests(filters)?;
    println!(
        "in all: {} passed, {} failed, {} ignored, from {} test programs in {} s",
        tally.passed,
        tally.failed,
        tally.ignored,
        tally.programs,
        start.elapsed().as_secs(),
    );
    if passed && tally.passed == 0 && !filters.is_empty() {
        return Err(RunError::NoTests(filters.join(" or ")));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether cargo and every test succeeded, and what the test programs said that they did.
fn run_tests(filters: &[String]) -> Result<(bool, Tally), RunError> {
    let mut command = cargo::command();
    command.args(["test", "--workspace", "--no-fail-fast", "--"]).args(filters);
    // The test programs write to our pipe, so that they cannot see that it leads to a terminal.
    if io::stdout().is_terminal() {
        command.arg("--color=always");
    }
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|e| cargo::cannot_start("cargo test", e))?;
    let output = child.stdout.take().expect("stdout was piped just above");
    let (done, tally) = mpsc::channel();
    thread::spawn(move || done.send(pass_on(output, io::stdout())));
    let status = child.wait().map_err(|e| cargo::cannot_start("cargo test", e))?;
    // The pipe stays open for as long as any process has it, and a test must not leave one behind.
    let tally = tally.recv_timeout(LAST_LINES).map_err(|_| RunError::LeftRunning)?;
    let tally = tally.map_err(|e| cargo::cannot_start("cargo test", e))?;
    Ok((status.success() && tally.failed == 0, tally))
}

/// Shows each line as it comes and adds up the closing ones.
fn pass_on(from: impl Read, mut to: impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    // By bytes, because a test may print what is not UTF-8.
    while lines.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        tally.add(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(tally)
}

impl Tally {
    /// Adds a closing line of a test program, `test result: ok. 3 passed; 0 failed; 1 ignored; …`; leaves out all other lines.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        self.programs += 1;
        for part in result.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                Some((count, "ignored")) => self.ignored += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

/// For the output to end after cargo has.
const LAST_LINES: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up_and_other_lines_are_not() {
        let output: &[u8] = b"running 4 tests\n\
            test a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.12s\n\
            7 passed\n\
            test result: \x1b[31mFAILED\x1b[m. 1 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.50s\n";
        let expected = Tally { programs: 2, passed: 4, failed: 2, ignored: 1 };
        let mut shown = Vec::new();
        assert_eq!(pass_on(output, &mut shown).expect("reading from memory"), expected);
        assert_eq!(shown, output);
    }
}
