//! The numbers of `cargo xtask bench-core` that are times: medians of many short runs.

use crate::adversary::{Choice, Siege};
use crate::hits::{Hits, Size};
use crate::network::Family;
use crate::population::{Direction, Kind, Population};
use crate::random::Random;
use crate::statistics::{median, nanos_each};

/// Nanoseconds for a 64-byte UDP packet of a container, of random sessions out of so many: one number for each size.
pub fn hits<const N: usize>(sizes: [u64; N]) -> [f64; N] {
    let mut population = Population::new(Family::V4, Kind::Udp);
    sizes.map(|sessions| {
        population.grow_to(sessions);
        let mut hits = Hits::new(&population, Direction::Out, Size::Small);
        hits.check(&mut population);
        hits.run(&mut population, 16 * HITS);
        let runs = (0..RUNS).map(|_| nanos_each(hits.run(&mut population, HITS), HITS));
        median(runs.collect())
    })
}

/// Nanoseconds for a new session, mapping and port included, in an engine that has [`FILL`] and grows by [`MORE`]: growth of the
/// tables included. Memory that has to be had from the kernel is not: but for the first engine, it was had before.
///
/// `remotes` is how many sessions a mapping has.
pub fn growing(remotes: u64) -> f64 {
    let runs = (0..ENGINES).map(|_| {
        let mut population = Population::sharing(Family::V4, Kind::Udp, remotes);
        population.grow_to(FILL);
        nanos_each(population.open(MORE), MORE)
    });
    median(runs.collect())
}

/// Nanoseconds for a new session, and for the end of one, while as many begin as end and [`FILL`] live.
pub fn churning() -> (f64, f64) {
    let mut population = Population::churning(FILL);
    population.grow_to(FILL);
    let runs = (0..CHURNS).map(|_| {
        let churn = population.churn(MORE);
        (nanos_each(churn.opening, churn.opened), nanos_each(churn.ending, churn.ended))
    });
    let (opening, ending) = runs.unzip();
    (median(opening), median(ending))
}

/// How much longer a lookup, and a whole packet, takes with chosen tuples than with random ones: the most that it was with any of
/// several seeds.
pub fn adversary() -> Vec<(&'static str, f64, f64)> {
    let mut worst: Vec<_> = Choice::ALL.iter().skip(1).map(|choice| (choice.name(), 0.0, 0.0)).collect();
    let flows = Choice::ALL.map(Choice::flows);
    for seed in SEEDS {
        let ratios = besiege(flows.clone().map(|flows| Siege::new(flows, seed)));
        for ((_, lookup, packet), ratio) in worst.iter_mut().zip(&ratios[1..]) {
            *lookup = ratio.0.max(*lookup);
            *packet = ratio.1.max(*packet);
        }
    }
    worst
}

/// Times of a lookup and of a packet, as a part of those of the first one.
fn besiege<const N: usize>(mut sieges: [Siege; N]) -> [(f64, f64); N] {
    let mut lookups = [const { Vec::new() }; N];
    let mut packets = [const { Vec::new() }; N];
    // In turn, so that what disturbs the machine disturbs all alike; by chance, so that nothing goes in step with them.
    let (mut order, mut random) = (std::array::from_fn::<_, N, _>(|i| i), Random::new(4));
    for _ in 0..RUNS {
        for last in (1..N).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        for index in order {
            let siege = &mut sieges[index];
            lookups[index].push(nanos_each(siege.look_up(HITS), HITS));
            packets[index].push(nanos_each(siege.run(HITS), HITS));
        }
    }
    let (lookups, packets) = (lookups.map(median), packets.map(median));
    std::array::from_fn(|i| (lookups[i] / lookups[0], packets[i] / packets[0]))
}

/// Of the engines that are besieged.
const SEEDS: [u8; 3] = [7, 8, 9];

/// Packets of one run: so few that most runs are not interrupted.
const HITS: u64 = 4096;
/// Runs that a median is of.
const RUNS: usize = 401;

/// Sessions before new ones are measured.
pub const FILL: u64 = 65_536;
/// New ones.
pub const MORE: u64 = 16_384;
const ENGINES: usize = 15;
const CHURNS: usize = 41;
