//! The project's own commands, run as `cargo xtask <command>`.

mod api;
mod bench_core;
mod cargo;
mod compare;
mod demo;
mod fuzz;
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
    /// Build Wharf and run `wharf demo`: functions in Python and Node, two VPCs with one CIDR.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo {
        /// Arguments for `wharf demo`, see `cargo xtask demo -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build Wharf for release and compare it with what users would pick instead.
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare {
        /// Arguments for the comparison, see `cargo xtask compare -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Get what a build needs and this machine lacks: a library, of the distribution's packages.
    Setup,
    /// Build everything and run every test, the end-to-end ones included.
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// Run only tests whose name contains one of these.
        filters: Vec<String>,
    },
    /// Run schemathesis against a real daemon: the API does what its document says; exits with 1 on a finding.
    #[command(after_help = API_EXAMPLES)]
    Api {
        /// Requests that each operation gets at most, in each phase.
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
        examples: u32,
        /// Repeats a run.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// Build the fuzz targets and run each for some seconds; exits with 1 on a finding.
    #[command(after_help = FUZZ_EXAMPLES)]
    Fuzz {
        /// How long each target runs.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// Only this target; can be given several times.
        #[arg(long, value_name = "TARGET")]
        only: Vec<String>,
    },
    /// Measure the core: translation, new sessions, memory, growth, instruction counts.
    #[command(after_help = BENCH_CORE_EXAMPLES)]
    BenchCore(bench_core::Options),
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
        Command::Compare { arguments } => compare::run(&arguments),
        Command::Setup => setup::for_build().map(|()| ExitCode::SUCCESS).map_err(cargo::RunError::from),
        Command::Test { filters } => test::run(&filters),
        Command::Api { examples, seed } => api::run(examples, seed),
        Command::Fuzz { seconds, only } => fuzz::run(seconds, &only),
        Command::BenchCore(options) => bench_core::run(&options),
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
  cargo xtask demo --network   containers in place of functions, with throughput
  cargo xtask demo --keep      leave it running, to try things by hand

Needs root and Linux. Installs Python, Node, Redis' tools and libseccomp's headers with apt-get, if they are not there.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  cargo xtask compare                           everything, into docs/benchmarks; 45 minutes at most
  cargo xtask compare --quick --json f.json     an impression in less than five minutes
  cargo xtask compare --quick --only wharf,nft  two subjects
  cargo xtask compare -- --help                 all options

Needs root and Linux. Installs the peers' Debian packages with apt-get.";

const TEST_EXAMPLES: &str = "\
Examples:
  cargo xtask test                  everything
  cargo xtask test detach mac       tests with `detach` or `mac` in their name

Needs root and Linux: the end-to-end tests make network namespaces and containers. Programs and libraries that
they use and this machine lacks are installed with apt-get.";

const API_EXAMPLES: &str = "\
Examples:
  cargo xtask api                              as .ci/run does it
  cargo xtask api --examples 1000 --seed 7     a long run

Needs root, python3 with venv, and pip: installs them with apt-get if they are missing, and schemathesis into
target/schemathesis.";

const FUZZ_EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz                                  every target, ten seconds each
  cargo xtask fuzz --seconds 600                    the long run, ten minutes each
  cargo xtask fuzz --seconds 600 --only fragments   one target

Inputs that reach something new are kept in fuzz/corpus, one that fails in fuzz/artifacts. Needs a C++ compiler;
installs one with apt-get as root.";

const BENCH_CORE_EXAMPLES: &str = "\
Examples:
  cargo xtask bench-core                    everything, beside the targets; some minutes
  cargo xtask bench-core --json core.json   the same, with the numbers that have a target in a file
  cargo xtask bench-core --instructions     instruction counts beside benches/instructions.toml, as .ci/run does it
  cargo xtask bench-core --bless            make the counts of now the baseline

Times are medians, and need a machine that does nothing else. Instruction counts do not; they are callgrind's, and valgrind
is installed with apt-get if it is missing. Profiles stay in target/callgrind, for callgrind_annotate.";

const TIDY_EXAMPLES: &str = "\
Examples:
  cargo xtask tidy
  cargo xtask tidy --root ../other-checkout

Prints one line for each finding, `tidy: <path>:<line>: <what>: <how to fix>`, and exits with 1 if there is any.";
