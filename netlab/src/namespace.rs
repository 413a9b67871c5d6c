//! One network namespace: making it, and running things inside.

mod process;

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use gateway::Netns;
use gateway::io::netns::{NAMED, run_in};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::lab::Live;
use crate::{LabError, name};

pub use process::Process;
pub(crate) use process::SharedChild;

/// A network namespace of a [`crate::Lab`]. Clones are the same namespace; all are useless once the lab is dropped.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    live: Arc<Live>,
}

impl Namespace {
    pub(crate) fn new(name: String, live: Arc<Live>) -> Self {
        Self { name, live }
    }

    /// Its name below `/run/netns`, as `ip netns` has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same for the gateway.
    pub fn netns(&self) -> Netns {
        Netns::Name(self.name.clone())
    }

    /// Runs `f` on a thread of its own inside the namespace, and waits for it. Sockets made there stay in the
    /// namespace wherever they are used.
    ///
    /// # Panics
    /// If the namespace was removed, or as `f` does.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        run_in(self.open(), f).unwrap_or_else(|e| panic!("enter {}: {e}", self.name))
    }

    /// A program that will run inside the namespace. It dies with the thread that starts it, so that
    /// nothing outlives us: fine for `status` and `output`; use [`Self::spawn`] for what shall go on.
    ///
    /// # Panics
    /// If the namespace was removed.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        process::confine(&mut command, Some(self.open()));
        command
    }

    /// Starts a program inside the namespace, which runs until its handle or the lab is dropped.
    ///
    /// # Panics
    /// If the namespace was removed.
    pub fn spawn(&self, command: Command) -> Result<Process, LabError> {
        spawn(command, Some(self.open()), &self.live)
    }

    /// Writes a setting of the namespace's network stack, such as `net.ipv4.ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let file: PathBuf = Path::new("/proc/sys").join(key.replace('.', "/"));
        self.run(|| fs::write(file, value)).map_err(|e| LabError::kernel("set", key, e))
    }

    /// Removes the namespace before its lab goes. Whatever still runs inside keeps it alive, nameless.
    pub fn remove(&self) {
        self.live.lock().remove_namespace(&self.name);
    }

    fn open(&self) -> OwnedFd {
        self.netns().open().unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }
}

/// Starts a program inside `netns`, or where we are, as a piece of the lab.
pub(crate) fn spawn(mut command: Command, netns: Option<OwnedFd>, live: &Live) -> Result<Process, LabError> {
    process::confine(&mut command, netns);
    let program = command.get_program().to_string_lossy().into_owned();
    // Started with the lock held, so that no process is born to a lab that is just removed.
    let mut pieces = live.lock();
    let child = process::start(command).map_err(|e| LabError::kernel("start", &program, e))?;
    pieces.add_process(child.clone());
    Ok(Process::new(child))
}

/// Makes a namespace and gives it a name, as `ip netns add` does.
pub(crate) fn create(name: &str) -> Result<(), LabError> {
    share_names().map_err(|e| LabError::kernel("prepare", NAMED, e))?;
    let path = name::path(name);
    File::create_new(&path).map_err(|e| LabError::kernel("make namespace", name, e))?;
    // A thread that has left the namespace of the process is good for nothing else.
    let bind = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount(Some("/proc/thread-self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    };
    let made = std::thread::scope(|scope| scope.spawn(bind).join().expect("the thread does not panic"));
    made.map_err(|e| {
        name::remove(name);
        LabError::kernel("make namespace", name, e)
    })
}

/// Makes the directory of names a shared mount, as `ip netns` does: other mount namespaces see our names, and
/// no stale copy of one keeps a namespace alive.
fn share_names() -> io::Result<()> {
    fs::create_dir_all(NAMED)?;
    // As `ip netns` does too: only one process at a time may find it unshared and bind it.
    let _lock = Flock::lock(File::open(NAMED)?, FlockArg::LockExclusive).map_err(|(_, e)| e)?;
    let change = |source: Option<&str>, flags| mount(source, NAMED, None::<&str>, flags, None::<&str>);
    let share = || change(None, MsFlags::MS_SHARED | MsFlags::MS_REC);
    if share() == Err(Errno::EINVAL) {
        // It is no mount point yet.
        change(Some(NAMED), MsFlags::MS_BIND | MsFlags::MS_REC)?;
    }
    Ok(share()?)
}
