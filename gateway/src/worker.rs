//! A worker: one thread, one engine, its own attachments, every uplink. It reads a batch from a ready device, runs each
//! frame to completion, and sleeps when nothing is ready. No lock, no channel, no async on a packet's path.
//!
//! Between batches it does the jobs that [`crate::Handle`] sends: configuration, snapshots. Frames that another worker
//! owns are handed over through that worker's [`Inbox`].

mod inbox;
mod run;

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time;

use gateway_core::{
    Applied, Command, CommandError, Engine, Explanation, Instant, Link, Prepared, Reason, Verdict, WorkerSlot,
};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

pub(crate) use inbox::{Inbox, Job};
pub(crate) use run::start;

use crate::io::{Batch, Device};
use crate::losses::Losses;
use crate::{Question, Spin, Spinning};

/// A worker's whole state. It belongs to its thread; jobs borrow it between batches.
pub(crate) struct Worker {
    slot: WorkerSlot,
    engine: Engine,
    clock: Clock,
    epoll: Epoll,
    /// Every worker's inbox, this one's included.
    inboxes: Arc<[Arc<Inbox>]>,
    devices: HashMap<Link, Arc<Device>, ahash::RandomState>,
    losses: Losses,
    batch: Batch,
    prepared: Vec<Prepared>,
    /// Frames of the batch that are to be sent, and where to.
    outgoing: Outgoing,
    spin: Spin,
    wakeups: u64,
    handed_off: u64,
    stopping: bool,
}

/// Frames of a batch, by their indices, that have the same way to go.
#[derive(Default)]
struct Outgoing {
    to: Option<Link>,
    indices: Vec<usize>,
}

/// Monotonic time since the gateway's start, the same for all workers.
#[derive(Clone, Copy)]
pub(crate) struct Clock(time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_nanos(
            u64::try_from(self.0.elapsed().as_nanos()).expect("the gateway runs for under 584 years"),
        )
    }
}

impl Worker {
    pub(crate) fn new(
        slot: WorkerSlot,
        seed: [u8; 32],
        clock: Clock,
        spinning: Spinning,
        inboxes: Arc<[Arc<Inbox>]>,
        losses: Losses,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let inbox = &inboxes[usize::from(slot.index())];
        epoll.add(inbox.wakeup(), EpollEvent::new(EpollFlags::EPOLLIN, run::INBOX_TOKEN))?;
        Ok(Self {
            slot,
            engine: Engine::new(slot, seed),
            clock,
            epoll,
            inboxes,
            // Keys are numbers of our own: nobody chooses them to collide.
            devices: HashMap::with_hasher(ahash::RandomState::with_seeds(0, 0, 0, 0)),
            losses,
            batch: Batch::new(),
            prepared: Vec::new(),
            outgoing: Outgoing::default(),
            spin: Spin::new(spinning),
            wakeups: 0,
            handed_off: 0,
            stopping: false,
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What would happen to a packet from this link: what the engine decides, and what its device says of that.
    pub(crate) fn explain(&self, from: Link, question: &Question) -> Result<Explanation, CommandError> {
        let mut explained = question.ask(&self.engine, self.now(), from)?;
        if let Verdict::Forward(to) = explained.verdict
            && self.devices.get(&to).is_none_or(|device| device.is_down())
        {
            explained.verdict = Verdict::Drop(Reason::EgressDown);
        }
        Ok(explained)
    }

    /// A command that concerns no device.
    pub(crate) fn apply(&mut self, command: Command) -> Result<Applied, CommandError> {
        self.engine.apply(self.clock.now(), command)
    }

    /// Takes a link in. Its device is written to, and read once the link is watched.
    pub(crate) fn add_link(
        &mut self,
        link: Link,
        device: Arc<Device>,
        command: Command,
    ) -> Result<(), CommandError> {
        self.apply(command)?;
        self.devices.insert(link, device);
        Ok(())
    }

    /// Takes the link's device into the set that is read. Does nothing if the link was lost in the meantime.
    pub(crate) fn watch(&mut self, link: Link) -> Result<(), AddError> {
        let Some(device) = self.devices.get(&link) else { return Ok(()) };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, run::token(link));
        self.epoll.add(device.as_fd(), event).map_err(|errno| AddError::Watch(errno.into()))
    }

    /// Lets a link go: its sessions end. The device is the caller's to close, on a thread that may wait: the kernel
    /// takes its time to take a device down.
    pub(crate) fn remove_link(&mut self, link: Link) -> Result<(Applied, Arc<Device>), CommandError> {
        let applied = self.apply(run::removal(link))?;
        let device = self.devices.remove(&link).expect("every link of the engine has a device");
        // A device that is gone is not in the set any more, nor was one that another worker reads.
        let _ = self.epoll.delete(device.as_fd());
        Ok((applied, device))
    }

    /// The worker's own numbers: wake-ups, frames handed off.
    pub(crate) fn report(&self) -> (u64, u64) {
        (self.wakeups, self.handed_off)
    }

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }
}

/// Why a link was not taken in and watched.
#[derive(Debug)]
pub(crate) enum AddError {
    Refused(CommandError),
    Watch(io::Error),
}

impl From<CommandError> for AddError {
    fn from(error: CommandError) -> Self {
        Self::Refused(error)
    }
}
