//! Which worker has what. Ids are given in turn, so that everything spreads evenly by itself.

use crate::{AttachmentId, UplinkId};

/// The worker that serves an attachment.
pub(crate) const fn worker_of(attachment: AttachmentId, workers: u32) -> u32 {
    attachment.0 % workers
}

/// The worker that reads an uplink, or, if each worker has a queue of it, reads all that is nobody's in particular.
pub(crate) const fn reader_of(uplink: UplinkId, workers: u32) -> u32 {
    uplink.0 % workers
}

/// Which queue of an uplink is whose: the first one is its reader's, the others belong to the workers after that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    workers: u32,
    reader: u32,
}

impl Spread {
    pub(crate) const fn of(uplink: UplinkId, workers: u32) -> Self {
        Self { workers, reader: reader_of(uplink, workers) }
    }

    /// Workers, and so queues.
    pub(crate) const fn workers(self) -> u32 {
        self.workers
    }

    /// The worker that has the first queue.
    pub(crate) const fn reader(self) -> u32 {
        self.reader
    }

    /// The queue of a worker.
    pub(crate) const fn queue_of(self, worker: u32) -> u32 {
        (worker + self.workers - self.reader) % self.workers
    }

    /// Which of an uplink's queues a worker has: its own, or the only one.
    pub(crate) fn pick<T>(self, queues: &[T], worker: u32) -> &T {
        match queues {
            [only] => only,
            all => &all[self.queue_of(worker) as usize],
        }
    }

    /// Whether the worker reads the queue that it has. The only one is the reader's to read; all write to it.
    pub(crate) const fn reads<T>(self, queues: &[T], worker: u32) -> bool {
        queues.len() > 1 || worker == self.reader
    }
}
