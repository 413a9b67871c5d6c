//! Calls to cargo: the one that runs us, with its progress shown.

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitStatus};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::setup::SetupError;

/// Why a command of ours could not be carried out. What a program that we ran had to say is on the terminal already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The machine lacks something. Nothing was built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The workspace's manifests could not be read.
    #[error("cannot read the workspace: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// A program could not be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// Which program.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The build failed; the compiler has said why.
    #[error("the build failed")]
    Build(ExitStatus),
    /// The filters match no test at all, so that nothing was tested.
    #[error("no test's name contains {0}")]
    NoTests(String),
    /// There is no such fuzz target.
    #[error("no fuzz target {unknown}; there are {known}")]
    NoFuzzTarget {
        /// What was asked for.
        unknown: String,
        /// What there is.
        known: String,
    },
    /// A folder for what the fuzzer finds could not be made.
    #[error("cannot make {directory}: {source}")]
    Directory {
        /// Which folder.
        directory: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// cargo has ended, but its output is still held open: the processes have to be found and ended by hand.
    #[error("the tests have ended, but a process that one of them started still runs")]
    LeftRunning,
    /// A program of ours failed; it has said why.
    #[error("{program} failed ({status})")]
    Failed {
        /// Which program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program of ours did not say what it should.
    #[error("no result from {0}")]
    Output(String),
    /// A file could not be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// Which file.
        file: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {file}: {source}")]
    Write {
        /// Which file.
        file: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The baseline of the instruction counts is not what `--bless` writes.
    #[error("{file} is no baseline, make it anew with `cargo xtask bench-core --bless`: {source}")]
    Baseline {
        /// Which file.
        file: String,
        /// What is wrong with it.
        source: toml::de::Error,
    },
    /// A file of the workspace could not be read.
    #[error("cannot read the workspace's files: {0}")]
    Files(#[from] ignore::Error),
}

/// A call to cargo, to be given arguments.
pub(crate) fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a build and shows its progress.
pub(crate) fn build(arguments: &[&str]) -> Result<(), RunError> {
    let status = command().arg("build").args(arguments).status().map_err(|e| cannot_start("cargo", e))?;
    if status.success() { Ok(()) } else { Err(RunError::Build(status)) }
}

/// The binary that the tests start. With `--workspace` and a test beside it, features are resolved as for all tests, so that no
/// dependency is compiled twice: those of dependencies for tests count only where a test is built.
pub(crate) const WHARF: &[&str] = &["--workspace", "--bin", "wharf", "--test", "command"];

/// Members of the workspace, where they are and where they are built. Resolves nothing, so that it needs no network.
pub(crate) fn metadata() -> Result<Metadata, RunError> {
    Ok(MetadataCommand::new().no_deps().exec()?)
}

/// The error for a program that did not start.
pub(crate) fn cannot_start(program: &str, source: io::Error) -> RunError {
    RunError::Start { program: program.to_owned(), source }
}
