//! The worker's loop.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::{AttachmentId, Command, Instant, Link, Reason, UplinkId, Verdict};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use tracing::{debug, error, warn};

use super::inbox::{Handed, HandedKind};
use super::{Device, Worker};
use crate::event::{Announcement, Event};
use crate::io::Failure;

/// Frames read from one device before the next one has its turn.
const BATCH: usize = 64;

/// Frames of other workers that are handled before this worker's own devices have their turn.
const HANDED_BATCH: usize = 256;

/// Devices that one wake-up tells about.
const READY: usize = 128;

/// The inbox's place in the set that is waited for; links have smaller tokens.
pub(super) const INBOX_TOKEN: u64 = u64::MAX;

/// Between two looks at devices that are down.
const LOOK_AFTER_DOWN: Duration = Duration::from_millis(100);

/// A worker wakes up at least this often once there is something that it waits for.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

const UPLINK_BIT: u64 = 1 << 32;

/// A link's place in the set that is waited for.
pub(super) fn token(link: Link) -> u64 {
    match link {
        Link::Attachment(AttachmentId(id)) => id.into(),
        Link::Uplink(UplinkId(id)) => u64::from(id) | UPLINK_BIT,
    }
}

fn link_of(token: u64) -> Link {
    let id = token as u32;
    if token & UPLINK_BIT == 0 { Link::Attachment(AttachmentId(id)) } else { Link::Uplink(UplinkId(id)) }
}

/// The command that takes a link out of the engine.
pub(super) fn removal(link: Link) -> Command {
    match link {
        Link::Attachment(id) => Command::RemoveAttachment(id),
        Link::Uplink(id) => Command::RemoveUplink(id),
    }
}

/// Starts a worker's thread. It ends when a job calls [`Worker::stop`].
pub(crate) fn start(worker: Worker) -> std::io::Result<std::thread::JoinHandle<()>> {
    let name = format!("wharf-worker-{}", worker.slot.index());
    std::thread::Builder::new().name(name).spawn(move || {
        let run = std::panic::AssertUnwindSafe(|| worker.run());
        if std::panic::catch_unwind(run).is_err() {
            // A gateway without one of its workers would drop a part of all packets, silently. Better none at all:
            // the supervisor starts a whole one, and nothing of this one is left in its way.
            error!("a worker has panicked; the gateway ends");
            std::process::abort();
        }
    })
}

impl Worker {
    fn run(mut self) {
        let mut ready = [EpollEvent::empty(); READY];
        while !self.stopping {
            let count = match self.epoll.wait(&mut ready, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => panic!("epoll_wait: {errno}"),
            };
            self.wakeups += 1;
            for event in &ready[..count] {
                match event.data() {
                    INBOX_TOKEN => self.empty_inbox(),
                    token => self.drain(link_of(token)),
                }
            }
            self.look_after_down();
            let now = self.clock.now();
            if self.engine.poll_timeout().is_some_and(|at| at <= now) {
                self.engine.handle_timeout(now);
                self.transmit();
            }
        }
        self.inboxes[usize::from(self.slot.index())].close();
    }

    /// How long to sleep at most: until the engine's next timer, or the next look at devices that are down.
    fn timeout(&self) -> EpollTimeout {
        let timer = self.engine.poll_timeout().map(|at| at.since(self.clock.now()));
        let look = (!self.down.is_empty()).then_some(LOOK_AFTER_DOWN);
        let Some(wait) = timer.into_iter().chain(look).min() else { return EpollTimeout::NONE };
        // Rounded up to what epoll counts in, so as not to wake before the time.
        let millis = wait.as_nanos().div_ceil(1_000_000).min(LONGEST_SLEEP.as_millis());
        EpollTimeout::try_from(millis as u32).unwrap_or(EpollTimeout::ZERO)
    }

    /// Ends links whose device was down and has gone since.
    fn look_after_down(&mut self) {
        let gone = |link: &Link| self.devices.get(link).is_none_or(|device| device.has_gone());
        let lost: Vec<Link> = self.down.iter().copied().filter(gone).collect();
        for link in lost {
            self.lose(link);
        }
    }

    fn empty_inbox(&mut self) {
        let inbox = Arc::clone(&self.inboxes[usize::from(self.slot.index())]);
        inbox.acknowledge();
        while let Some(job) = inbox.pop_job() {
            job(self);
        }
        let now = self.clock.now();
        for _ in 0..HANDED_BATCH {
            let Some(handed) = inbox.pop_frame() else { break };
            self.receive(now, handed);
        }
        self.transmit();
        if !inbox.is_empty() {
            inbox.wake();
        }
    }

    /// A frame that came in at another worker.
    fn receive(&mut self, now: Instant, Handed { from, kind, mut frame }: Handed) {
        match kind {
            HandedKind::Shared => self.engine.handle_shared(now, from, &frame),
            HandedKind::Owned => match self.engine.handle_packet(now, Link::Uplink(from), &mut frame) {
                Verdict::Forward(to) => self.send(to, &frame),
                Verdict::HandOff(other) => {
                    unreachable!("worker {} says that {other} owns what was handed to it", self.slot.index())
                }
                Verdict::Respond | Verdict::Share | Verdict::Hold | Verdict::Drop(_) => {}
            },
        }
    }

    /// Reads a batch from a link, and runs each frame to completion.
    fn drain(&mut self, link: Link) {
        let Some(device) = self.devices.get(&link).map(Arc::clone) else { return };
        let now = self.clock.now();
        let mut buffer = std::mem::take(&mut self.frame);
        for _ in 0..BATCH {
            match device.read(&mut buffer) {
                Ok(length) => self.handle(now, link, &mut buffer[..length]),
                Err(Failure::Empty) => {
                    self.down.remove(&link);
                    break;
                }
                Err(Failure::Gone) => {
                    self.lose(link);
                    break;
                }
                Err(failure) => {
                    debug!(%link, ?failure, "not readable");
                    self.down.insert(link);
                    break;
                }
            }
        }
        self.frame = buffer;
        self.transmit();
    }

    fn handle(&mut self, now: Instant, link: Link, frame: &mut [u8]) {
        match self.engine.handle_packet(now, link, frame) {
            Verdict::Forward(to) => self.send(to, frame),
            Verdict::HandOff(owner) => self.hand_to(owner, link, HandedKind::Owned, frame),
            Verdict::Share => {
                for other in self.others() {
                    self.hand_to(other, link, HandedKind::Shared, frame);
                }
            }
            Verdict::Respond | Verdict::Hold | Verdict::Drop(_) => {}
        }
    }

    /// Indices of all other workers.
    fn others(&self) -> impl Iterator<Item = u16> + use<> {
        let this = self.slot.index();
        (0..self.slot.count()).filter(move |&other| other != this)
    }

    fn hand_to(&mut self, worker: u16, link: Link, kind: HandedKind, frame: &[u8]) {
        let Link::Uplink(from) = link else { unreachable!("only frames of uplinks have other owners") };
        self.handed_off += 1;
        if !self.inboxes[usize::from(worker)].push_frame(Handed { from, kind, frame: frame.into() }) {
            self.engine.egress_failed(link, Reason::HandOffFull);
        }
    }

    /// Sends what the engine has made by itself.
    fn transmit(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            self.send(transmit.to, &transmit.frame);
        }
    }

    fn send(&mut self, to: Link, frame: &[u8]) {
        let sent = self.devices.get(&to).map_or(Err(Failure::Gone), |device| device.write(frame));
        let reason = match sent {
            Ok(()) => return,
            Err(Failure::Full | Failure::Empty) => Reason::EgressFull,
            Err(Failure::Down | Failure::Gone) => Reason::EgressDown,
            Err(Failure::Refused(errno)) => {
                debug!(%to, %errno, length = frame.len(), "the device refused a frame");
                Reason::EgressRefused
            }
        };
        self.engine.egress_failed(to, reason);
    }

    /// A device has disappeared: its link ends here and, if it was an uplink, in every other worker.
    fn lose(&mut self, link: Link) {
        let event = match link {
            Link::Attachment(id) => Event::AttachmentGone(id),
            Link::Uplink(id) => Event::UplinkGone(id),
        };
        warn!(%link, "its device or namespace has disappeared");
        let announcement = Arc::new(Announcement { event, to: self.events.clone() });
        for other in self.others().filter(|_| matches!(link, Link::Uplink(_))) {
            let announcement = Arc::clone(&announcement);
            let job = Box::new(move |worker: &mut Self| {
                let lost: Option<Arc<Device>> = worker.remove_link(link).ok().map(|(_, device)| device);
                drop((lost, announcement));
            });
            if self.inboxes[usize::from(other)].push_job(job).is_err() {
                // The other worker finds out at its next write; its counters say egress_down until the uplink is removed.
                warn!(%link, worker = other, "could not be told");
            }
        }
        // It was removed by a job a moment ago: nothing is left to do.
        let _ = self.remove_link(link);
    }
}
