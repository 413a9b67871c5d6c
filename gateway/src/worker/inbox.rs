//! What reaches a worker from other threads: jobs of the control plane, frames of other workers. Bounded and lock-free.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use gateway_core::UplinkId;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Worker;

/// Jobs that may wait for one worker.
const JOBS: usize = 1024;

/// Frames that may wait for one worker. A full one of them drops with [`gateway_core::Reason::HandOffFull`].
const FRAMES: usize = 4096;

/// Bytes of frames that may wait for one worker. The same.
const FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Between two tries to leave a job in a full box.
const RETRY: Duration = Duration::from_millis(1);

/// Something to be done by a worker between two batches.
pub(crate) type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// A frame that came in at another worker.
pub(super) struct Handed {
    pub(super) from: UplinkId,
    pub(super) kind: HandedKind,
    pub(super) frame: Box<[u8]>,
}

/// What to do with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HandedKind {
    /// It is this worker's.
    Owned,
    /// It is everybody's: ARP or Neighbor Discovery to learn from.
    Shared,
    /// It is this worker's, and another one has counted it; if it came in fragments, bytes of the largest one.
    Whole { largest: Option<u16> },
}

/// A worker's letter box.
pub(crate) struct Inbox {
    jobs: ArrayQueue<Job>,
    frames: ArrayQueue<Handed>,
    frame_bytes: AtomicUsize,
    wakeup: EventFd,
    /// The worker has ended: what is left here is dropped, which tells those who wait for an answer.
    closed: AtomicBool,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        let wakeup = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self {
            jobs: ArrayQueue::new(JOBS),
            frames: ArrayQueue::new(FRAMES),
            frame_bytes: AtomicUsize::new(0),
            wakeup,
            closed: AtomicBool::new(false),
        })
    }

    /// Leaves a job; gives it back if there is no room.
    pub(crate) fn push_job(&self, job: Job) -> Result<(), Job> {
        self.jobs.push(job)?;
        if self.closed.load(SeqCst) {
            self.empty();
        }
        self.wake();
        Ok(())
    }

    /// Leaves a job, on a thread that may wait until there is room.
    pub(crate) fn push_job_waiting(&self, mut job: Job) {
        while let Err(back) = self.push_job(job) {
            job = back;
            std::thread::sleep(RETRY);
        }
    }

    /// Leaves a frame; `false` if there is no room.
    pub(super) fn push_frame(&self, handed: Handed) -> bool {
        let length = handed.frame.len();
        let fits = self.frame_bytes.fetch_add(length, Relaxed) + length <= FRAME_BYTES;
        let pushed = fits && self.frames.push(handed).is_ok();
        if !pushed {
            self.frame_bytes.fetch_sub(length, Relaxed);
        }
        self.wake();
        pushed
    }

    pub(super) fn pop_job(&self) -> Option<Job> {
        self.jobs.pop()
    }

    pub(super) fn pop_frame(&self) -> Option<Handed> {
        let handed = self.frames.pop()?;
        self.frame_bytes.fetch_sub(handed.frame.len(), Relaxed);
        Some(handed)
    }

    /// Takes nothing any more. Whoever pushes at the same time empties the box again.
    pub(super) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.empty();
    }

    fn empty(&self) {
        while self.jobs.pop().is_some() || self.frames.pop().is_some() {}
    }

    /// The descriptor that is readable while there may be something inside.
    pub(super) fn wakeup(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }

    /// Takes the wake-up back; to be called before the boxes are emptied, so that none is missed.
    pub(super) fn acknowledge(&self) {
        // EAGAIN: nobody woke us since the last time.
        let _ = self.wakeup.read();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.frames.is_empty()
    }

    pub(super) fn wake(&self) {
        // EAGAIN: the counter is full of wake-ups, which is to be awake.
        let _ = self.wakeup.write(1);
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("jobs", &self.jobs.len())
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}
