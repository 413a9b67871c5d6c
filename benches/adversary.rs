//! Tuples that somebody chooses who has read the code, but does not know the seed, beside random ones:
//! `adversary/packet/CHOICE` is a whole packet, `adversary/lookup/CHOICE` the lookup and nothing else. What counts is how they
//! compare with `random`; `cargo xtask bench-core` says so in one number.

use benches::adversary::{Choice, Siege};
use benches::statistics::scaled;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Lookups of one measurement at least.
const LOOKUPS: u64 = 16_384;

fn adversary(c: &mut Criterion) {
    let mut group = c.benchmark_group("adversary");
    group.throughput(Throughput::Elements(1));
    for choice in Choice::ALL {
        let mut siege = None;
        for (what, run) in [("packet", Siege::run as fn(&mut Siege, u64) -> _), ("lookup", Siege::look_up)] {
            group.bench_function(format!("{what}/{}", choice.name()), |b| {
                let siege = siege.get_or_insert_with(|| Siege::new(choice.flows(), 7));
                b.iter_custom(|asked| {
                    let more = asked.max(LOOKUPS);
                    scaled(run(siege, more), asked, more)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, adversary);
criterion_main!(benches);
