//! Tuples that somebody chooses who has read the code, but does not know the seed: none of them may make a lookup slower
//! than random ones do.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use gateway_core::{AttachmentId, Engine, Instant, Link, WorkerSlot, bench};

use crate::batch::{BATCH, Batch};
use crate::frame::{Ends, Shape};
use crate::network::{Family, Network};
use crate::population::SMALL;
use crate::random::Random;
use crate::statistics::scaled;

/// How the tuples of one container's sessions are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// At random: what the others are compared with.
    Random,
    /// Ports one after the other, one remote address.
    Sequential,
    /// Only in the upper bits of addresses and ports do they differ: a hash that multiplies and takes low bits drops them.
    UpperBits,
    /// Remote address and both ports cancel out: a hash that combines words by XOR has one value for all.
    EqualXor,
    /// They collide in all bits that an index and its tags use, under the same hash with another seed.
    OtherSeed,
}

/// What one container's packets carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The container's port.
    pub port: u16,
    /// The remote.
    pub remote: SocketAddr,
}

/// An engine with sessions of one choice.
pub struct Siege {
    /// The engine.
    pub engine: Engine,
    flows: Vec<Flow>,
    batch: Batch,
    shape: Shape,
    random: Random,
    now: Instant,
}

impl Choice {
    /// All of them, the random one first.
    pub const ALL: [Self; 5] =
        [Self::Random, Self::Sequential, Self::UpperBits, Self::EqualXor, Self::OtherSeed];

    /// The name for people and benches.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sequential => "sequential",
            Self::UpperBits => "upper_bits",
            Self::EqualXor => "equal_xor",
            Self::OtherSeed => "other_seed",
        }
    }

    /// [`FLOWS`] flows, all different.
    pub fn flows(self) -> Vec<Flow> {
        let flows: Vec<_> = match self {
            Self::Random => candidates(1).take(FLOWS).collect(),
            Self::Sequential => {
                numbers().map(|n| flow(FIRST + (n % 1024) as u16, 7, (n / 1024) as u16 + 1)).collect()
            }
            // Nine bits of the remote's address, four of each port.
            Self::UpperBits => numbers()
                .map(|n| {
                    flow(0x1000 * (1 + n % 15) as u16, (n / 15 / 15) << 15, 0x1000 * (1 + n / 15 % 15) as u16)
                })
                .collect(),
            // The address is 20.b.c.d; the container's port cancels its upper half, the remote's port the lower one.
            Self::EqualXor => numbers()
                .map(|n| flow(0x5400 | (n % 256) as u16, ((n % 256) << 16) | n, n as u16 ^ 0x4000))
                .collect(),
            Self::OtherSeed => colliding(),
        };
        assert_eq!(flows.iter().collect::<HashSet<_>>().len(), FLOWS, "each flow once");
        flows
    }
}

impl Siege {
    /// An engine with this seed in which one container has a session of each of these flows, and nobody else has any.
    pub fn new(flows: Vec<Flow>, seed: u8) -> Self {
        let shape = Shape::udp(Family::V4, SMALL);
        let mut siege = Self {
            engine: NETWORK.engine([seed; 32]),
            flows,
            batch: Batch::new(&shape),
            shape,
            random: Random::new(2),
            now: Instant::ZERO,
        };
        for first in (0..FLOWS).step_by(BATCH) {
            let chosen: Vec<_> = siege.flows[first..first + BATCH].to_vec();
            siege.send(&chosen);
        }
        assert_eq!(siege.engine.session_count(), FLOWS, "each flow has a session");
        siege
    }

    /// Sends at least `packets` of random ones of the sessions and returns how long the engine would take for exactly so many.
    pub fn run(&mut self, packets: u64) -> Duration {
        let rounds = packets.div_ceil(BATCH as u64);
        let taken: Duration = (0..rounds)
            .map(|_| {
                let chosen: Vec<_> = (0..BATCH).map(|_| self.any()).collect();
                self.send(&chosen)
            })
            .sum();
        scaled(taken, packets, rounds * BATCH as u64)
    }

    /// Looks up at least so many random ones of the sessions, and returns how long exactly so many would take.
    pub fn look_up(&mut self, lookups: u64) -> Duration {
        let rounds = lookups.div_ceil(BATCH as u64);
        let mut taken = Duration::ZERO;
        for _ in 0..rounds {
            let chosen: [_; BATCH] = std::array::from_fn(|_| self.any());
            let start = std::time::Instant::now();
            let found = chosen
                .iter()
                .filter(|flow| bench::has_session(&self.engine, ATTACKER, flow.port, flow.remote));
            let found = found.count();
            taken += start.elapsed();
            assert_eq!(found, BATCH, "every flow has a session");
        }
        scaled(taken, lookups, rounds * BATCH as u64)
    }

    fn any(&mut self) -> Flow {
        self.flows[self.random.below(FLOWS as u64) as usize]
    }

    fn send(&mut self, chosen: &[Flow]) -> Duration {
        for (index, flow) in chosen.iter().enumerate() {
            let source = SocketAddr::new(NETWORK.inside(), flow.port);
            let ends = Ends { macs: Network::macs_inside(CONTAINER), source, destination: flow.remote };
            self.shape.write(ends, self.batch.frame_mut(index));
        }
        let start = std::time::Instant::now();
        let forwarded =
            self.batch.translate(&mut self.engine, self.now, Link::Attachment(ATTACKER), chosen.len());
        let taken = start.elapsed();
        assert_eq!(forwarded, chosen.len(), "every packet goes on");
        taken
    }
}

/// Flows that an attacker finds with an engine of his own: under its seed, some bits of all their hashes are zero.
fn colliding() -> Vec<Flow> {
    let attackers = Engine::new(WorkerSlot::ONLY, [1; 32]);
    let collides = |flow: &Flow| bench::session_hash(&attackers, flow.port, flow.remote) & SAME_BITS == 0;
    candidates(3).filter(collides).take(FLOWS).collect()
}

/// Random flows.
fn candidates(seed: u64) -> impl Iterator<Item = Flow> {
    let mut random = Random::new(seed);
    std::iter::repeat_with(move || random.next()).map(|bits| {
        let [port, remote_port] = [bits >> 24, bits >> 40].map(|bits| bits as u16);
        // Ports of a container have to fit what one external address has.
        flow(FIRST + port % 1024, bits as u32, remote_port.max(1))
    })
}

fn flow(port: u16, remote: u32, remote_port: u16) -> Flow {
    // The router's own address and others of the link are not among them.
    Flow { port, remote: SocketAddr::new(NETWORK.remote(remote), remote_port) }
}

fn numbers() -> std::ops::Range<u32> {
    0..FLOWS as u32
}

/// Sessions of one choice.
pub const FLOWS: usize = 65_536;

/// Bits of the hash that are the same: of those that choose a bucket, and of those that are compared there first.
const SAME_BITS: u32 = 0xf000_007f;

const NETWORK: Network = Network(Family::V4);
const CONTAINER: usize = 0;
const ATTACKER: AttachmentId = AttachmentId(1);
const FIRST: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_tuples_are_what_their_choice_says() {
        let packed = |flow: &Flow| {
            let std::net::IpAddr::V4(remote) = flow.remote.ip() else { panic!("an IPv4 remote") };
            (remote.to_bits(), u32::from(flow.port) << 16 | u32::from(flow.remote.port()))
        };
        let equal = Choice::EqualXor.flows();
        let folded: HashSet<_> = equal.iter().map(packed).map(|(remote, ports)| remote ^ ports).collect();
        assert_eq!(folded.len(), 1, "all cancel out to the same");
        let upper = Choice::UpperBits.flows();
        assert!(
            upper
                .iter()
                .map(packed)
                .all(|(remote, ports)| remote.trailing_zeros() >= 15 && ports & 0x0fff_0fff == 0)
        );
    }
}
