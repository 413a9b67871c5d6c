//! The worker's loop.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::limits::PORT_BLOCK;
use gateway_core::{
    AttachmentId, Command, Event, Instant, Link, Reason, SHARED_FRAME_MAX, Transmit, UplinkId, Verdict,
};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use tracing::{debug, error, info};

use super::inbox::{Handed, HandedKind};
use super::{Device, Worker};
use crate::io::{Batch, Failure};
use crate::losses::Message;

/// Frames of other workers that are handled before this worker's own devices have their turn.
const HANDED_BATCH: usize = 256;

/// Frames of the engine's own, RSTs above all, that are sent before this worker's devices have their turn.
const TRANSMIT_BATCH: usize = 1024;

/// Devices that one wake-up tells about.
const READY: usize = 128;

/// The inbox's place in the set that is waited for; links have smaller tokens.
pub(super) const INBOX_TOKEN: u64 = u64::MAX;

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
            let count = self.wait(&mut ready);
            for event in &ready[..count] {
                match event.data() {
                    INBOX_TOKEN => self.empty_inbox(),
                    token => self.drain(link_of(token)),
                }
            }
            let now = self.clock.now();
            if count > 0 {
                self.spin.work(now);
            }
            if self.engine.poll_timeout().is_some_and(|at| at <= now) {
                self.engine.handle_timeout(now);
                self.transmit();
            }
        }
        self.inboxes[usize::from(self.slot.index())].close();
    }

    /// Which devices, and whether the inbox, have something; sleeps if there is nothing for a while.
    fn wait(&mut self, ready: &mut [EpollEvent]) -> usize {
        let now = self.clock.now();
        let timeout = if self.spin.goes_on(now) {
            // Whoever makes the work that we wait for may need this processor for it.
            std::thread::yield_now();
            EpollTimeout::ZERO
        } else {
            self.wakeups += 1;
            self.timeout(now)
        };
        match self.epoll.wait(ready, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("epoll_wait: {errno}"),
        }
    }

    /// How long to sleep at most: until the engine's next timer.
    fn timeout(&self, now: Instant) -> EpollTimeout {
        let Some(at) = self.engine.poll_timeout() else { return EpollTimeout::NONE };
        // Rounded up to what epoll counts in, so as not to wake before the time.
        let wait = at.since(now).as_nanos().div_ceil(1_000_000);
        EpollTimeout::try_from(wait.min(LONGEST_SLEEP.as_millis()) as u32).unwrap_or(EpollTimeout::ZERO)
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
            HandedKind::Whole { largest } => {
                self.engine.handle_whole(now, from, largest, frame.into_vec());
                self.transmit();
            }
            HandedKind::Owned => match self.engine.handle_packet(now, Link::Uplink(from), &mut frame) {
                Verdict::Forward(to) => self.send(to, &frame),
                // The port has another worker since it was handed over.
                Verdict::HandOff { to, from } => self.hand_to(to, from, HandedKind::Owned, &frame),
                Verdict::Respond => self.transmit(),
                Verdict::Share | Verdict::Hold | Verdict::Drop(_) => {}
            },
        }
    }

    /// Reads a batch from a link, and runs each frame to completion, in order.
    fn drain(&mut self, link: Link) {
        let Some(device) = self.devices.get(&link).map(Arc::clone) else { return };
        let mut batch = std::mem::take(&mut self.batch);
        let outcome = batch.read(&device, |errno| {
            // The kernel had a frame, but not in a form that a vnet header can tell.
            debug!(%link, %errno, "a frame was not readable");
            self.engine.count_drop(link, Reason::IngressRefused);
        });
        self.handle_batch(link, &mut batch);
        self.batch = batch;
        if outcome == Err(Failure::Gone) {
            self.lose(link, &device);
        }
        self.transmit();
    }

    fn handle_batch(&mut self, link: Link, batch: &mut Batch) {
        let now = self.clock.now();
        let mut prepared = std::mem::take(&mut self.prepared);
        self.engine.prepare(link, batch.frames(), &mut prepared);
        for (index, seen) in prepared.iter().enumerate() {
            let verdict = self.engine.handle_prepared(now, link, batch.frame_mut(index), seen);
            let Verdict::Forward(to) = verdict else {
                // What the engine makes of this frame shall not overtake those before it.
                self.send_outgoing(batch);
                self.follow(link, verdict, batch.frame(index));
                continue;
            };
            if self.outgoing.to != Some(to) {
                self.send_outgoing(batch);
                self.outgoing.to = Some(to);
            }
            self.outgoing.indices.push(index);
        }
        self.send_outgoing(batch);
        self.prepared = prepared;
    }

    /// Sends what waits for the rest of its batch.
    fn send_outgoing(&mut self, batch: &mut Batch) {
        let Some(to) = self.outgoing.to.take() else { return };
        match self.devices.get(&to) {
            Some(device) => batch.write(device, &self.outgoing.indices, |frame, failure| {
                self.engine.count_drop(to, reason(to, frame, failure));
            }),
            None => self.outgoing.indices.iter().for_each(|_| self.engine.count_drop(to, Reason::EgressDown)),
        }
        self.outgoing.indices.clear();
    }

    /// Does what a verdict says that is not to forward.
    fn follow(&mut self, link: Link, verdict: Verdict, frame: &[u8]) {
        match verdict {
            Verdict::Forward(to) => self.send(to, frame),
            Verdict::HandOff { to, from } => {
                let kind = match link {
                    Link::Uplink(_) => HandedKind::Owned,
                    Link::Attachment(_) => HandedKind::Whole { largest: None },
                };
                self.hand_to(to, from, kind, frame);
            }
            Verdict::Share => {
                let Link::Uplink(from) = link else { unreachable!("only what an uplink tells is shared") };
                // What follows is padding.
                let frame = &frame[..frame.len().min(SHARED_FRAME_MAX)];
                for other in self.others() {
                    self.hand_to(other, from, HandedKind::Shared, frame);
                }
            }
            // Pieces of a packet leave in their turn, and do not pile up.
            Verdict::Respond => self.transmit(),
            Verdict::Hold | Verdict::Drop(_) => {}
        }
    }

    /// Indices of all other workers.
    fn others(&self) -> impl Iterator<Item = u16> + use<> {
        let this = self.slot.index();
        (0..self.slot.count()).filter(move |&other| other != this)
    }

    fn hand_to(&mut self, worker: u16, from: UplinkId, kind: HandedKind, frame: &[u8]) {
        self.handed_off += 1;
        if !self.inboxes[usize::from(worker)].push_frame(Handed { from, kind, frame: frame.into() }) {
            self.engine.count_drop(Link::Uplink(from), Reason::HandOffFull);
        }
    }

    /// Sends what the engine has made by itself, and logs what it tells. What is left after a batch has its turn after the devices.
    fn transmit(&mut self) {
        let mut left = TRANSMIT_BATCH;
        while let Some(transmit) = self.engine.poll_transmit() {
            match transmit {
                Transmit::Frame { to, frame } => self.send(to, &frame),
                Transmit::Whole { worker, from, largest, frame } => {
                    self.hand_to(worker, from, HandedKind::Whole { largest }, &frame);
                }
            }
            left -= 1;
            if left == 0 {
                self.inboxes[usize::from(self.slot.index())].wake();
                break;
            }
        }
        while let Some(event) = self.engine.poll_event() {
            log(event);
        }
    }

    fn send(&mut self, to: Link, frame: &[u8]) {
        let sent = self.devices.get(&to).map_or(Err(Failure::Gone), |device| device.write(frame));
        if let Err(failure) = sent {
            self.engine.count_drop(to, reason(to, frame, failure));
        }
    }

    /// A device has disappeared: it is not read any more, and the rest is done where waiting is allowed.
    fn lose(&mut self, link: Link, device: &Device) {
        let _ = self.epoll.delete(device.as_fd());
        // The receiver ends after the workers.
        self.losses.tell(Message::Lost(link));
    }
}

/// What a frame that a device did not take is counted as.
fn reason(to: Link, frame: &[u8], failure: Failure) -> Reason {
    match failure {
        Failure::Full | Failure::Empty => Reason::EgressFull,
        Failure::Down | Failure::Gone => Reason::EgressDown,
        Failure::Refused(errno) => {
            debug!(%to, %errno, length = frame.len(), "the device refused a frame");
            Reason::EgressRefused
        }
    }
}

/// RFC 6888 REQ-14: with port blocks, this is what tells who had which port when.
fn log(event: Event) {
    let (what, block) = match event {
        Event::BlockTaken(block) => ("a container has a block of ports", block),
        Event::BlockGivenBack(block) => ("a container has given a block of ports back", block),
    };
    let last = block.first + (PORT_BLOCK - 1);
    let (attachment, uplink, protocol) = (block.attachment.0, block.uplink.0, block.protocol.name());
    info!(target: "wharf::ports", attachment, uplink, external = %block.external, protocol, first = block.first, last, "{what}");
}
