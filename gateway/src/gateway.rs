//! The running gateway: its worker threads, from start to stop.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use gateway_core::WorkerSlot;
use tokio::sync::broadcast;

use crate::event::EVENTS;
use crate::io::Staging;
use crate::worker::{Clock, Inbox, Worker, start};
use crate::{Config, Handle};

/// A running gateway; dropping it stops the workers and closes every device.
#[derive(Debug)]
pub struct Gateway {
    handle: Handle,
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Starts the worker threads. They idle until a link is added.
    pub fn start(config: &Config) -> io::Result<Self> {
        let count = config.worker_count()?;
        let inboxes = (0..count).map(|_| Inbox::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
        let shared: Arc<[Arc<Inbox>]> = inboxes.clone().into();
        let (events, _) = broadcast::channel(EVENTS);
        let clock = Clock::start();
        let handle = Handle::new(Arc::clone(&shared), Staging::new()?, events.clone());
        let mut gateway = Self { handle, inboxes, threads: Vec::new() };
        for index in 0..count {
            let slot = WorkerSlot::new(index, count);
            let worker = Worker::new(slot, crate::io::random()?, clock, Arc::clone(&shared), events.clone())?;
            gateway.threads.push(start(worker)?);
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
        for inbox in &self.inboxes[..self.threads.len()] {
            let mut stop: crate::worker::Job = Box::new(Worker::stop);
            while let Err(back) = inbox.push_job(stop) {
                stop = back;
                std::thread::yield_now();
            }
        }
        for thread in self.threads.drain(..) {
            // A worker that panicked has ended the process.
            let _ = thread.join();
        }
    }
}
