//! `cargo xtask demo`: builds the binary that users get, and becomes its demo.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::cargo::{self, RunError};
use crate::setup;

/// Builds `wharf` for release and runs `wharf demo`. Returns only if that could not be started: the demo takes our
/// place, so that its exit code and the terminal's signals are its own.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode, RunError> {
    // The demo without functions speaks netlink and HTTP itself, and needs no programs.
    if arguments.iter().any(|argument| argument == "--network") {
        setup::for_network()?;
    } else {
        setup::for_demo()?;
    }
    cargo::build(&["--release", "--package", "wharf"])?;
    let wharf = cargo::metadata()?.target_directory.join("release/wharf");
    let failed = Command::new(&wharf).arg("demo").args(arguments).exec();
    Err(cargo::cannot_start(wharf.as_str(), failed))
}
