//! Who may send to a mapping: RFC 4787 §5 for UDP, RFC 5382 §4 for TCP.

use std::net::SocketAddr;

use gateway_core::{Command, Filtering, Reason, SessionState, Verdict, limits};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::*;

const ALL: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

/// C1 with a session to SERVER:53 from one port, by a connector with this filtering.
fn rig(filtering: Filtering, carries: Carries) -> (Rig, SocketAddr) {
    let mut rig = Rig::new();
    rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    rig.attach_filtering(C1, TO_A, VPC_A, filtering);
    let external = rig.open(C1, carries, 4000, endpoint(SERVER, 53));
    (rig, external)
}

#[test]
fn rfc4787_req_8_each_filtering_lets_in_whom_it_says() {
    for (carries, first) in [(Carries::Udp, Carries::Udp), (Carries::Tcp(SYN), Carries::Tcp(SYN))] {
        for filtering in ALL {
            let (known, same_address, stranger) =
                (endpoint(SERVER, 53), endpoint(SERVER, 54), endpoint(OTHER_SERVER, 53));
            let lets_in = |remote| match filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => remote != stranger,
                Filtering::AddressAndPortDependent => remote == known,
            };
            for remote in [known, same_address, stranger] {
                let (mut rig, external) = rig(filtering, carries);
                let frame = Packet::inbound(VPC_A, first, remote, external).frame();
                let verdict = rig.deliver(outside(VPC_A), frame).verdict;
                let expected = if lets_in(remote) {
                    Verdict::Forward(inside(C1))
                } else {
                    Verdict::Drop(Reason::Filtered)
                };
                assert_eq!(verdict, expected, "{filtering:?} {carries:?} {remote}");
            }
        }
    }
}

#[test]
fn what_a_remote_opened_is_answered_from_the_same_external_endpoint() {
    let (mut rig, external) = rig(Filtering::EndpointIndependent, Carries::Udp);
    let stranger = endpoint(OTHER_SERVER, 99);
    let (_, arrived) = rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, Carries::Udp, stranger, external));
    assert_eq!((arrived.source, arrived.destination), (stranger, endpoint(CONTAINER, 4000)));
    let (_, answer) = rig.forward(inside(C1), &Packet::outbound(C1, Carries::Udp, 4000, stranger));
    assert_eq!((answer.source, answer.destination), (external, stranger));
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (2, 1), "two sessions of one mapping");
}

#[test]
fn a_tcp_connection_that_the_remote_opens_is_established_and_lasts() {
    let (mut rig, external) = rig(Filtering::EndpointIndependent, Carries::Tcp(SYN));
    let stranger = endpoint(OTHER_SERVER, 99);
    let state = |rig: &mut Rig, flags, from_container| {
        if from_container {
            rig.forward(inside(C1), &Packet::outbound(C1, Carries::Tcp(flags), 4000, stranger));
        } else {
            rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, Carries::Tcp(flags), stranger, external));
        }
        rig.sessions().iter().find(|s| s.remote == stranger).expect("it has a session").state
    };
    assert_eq!(state(&mut rig, SYN, false), SessionState::OpeningInbound);
    assert_eq!(state(&mut rig, SYN | ACK, true), SessionState::Established);
    assert_eq!(state(&mut rig, ACK, false), SessionState::Established);
    rig.run_until(rig.now + limits::TCP_CLOSING * 2);
    assert!(rig.sessions().iter().any(|s| s.remote == stranger), "the opening timer does not end it");
}

#[test]
fn a_segment_that_opens_nothing_is_not_let_in_by_any_filtering() {
    let (mut rig, external) = rig(Filtering::EndpointIndependent, Carries::Tcp(SYN));
    for flags in [ACK, SYN | ACK, RST, FIN | ACK] {
        let frame = Packet::inbound(VPC_A, Carries::Tcp(flags), endpoint(OTHER_SERVER, 9), external).frame();
        assert_eq!(rig.refused(outside(VPC_A), frame, Reason::TcpNotSyn), None);
    }
}

#[test]
fn an_address_is_forgotten_with_the_last_session_to_it() {
    let (mut rig, external) = rig(Filtering::AddressDependent, Carries::Udp);
    // Another remote keeps the mapping alive.
    rig.run_until(rig.now + limits::UDP_IDLE / 2);
    rig.forward_resolving(inside(C1), &Packet::outbound(C1, Carries::Udp, 4000, endpoint(OTHER_SERVER, 53)));
    let from_server = Packet::inbound(VPC_A, Carries::Udp, endpoint(SERVER, 99), external);
    rig.run_until(rig.now + limits::UDP_IDLE / 2);
    assert_eq!(rig.sessions().len(), 1);
    rig.refused(outside(VPC_A), from_server.frame(), Reason::Filtered);
}

#[test]
fn a_remote_outside_of_the_connectors_destinations_is_kept_out_by_every_filtering() {
    for filtering in ALL {
        let (mut rig, external) = rig(filtering, Carries::Udp);
        let remote = endpoint([203, 0, 113, 5], 53);
        let frame = Packet::inbound(VPC_A, Carries::Udp, remote, external).frame();
        rig.refused(outside(VPC_A), frame, Reason::Filtered);
    }
}

#[test]
fn strangers_cannot_use_up_a_containers_sessions_beyond_its_share() {
    let (mut rig, external) = rig(Filtering::EndpointIndependent, Carries::Udp);
    for n in 1..limits::SESSIONS_PER_ATTACHMENT {
        let remote = endpoint([10, 1, 100 + (n / 60_000) as u8, 1], 1 + (n % 60_000) as u16);
        let mut frame = Packet::inbound(VPC_A, Carries::Udp, remote, external).frame();
        assert_eq!(
            rig.engine.handle_packet(rig.now, outside(VPC_A), &mut frame),
            Verdict::Forward(inside(C1))
        );
    }
    let frame = Packet::inbound(VPC_A, Carries::Udp, endpoint([10, 1, 99, 1], 1), external).frame();
    rig.refused(outside(VPC_A), frame, Reason::QuotaReached);
}
