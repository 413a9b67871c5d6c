//! The thread that enters containers' mount namespaces.
//!
//! A thread of its own: to enter one, a thread must share its root and directory with no other (`CLONE_FS`, setns(2)), as those of an
//! asynchronous runtime do.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use tokio::sync::oneshot;

use crate::sys;

/// The thread. It ends with this.
#[derive(Debug)]
pub(crate) struct Mounter {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Code that is to be mounted.
struct Job {
    /// The container's mount namespace.
    namespace: OwnedFd,
    /// What is to be put at [`TARGET`], as [`sys::detached_read_only`] made it.
    tree: OwnedFd,
    /// New size of `/tmp`. MiB.
    tmp_mb: u32,
    answer: oneshot::Sender<io::Result<()>>,
}

/// Where functions find their code: `LAMBDA_TASK_ROOT`.
const TARGET: &CStr = c"/var/task";

impl Mounter {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, work) = channel();
        let (started, has_started) = channel();
        let thread = std::thread::Builder::new().name("wharf-mounter".into()).spawn(move || {
            let home = unshare(CloneFlags::CLONE_FS)
                .map_err(io::Error::from)
                .and_then(|()| File::open("/proc/thread-self/ns/mnt"));
            match home {
                Ok(home) => {
                    _ = started.send(Ok(()));
                    run(&home, &work);
                }
                Err(error) => _ = started.send(Err(error)),
            }
        })?;
        has_started.recv().map_err(io::Error::other)??;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Mounts a tree in a container, and gives its `/tmp` a size.
    pub(crate) async fn mount(&self, namespace: OwnedFd, tree: OwnedFd, tmp_mb: u32) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().expect("taken on drop only");
        jobs.send(Job { namespace, tree, tmp_mb, answer }).map_err(io::Error::other)?;
        answered.await.map_err(io::Error::other)?
    }
}

impl Drop for Mounter {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn run(home: &File, work: &Receiver<Job>) {
    while let Ok(job) = work.recv() {
        let outcome = carry_out(&job);
        // Nobody has to wait until the thread has left.
        _ = job.answer.send(outcome);
        // Who stays keeps a dead container's mounts.
        if let Err(error) = setns(home, CloneFlags::CLONE_NEWNS) {
            tracing::error!(%error, "cannot leave a container's mount namespace; no more code can be mounted");
            return;
        }
    }
}

fn carry_out(job: &Job) -> io::Result<()> {
    setns(&job.namespace, CloneFlags::CLONE_NEWNS)?;
    let size = format!("size={}m", job.tmp_mb);
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, "/tmp", None::<&str>, flags, Some(size.as_str()))?;
    sys::move_mount(&job.tree, TARGET)
}
