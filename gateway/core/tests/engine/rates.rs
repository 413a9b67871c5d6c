//! Rate limits of a connector: packets, bits, new sessions; all its containers together.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;

use gateway_core::{ConnectorConfig, RateLimits, Rates, Reason, Verdict, limits};

use crate::support::checksum::pseudo_header;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, connector};
use crate::support::*;

const REMOTES: [(IpAddr, u16); 2] = [(IpAddr::V4(SERVER), 53), (IpAddr::V6(SERVER_V6), 53)];

fn limits_of(packets: u64, bits: u64, sessions: u64) -> RateLimits {
    let [packets, bits, sessions] = [packets, bits, sessions].map(NonZeroU64::new);
    RateLimits::new(Rates { packets, bits, sessions })
}

fn with(limits: &RateLimits) -> ConnectorConfig {
    ConnectorConfig { limits: limits.clone(), ..connector(TO_A, VPC_A) }
}

fn rig_with(limits: &RateLimits) -> Rig {
    let mut rig = Rig::new();
    for id in [C1, C2] {
        rig.attach_with(id, with(limits));
    }
    rig
}

/// How many of so many frames pass; the others are dropped for their rate, in silence.
fn passed(rig: &mut Rig, from: gateway_core::Link, frame: &[u8], count: usize) -> usize {
    let mut passed = 0;
    for _ in 0..count {
        let step = rig.deliver(from, frame.to_vec());
        assert_eq!(step.sent, []);
        match step.verdict {
            Verdict::Forward(_) => passed += 1,
            verdict => assert_eq!(verdict, Verdict::Drop(Reason::RateLimited)),
        }
    }
    passed
}

#[test]
fn packets_of_a_session_pass_in_a_burst_and_then_at_the_rate_in_each_direction() {
    for remote in REMOTES.map(SocketAddr::from) {
        let mut rig = rig_with(&limits_of(10, 0, 0));
        let out = Packet::outbound(C1, Carries::Udp, 4000, remote);
        let (_, seen) = rig.forward(inside(C1), &out);
        let back = Packet::inbound(VPC_A, Carries::Udp, remote, seen.source).frame();
        let burst = limits::PACKET_BURST as usize;
        assert_eq!(passed(&mut rig, inside(C1), &out.frame(), 100), burst - 1);
        assert_eq!(passed(&mut rig, outside(VPC_A), &back, 100), burst, "the other direction has its own");
        rig.now = rig.now + Duration::from_millis(1_000);
        assert_eq!(passed(&mut rig, inside(C1), &out.frame(), 100), 10);
        assert_eq!(passed(&mut rig, outside(VPC_A), &back, 100), 10);
        let other = Packet::outbound(C2, Carries::Udp, 4000, remote);
        let step = rig.deliver(inside(C2), other.frame());
        assert_eq!(step.drops, [(inside(C2), Reason::RateLimited, 1)], "all containers together");
        assert_eq!(rig.engine.session_count(), 1, "a packet that does not pass opens nothing");
    }
}

#[test]
fn a_super_packet_counts_its_segments_and_the_headers_of_each() {
    let mut rig = rig_with(&limits_of(1, 0, 0));
    let out = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53)).with_payload(vec![1; 1000]);
    let mut frame = out.frame();
    let pseudo = pseudo_header(&frame, frame.len() - TRANSPORT);
    frame[TRANSPORT + 6..TRANSPORT + 8].copy_from_slice(&pseudo.to_be_bytes());
    (frame[0], frame[1]) = (1, 5);
    frame[2..10].copy_from_slice([42u16, 100, 34, 6].map(u16::to_ne_bytes).as_flattened());
    assert_eq!(passed(&mut rig, inside(C1), &frame, 20), limits::PACKET_BURST as usize / 10);

    // 10 segments of 128 bytes; a burst of 64 KiB.
    let mut rig = rig_with(&limits_of(0, 1, 0));
    assert_eq!(passed(&mut rig, inside(C1), &frame, 60), 65_536 / 1_280);
}

#[test]
fn bits_are_those_of_ip() {
    for remote in REMOTES.map(SocketAddr::from) {
        let mut rig = rig_with(&limits_of(0, 8_000, 0));
        let out = Packet::outbound(C1, Carries::Udp, 4000, remote).with_payload(vec![1; 900]);
        let bytes = out.frame().len() - IP;
        assert_eq!(passed(&mut rig, inside(C1), &out.frame(), 100), 65_536 / bytes);
        rig.now = rig.now + seconds(8);
        let left = 65_536 % bytes;
        assert_eq!(passed(&mut rig, inside(C1), &out.frame(), 100), (left + 8_000) / bytes);
        // Padding of the frame is none of it.
        rig.now = rig.now + seconds(3_600);
        let mut padded = Packet::outbound(C1, Carries::Udp, 4000, remote).with_payload(vec![1; 72]).frame();
        let bytes = padded.len() - IP;
        padded.resize(padded.len() + 500, 0);
        assert_eq!(passed(&mut rig, inside(C1), &padded, 1_000), 65_536 / bytes);
    }
}

#[test]
fn errors_about_a_session_count_as_its_packets_do() {
    let mut rig = rig_with(&limits_of(1, 0, 0));
    let out = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    let (_, seen) = rig.forward(inside(C1), &out);
    let error = seen.error_by(ROUTER, 3, 1, 28).frame();
    assert_eq!(passed(&mut rig, outside(VPC_A), &error, 100), limits::PACKET_BURST as usize);
    let back = Packet::inbound(VPC_A, Carries::Udp, endpoint(SERVER, 53), seen.source);
    assert_eq!(passed(&mut rig, outside(VPC_A), &back.frame(), 1), 0);
    rig.now = rig.now + seconds(1);
    let (_, received) = rig.forward(outside(VPC_A), &back);
    let error = received.error_by(CONTAINER, 3, 3, 28).frame();
    assert_eq!(passed(&mut rig, inside(C1), &error, 100), limits::PACKET_BURST as usize);
}

#[test]
fn sessions_begin_at_their_rate_the_short_way_and_the_long_one_whoever_opens_them() {
    for carries in [Carries::Udp, Carries::Tcp(SYN), Carries::EchoRequest] {
        for (remote, port) in REMOTES {
            let mut rig = rig_with(&limits_of(0, 0, 20));
            let port = if carries == Carries::EchoRequest { 0 } else { port };
            let open = |rig: &mut Rig, id, from| {
                let packet = Packet::outbound(id, carries, from, SocketAddr::new(remote, port));
                rig.deliver(inside(id), packet.frame()).verdict
            };
            for from in [4000, 4001] {
                assert_eq!(open(&mut rig, C1, from), Verdict::Forward(outside(VPC_A)));
            }
            assert_eq!(open(&mut rig, C2, 4000), Verdict::Drop(Reason::SessionRate));
            assert_eq!(open(&mut rig, C1, 4000), Verdict::Forward(outside(VPC_A)), "it is there already");
            rig.now = rig.now + Duration::from_millis(50);
            assert_eq!(open(&mut rig, C2, 4000), Verdict::Forward(outside(VPC_A)));
            assert_eq!(open(&mut rig, C2, 4001), Verdict::Drop(Reason::SessionRate));
            assert_eq!(rig.engine.session_count(), 3);
        }
    }
}

#[test]
fn a_remote_opens_sessions_at_the_same_rate_and_a_refused_packet_takes_nothing() {
    let mut rig = Rig::new();
    let open = gateway_core::Filtering::EndpointIndependent;
    let policy = ConnectorConfig { udp_filtering: open, ..with(&limits_of(64, 0, 1)) };
    rig.attach_with(C1, policy);
    let external = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    let call = Packet::inbound(VPC_A, Carries::Udp, endpoint(OTHER_SERVER, 1), external);
    for _ in 0..100 {
        rig.refused(outside(VPC_A), call.frame(), Reason::SessionRate);
    }
    let back = Packet::inbound(VPC_A, Carries::Udp, endpoint(SERVER, 53), external).frame();
    assert_eq!(passed(&mut rig, outside(VPC_A), &back, 100), limits::PACKET_BURST as usize);
    rig.now = rig.now + seconds(1);
    rig.forward(outside(VPC_A), &call);
}

#[test]
fn a_packet_that_waits_for_its_neighbor_is_counted_once() {
    let mut rig = Rig::unresolved_without_ipv6();
    rig.attach_with(C1, with(&limits_of(2, 0, 0)));
    let out = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    for _ in 0..10 {
        assert_eq!(rig.deliver(inside(C1), out.frame()).verdict, Verdict::Hold);
    }
    let answer = crate::support::rig::host_answers(VPC_A, SERVER.into());
    rig.drain();
    assert_eq!(rig.deliver(outside(VPC_A), answer).sent.len(), 10);
    assert_eq!(passed(&mut rig, inside(C1), &out.frame(), 100), limits::PACKET_BURST as usize - 10);
}

#[test]
fn a_hairpin_opens_two_sessions_and_needs_twice_the_rate() {
    for (sessions, passes) in [(1, false), (20, true)] {
        let mut rig = Rig::new();
        let limits = limits_of(0, 0, sessions);
        for id in [C1, C2] {
            let open = gateway_core::Filtering::EndpointIndependent;
            rig.attach_with(id, ConnectorConfig { udp_filtering: open, ..with(&limits) });
        }
        let callee = rig.open(C2, Carries::Udp, 4000, endpoint(SERVER, 53));
        rig.now = rig.now + seconds(10);
        let call = Packet::outbound(C1, Carries::Udp, 4000, callee);
        let verdict = rig.deliver(inside(C1), call.frame()).verdict;
        let arrives = Verdict::Forward(inside(C2));
        assert_eq!(verdict, if passes { arrives } else { Verdict::Drop(Reason::SessionRate) });
        rig.now = rig.now + seconds(1);
        assert_eq!(rig.deliver(inside(C1), call.frame()).verdict, arrives, "the caller's session is there");
    }
}
