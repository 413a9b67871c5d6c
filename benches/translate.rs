//! What one packet costs: `translate/hit/…` of a session that there is, `translate/miss/…` when it opens one.
//!
//! `hit/DIRECTION/SIZE/SESSIONS`: packets of random sessions over the whole table. 64 and 1500 are UDP, 64k is a TCP
//! super-packet. `miss/SESSIONS`: as many sessions begin as end, and beginning is what is measured, mapping and port included.

use benches::batch::BATCH;
use benches::hits::{Hits, Size};
use benches::network::Family;
use benches::population::{Direction, Kind, Population};
use benches::statistics::scaled;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway_core::limits::SESSIONS;

/// By name: how many sessions there are.
const TABLES: [(&str, u64); 4] =
    [("1k", 1 << 10), ("64k", 1 << 16), ("1M", 1 << 20), ("4M", SESSIONS as u64)];

const SIZES: [(&str, Size); 3] = [("64", Size::Small), ("1500", Size::Full), ("64k", Size::Super)];

const DIRECTIONS: [(&str, Direction); 2] = [("out", Direction::Out), ("in", Direction::In)];

/// Packets of one measurement at least: with less, the clock's own cost would be seen.
const PACKETS: u64 = 16_384;

fn hit(c: &mut Criterion) {
    let mut group = c.benchmark_group("translate");
    // One population at a time, which grows: the largest takes more memory than the rest of the machine may have.
    for kind in [Kind::Udp, Kind::Tcp] {
        let mut population = Population::new(Family::V4, kind);
        for (table, sessions) in TABLES {
            for (size_name, size) in SIZES.into_iter().filter(|(_, size)| kind_of(*size) == kind) {
                for (way, direction) in DIRECTIONS {
                    let mut hits = Hits::new(&population, direction, size);
                    group.throughput(Throughput::Bytes(hits.on_wire() as u64));
                    group.bench_function(format!("hit/{way}/{size_name}/{table}"), |b| {
                        population.grow_to(sessions);
                        hits.check(&mut population);
                        b.iter_custom(|packets| {
                            let more = packets.max(PACKETS);
                            scaled(hits.run(&mut population, more), packets, more)
                        });
                    });
                }
            }
        }
    }
    group.finish();
}

fn miss(c: &mut Criterion) {
    let mut group = c.benchmark_group("translate");
    group.throughput(Throughput::Elements(1));
    // With fewer sessions, new ones come so rarely that the router's MAC address is forgotten in between.
    for (table, sessions) in [("4k", 1 << 12), TABLES[1], TABLES[2], TABLES[3]] {
        // What is due ends a little late, so the largest table is not quite full.
        let live = sessions.min(SESSIONS as u64 - (1 << 16));
        let mut population = None;
        group.bench_function(format!("miss/{table}"), |b| {
            let population = population.get_or_insert_with(|| Population::churning(live));
            population.grow_to(live);
            b.iter_custom(|asked| {
                let churn = population.churn(asked.max(PACKETS).next_multiple_of(BATCH as u64));
                scaled(churn.opening, asked, churn.opened)
            });
        });
    }
    group.finish();
}

fn kind_of(size: Size) -> Kind {
    if size == Size::Super { Kind::Tcp } else { Kind::Udp }
}

criterion_group!(benches, hit, miss);
criterion_main!(benches);
