//! The ends of sessions, to the nanosecond, in virtual time.

use std::net::SocketAddr;

use gateway_core::{Protocol, Verdict, limits};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::tcp::By::{self, Container, Remote};
use crate::support::tcp::Connection;
use crate::support::*;

/// Sends one packet of the session at `second`; the first opens it.
fn send(
    rig: &mut Rig,
    connection: &mut Connection,
    second: u64,
    by: By,
    carries: Carries,
    external: Option<SocketAddr>,
) -> SocketAddr {
    assert_eq!(rig.run_until(at(second)), 0, "the session lives at {second} s");
    let remote = endpoint(SERVER, if carries == Carries::EchoRequest { 0 } else { 80 });
    match (by, external) {
        (Remote, Some(external)) => {
            let carries = if carries == Carries::EchoRequest { Carries::EchoReply } else { carries };
            let packet = Packet::inbound(VPC_A, carries, remote, external);
            rig.forward(outside(VPC_A), &connection.next(by, packet));
            external
        }
        _ => {
            let packet = connection.next(by, Packet::outbound(C1, carries, 4000, remote));
            let seen = rig.forward_resolving(inside(C1), &packet).source;
            assert!(external.is_none_or(|external| external == seen));
            seen
        }
    }
}

/// Nothing but sessions and neighbors has timers.
fn without_ipv6() -> Rig {
    Rig::unresolved_without_ipv6().resolved()
}

/// The session that `packets` make ends at `second`: not a nanosecond before, and then at once.
fn ends_at(second: u64, packets: &[(u64, By, Carries)]) {
    let mut rig = without_ipv6();
    let mut connection = Connection::new();
    let mut external = None;
    for &(second, by, carries) in packets {
        external = Some(send(&mut rig, &mut connection, second, by, carries, external));
    }
    assert_eq!(rig.sessions()[0].expires_in, at(second).since(rig.now), "{packets:?}");
    assert_eq!(rig.run_until(just_before(at(second))), 0, "{packets:?}");
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (1, 1), "{packets:?}");
    assert!(rig.engine.poll_timeout().is_some_and(|due| due <= at(second)), "{packets:?}");
    assert_eq!(rig.run_until(at(second)), 1, "{packets:?}");
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (0, 0), "{packets:?}");
    assert_eq!([inside(C1), outside(VPC_A)].map(|link| rig.sessions_of(link)), [0, 0]);
}

#[test]
fn udp_ends_five_minutes_after_the_last_outbound_packet() {
    let udp = Carries::Udp;
    ends_at(300, &[(0, Container, udp)]);
    ends_at(400, &[(0, Container, udp), (100, Container, udp)]);
    ends_at(300, &[(0, Container, udp), (299, Remote, udp)]);
    ends_at(599, &[(0, Container, udp), (150, Remote, udp), (299, Container, udp), (598, Remote, udp)]);
}

#[test]
fn echo_ends_one_minute_after_the_last_request() {
    let echo = Carries::EchoRequest;
    ends_at(60, &[(0, Container, echo)]);
    ends_at(60, &[(0, Container, echo), (59, Remote, echo)]);
    ends_at(110, &[(0, Container, echo), (50, Container, echo)]);
}

#[test]
fn tcp_that_never_opens_ends_four_minutes_after_its_first_packet() {
    ends_at(240, &[(0, Container, Carries::Tcp(SYN))]);
    ends_at(240, &[(0, Container, Carries::Tcp(SYN)), (239, Container, Carries::Tcp(SYN))]);
    ends_at(240, &[(0, Container, Carries::Tcp(SYN)), (100, Container, Carries::Tcp(ACK))]);
}

#[test]
fn tcp_whose_handshake_is_never_completed_ends_four_minutes_after_the_answer() {
    let answered = [(0, Container, Carries::Tcp(SYN)), (1, Remote, Carries::Tcp(SYN | ACK))];
    ends_at(241, &answered);
    let again = (200, Remote, Carries::Tcp(SYN | ACK));
    ends_at(241, &[&answered[..], &[again]].concat());
    let confirmed = (200, Container, Carries::Tcp(ACK));
    ends_at(7640, &[&answered[..], &[again, confirmed]].concat());
}

/// An open connection, and then `packets`.
fn after_handshake(packets: &[(u64, By, u8)]) -> Vec<(u64, By, Carries)> {
    let handshake = [(0, Container, SYN), (1, Remote, SYN | ACK), (1, Container, ACK)];
    handshake.iter().chain(packets).map(|&(second, by, flags)| (second, by, Carries::Tcp(flags))).collect()
}

#[test]
fn established_tcp_ends_two_hours_and_four_minutes_after_its_last_packet() {
    ends_at(7441, &after_handshake(&[]));
    ends_at(7442, &after_handshake(&[(2, Container, ACK)]));
    ends_at(8440, &after_handshake(&[(2, Container, ACK), (1000, Remote, ACK)]));
    ends_at(14_840, &after_handshake(&[(7400, Remote, ACK)]));
}

#[test]
fn half_closed_tcp_still_carries_data() {
    ends_at(7450, &after_handshake(&[(10, Container, FIN | ACK)]));
    ends_at(8440, &after_handshake(&[(10, Container, FIN | ACK), (1000, Remote, ACK)]));
    ends_at(8440, &after_handshake(&[(10, Remote, FIN | ACK), (1000, Container, ACK)]));
}

#[test]
fn closed_tcp_ends_four_minutes_after_its_second_fin() {
    let fins = [(10, Container, FIN | ACK), (20, Remote, FIN | ACK)];
    ends_at(260, &after_handshake(&fins));
    let [first, second] = fins;
    ends_at(260, &after_handshake(&[first, second, (21, Container, ACK), (200, Remote, FIN | ACK)]));
}

#[test]
fn reset_tcp_ends_four_minutes_after_the_first_reset_unless_it_goes_on() {
    ends_at(340, &after_handshake(&[(100, Remote, RST)]));
    ends_at(340, &after_handshake(&[(100, Container, RST), (200, Container, RST), (300, Remote, RST)]));
    ends_at(7740, &after_handshake(&[(100, Remote, RST), (300, Container, ACK)]));
}

#[test]
fn the_end_that_comes_nearer_is_reported_at_once() {
    let (mut rig, mut connection) = (without_ipv6(), Connection::new());
    let external = send(&mut rig, &mut connection, 0, Container, Carries::Tcp(SYN), None);
    send(&mut rig, &mut connection, 1, Remote, Carries::Tcp(SYN | ACK), Some(external));
    send(&mut rig, &mut connection, 1, Container, Carries::Tcp(ACK), Some(external));
    // Neighbors are forgotten before that, so the session's own timer is all that is left.
    assert_eq!(rig.run_until(at(1000)), 0);
    assert_eq!(rig.engine.poll_timeout(), Some(at(7441)));
    send(&mut rig, &mut connection, 1000, Remote, Carries::Tcp(RST), Some(external));
    assert_eq!(rig.engine.poll_timeout(), Some(at(1240)));
}

#[test]
fn an_idle_engine_wants_nothing() {
    let mut rig = without_ipv6();
    send(&mut rig, &mut Connection::new(), 0, Container, Carries::Udp, None);
    assert_eq!(rig.run_until(at(10_000)), 1);
    assert_eq!(rig.engine.poll_timeout(), None);
    assert_eq!(rig.wait(seconds(10_000)), (0, vec![]));
    for protocol in Protocol::ALL {
        assert_eq!(rig.port_use(VPC_A, protocol), (0, 64_512));
    }
}

#[test]
fn many_sessions_that_end_at_once_end_in_bounded_batches() {
    let mut rig = Rig::new();
    let all = limits::EXPIRY_BATCH * 2 + 10;
    for port in 0..all as u16 {
        let mut frame =
            Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, port)).with_payload([]).frame();
        assert_eq!(
            rig.engine.handle_packet(rig.now, inside(C1), &mut frame),
            Verdict::Forward(outside(VPC_A))
        );
    }
    assert_eq!(rig.run_until(just_before(at(300))), 0);
    rig.now = at(300);
    for expected in [limits::EXPIRY_BATCH, limits::EXPIRY_BATCH, 10] {
        assert!(rig.engine.poll_timeout().is_some_and(|due| due <= rig.now));
        assert_eq!(rig.wait(seconds(0)).0, expected);
    }
    assert_eq!(rig.engine.session_count(), 0);
}
