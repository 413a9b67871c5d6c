//! The program that makes a container, one each time: a process of one thread, as namespaces and the embedded library need.
//!
//! ```text
//!   daemon                         helper                                 holder
//!     │ start ───────────────────────►│ fork ────────────────────────────────►│ unshare(user, net)
//!     │◄────────────────── "holder N" │ maps ids                              │ waits
//!     │ listener, link, config.json   │                                       │
//!     │ "go" ────────────────────────►│ OCI runtime: create, start            │
//!     │◄──────────────────── "pid N"  │ ends                                  │ ends with it
//! ```

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stdin};

use crate::bundle::STAGE;
use crate::limits::{HELPER_REPORT_BYTES, IDS_PER_CONTAINER};
use crate::rootfs::{Beneath, path};
use crate::settings::Oci;
use crate::sys;

/// What a helper is told to make, as the arguments of its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The container's id.
    pub(crate) id: String,
    /// The directory of its `config.json` and `resolv.conf`.
    pub(crate) bundle: PathBuf,
    /// Its root filesystem.
    pub(crate) rootfs: PathBuf,
    /// The directory of the bootstraps.
    pub(crate) bootstraps: PathBuf,
    /// Where the OCI runtime keeps what it knows of its containers.
    pub(crate) state: PathBuf,
    /// The first of its ids on the host.
    pub(crate) first_id: u32,
    /// What makes it.
    pub(crate) oci: Oci,
}

impl Order {
    /// The directory of all containers.
    fn run(&self) -> PathBuf {
        self.bundle.parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// As arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let oci = match &self.oci {
            Oci::Embedded => String::new(),
            Oci::Program(program) => text(program),
        };
        let paths = [&self.bundle, &self.rootfs, &self.bootstraps, &self.state].map(|path| text(path));
        let [bundle, rootfs, bootstraps, state] = paths;
        vec![self.id.clone(), bundle, rootfs, bootstraps, state, self.first_id.to_string(), oci]
    }

    fn parse(arguments: &[String]) -> Option<Self> {
        let [id, bundle, rootfs, bootstraps, state, first_id, oci] = arguments else { return None };
        let oci = if oci.is_empty() { Oci::Embedded } else { Oci::Program(oci.into()) };
        Some(Self {
            id: id.clone(),
            bundle: bundle.into(),
            rootfs: rootfs.into(),
            bootstraps: bootstraps.into(),
            state: state.into(),
            first_id: first_id.parse().ok()?,
            oci,
        })
    }
}

/// What the helper program does: makes one container and ends. [`crate::Settings::helper`] says how it is started. Call it before there
/// is any other thread. Its standard input is a socket on which it is told to go on; its output and error are the container's.
pub fn container_helper(arguments: &[String]) -> ExitCode {
    let Some(order) = Order::parse(arguments) else {
        eprintln!("this is started by the daemon, not by hand");
        return ExitCode::FAILURE;
    };
    match converse(&order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn converse(order: &Order) -> io::Result<()> {
    let mut daemon = take_stdin()?;
    // A daemon that comes after ours waits for it before it removes what is left. If that was quicker, ours does not answer any more.
    let _making = making(&order.run()).and_then(|file| lock(file, FlockArg::LockShared))?;
    if let Err(error) = stage(order) {
        return report(&mut daemon, &format!("root filesystem: {error}"));
    }
    let holder = match hold(order.first_id) {
        Ok(holder) => holder,
        Err(error) => return report(&mut daemon, &format!("namespaces: {error}")),
    };
    writeln!(daemon, "holder {holder}")?;
    let mut word = String::new();
    BufReader::new(daemon.try_clone()?).read_line(&mut word)?;
    // The daemon has changed its mind, or is no more.
    if word == "go\n" {
        match make(order) {
            Ok(pid) => {
                if let Err(error) = writeln!(daemon, "pid {pid}") {
                    // Nobody is there any more to remove what nobody hears of.
                    _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    return Err(error);
                }
            }
            Err(error) => report(&mut daemon, &error)?,
        }
    }
    _ = kill(holder, Signal::SIGKILL);
    // The daemon would inherit what is left of it.
    _ = waitpid(holder, None);
    Ok(())
}

/// What helpers lock together as long as they are there, and a daemon that removes what others have left alone.
pub(crate) fn making(run: &Path) -> io::Result<File> {
    File::create(run.join("making"))
}

fn lock(file: File, how: FlockArg) -> io::Result<Flock<File>> {
    Flock::lock(file, how).map_err(|(_, error)| error.into())
}

/// The socket that is standard input, which from now on is empty.
fn take_stdin() -> io::Result<UnixStream> {
    let socket = nix::unistd::dup(io::stdin())?;
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(OwnedFd::into(socket))
}

fn report(daemon: &mut UnixStream, error: &str) -> io::Result<()> {
    let line = error.replace('\n', " ");
    let end = line.floor_char_boundary(HELPER_REPORT_BYTES);
    writeln!(daemon, "error {}", &line[..end])
}

/// Puts the container's root together, in a mount namespace that nobody else sees.
fn stage(order: &Order) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    put(&order.rootfs, Path::new(STAGE))?;
    // Links in there may be anybody's, and would lead to this machine's directories.
    let root = Beneath::open(Path::new(STAGE))?;
    put(&order.bootstraps, &path(&root.directory(Path::new("opt/wharf"))?).join("."))?;
    put(&order.bundle.join("resolv.conf"), &path(&root.directory(Path::new("etc"))?).join("resolv.conf"))
}

/// Mounts a directory or file on another, read-only.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    sys::move_mount(sys::detached_read_only(from)?, &CString::new(to.as_os_str().as_bytes())?)
}

/// A process whose namespaces become the container's, with the ids that it has outside.
fn hold(first_id: u32) -> io::Result<Pid> {
    let (mut is_ready, ready) = io::pipe()?;
    let holder = sys::hold_namespaces(&ready)?;
    drop(ready);
    io::Read::read_exact(&mut is_ready, &mut [0])?;
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{holder}/{map}"), format!("0 {first_id} {IDS_PER_CONTAINER}\n"))?;
    }
    Ok(holder)
}

/// The container's first process.
fn make(order: &Order) -> Result<i32, String> {
    match &order.oci {
        Oci::Embedded => make_here(order).map_err(|error| chain(&error)),
        Oci::Program(program) => make_by(program, order),
    }
}

fn make_here(order: &Order) -> Result<i32, libcontainer::error::LibcontainerError> {
    let mut container = ContainerBuilder::new(order.id.clone(), SyscallType::default())
        .with_root_path(&order.state)?
        .validate_id()?
        .as_init(&order.bundle)
        .with_systemd(false)
        .with_detach(true)
        .build()?;
    container.start()?;
    Ok(container.state.pid.unwrap_or(0))
}

fn make_by(program: &Path, order: &Order) -> Result<i32, String> {
    let pid_file = order.bundle.join("pid");
    let log = order.bundle.join("oci.log");
    let status = Command::new(program)
        .arg("--root")
        .arg(&order.state)
        .arg("--log")
        .arg(&log)
        .args(["run", "--detach", "--bundle"])
        .arg(&order.bundle)
        .arg("--pid-file")
        .arg(&pid_file)
        .arg(&order.id)
        .status()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !status.success() {
        let said = fs::read_to_string(log).unwrap_or_default();
        return Err(format!("{}: {status}: {}", program.display(), said.trim()));
    }
    let pid = fs::read_to_string(pid_file).map_err(|error| format!("no pid file: {error}"))?;
    pid.trim().parse().map_err(|_| "the pid file has no number".to_owned())
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_order_is_read_back_from_its_arguments() {
        for oci in [Oci::Embedded, Oci::Program("/usr/sbin/runc".into())] {
            let order = Order {
                id: "c1".into(),
                bundle: "/run/b".into(),
                rootfs: "/var/r".into(),
                bootstraps: "/var/b".into(),
                state: "/run/s".into(),
                first_id: 1 << 30,
                oci,
            };
            assert_eq!(Order::parse(&order.arguments()), Some(order));
        }
        assert_eq!(Order::parse(&["x".into()]), None);
    }

    #[test]
    fn a_root_is_put_together_within_itself_whatever_its_links_say() {
        let around = tempfile::tempdir().unwrap();
        let at = |path: &str| around.path().join(path);
        let below = |path: &str| at("root").join(at(path).strip_prefix("/").unwrap());
        for directory in [at("opt/wharf"), at("etc"), below("opt/wharf"), below("etc"), at("boot")] {
            fs::create_dir_all(directory).unwrap();
        }
        for file in [at("etc/resolv.conf"), below("etc/resolv.conf"), at("resolv.conf"), at("boot/strap")] {
            fs::write(file, "").unwrap();
        }
        fs::write(at("resolv.conf"), "ours").unwrap();
        for name in ["opt", "etc"] {
            symlink(at(name), at("root").join(name)).unwrap();
        }
        let order = Order {
            id: String::new(),
            bundle: around.path().to_owned(),
            rootfs: at("root"),
            bootstraps: at("boot"),
            state: PathBuf::new(),
            first_id: 0,
            oci: Oci::Embedded,
        };
        let staged = |path: &str| Path::new(STAGE).join(at(path).strip_prefix("/").unwrap());
        std::thread::scope(|scope| {
            // It is in a mount namespace of its own from then on.
            let thread = scope.spawn(|| {
                stage(&order).unwrap();
                assert!(staged("opt/wharf/strap").exists());
                assert_eq!(fs::read_to_string(staged("etc/resolv.conf")).unwrap(), "ours");
                assert!(!at("opt/wharf/strap").exists());
                assert_eq!(fs::read_to_string(at("etc/resolv.conf")).unwrap(), "");
            });
            thread.join().unwrap();
        });
    }
}
