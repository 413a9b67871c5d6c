//! What one packet costs: `translate/hit/out/64` and `…/64k` with a session, `translate/miss` without one.
//!
//! The engine rewrites frames in place, so each round begins with a copy of the frame; `translate/copy/…` is its cost.

use std::hint::black_box;

use benches::{INSIDE, OUTSIDE, engine, is_translated, small_frame, super_packet, udp};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gateway_core::{Engine, Instant, Verdict};

/// Translates a copy of `frame` and checks that it goes on.
fn translate(engine: &mut Engine, frame: &[u8], buffer: &mut [u8]) {
    buffer.copy_from_slice(frame);
    let verdict = engine.handle_packet(Instant::ZERO, INSIDE, black_box(buffer));
    assert_eq!(verdict, Verdict::Forward(OUTSIDE));
}

fn hit(c: &mut Criterion) {
    let mut group = c.benchmark_group("translate");
    for (size, frame) in [("64", small_frame()), ("64k", super_packet())] {
        let mut engine = engine();
        let mut buffer = frame.clone();
        translate(&mut engine, &frame, &mut buffer);
        let sessions = engine.session_count();
        assert!(is_translated(&buffer));
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(format!("hit/out/{size}"), |b| {
            b.iter(|| translate(&mut engine, &frame, &mut buffer));
        });
        assert_eq!(engine.session_count(), sessions, "every round hit the session");
        group
            .bench_function(format!("copy/{size}"), |b| b.iter(|| buffer.copy_from_slice(black_box(&frame))));
    }
    group.finish();
}

fn miss(c: &mut Criterion) {
    /// New sessions of one round, each with a mapping of its own.
    const ROUND: u16 = 1000;
    let frames: Vec<_> = (0..ROUND).map(|port| udp(10_000 + port, 53, 22)).collect();
    let mut buffer = frames[0].clone();
    let mut group = c.benchmark_group("translate");
    group.throughput(Throughput::Elements(ROUND.into()));
    group.bench_function("miss", |b| {
        let round = |engine: &mut Engine| {
            let before = engine.session_count();
            for frame in &frames {
                translate(engine, frame, &mut buffer);
            }
            assert_eq!(engine.session_count() - before, usize::from(ROUND), "every packet opened a session");
        };
        b.iter_batched_ref(engine, round, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, hit, miss);
criterion_main!(benches);
