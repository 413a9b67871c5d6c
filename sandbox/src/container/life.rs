//! How a container begins and ends.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::sync::{mpsc, watch};

use super::{Container, Running, mount_namespace};
use crate::cgroup::Group;
use crate::handle::{CreateError, Directory, Namespace, Shared};
use crate::limits::{KILL_TIME, WARM_MEMORY_MB};
use crate::output::OutputLine;
use crate::runtime_api::RuntimeApi;
use crate::slots::Slot;
use crate::{Exit, Fault, sys};

/// What a container is made of once its first process runs.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: String,
    pub(crate) runtime: String,
    pub(crate) netns: Namespace,
    pub(crate) pid: i32,
    pub(crate) api: RuntimeApi,
    pub(crate) group: Group,
    pub(crate) slot: Slot,
    pub(crate) lines: mpsc::Receiver<OutputLine>,
    pub(crate) directory: Directory,
}

/// How whoever was killed ends, and a shell whose program was.
const KILLED: i32 = libc::SIGKILL;
const SHELL_KILLED: i32 = 128 + KILLED;

/// What nobody else may have while the container exists.
#[derive(Debug)]
pub(super) struct Held {
    _netns: Namespace,
    _slot: Slot,
    _directory: Directory,
}

impl Container {
    /// A container whose end is noticed from now on.
    pub(crate) async fn watch(parts: Parts) -> Result<Self, CreateError> {
        let Parts { shared, id, runtime, netns, pid, api, group, slot, lines, directory } = parts;
        let failed = |source| CreateError::System { step: "watch its first process", source };
        // Until it is waited for, nobody else gets its number.
        let process = sys::open_process(pid);
        let opened = process.and_then(|process| Ok((process.try_clone()?, process, mount_namespace(pid)?)));
        let (watched, process, mounts) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                shared.clear(&id, &group).await;
                _ = waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
                return Err(failed(error));
            }
        };
        let (ends, exit) = watch::channel(None);
        let held = Held { _netns: netns.clone(), _slot: slot, _directory: directory };
        let running = Arc::new(Running {
            shared,
            id,
            runtime,
            netns: netns.path().to_owned(),
            pid,
            process,
            group,
            api,
            is_assigned: AtomicBool::new(false),
            memory_mb: AtomicU32::new(WARM_MEMORY_MB),
            exit,
            lines: Mutex::new(Some(lines)),
            held: tokio::sync::Mutex::new(Some(held)),
            mounts: Mutex::new(Some(mounts)),
        });
        tokio::spawn(wait(watched, Arc::downgrade(&running), ends));
        Ok(Self(running))
    }

    /// Waits until its bootstrap asks what it shall become. `Err` says why it never will.
    pub(crate) async fn warm(&self, patience: Duration) -> Result<(), String> {
        tokio::select! {
            () = self.0.api.warm() => Ok(()),
            exit = self.ended() => Err(format!("its first process ended: {exit}{}", self.last_words())),
            () = tokio::time::sleep(patience) => {
                Err(format!("it did not ask for work within {} s{}", patience.as_secs(), self.last_words()))
            }
        }
    }

    /// What it has written, for those who ask why it failed.
    fn last_words(&self) -> String {
        let Some(mut lines) = self.output() else { return String::new() };
        let mut words = String::new();
        while let Ok(line) = lines.try_recv() {
            words = format!("{words}; {}", line.text);
        }
        words
    }

    /// Ends every process and removes everything of it. Whoever waits for an answer hears [`Fault::Removed`]. Nothing is left when this returns,
    /// or the log says what; doing it again does nothing.
    pub async fn remove(&self) {
        let mut held = self.0.held.lock().await;
        if held.is_none() {
            return;
        }
        self.0.api.end(Fault::Removed);
        if let Err(error) = sys::kill_process(&self.0.process) {
            tracing::error!(container = self.id(), %error, "a container's first process cannot be killed");
        }
        if tokio::time::timeout(KILL_TIME, self.ended()).await.is_err() {
            tracing::error!(container = self.id(), "a container's first process does not end");
        }
        drop(self.0.mounts().take());
        self.0.shared.clear(self.id(), &self.0.group).await;
        *held = None;
    }
}

/// Waits for the end of a container's first process, and tells everybody.
async fn wait(process: OwnedFd, running: Weak<Running>, ends: watch::Sender<Option<Exit>>) {
    let exit = wait_for(process).await;
    if let Some(running) = running.upgrade() {
        // Whoever ends otherwise has outlived the process that was ended for lack of memory.
        let is_killed = matches!(exit, Exit::Signal(KILLED) | Exit::Status(SHELL_KILLED));
        let fault = if is_killed && running.group.memory_kills() > 0 {
            Fault::OutOfMemory { limit_mb: running.memory_mb.load(Ordering::Relaxed) }
        } else {
            Fault::Exited(exit)
        };
        running.api.end(fault);
    }
    ends.send_replace(Some(exit));
}

/// Waits for the end of a process, so that nothing is left of it, if it is our child then.
pub(crate) async fn wait_for(process: OwnedFd) -> Exit {
    match sys::watch_process(process) {
        Ok(process) => {
            _ = process.readable().await;
            collect(process.get_ref())
        }
        Err(error) => {
            tracing::error!(%error, "the end of a process cannot be noticed");
            Exit::Unknown
        }
    }
}

/// How a process has ended that is our child since its parent is no more.
fn collect(process: &OwnedFd) -> Exit {
    match waitid(Id::PIDFd(process.as_fd()), WaitPidFlag::WEXITED) {
        Ok(WaitStatus::Exited(_, status)) => Exit::Status(status),
        Ok(WaitStatus::Signaled(_, signal, _)) => Exit::Signal(signal as i32),
        _ => Exit::Unknown,
    }
}
