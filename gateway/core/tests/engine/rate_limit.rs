//! Bounds on what the engine sends by itself.

use std::time::Duration;

use gateway_core::{Instant, Reason, Verdict, limits};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::*;

fn refused_packet() -> Vec<u8> {
    Packet::outbound(C4, Carries::Udp, 4000, endpoint(SERVER, 53)).frame()
}

/// How many of `n` dropped packets, one each `interval`, their sender is told about.
fn told(rig: &mut Rig, n: u32, interval: Duration) -> u32 {
    let mut told = 0;
    for _ in 0..n {
        told += u32::from(rig.refused(inside(C4), refused_packet(), Reason::NoConnector).is_some());
        rig.now = rig.now + interval;
    }
    told
}

#[test]
fn icmp_errors_come_in_a_burst_and_then_at_their_rate() {
    let mut rig = Rig::new();
    assert_eq!(told(&mut rig, 1000, Duration::ZERO), limits::ICMP_ERROR_BURST);
    rig.now = rig.now + seconds(3600);
    assert_eq!(told(&mut rig, 1000, Duration::ZERO), limits::ICMP_ERROR_BURST, "a pause earns one burst");
}

#[test]
fn the_rate_of_icmp_errors_is_exact_at_any_interval_of_packets() {
    for millis in [1, 3, 7, 9] {
        let mut rig = Rig::new();
        told(&mut rig, limits::ICMP_ERROR_BURST, Duration::ZERO);
        rig.now = Instant::from_nanos(10_000_000_000);
        told(&mut rig, limits::ICMP_ERROR_BURST, Duration::ZERO);
        let n = 7 * 9 * 100 / millis;
        let earned = told(&mut rig, n, Duration::from_millis(millis.into()));
        let expected = n * millis * limits::ICMP_ERRORS_PER_SECOND / 1000;
        assert!(earned.abs_diff(expected) <= 1, "{earned} for {expected}, one packet each {millis} ms");
    }
}

#[test]
fn one_container_cannot_use_up_the_errors_of_another() {
    let mut rig = Rig::new();
    told(&mut rig, 1000, Duration::ZERO);
    let frame = Packet::outbound(C1, Carries::Udp, 4000, endpoint([203, 0, 113, 5], 53)).frame();
    assert!(rig.refused(inside(C1), frame, Reason::NoRoute).is_some());
}

#[test]
fn frames_that_the_shell_does_not_take_are_bounded_and_counted() {
    let mut rig = Rig::new();
    let ping = Packet::outbound(C1, Carries::EchoRequest, 1, endpoint(GATEWAY, 0)).frame();
    let extra = 5;
    let before = rig.counters()[&inside(C1)].sent.frames;
    for _ in 0..limits::OUTBOX + extra {
        assert_eq!(rig.engine.handle_packet(rig.now, inside(C1), &mut ping.clone()), Verdict::Respond);
    }
    let counters = &rig.counters()[&inside(C1)];
    assert_eq!(counters.drops.of(Reason::OutboxFull), extra as u64);
    assert_eq!(counters.sent.frames - before, limits::OUTBOX as u64);
    assert_eq!(rig.drain().len(), limits::OUTBOX);
}

#[test]
fn what_a_device_does_not_take_is_counted_on_its_link() {
    let mut rig = Rig::new();
    rig.engine.count_drop(outside(VPC_A), Reason::EgressFull);
    rig.engine.count_drop(inside(C1), Reason::EgressDown);
    let counters = rig.counters();
    assert_eq!(counters[&outside(VPC_A)].drops.iter().collect::<Vec<_>>(), [(Reason::EgressFull, 1)]);
    assert_eq!(counters[&inside(C1)].drops.iter().collect::<Vec<_>>(), [(Reason::EgressDown, 1)]);
}
