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
    /// Something is missing and there is no apt-get.
    #[error("missing: {things}; install what provides them (on Debian: {packages}) and run this again")]
    Missing {
        /// Programs that are not in PATH, libraries that the linker does not find.
        things: String,
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

/// Something that the machine must have, and the Debian package that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    thing: Thing,
    package: &'static str,
}

/// What shows that a package is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    /// One in PATH, or at this very path.
    Program(&'static str),
    /// A file that the linker finds.
    Library(&'static str),
    /// A module of [`PYTHON`].
    PythonModule(&'static str),
}

/// What a build of the workspace needs of the machine, and only that. Installs what is missing, if that is allowed.
pub(crate) fn for_build() -> Result<(), SetupError> {
    get(BUILD)
}

/// What the demo needs of the machine: what functions run by, and a database. Installs what is missing.
pub(crate) fn for_demo() -> Result<(), SetupError> {
    for_network()?;
    get(DEMO)
}

/// What a gateway without functions needs of the machine: no programs, `wharf` speaks netlink and HTTP itself.
pub(crate) fn for_network() -> Result<(), SetupError> {
    root()?;
    tun()?;
    for_build()
}

/// What the tests need of the machine. Installs what is missing.
pub(crate) fn for_test() -> Result<(), SetupError> {
    root()?;
    tun()?;
    get(&[BUILD, TEST, DEMO].concat())
}

/// What the fuzz targets need of the machine: libFuzzer is written in C++. Installs a compiler, if that is allowed.
pub(crate) fn for_fuzz() -> Result<(), SetupError> {
    get(&[BUILD, FUZZ].concat())
}

/// What schemathesis needs of the machine. Installs Python with what makes environments, if that is allowed.
pub(crate) fn for_api() -> Result<(), SetupError> {
    root()?;
    tun()?;
    get(&[BUILD, API].concat())
}

/// What counting instructions needs of the machine. Installs valgrind, if that is allowed.
pub(crate) fn for_bench() -> Result<(), SetupError> {
    get(BENCH)
}

fn get(needs: &[Need]) -> Result<(), SetupError> {
    let lacking = missing(needs);
    if lacking.is_empty() { Ok(()) } else { install(&lacking) }
}

fn root() -> Result<(), SetupError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(SetupError::NotRoot) }
}

/// Opens the device, because a container can have the file without the permission. Opening it makes no interface.
fn tun() -> Result<(), SetupError> {
    OpenOptions::new().read(true).write(true).open(TUN).map(drop).map_err(SetupError::Tun)
}

fn install(lacking: &[Need]) -> Result<(), SetupError> {
    if !is_in_path("apt-get") || root().is_err() {
        return Err(still_missing(lacking));
    }
    eprintln!("cargo xtask: installing {} with apt-get", packages(lacking));
    apt_get(&["update"], lacking)?;
    let arguments = ["install", "--yes", "--no-install-recommends"];
    apt_get(
        &arguments.into_iter().chain(lacking.iter().map(|need| need.package)).collect::<Vec<_>>(),
        lacking,
    )?;
    // Packages can be there while PATH does not lead to the program, as after a bare `su`.
    let lacking = missing(lacking);
    if lacking.is_empty() { Ok(()) } else { Err(still_missing(&lacking)) }
}

fn apt_get(arguments: &[&str], lacking: &[Need]) -> Result<(), SetupError> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.status().map_err(SetupError::AptGetStart)?;
    if status.success() { Ok(()) } else { Err(SetupError::AptGet(status, packages(lacking))) }
}

fn missing(needs: &[Need]) -> Vec<Need> {
    needs.iter().copied().filter(|need| !need.thing.is_there()).collect()
}

impl Need {
    const fn program(name: &'static str, package: &'static str) -> Self {
        Self { thing: Thing::Program(name), package }
    }

    const fn library(file: &'static str, package: &'static str) -> Self {
        Self { thing: Thing::Library(file), package }
    }

    const fn python(module: &'static str, package: &'static str) -> Self {
        Self { thing: Thing::PythonModule(module), package }
    }
}

impl Thing {
    fn is_there(self) -> bool {
        match self {
            Self::Program(name) => is_in_path(name),
            Self::Library(file) => is_linked(file),
            Self::PythonModule(name) => {
                let import = Command::new(PYTHON).args(["-c", &format!("import {name}")]).output();
                import.is_ok_and(|output| output.status.success())
            }
        }
    }

    fn name(self) -> &'static str {
        let (Self::Program(name) | Self::Library(name) | Self::PythonModule(name)) = self;
        name
    }
}

/// Asks the C compiler, by which rustc links; it answers with a whole path if there is one.
fn is_linked(file: &str) -> bool {
    let answer = Command::new("cc").arg(format!("-print-file-name={file}")).output();
    answer.is_ok_and(|output| output.stdout.starts_with(b"/"))
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_executable(&directory.join(program)))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn still_missing(lacking: &[Need]) -> SetupError {
    let things = lacking.iter().map(|need| need.thing.name()).collect::<Vec<_>>().join(" ");
    SetupError::Missing { things, packages: packages(lacking) }
}

fn packages(lacking: &[Need]) -> String {
    lacking.iter().map(|need| need.package).collect::<Vec<_>>().join(" ")
}

const TUN: &str = "/dev/net/tun";

/// Debian's own Python: functions run by it.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What containers are made with is bound to the library that writes their seccomp filters.
const BUILD: &[Need] = &[Need::library("libseccomp.so", "libseccomp-dev")];

/// Programs that the tests and the scenario scripts start.
const TEST: &[Need] = &[
    Need::program("ip", "iproute2"),
    Need::program("ping", "iputils-ping"),
    Need::program("tracepath", "iputils-tracepath"),
    Need::program("traceroute", "traceroute"),
    Need::program("curl", "curl"),
    Need::program("ethtool", "ethtool"),
    Need::program("tcpdump", "tcpdump"),
    Need::program("iperf3", "iperf3"),
    Need::program("runc", "runc"),
    // For the client of Lambda's API that the sandbox is tested with.
    Need::python("pip", "python3-pip"),
];

/// What functions run by, of the demo and the tests, and the demo's database. Debian has the server of Redis in its tools, by
/// this name; the package with the name of the server would start a service too.
const DEMO: &[Need] = &[
    Need::program(PYTHON, "python3"),
    Need::program("node", "nodejs"),
    Need::program("redis-check-rdb", "redis-tools"),
];

/// Programs that the build of the fuzz targets starts.
const FUZZ: &[Need] = &[Need::program("c++", "g++")];

/// What schemathesis runs in. Debian has what makes environments apart from Python.
const API: &[Need] = &[Need::program(PYTHON, "python3"), Need::python("ensurepip, venv", "python3-venv")];

/// Programs that `bench-core` starts.
const BENCH: &[Need] = &[Need::program("valgrind", "valgrind")];

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
    fn a_library_is_there_if_the_linker_finds_it() {
        assert!(Thing::Library("libc.so").is_there());
        assert!(!Thing::Library("libwharf-has-none.so").is_there());
    }

    #[test]
    fn what_is_missing_is_said_in_one_line_with_the_packages() {
        let said = still_missing(&TEST[..2]).to_string();
        assert_eq!(said.lines().count(), 1);
        assert!(said.contains("ip ping") && said.contains("iproute2 iputils-ping"), "{said}");
    }
}
