//! The running gateway: its worker threads, from start to stop.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use gateway_core::WorkerSlot;
use tokio::sync::broadcast;

use crate::event::EVENTS;
use crate::io::Staging;
use crate::losses::{self, Losses, Message};
use crate::worker::{Clock, Inbox, Worker, start};
use crate::{Config, Handle, Spinning};

/// A running gateway; dropping it stops the workers and closes every device, and leaves those that shall last where they are.
#[derive(Debug)]
pub struct Gateway {
    handle: Handle,
    inboxes: Vec<Arc<Inbox>>,
    workers: Vec<JoinHandle<()>>,
    losses: (Losses, Option<JoinHandle<()>>),
}

impl Gateway {
    /// Starts the worker threads. They idle until a link is added.
    pub fn start(config: &Config) -> io::Result<Self> {
        Self::start_spinning(config, Spinning::default())
    }

    /// The same with another patience than the default one.
    pub fn start_spinning(config: &Config, spinning: Spinning) -> io::Result<Self> {
        let count = config.worker_count()?;
        let inboxes = (0..count).map(|_| Inbox::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
        let shared: Arc<[Arc<Inbox>]> = inboxes.clone().into();
        let (events, _) = broadcast::channel(EVENTS);
        let clock = Clock::start();
        let staging = Staging::new()?;
        // From here on, an early return has to drop a gateway, which ends its threads.
        let (losses, thread) = losses::start(Arc::clone(&shared), events.clone())?;
        let handle = Handle::new(Arc::clone(&shared), staging, losses.clone(), events);
        let mut gateway =
            Self { handle, inboxes, workers: Vec::new(), losses: (losses.clone(), Some(thread)) };
        for index in 0..count {
            let slot = WorkerSlot::new(index, count);
            let (seed, shared) = (crate::io::random()?, Arc::clone(&shared));
            let worker = Worker::new(slot, seed, clock, spinning, shared, losses.clone())?;
            gateway.workers.push(start(worker)?);
        }
        Ok(gateway)
    }

    /// Something to steer it with.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for inbox in &self.inboxes[..self.workers.len()] {
            inbox.push_job_waiting(Box::new(Worker::stop));
        }
        self.losses.0.tell(Message::Stop);
        // A worker that panicked has ended the process.
        for thread in self.workers.drain(..).chain(self.losses.1.take()) {
            let _ = thread.join();
        }
    }
}
