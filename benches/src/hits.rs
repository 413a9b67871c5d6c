//! Packets of sessions that there are, at random over all of them.

use std::time::{Duration, Instant as Clock};

use gateway_core::Link;

use crate::batch::{BATCH, Batch};
use crate::frame::{self, Segment, Shape};
use crate::network::{CONTAINERS, Network, PER_UPLINK, UPLINKS};
use crate::population::{Direction, Kind, Population, SMALL, container_of};
use crate::random::Random;
use crate::statistics::scaled;

/// How large the packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 64 bytes on the wire; with TCP, a segment without data.
    Small,
    /// As large as the links allow.
    Full,
    /// A TCP super-packet of 64 KiB.
    Super,
}

/// A source of such packets.
pub struct Hits {
    direction: Direction,
    shape: Shape,
    batch: Batch,
    random: Random,
}

impl Hits {
    /// Packets of this size, for sessions of this population.
    pub fn new(population: &Population, direction: Direction, size: Size) -> Self {
        let family = population.family();
        let segment = |payload| match direction {
            Direction::Out => Segment::Data(payload),
            Direction::In => Segment::Reply(payload),
        };
        let shape = match (size, population.kind()) {
            (Size::Super, _) => Shape::super_packet(segment),
            (Size::Small, Kind::Udp) => Shape::udp(family, SMALL.max(Shape::udp_min(family))),
            (Size::Full, Kind::Udp) => Shape::udp(family, FULL),
            (Size::Small, Kind::Tcp) => Shape::tcp(family, segment(0)),
            (Size::Full, Kind::Tcp) => Shape::tcp(family, segment(FULL - Shape::tcp_min(family))),
        };
        Self { direction, batch: Batch::new(&shape), shape, random: Random::new(1) }
    }

    /// Bytes of one packet on the wire.
    pub const fn on_wire(&self) -> usize {
        self.shape.on_wire()
    }

    /// Sends at least `packets`, and returns how long the engine would take for exactly so many.
    pub fn run(&mut self, population: &mut Population, packets: u64) -> Duration {
        let rounds = packets.div_ceil(BATCH as u64);
        let mut taken = Duration::ZERO;
        for _ in 0..rounds {
            taken += self.round(population);
        }
        scaled(taken, packets, rounds * BATCH as u64)
    }

    /// Sends one batch and returns how long the engine took.
    pub fn round(&mut self, population: &mut Population) -> Duration {
        let from = self.load(population);
        let now = population.now();
        let start = Clock::now();
        let forwarded = self.batch.translate(&mut population.engine, now, from, BATCH);
        let taken = start.elapsed();
        assert_eq!(forwarded, BATCH, "every packet has a session");
        population.pass(BETWEEN_BATCHES);
        taken
    }

    /// Checks that packets come out with the right endpoints and checksums.
    ///
    /// # Panics
    /// If one does not.
    pub fn check(&mut self, population: &mut Population) {
        let sessions = population.engine.session_count();
        let mut numbers = [0; BATCH];
        let from = self.choose(population, &mut numbers);
        self.write(population, &numbers);
        let now = population.now();
        let forwarded = self.batch.translate(&mut population.engine, now, from, BATCH);
        assert_eq!(forwarded, BATCH, "every packet has a session");
        for (index, number) in numbers.into_iter().enumerate() {
            let frame = self.batch.frame(index);
            let (inside, external) =
                (population.ends(number, Direction::Out).source, population.external(number));
            match self.direction {
                Direction::Out => assert_eq!(frame::source(frame), external),
                Direction::In => assert_eq!(frame::destination(frame), inside),
            }
            assert!(frame::has_right_checksums(frame), "checksums of what comes out");
        }
        assert_eq!(population.engine.session_count(), sessions, "no packet opened a session");
    }

    /// Writes a batch of packets of random sessions of one link, which is returned.
    pub fn load(&mut self, population: &Population) -> Link {
        let mut numbers = [0; BATCH];
        let from = self.choose(population, &mut numbers);
        self.write(population, &numbers);
        from
    }

    /// The batch that [`Self::load`] has written.
    pub const fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    fn write(&mut self, population: &Population, numbers: &[u64; BATCH]) {
        for (index, &number) in numbers.iter().enumerate() {
            self.shape.write(population.ends(number, self.direction), self.batch.frame_mut(index));
        }
    }

    /// Random sessions of one container, or of one VPC: what one worker finds in one queue.
    fn choose(&mut self, population: &Population, numbers: &mut [u64; BATCH]) -> Link {
        let blocks = population.live() / BATCH as u64;
        let (turns, rows) = (blocks.min(CONTAINERS as u64), blocks.div_ceil(CONTAINERS as u64));
        let turn = self.random.below(turns);
        for number in &mut *numbers {
            let turn = match self.direction {
                Direction::Out => turn,
                Direction::In => {
                    let others = (turns / UPLINKS as u64).clamp(1, PER_UPLINK as u64);
                    turn % UPLINKS as u64 + self.random.below(others) * UPLINKS as u64
                }
            };
            let row = self.random.below(rows);
            *number = (row * CONTAINERS as u64 + turn) * BATCH as u64 + self.random.below(BATCH as u64);
        }
        let container = container_of(numbers[0]);
        match self.direction {
            Direction::Out => Network::container(container),
            Direction::In => Network::uplink(Network::uplink_of(container)),
        }
    }
}

/// An IP packet of 1500 bytes behind an Ethernet header.
const FULL: usize = 1514;

/// Virtual time from one batch to the next.
const BETWEEN_BATCHES: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Family;

    #[test]
    fn every_kind_of_packet_is_translated_by_its_own_session_with_right_checksums() {
        for (family, kind, sizes) in [
            (Family::V4, Kind::Udp, &[Size::Small, Size::Full][..]),
            (Family::V4, Kind::Tcp, &[Size::Small, Size::Full, Size::Super]),
            (Family::V6, Kind::Udp, &[Size::Small, Size::Full]),
            (Family::V6, Kind::Tcp, &[Size::Full]),
        ] {
            let mut population = Population::new(family, kind);
            population.grow_to(16_384);
            for &size in sizes {
                for direction in [Direction::Out, Direction::In] {
                    let mut hits = Hits::new(&population, direction, size);
                    hits.check(&mut population);
                    hits.run(&mut population, 1000);
                    hits.check(&mut population);
                }
            }
        }
    }
}
