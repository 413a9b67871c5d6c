//! Programs inside namespaces. The crate's only unsafe is here.
#![allow(unsafe_code, reason = "what happens between fork and exec is unsafe by nature")]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

/// A running program of a lab. Dropping it kills the program, as dropping the lab does.
#[derive(Debug)]
pub struct Process(SharedChild);

impl Process {
    pub(crate) fn new(child: SharedChild) -> Self {
        Self(child)
    }

    /// Its process id, which also names its namespace (`/proc/ID/ns/net`).
    pub fn id(&self) -> u32 {
        self.0.with(|child| child.id())
    }

    /// How it ended; `None` while it runs.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.0.with(Child::try_wait)
    }

    /// Kills it, and returns when it has ended.
    pub fn kill(&self) {
        self.0.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A child that its handle and its lab may both kill.
#[derive(Clone, Debug)]
pub(crate) struct SharedChild(Arc<Mutex<Child>>);

impl SharedChild {
    /// Kills it unless it has ended, and reaps it. The `Child` remembers, so that no other process is hit later.
    pub(crate) fn kill(&self) {
        self.with(|child| {
            let _ = child.kill();
            let _ = child.wait();
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Child) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets the command run inside `netns`, or where we are, and die with the thread that starts it.
pub(crate) fn confine(command: &mut Command, netns: Option<OwnedFd>) {
    let parent = getpid();
    let enter = move || {
        if let Some(netns) = &netns {
            setns(netns, CloneFlags::CLONE_NEWNET)?;
        }
        set_pdeathsig(Signal::SIGKILL)?;
        // Were we gone before that call, nobody would ever send the signal.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: `enter` runs between fork and exec, where only async-signal-safe calls are allowed: it makes plain
    // system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(enter) };
}

/// Starts a confined command on a thread that lives as long as the process: the kernel ties the death signal to
/// the starting thread, not to its process (prctl(2), `PR_SET_PDEATHSIG`).
pub(crate) fn start(command: Command) -> io::Result<SharedChild> {
    static STARTER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        let serve =
            move || requests.iter().for_each(|(mut command, answer)| drop(answer.send(command.spawn())));
        thread::Builder::new()
            .name("netlab-starter".into())
            .spawn(serve)
            .expect("a thread to start programs on");
        sender
    });
    let (answer, child) = mpsc::channel();
    starter.send((command, answer)).expect("the starter runs for ever");
    let child = child.recv().expect("the starter answers")?;
    Ok(SharedChild(Arc::new(Mutex::new(child))))
}

/// What to start, and where to send the outcome.
type Request = (Command, mpsc::Sender<io::Result<Child>>);
