//! What callgrind counts: each case makes its sessions first, then calls [`counted`] for what is to be counted.
//!
//! Seeds and tuples are the same in every run, so the counts are too. They do not depend on caches, so tables are small.

use std::time::Duration;

use gateway_core::{Engine, Instant, Link};

use crate::batch::BATCH;
use crate::batch::Batch;
use crate::frame::Shape;
use crate::hits::{Hits, Size};
use crate::network::{Family, Network};
use crate::population::{Direction, Kind, Population, SMALL, container_of, outbound};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A packet of a session that there is.
    Hit(Family, Kind, Size, Direction),
    /// The same, each packet by itself, as UDP of a container.
    Single,
    /// A packet that opens one.
    New,
    /// The end of one.
    Expire,
}

/// All cases by name.
pub const CASES: [(&str, Case); 10] = [
    ("hit_udp4_out", Case::Hit(Family::V4, Kind::Udp, Size::Small, Direction::Out)),
    ("hit_udp4_in", Case::Hit(Family::V4, Kind::Udp, Size::Small, Direction::In)),
    ("hit_tcp4_out", Case::Hit(Family::V4, Kind::Tcp, Size::Full, Direction::Out)),
    ("hit_tcp4_in", Case::Hit(Family::V4, Kind::Tcp, Size::Full, Direction::In)),
    ("hit_udp6_out", Case::Hit(Family::V6, Kind::Udp, Size::Full, Direction::Out)),
    ("hit_gso4_out", Case::Hit(Family::V4, Kind::Tcp, Size::Super, Direction::Out)),
    ("hit_gso4_in", Case::Hit(Family::V4, Kind::Tcp, Size::Super, Direction::In)),
    ("hit_udp4_out_single", Case::Single),
    ("new_udp4", Case::New),
    ("expire_udp4", Case::Expire),
];

impl Case {
    /// Does it, and returns how many packets or sessions [`counted`] has seen.
    pub fn run(self) -> u64 {
        match self {
            Self::Hit(family, kind, size, direction) => hits(family, kind, size, direction),
            Self::Single => singles(),
            Self::New => new(),
            Self::Expire => expire(),
        }
    }
}

/// What is within is counted. The name is what callgrind is told to look for.
#[inline(never)]
pub fn counted<T>(what: impl FnOnce() -> T) -> T {
    std::hint::black_box(what())
}

fn hits(family: Family, kind: Kind, size: Size, direction: Direction) -> u64 {
    let mut population = Population::new(family, kind);
    population.grow_to(1024);
    let mut hits = Hits::new(&population, direction, size);
    hits.check(&mut population);
    for _ in 0..ROUNDS {
        let from = hits.load(&population);
        let now = population.now();
        let forwarded = translate(hits.batch(), &mut population.engine, now, from);
        assert_eq!(forwarded, BATCH, "every packet has a session");
        population.pass(Duration::from_micros(1));
    }
    ROUNDS * BATCH as u64
}

fn singles() -> u64 {
    let mut population = Population::new(Family::V4, Kind::Udp);
    population.grow_to(1024);
    let mut hits = Hits::new(&population, Direction::Out, Size::Small);
    for _ in 0..ROUNDS {
        let from = hits.load(&population);
        let now = population.now();
        let forwarded = counted(|| hits.batch().translate_singly(&mut population.engine, now, from));
        assert_eq!(forwarded, BATCH, "every packet has a session");
        population.pass(Duration::from_micros(1));
    }
    ROUNDS * BATCH as u64
}

/// From one size of the table to its double, so that growth is counted as often as it comes.
fn new() -> u64 {
    let mut population = Population::new(Family::V4, Kind::Udp);
    population.grow_to(TABLE);
    let network = Network(Family::V4);
    let shape = Shape::udp(Family::V4, SMALL);
    let mut batch = Batch::new(&shape);
    for first in (TABLE..2 * TABLE).step_by(BATCH) {
        for (session, frame) in (first..).zip(batch.frames()) {
            shape.write(outbound(network, session, 1), frame);
        }
        let from = Network::container(container_of(first));
        let now = population.now();
        let forwarded = translate(&mut batch, &mut population.engine, now, from);
        assert_eq!(forwarded, BATCH, "every packet opens a session");
    }
    assert_eq!(population.engine.session_count() as u64, 2 * TABLE, "every packet has opened a session");
    TABLE
}

fn expire() -> u64 {
    let mut population = Population::new(Family::V4, Kind::Udp);
    population.grow_to(TABLE);
    let later = population.now() + Duration::from_secs(400);
    let engine = &mut population.engine;
    let mut ended = 0;
    while engine.session_count() > 0 {
        assert!(engine.poll_timeout().is_some_and(|at| at <= later), "every session is due");
        ended += counted(|| engine.handle_timeout(later));
    }
    assert_eq!(ended as u64, TABLE, "every session has ended");
    TABLE
}

fn translate(batch: &mut Batch, engine: &mut Engine, now: Instant, from: Link) -> usize {
    counted(|| batch.translate(engine, now, from, BATCH))
}

/// Batches that are counted.
const ROUNDS: u64 = 64;

/// Sessions.
const TABLE: u64 = 8192;
