//! The engines under test, and a network around them that answers for every neighbor and delivers every hand-off.

use std::net::{IpAddr, SocketAddr};

use gateway_core::{
    AttachmentId, Command, CommandError, Engine, Explanation, Instant, Link, MacAddr, Reason, SessionQuery,
    SessionView, Step, Transmit, UplinkId, Verdict, WorkerSlot,
};

use crate::frame::{self, Read};
use crate::model::Key;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) engines: Vec<Engine>,
    /// What the engines have sent since this was cleared, but requests for neighbors.
    pub(crate) sent: Vec<(Link, Read)>,
    pub(crate) hand_offs: u64,
}

/// How a frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sent(Link, Read),
    Dropped(Reason),
    /// Kept, or dropped by another worker, which does not say why.
    Held,
}

/// Every host of every VPC.
const HOST: MacAddr = MacAddr([2, 0xee, 0, 0, 0, 1]);

pub(crate) const fn container_mac(id: AttachmentId) -> MacAddr {
    let [a, b, c, d] = id.0.to_be_bytes();
    MacAddr([2, 0xcc, a, b, c, d])
}

pub(crate) const fn gateway_mac(id: AttachmentId) -> MacAddr {
    let [a, b, c, d] = id.0.to_be_bytes();
    MacAddr([2, 0x99, a, b, c, d])
}

pub(crate) const fn uplink_mac(id: UplinkId) -> MacAddr {
    let [a, b, c, d] = id.0.to_be_bytes();
    MacAddr([2, 0xaa, a, b, c, d])
}

/// Destination and source of a frame that comes from a link.
pub(crate) const fn macs(from: Link) -> (MacAddr, MacAddr) {
    match from {
        Link::Attachment(id) => (gateway_mac(id), container_mac(id)),
        Link::Uplink(id) => (uplink_mac(id), HOST),
    }
}

impl World {
    pub(crate) fn new(workers: u16, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let engine = |index| {
            bytes[8] = index as u8;
            Engine::new(WorkerSlot::new(index, workers), bytes)
        };
        let engines = (0..workers).map(engine).collect();
        Self { now: Instant::ZERO, engines, sent: Vec::new(), hand_offs: 0 }
    }

    /// The worker of a container.
    pub(crate) fn worker(&self, id: AttachmentId) -> usize {
        id.0 as usize % self.engines.len()
    }

    /// Applies a command: to all workers if it is an uplink's, else to the container's.
    pub(crate) fn apply(&mut self, command: &Command) -> Result<usize, CommandError> {
        let one = match command {
            Command::AddUplink(_) | Command::RemoveUplink(_) => None,
            Command::AddAttachment(config) => Some(config.id),
            Command::RemoveAttachment(id) => Some(*id),
            Command::Attach { attachment, .. } | Command::Detach { attachment, .. } => Some(*attachment),
        };
        let one = one.map(|id| self.worker(id));
        self.sent.clear();
        let mut ended = 0;
        for (worker, engine) in self.engines.iter_mut().enumerate() {
            if one.is_none_or(|one| one == worker) {
                ended += engine.apply(self.now, command.clone())?.sessions_ended;
            }
        }
        self.drain();
        Ok(ended)
    }

    /// Gives a frame to a worker, and to whom it hands it over.
    pub(crate) fn deliver(&mut self, mut worker: usize, mut from: Link, frame: &mut [u8]) -> Outcome {
        self.sent.clear();
        for _ in 0..=self.engines.len() {
            let explained = self.engines[worker].explain_frame(self.now, from, frame);
            let verdict = self.engines[worker].handle_packet(self.now, from, frame);
            assert!(is_as(&explained, verdict), "{verdict:?}, and {explained:?}");
            match verdict {
                Verdict::Forward(to) => {
                    let read = frame::read(frame);
                    self.drain();
                    return Outcome::Sent(to, read);
                }
                Verdict::Drop(reason) => {
                    self.drain();
                    return Outcome::Dropped(reason);
                }
                Verdict::HandOff { to, from: uplink } => {
                    assert_ne!(usize::from(to), worker, "handed to itself");
                    self.hand_offs += 1;
                    if matches!(from, Link::Attachment(_)) {
                        // Hairpinned: translated already, so that it would look disguised.
                        self.engines[usize::from(to)].handle_whole(self.now, uplink, None, frame.to_vec());
                        self.drain();
                        let it = self.sent.iter().find(|(_, read)| !matches!(read, Read::Other));
                        return it.map_or(Outcome::Held, |&(to, read)| Outcome::Sent(to, read));
                    }
                    (worker, from) = (to.into(), Link::Uplink(uplink));
                }
                Verdict::Hold | Verdict::Respond | Verdict::Share => {
                    self.drain();
                    return self.outcome_later(worker, from);
                }
            }
        }
        panic!("handed over in a circle")
    }

    /// What became of a packet that was held, or came in pieces.
    fn outcome_later(&self, worker: usize, from: Link) -> Outcome {
        let is_it = |(to, read): &&(Link, Read)| match read {
            Read::Packet { .. } => true,
            Read::Error { .. } => matches!(to, Link::Uplink(_)),
            _ => false,
        };
        if let Some(&(to, read)) = self.sent.iter().find(is_it) {
            return Outcome::Sent(to, read);
        }
        let Link::Attachment(id) = from else { return Outcome::Held };
        let drops = self.engines[worker].recent_drops(self.now, id).expect("the container exists");
        let last = drops.first().filter(|drop| drop.ago.is_zero() && drop.reason != Reason::FragmentTimeout);
        last.map_or(Outcome::Held, |drop| Outcome::Dropped(drop.reason))
    }

    /// Lets time pass, and everything happen that is due then.
    pub(crate) fn advance(&mut self, now: Instant) -> usize {
        self.now = now;
        let mut ended = 0;
        for engine in &mut self.engines {
            while engine.poll_timeout().is_some_and(|at| at <= now) {
                ended += engine.handle_timeout(now);
            }
        }
        self.drain();
        ended
    }

    /// Takes what the engines send: requests for neighbors are answered, packets for other workers delivered.
    pub(crate) fn drain(&mut self) {
        for worker in 0..self.engines.len() {
            while let Some(transmit) = self.engines[worker].poll_transmit() {
                match transmit {
                    Transmit::Whole { worker: to, from, largest, frame } => {
                        self.engines[usize::from(to)].handle_whole(self.now, from, largest, frame);
                        self.hand_offs += 1;
                        self.drain();
                    }
                    Transmit::Frame { to, frame } => match (to, frame::read(&frame)) {
                        (Link::Uplink(id), Read::WhoHas(asker, target)) => {
                            self.answer(worker, id, asker, target);
                        }
                        (to, read) => self.sent.push((to, read)),
                    },
                }
            }
        }
    }

    fn answer(&mut self, worker: usize, uplink: UplinkId, asker: IpAddr, target: IpAddr) {
        let mut answer = frame::answer(asker, target, (uplink_mac(uplink), HOST));
        let verdict = self.engines[worker].handle_packet(self.now, Link::Uplink(uplink), &mut answer);
        // What was asked for before it became a container's own is nobody else's now.
        let disguised = verdict == Verdict::Drop(Reason::SourceInvalid);
        assert!(disguised || matches!(verdict, Verdict::Respond | Verdict::Share), "{verdict:?}");
        if verdict == Verdict::Share {
            for other in (0..self.engines.len()).filter(|&other| other != worker) {
                self.engines[other].handle_shared(self.now, uplink, &answer);
            }
        }
    }

    /// All sessions that match, of one worker.
    pub(crate) fn sessions(&self, worker: usize, query: &SessionQuery) -> Vec<SessionView> {
        let mut query = SessionQuery { limit: usize::MAX, ..query.clone() };
        let mut all = Vec::new();
        loop {
            let page = self.engines[worker].sessions(self.now, &query);
            all.extend(page.sessions);
            match page.next {
                Some(next) => query.cursor = next,
                None => return all,
            }
        }
    }

    /// The external endpoint of a session, if it lives.
    pub(crate) fn external(&self, key: Key) -> Option<SocketAddr> {
        self.session(key).map(|session| session.external)
    }

    /// A session, if it lives.
    pub(crate) fn session(&self, (id, (protocol, internal, remote)): Key) -> Option<SessionView> {
        let query = SessionQuery {
            attachment: Some(id),
            protocol: Some(protocol),
            remote: Some(remote.ip()),
            ..SessionQuery::default()
        };
        let mut found = self.sessions(self.worker(id), &query).into_iter();
        found.find(|s| (s.internal, s.remote) == (internal, remote))
    }
}

/// Whether a verdict is what was explained beforehand. What leaves as the whole of pieces is forwarded for `explain`; and who calls
/// an endpoint of the gateway's by a new mapping can get that very port, which chance decides.
fn is_as(explained: &Explanation, verdict: Verdict) -> bool {
    let whole = matches!(explained.verdict, Verdict::Forward(_) | Verdict::HandOff { .. });
    let by_chance = matches!(&explained.steps[..], [.., Step::MappingNew { .. }, Step::Hairpin]);
    explained.verdict == verdict || whole && verdict == Verdict::Respond || by_chance
}
