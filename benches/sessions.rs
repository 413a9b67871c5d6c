//! How sessions end, and how their table grows: `expire/SESSIONS` is what one session costs that ends by itself, while others
//! begin; `growth/4M` is the slowest single call while the table grows from nothing to its limit.

use std::time::Duration;

use benches::batch::BATCH;
use benches::growth;
use benches::population::Population;
use benches::statistics::scaled;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

/// By name: how many sessions there are.
const TABLES: [(&str, u64); 3] = [("4k", 1 << 12), ("64k", 1 << 16), ("1M", 1 << 20)];

/// Sessions of one measurement at least.
const SESSIONS: u64 = 16_384;

fn expire(c: &mut Criterion) {
    let mut group = c.benchmark_group("expire");
    group.throughput(Throughput::Elements(1));
    for (table, live) in TABLES {
        let mut population = None;
        group.bench_function(table, |b| {
            let population = population.get_or_insert_with(|| Population::churning(live));
            population.grow_to(live);
            b.iter_custom(|asked| {
                let churn = population.churn(asked.max(SESSIONS).next_multiple_of(BATCH as u64));
                scaled(churn.ending, asked, churn.ended)
            });
        });
    }
    group.finish();
}

fn grow(c: &mut Criterion) {
    let mut group = c.benchmark_group("growth");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    group.bench_function("4M", |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| growth::slowest(&growth::calls())).sum());
    });
    group.finish();
}

criterion_group!(benches, expire, grow);
criterion_main!(benches);
