//! Engines that share uplinks, driven as a gateway drives them, and what must hold after each step.

mod blocks;
mod ledger;
mod wires;

use std::time::Duration;

use gateway_core::limits::{EXPIRY_BATCH, OUTBOX, RESETS};
use gateway_core::{
    Applied, AttachmentConfig, AttachmentId, Command, CommandError, ConnectorConfig, Engine, Explanation,
    Instant, Link, LinkReport, PortUse, Prepared, Probe, SessionQuery, SessionView, Step, Transmit,
    UplinkConfig, Verdict, WorkerSlot,
};

use self::blocks::Blocks;
use self::ledger::Ledger;
use self::wires::Wires;
pub(crate) use self::wires::addresses;
use crate::checksum::Errors;
use crate::layout::Layout;

/// One engine for each worker, with everything that they are told and all that they send.
pub(crate) struct Net {
    engines: Vec<Engine>,
    now: Instant,
    wires: Wires,
    ledger: Ledger,
    blocks: Blocks,
    /// Every checksum that came in was right, so that every one that leaves has to be.
    trusted: bool,
    prepared: Vec<Prepared>,
    out: Vec<(Link, Vec<u8>)>,
}

/// What became of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Everything that left by it, itself included.
    pub(crate) out: Vec<(Link, Vec<u8>)>,
}

impl Net {
    /// So many engines without links.
    pub(crate) fn new(workers: u16) -> Self {
        let engine = |index| Engine::new(WorkerSlot::new(index, workers), [index as u8 + 7; 32]);
        Self {
            engines: (0..workers).map(engine).collect(),
            now: Instant::ZERO,
            wires: Wires::default(),
            ledger: Ledger::default(),
            blocks: Blocks::default(),
            trusted: true,
            prepared: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Gives a frame to the worker that has the link; `reader` says which one reads it of an uplink.
    pub(crate) fn send(&mut self, reader: usize, from: Link, frame: &[u8]) -> Outcome {
        let whole = Layout::of(frame).is_none_or(|layout| layout.part.is_none());
        self.trusted &= whole && Errors::of(frame).is_none();
        self.send_trusted(reader, from, frame)
    }

    /// The same for a frame that the caller answers for: a right part of a right datagram.
    pub(crate) fn send_trusted(&mut self, reader: usize, from: Link, frame: &[u8]) -> Outcome {
        let worker = match from {
            Link::Attachment(id) => self.worker_of(id),
            Link::Uplink(_) => reader % self.engines.len(),
        };
        let verdict = self.deliver(worker, from, frame.to_vec());
        self.settle();
        if let Verdict::Forward(to) = verdict {
            assert_eq!(self.out.len(), 1, "a frame that goes on out of {to} is all that leaves");
        }
        Outcome { verdict, out: std::mem::take(&mut self.out) }
    }

    /// Lets time pass, and everything happen that is due meanwhile. Returns what was sent.
    pub(crate) fn wait(&mut self, duration: Duration) -> Vec<(Link, Vec<u8>)> {
        let until = self.now + duration;
        while let Some((worker, due)) = self.next_timeout().filter(|&(_, due)| due <= until) {
            self.now = self.now.max(due);
            let ended = self.engines[worker].handle_timeout(self.now);
            let next = self.engines[worker].poll_timeout();
            let done = ended >= EXPIRY_BATCH || next.is_none_or(|next| next > self.now);
            assert!(done, "what was due at {:?} is done, and {next:?} is not due again", self.now);
            self.settle();
        }
        self.now = until;
        std::mem::take(&mut self.out)
    }

    /// Applies a command to the engine that it concerns, or to all; they agree.
    pub(crate) fn apply(&mut self, command: &Command) -> Result<Applied, CommandError> {
        let (before, ports) = (self.session_count(), self.port_use());
        trace(|| format!("{:?} {command:?}", self.now));
        let workers = match command {
            Command::AddUplink(_) | Command::RemoveUplink(_) => 0..self.engines.len(),
            Command::AddAttachment(AttachmentConfig { id, .. })
            | Command::RemoveAttachment(id)
            | Command::Attach { attachment: id, .. }
            | Command::Detach { attachment: id, .. } => self.worker_of(*id)..self.worker_of(*id) + 1,
        };
        let mut answers = workers.map(|worker| self.engines[worker].apply(self.now, command.clone()));
        let first = answers.next().expect("there is a worker");
        let ended = answers.fold(first, |all, one| match (all, one) {
            (Ok(a), Ok(b)) => Ok(Applied { sessions_ended: a.sessions_ended + b.sessions_ended }),
            (Err(a), Err(b)) if a == b => Err(a),
            (a, b) => panic!("workers differ: {a:?}, {b:?}"),
        });
        match ended {
            Ok(Applied { sessions_ended }) => {
                let gone = before - self.session_count();
                assert_eq!(sessions_ended, gone, "sessions ended by {command:?}");
                self.wires.note(command);
            }
            Err(error) => {
                assert_eq!(self.session_count(), before, "{error:?} changes no sessions");
                assert_eq!(self.port_use(), ports, "{error:?} changes no ports");
            }
        }
        self.settle();
        if ended.is_ok() {
            self.blocks.check(command);
        }
        self.out.clear();
        ended
    }

    /// Every live session, in the order of the pages.
    pub(crate) fn sessions(&self) -> Vec<SessionView> {
        let mut sessions = Vec::new();
        for engine in &self.engines {
            let mut query = SessionQuery { limit: 64, ..SessionQuery::default() };
            loop {
                let page = engine.sessions(self.now, &query);
                sessions.extend(page.sessions);
                let Some(next) = page.next else { break };
                query.cursor = next;
            }
        }
        sessions
    }

    pub(crate) fn session_count(&self) -> usize {
        self.engines.iter().map(Engine::session_count).sum()
    }

    /// Ports that workers have, and that nobody has, of every external address and protocol.
    pub(crate) fn port_use(&self) -> Vec<PortUse> {
        let mut all: Vec<PortUse> = Vec::new();
        for one in self.engines.iter().flat_map(Engine::port_use) {
            let same = |other: &&mut PortUse| {
                (other.uplink, other.external, other.protocol) == (one.uplink, one.external, one.protocol)
            };
            match all.iter_mut().find(same) {
                Some(sum) => {
                    assert_eq!(sum.free, one.free, "free ports are the same for all workers");
                    sum.used += one.used;
                    sum.given_up += one.given_up;
                }
                None => all.push(one),
            }
        }
        all.sort_by_key(|one| (one.uplink, one.external, one.protocol));
        all
    }

    /// What would happen to a container's packet.
    pub(crate) fn explain(&self, id: AttachmentId, probe: &Probe) -> Result<Explanation, CommandError> {
        self.engines[self.worker_of(id)].explain(self.now, Link::Attachment(id), probe)
    }

    /// Counters of every link in every engine.
    pub(crate) fn reports(&self) -> Vec<LinkReport> {
        self.engines.iter().flat_map(Engine::counters).collect()
    }

    /// How many blocks of ports containers have, as far as a log knows.
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.count()
    }

    /// Removes every link; then nothing is left to wait for.
    pub(crate) fn tear_down(&mut self, uplinks_first: bool) {
        let mut links = self.wires.links();
        if uplinks_first {
            links.reverse();
        }
        for link in links {
            let command = match link {
                Link::Attachment(id) => Command::RemoveAttachment(id),
                Link::Uplink(id) => Command::RemoveUplink(id),
            };
            self.apply(&command).expect("the link is there");
        }
        self.wait(TEAR_DOWN);
        assert_eq!(self.session_count(), 0, "no session without links");
        assert_eq!(self.next_timeout(), None, "nothing is due without links");
    }

    pub(crate) fn add_uplink(&mut self, config: UplinkConfig) {
        self.apply(&Command::AddUplink(config)).expect("the uplink is good");
    }

    pub(crate) fn add_attachment(&mut self, config: AttachmentConfig) {
        self.apply(&Command::AddAttachment(config)).expect("the attachment is good");
    }

    pub(crate) fn attach(&mut self, attachment: AttachmentId, connector: ConnectorConfig) {
        self.apply(&Command::Attach { attachment, connector }).expect("the connector is good");
    }

    fn worker_of(&self, id: AttachmentId) -> usize {
        id.0 as usize % self.engines.len()
    }

    fn next_timeout(&self) -> Option<(usize, Instant)> {
        let due = |(worker, engine): (usize, &Engine)| engine.poll_timeout().map(|due| (worker, due));
        self.engines.iter().enumerate().filter_map(due).min_by_key(|&(_, due)| due)
    }

    /// Gives a frame to a worker, and to the others what they are to have of it.
    fn deliver(&mut self, worker: usize, from: Link, mut frame: Vec<u8>) -> Verdict {
        let before = frame.clone();
        let engine = &mut self.engines[worker];
        let explained = engine.explain_frame(self.now, from, &frame);
        let verdict = if frame.len().is_multiple_of(2) {
            // As a worker does it with what it has read.
            engine.prepare(from, [&*frame], &mut self.prepared);
            engine.handle_prepared(self.now, from, &mut frame, &self.prepared[0])
        } else {
            engine.handle_packet(self.now, from, &mut frame)
        };
        self.ledger.frame(from, verdict);
        trace(|| format!("{:?} worker {worker}, from {from}: {verdict:?}: {before:02x?}", self.now));
        check_explained(&explained, verdict);
        let untouched = frame == before;
        match verdict {
            Verdict::Forward(to) => self.check_out(to, frame),
            Verdict::HandOff { to, from: uplink } => {
                assert!(untouched || matches!(from, Link::Attachment(_)), "a frame is handed over as it is");
                assert_ne!(usize::from(to), worker, "a worker hands over to another one");
                if let Link::Attachment(_) = from {
                    self.ledger.whole(uplink);
                    self.engines[usize::from(to)].handle_whole(self.now, uplink, None, frame);
                } else {
                    let again = self.deliver(to.into(), Link::Uplink(uplink), frame);
                    assert!(
                        !matches!(again, Verdict::HandOff { .. }),
                        "the owner of a port knows that it is"
                    );
                }
            }
            Verdict::Share => {
                let Link::Uplink(uplink) = from else { panic!("{from} is of one worker only") };
                for other in (0..self.engines.len()).filter(|&other| other != worker) {
                    self.engines[other].handle_shared(self.now, uplink, &frame);
                }
            }
            Verdict::Drop(_) | Verdict::Hold => assert!(untouched, "{verdict:?} leaves the frame alone"),
            Verdict::Respond => {}
        }
        verdict
    }

    /// Takes what the engines have to send, until they have nothing more, and looks at their books.
    fn settle(&mut self) {
        let mut taken = 0;
        while let Some(transmit) = self.engines.iter_mut().find_map(Engine::poll_transmit) {
            taken += 1;
            assert!(taken <= self.engines.len() * (OUTBOX + RESETS), "an engine's own frames are bounded");
            match transmit {
                Transmit::Frame { to, frame } => {
                    self.ledger.made(to);
                    self.check_out(to, frame);
                }
                Transmit::Whole { worker, from, largest, frame } => {
                    self.ledger.whole(from);
                    self.engines[usize::from(worker)].handle_whole(self.now, from, largest, frame);
                }
            }
        }
        for engine in &mut self.engines {
            std::iter::from_fn(|| engine.poll_event()).for_each(|event| self.blocks.note(event));
        }
        self.ledger.check(self.engines.iter().flat_map(Engine::counters));
    }

    fn check_out(&mut self, to: Link, frame: Vec<u8>) {
        trace(|| format!("{:?} to {to}: {frame:02x?}", self.now));
        self.wires.check(to, &frame, self.trusted);
        self.out.push((to, frame));
    }

    /// Whether every checksum that came in was right.
    pub(crate) const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Bytes of the largest packet that a frame becomes on the wire.
    pub(crate) fn largest(frame: &[u8]) -> usize {
        wires::largest(frame)
    }

    /// The uplink's or the container's MTU.
    pub(crate) fn mtu(&self, link: Link) -> usize {
        self.wires.mtu(link)
    }
}

/// Shows a step, to whoever looks into a finding: with `FUZZ_TRACE` set.
fn trace(step: impl FnOnce() -> String) {
    static WANTED: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("FUZZ_TRACE").is_some());
    if *WANTED {
        eprintln!("{}", step());
    }
}

/// For every timer to be over that a link could have left behind.
const TEAR_DOWN: Duration = Duration::from_secs(10_000);

/// What was explained is what became of the frame. What leaves in other pieces than it came in is forwarded for `explain`; and who
/// calls an endpoint of the gateway's by a new mapping can get that very port, or end the session that had it.
fn check_explained(explained: &Explanation, verdict: Verdict) {
    let leaves = matches!(explained.verdict, Verdict::Forward(_) | Verdict::HandOff { .. });
    let by_chance = matches!(&explained.steps[..], [.., Step::MappingNew { .. }, Step::Hairpin]);
    let same = explained.verdict == verdict || leaves && verdict == Verdict::Respond;
    assert!(same || by_chance, "{verdict:?}, and {explained:?}");
}
