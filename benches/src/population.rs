//! An engine full of sessions, each of which can be told by its number: endpoints follow from it, so that a packet of any
//! session can be made without a list of them that would take the cache's room.

use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use gateway_core::{Engine, Instant, limits};

use crate::batch::{BATCH, Batch};
use crate::frame::{self, Ends, Segment, Shape};
use crate::network::{CONTAINERS, Family, Network, PER_UPLINK, SEED, UPLINKS};
use crate::random::mix;

/// What the sessions are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UDP.
    Udp,
    /// TCP, established.
    Tcp,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a container.
    Out,
    /// From a VPC.
    In,
}

/// An engine and its sessions: the numbers from `ended` up to `opened` are live.
///
/// Each session has a mapping, and so an external port, of its own, unless they are [`Self::sharing`]. Sessions come in batches
/// of one container, and the batches in turn from all VPCs and their containers.
pub struct Population {
    /// The engine.
    pub engine: Engine,
    network: Network,
    kind: Kind,
    /// Sessions of each mapping.
    remotes: u64,
    now: Instant,
    /// Virtual time between two new sessions.
    spacing: Duration,
    opened: u64,
    ended: u64,
    /// The external port of each session, at its number in a ring.
    ports: Vec<u16>,
    openers: Openers,
}

/// What came of sessions that begin and end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Churn {
    /// Sessions that began.
    pub opened: u64,
    /// How long the engine took for them.
    pub opening: Duration,
    /// Sessions that ended.
    pub ended: u64,
    /// How long the engine took for them.
    pub ending: Duration,
}

/// The frames that open sessions.
struct Openers {
    first: (Shape, Batch),
    /// The rest of TCP's handshake, from outside and from inside.
    answer: (Shape, Batch),
    last: (Shape, Batch),
}

impl Population {
    /// An engine without sessions. New ones are opened so fast that none ends by itself before the table is full.
    pub fn new(family: Family, kind: Kind) -> Self {
        Self::spaced(family, kind, Duration::from_micros(20))
    }

    /// The same, with as many sessions for each mapping as there are remotes that its container talks to from one port.
    pub fn sharing(family: Family, kind: Kind, remotes: u64) -> Self {
        Self { remotes, ..Self::new(family, kind) }
    }

    /// An engine whose UDP sessions end by themselves when `live` of them are there, 4096 at least: for each that begins, one is
    /// due.
    pub fn churning(live: u64) -> Self {
        Self::spaced(Family::V4, Kind::Udp, limits::UDP_IDLE / u32::try_from(live).expect("a table's size"))
    }

    fn spaced(family: Family, kind: Kind, spacing: Duration) -> Self {
        let network = Network(family);
        let first = match kind {
            Kind::Udp => Shape::udp(family, SMALL),
            Kind::Tcp => Shape::tcp(family, Segment::Syn),
        };
        let openers = [first, Shape::tcp(family, Segment::SynAck), Shape::tcp(family, Segment::Data(0))];
        let [first, answer, last] = openers.map(|shape| {
            let batch = Batch::new(&shape);
            (shape, batch)
        });
        Self {
            engine: network.engine(SEED),
            network,
            kind,
            remotes: 1,
            now: Instant::ZERO,
            spacing,
            opened: 0,
            ended: 0,
            ports: vec![0; RING],
            openers: Openers { first, answer, last },
        }
    }

    /// Sessions that live.
    pub const fn live(&self) -> u64 {
        self.opened - self.ended
    }

    /// What the sessions are of.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The IP version.
    pub const fn family(&self) -> Family {
        self.network.0
    }

    /// The time as the engine has it.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Opens sessions until so many live. There can be more already.
    pub fn grow_to(&mut self, live: u64) {
        self.open(live.saturating_sub(self.live()).next_multiple_of(BATCH as u64));
        assert_eq!(self.engine.session_count() as u64, self.live(), "every session is live");
    }

    /// Opens `count` sessions, a multiple of [`BATCH`], and returns how long the engine took for their first packets.
    pub fn open(&mut self, count: u64) -> Duration {
        assert!(count.is_multiple_of(BATCH as u64), "sessions are opened in batches");
        let mut taken = Duration::ZERO;
        for _ in 0..count / BATCH as u64 {
            self.pass(self.spacing * BATCH as u32);
            taken += self.open_now();
        }
        taken
    }

    /// Opens `count` sessions, a multiple of [`BATCH`], and ends what is due meanwhile.
    pub fn churn(&mut self, count: u64) -> Churn {
        let (before, mut churn) = (self.ended, Churn::default());
        for _ in 0..count / BATCH as u64 {
            churn.ending += self.pass(self.spacing * BATCH as u32);
            churn.opening += self.open_now();
        }
        (churn.opened, churn.ended) = (count, self.ended - before);
        churn
    }

    /// Lets time pass, and does what is due: as the data plane does it between two batches.
    pub fn pass(&mut self, time: Duration) -> Duration {
        self.now = self.now + time;
        self.run_timers()
    }

    /// The endpoints of a packet of the session with this number.
    pub fn ends(&self, session: u64, direction: Direction) -> Ends {
        let outbound = outbound(self.network, session, self.remotes);
        match direction {
            Direction::Out => outbound,
            Direction::In => Ends {
                macs: Network::macs_outside(Network::uplink_of(container_of(session))),
                source: outbound.destination,
                destination: self.external(session),
            },
        }
    }

    /// The external endpoint of the session with this number.
    pub fn external(&self, session: u64) -> SocketAddr {
        let port = self.ports[session as usize % RING];
        SocketAddr::new(self.network.external(container_of(session)), port)
    }

    /// Opens a batch of sessions.
    fn open_now(&mut self) -> Duration {
        let first = self.opened;
        let (network, container) = (self.network, container_of(first));
        for offset in 0..BATCH {
            let (shape, batch) = &mut self.openers.first;
            shape.write(outbound(network, first + offset as u64, self.remotes), batch.frame_mut(offset));
        }
        let (from, batch) = (Network::container(container), &mut self.openers.first.1);
        let start = Clock::now();
        let forwarded = batch.translate(&mut self.engine, self.now, from, BATCH);
        let taken = start.elapsed();
        assert_eq!(forwarded, BATCH, "every packet opens a session");
        for offset in 0..BATCH {
            let external = frame::source(batch.frame(offset));
            self.ports[(first as usize + offset) % RING] = external.port();
        }
        if self.kind == Kind::Tcp {
            self.shake_hands(first, container);
        }
        self.opened += BATCH as u64;
        taken
    }

    /// What follows a SYN.
    fn shake_hands(&mut self, first: u64, container: usize) {
        for direction in [Direction::In, Direction::Out] {
            let all = (first..).take(BATCH).map(|session| self.ends(session, direction)).collect::<Vec<_>>();
            let (from, (shape, batch)) = match direction {
                Direction::In => (Network::uplink(Network::uplink_of(container)), &mut self.openers.answer),
                Direction::Out => (Network::container(container), &mut self.openers.last),
            };
            for (offset, ends) in all.into_iter().enumerate() {
                shape.write(ends, batch.frame_mut(offset));
            }
            let forwarded = batch.translate(&mut self.engine, self.now, from, BATCH);
            assert_eq!(forwarded, BATCH, "every handshake is let through");
        }
    }

    /// Does what is due.
    fn run_timers(&mut self) -> Duration {
        if self.engine.poll_timeout().is_none_or(|at| at > self.now) {
            return Duration::ZERO;
        }
        let start = Clock::now();
        while self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.ended += self.engine.handle_timeout(self.now) as u64;
        }
        let taken = start.elapsed();
        self.network.serve(&mut self.engine, self.now);
        taken
    }
}

/// The endpoints of a container's packet of the session with this number, if there are so many remotes for each port.
pub fn outbound(network: Network, session: u64, remotes: u64) -> Ends {
    let (block, offset) = (session / BATCH as u64, session % BATCH as u64);
    let in_container = block / CONTAINERS as u64 * BATCH as u64 + offset;
    let (port, turn) = (in_container / remotes, in_container % remotes);
    let port = FIRST_PORT + (port % PORTS) as u16;
    let remote = mix(session - turn).wrapping_add(turn);
    let remote_port = [53, 80, 443, 8080][(remote >> 62) as usize];
    Ends {
        macs: Network::macs_inside(container_of(session)),
        source: SocketAddr::new(network.inside(), port),
        destination: SocketAddr::new(network.remote(remote as u32), remote_port),
    }
}

/// Whose the session is.
pub const fn container_of(session: u64) -> usize {
    let turn = (session / BATCH as u64) as usize % CONTAINERS;
    turn % UPLINKS * PER_UPLINK + turn / UPLINKS
}

/// A UDP frame of 64 bytes, as counted in benchmarks without its FCS.
pub const SMALL: usize = 64;

/// Ports that a container sends from, one after the other. More than it has sessions at a time.
const PORTS: u64 = 60_000;
const FIRST_PORT: u16 = 1024;

/// More than the sessions of the largest table.
const RING: usize = 1 << 23;
const _: () = assert!(RING > limits::SESSIONS && PORTS as usize * CONTAINERS > limits::SESSIONS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_as_many_sessions_begin_as_end_their_number_stays() {
        let mut population = Population::churning(4096);
        population.grow_to(4096);
        let churn = population.churn(20 * 1024);
        assert_eq!(population.engine.session_count() as u64, population.live());
        assert!((4000..=4300).contains(&population.live()), "{} live", population.live());
        assert!(churn.ended >= 19 * 1024, "sessions ended all the time");
    }
}
