//! What the machine must have, and getting it where that is safe: as root, by the distribution's packages.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Why this machine cannot run it. Each message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// Not root.
    #[error("network namespaces and TAP devices need root: run this as root, for example with sudo -E")]
    NotRoot,
    /// TAP devices cannot be made.
    #[error(
        "cannot open {TUN}: {0}; load the module with `modprobe tun`, or pass the device to this container"
    )]
    Tun(io::Error),
    /// Programs are missing and there is no apt-get.
    #[error("missing: {programs}; install what provides them (on Debian: {packages}) and run this again")]
    Missing {
        /// Programs that are not in PATH.
        programs: String,
        /// Debian packages that have them.
        packages: String,
    },
    /// apt-get has said why.
    #[error("apt-get failed ({0}); install the packages by hand and run this again: {1}")]
    AptGet(ExitStatus, String),
    /// apt-get could not be started.
    #[error("cannot run apt-get: {0}")]
    AptGetStart(io::Error),
}

/// A program that the tests start, and the Debian package that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Program {
    name: &'static str,
    package: &'static str,
}

/// What the demo needs of the machine: no programs, it speaks netlink and HTTP itself.
pub(crate) fn for_demo() -> Result<(), SetupError> {
    root()?;
    tun()
}

/// What the tests need of the machine. Installs missing programs.
pub(crate) fn for_test() -> Result<(), SetupError> {
    root()?;
    tun()?;
    get(PROGRAMS)
}

/// What the fuzz targets need of the machine: libFuzzer is written in C++. Installs a compiler, if that is allowed.
pub(crate) fn for_fuzz() -> Result<(), SetupError> {
    get(FUZZ_PROGRAMS)
}

/// What schemathesis needs of the machine. Installs Python with what makes environments, if that is allowed.
pub(crate) fn for_api() -> Result<(), SetupError> {
    root()?;
    tun()?;
    get(PYTHON)?;
    // Debian has this apart from Python, and no program tells of it.
    let has_venv = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    if has_venv.is_ok_and(|output| output.status.success()) { Ok(()) } else { install(VENV) }
}

/// What counting instructions needs of the machine. Installs valgrind, if that is allowed.
pub(crate) fn for_bench() -> Result<(), SetupError> {
    get(BENCH_PROGRAMS)
}

fn get(programs: &[Program]) -> Result<(), SetupError> {
    let lacking = missing(programs);
    if lacking.is_empty() { Ok(()) } else { install(&lacking) }
}

fn root() -> Result<(), SetupError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(SetupError::NotRoot) }
}

/// Opens the device, because a container can have the file without the permission. Opening it makes no interface.
fn tun() -> Result<(), SetupError> {
    OpenOptions::new().read(true).write(true).open(TUN).map(drop).map_err(SetupError::Tun)
}

fn install(lacking: &[Program]) -> Result<(), SetupError> {
    if !is_in_path("apt-get") || root().is_err() {
        return Err(still_missing(lacking));
    }
    eprintln!("cargo xtask: installing {} with apt-get", packages(lacking));
    apt_get(&["update"], lacking)?;
    let arguments = ["install", "--yes", "--no-install-recommends"];
    apt_get(&arguments.into_iter().chain(lacking.iter().map(|p| p.package)).collect::<Vec<_>>(), lacking)?;
    // Packages can be there while PATH does not lead to the program, as after a bare `su`.
    let lacking = missing(lacking);
    if lacking.is_empty() { Ok(()) } else { Err(still_missing(&lacking)) }
}

fn apt_get(arguments: &[&str], lacking: &[Program]) -> Result<(), SetupError> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.status().map_err(SetupError::AptGetStart)?;
    if status.success() { Ok(()) } else { Err(SetupError::AptGet(status, packages(lacking))) }
}

fn missing(programs: &[Program]) -> Vec<Program> {
    programs.iter().copied().filter(|p| !is_in_path(p.name)).collect()
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_executable(&directory.join(program)))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn still_missing(lacking: &[Program]) -> SetupError {
    let programs = lacking.iter().map(|p| p.name).collect::<Vec<_>>().join(" ");
    SetupError::Missing { programs, packages: packages(lacking) }
}

fn packages(lacking: &[Program]) -> String {
    lacking.iter().map(|p| p.package).collect::<Vec<_>>().join(" ")
}

const TUN: &str = "/dev/net/tun";

/// Programs that the end-to-end tests and the scenario scripts start.
const PROGRAMS: &[Program] = &[
    Program { name: "ip", package: "iproute2" },
    Program { name: "ping", package: "iputils-ping" },
    Program { name: "tracepath", package: "iputils-tracepath" },
    Program { name: "traceroute", package: "traceroute" },
    Program { name: "curl", package: "curl" },
    Program { name: "ethtool", package: "ethtool" },
    Program { name: "tcpdump", package: "tcpdump" },
    Program { name: "iperf3", package: "iperf3" },
    Program { name: "python3", package: "python3" },
];

/// Programs that the build of the fuzz targets starts.
const FUZZ_PROGRAMS: &[Program] = &[Program { name: "c++", package: "g++" }];

/// What schemathesis runs in.
const PYTHON: &[Program] = &[Program { name: "python3", package: "python3" }];

/// Debian's package for environments; its Python is that of [`PYTHON`].
const VENV: &[Program] = &[Program { name: "python3", package: "python3-venv" }];

/// Programs that `bench-core` starts.
const BENCH_PROGRAMS: &[Program] = &[Program { name: "valgrind", package: "valgrind" }];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_counts_only_if_it_can_be_executed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("program");
        fs::write(&file, "").expect("a file");
        assert!(!is_executable(&file), "a plain file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("permissions");
        assert!(is_executable(&file));
        assert!(!is_executable(directory.path()), "a directory");
    }

    #[test]
    fn what_is_missing_is_said_in_one_line_with_the_packages() {
        let said = still_missing(&PROGRAMS[..2]).to_string();
        assert_eq!(said.lines().count(), 1);
        assert!(said.contains("ip ping") && said.contains("iproute2 iputils-ping"), "{said}");
    }
}
