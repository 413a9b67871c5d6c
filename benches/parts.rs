//! The engine's parts by themselves: `parse/…` of a frame, `checksum/…` of bytes and of a change, `ports/…`: to lease a port
//! and give one back, where none is taken, every second one, and all but one.

use std::hint::black_box;

use benches::frame::{Ends, Segment, Shape};
use benches::network::{Family, Network};
use benches::population::SMALL;
use benches::random::Random;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway_core::{AddressSpace, Engine, PortSet, WorkerSlot, bench};

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let frames = [
        ("udp4", Shape::udp(Family::V4, SMALL)),
        ("tcp4", Shape::tcp(Family::V4, Segment::Data(0))),
        ("udp6", Shape::udp(Family::V6, SMALL)),
        ("tcp6", Shape::tcp(Family::V6, Segment::Data(0))),
        ("gso4", Shape::super_packet(Segment::Data)),
    ];
    for (name, shape) in frames {
        let network = Network(shape.family());
        let (inside, remote) = ((network.inside(), 4000).into(), (network.remote(9), 80).into());
        let ends = Ends { macs: Network::macs_inside(0), source: inside, destination: remote };
        let mut frame = shape.frame();
        shape.write(ends, &mut frame);
        assert!(bench::parse(&frame), "{name}: what is measured is accepted");
        group.bench_function(name, |b| b.iter(|| bench::parse(black_box(&frame))));
    }
    group.finish();
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for length in [20_usize, 64, 1460, 65_495] {
        let bytes = vec![0xa5; length];
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(length.to_string(), |b| b.iter(|| bench::checksum(black_box(&bytes))));
    }
    group.throughput(Throughput::Elements(1));
    for (name, network) in [("update4", Network(Family::V4)), ("update6", Network(Family::V6))] {
        let (old, new) = ((network.inside(), 4000).into(), (network.external(0), 5000).into());
        group.bench_function(name, |b| {
            b.iter(|| bench::update_checksum(black_box(0x1234), black_box(old), black_box(new)));
        });
    }
    group.finish();
}

fn ports(c: &mut Criterion) {
    let mut group = c.benchmark_group("ports");
    let engine = Engine::new(WorkerSlot::ONLY, [7; 32]);
    let external = Network(Family::V4).external(0);
    let all = PortSet::default().len();
    for (name, taken) in [("empty", 0), ("half", all / 2), ("full", all - 1)] {
        let space = AddressSpace::new(vec![external], PortSet::default(), 1);
        let mut ports = bench::Ports::new(&space, &engine);
        let mut random = Random::new(1);
        for _ in 0..taken {
            assert!(ports.lease(random.next()), "a port is free");
        }
        group.bench_function(name, |b| {
            b.iter(|| {
                assert!(ports.lease(random.next()), "a port is free");
                ports.release(random.next());
            });
        });
        assert_eq!(ports.free(), all - taken, "each port was given back");
    }
    group.finish();
}

criterion_group!(benches, parse, checksum, ports);
criterion_main!(benches);
