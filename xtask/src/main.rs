//! The project's own commands, run as `cargo xtask <command>`.

mod cargo;
mod demo;
mod setup;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build Wharf and run `wharf demo`: two VPCs with one CIDR, three containers with one address.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo {
        /// Arguments for `wharf demo`, see `cargo xtask demo -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build everything and run every test, the end-to-end ones included.
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// Run only tests whose name contains one of these.
        filters: Vec<String>,
    },
    /// Check what the compiler does not: who depends on whom, purity of the core, where unsafe may be.
    #[command(after_help = TIDY_EXAMPLES)]
    Tidy {
        /// Workspace to check [default: the one that this command is run in].
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo { arguments } => demo::run(&arguments),
        Command::Test { filters } => test::run(&filters),
        Command::Tidy { root } => tidy::run(root.as_deref()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("cargo xtask: {error}");
        ExitCode::FAILURE
    })
}

const DEMO_EXAMPLES: &str = "\
Examples:
  cargo xtask demo             build, show, clean up
  cargo xtask demo -- --keep   leave it running, to try things by hand";

const TEST_EXAMPLES: &str = "\
Examples:
  cargo xtask test                  everything
  cargo xtask test detach mac       tests with `detach` or `mac` in their name

Needs root and Linux: the end-to-end tests make network namespaces. Programs that they start and this
machine lacks are installed with apt-get.";

const TIDY_EXAMPLES: &str = "\
Examples:
  cargo xtask tidy
  cargo xtask tidy --root ../other-checkout

Prints one line for each finding, `tidy: <path>:<line>: <what>: <how to fix>`, and exits with 1 if there is any.";
