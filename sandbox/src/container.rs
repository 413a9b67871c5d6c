//! One container, from its first process to its last trace.

mod life;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

pub(crate) use life::{Parts, wait_for};

use crate::cgroup::Group;
use crate::handle::Shared;
use crate::output::OutputLine;
use crate::runtime_api::RuntimeApi;
use crate::{Answer, Assignment, Exit, Fault, Invocation, sys};

/// A container that runs. Clones are the same one; it does not end with the last of them, but with [`Container::remove`].
#[derive(Clone, Debug)]
pub struct Container(Arc<Running>);

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    id: String,
    runtime: String,
    netns: PathBuf,
    pid: i32,
    process: OwnedFd,
    group: Group,
    api: RuntimeApi,
    is_assigned: AtomicBool,
    /// What its function may use. MiB.
    memory_mb: AtomicU32,
    exit: watch::Receiver<Option<Exit>>,
    lines: Mutex<Option<mpsc::Receiver<OutputLine>>>,
    /// What is given back when it is removed.
    held: tokio::sync::Mutex<Option<life::Held>>,
    mounts: Mutex<Option<OwnedFd>>,
}

/// What [`Container::assign`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The code's mount alone.
    pub mount: Duration,
    /// All of it, until the bootstrap was told.
    pub total: Duration,
}

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory of all its processes and its tmpfs. Bytes.
    pub memory_bytes: u64,
    /// The most that it ever was. Bytes.
    pub memory_peak_bytes: u64,
    /// CPU time of all its processes.
    pub cpu: Duration,
    /// How many processes and threads it has.
    pub tasks: u64,
}

/// Why a container did not become a function's. It is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// It has a function already, or has ended.
    #[error("the container is not warm any more")]
    NotWarm,
    /// The code is not in the store.
    #[error("the code is not in the store")]
    CodeMissing,
    /// A system call failed.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Container {
    /// Its name: unique on this machine as long as it exists, and made of a–z, 0–9 and hyphens.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The name of what it is made of.
    pub fn runtime(&self) -> &str {
        &self.0.runtime
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Path {
        &self.0.netns
    }

    /// Its first process, as this process's namespace counts.
    pub fn pid(&self) -> u32 {
        self.0.pid.unsigned_abs()
    }

    /// Makes it a function's: sets its limits, mounts the code, and tells the bootstrap. Once only.
    pub async fn assign(&self, assignment: Assignment) -> Result<Assigned, AssignError> {
        match self.become_function(assignment).await {
            // What a container that has ended lacks is no failure of the machine.
            Err(AssignError::System { .. }) if self.0.exit.borrow().is_some() => Err(AssignError::NotWarm),
            outcome => outcome,
        }
    }

    async fn become_function(&self, assignment: Assignment) -> Result<Assigned, AssignError> {
        let started = Instant::now();
        if self.0.is_assigned.swap(true, Ordering::AcqRel) {
            return Err(AssignError::NotWarm);
        }
        let code = self.0.shared.code.path(assignment.code).ok_or(AssignError::CodeMissing)?;
        self.0.memory_mb.store(assignment.memory_mb, Ordering::Relaxed);
        self.0.group.be_equal().map_err(step("share the CPU"))?;
        self.0.group.set_memory(assignment.memory_mb).map_err(step("limit its memory"))?;
        let resolv_conf = self.0.shared.directory(&self.0.id).join("resolv.conf");
        if !assignment.dns_servers.is_empty() {
            fs::write(resolv_conf, resolver(&assignment)).map_err(step("write resolv.conf"))?;
        }
        let mount =
            self.mount(&code, (assignment.memory_mb / 2).max(1)).await.map_err(step("mount the code"))?;
        if !self.0.api.assign(&assignment) {
            return Err(AssignError::NotWarm);
        }
        Ok(Assigned { mount, total: started.elapsed() })
    }

    async fn mount(&self, code: &Path, tmp_mb: u32) -> io::Result<Duration> {
        let namespace = self.0.mounts().take().ok_or(io::ErrorKind::NotFound)?;
        let started = Instant::now();
        let tree = sys::detached_read_only(code)?;
        self.0.shared.mounter.mount(namespace, tree, tmp_mb).await?;
        Ok(started.elapsed())
    }

    /// Waits until the handler is loaded: its runtime asks for the first event.
    pub async fn initialised(&self) -> Result<(), Fault> {
        self.0.api.initialised().await
    }

    /// Gives the function an event and waits for its answer, until the deadline at most. One at a time.
    /// After a fault that does not leave it usable ([`Fault::leaves_it_usable`]) the container has to be removed.
    pub async fn invoke(&self, invocation: Invocation) -> Result<Answer, Fault> {
        self.0.api.invoke(invocation).await
    }

    /// What it uses now.
    pub fn usage(&self) -> Usage {
        self.0.group.usage()
    }

    /// What its processes write, from the beginning; for one taker. Ends with the container. Whoever does not keep up loses lines.
    pub fn output(&self) -> Option<mpsc::Receiver<OutputLine>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether its first process has ended.
    pub fn has_ended(&self) -> bool {
        self.0.exit.borrow().is_some()
    }

    /// Waits until its first process, and with it every other, has ended.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.0.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown)
    }
}

impl Running {
    fn mounts(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// resolv.conf(5) of a function's container.
fn resolver(assignment: &Assignment) -> String {
    assignment.dns_servers.iter().fold(String::new(), |mut text, server| {
        _ = writeln!(text, "nameserver {server}");
        text
    })
}

/// The mount namespace of a process.
fn mount_namespace(pid: i32) -> io::Result<OwnedFd> {
    File::open(format!("/proc/{pid}/ns/mnt")).map(OwnedFd::from)
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> AssignError {
    move |source| AssignError::System { step, source }
}
