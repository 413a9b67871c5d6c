//! `cargo xtask compare`: builds what is compared, and becomes the comparison.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::cargo::{self, RunError};
use crate::setup;

/// Builds `wharf`, `raw` and `compare` for release, and runs `compare`. Returns only if that could
/// not be started: the comparison takes our place, so that its exit code and the terminal's signals are its own.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode, RunError> {
    setup::for_network()?;
    cargo::build(&["--release", "--package", "wharf"])?;
    cargo::build(&["--release", "--package", "benches", "--bin", "raw"])?;
    cargo::build(&["--release", "--package", "compare"])?;
    let compare = cargo::metadata()?.target_directory.join("release/compare");
    let failed = Command::new(&compare).args(arguments).exec();
    Err(cargo::cannot_start(compare.as_str(), failed))
}
