//! Packets of a session, out and back.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use gateway_core::{AttachmentId, MacAddr, Protocol, Reason, SessionState, UplinkId};

use crate::support::checksum::wrong as wrong_checksum;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, far, space, uplink_config};
use crate::support::tcp::{By, Connection};
use crate::support::*;

/// Each translated kind: what goes out, what comes back, and the remote port, which echo has none of.
const KINDS: [(Carries, Carries, u16); 3] = [
    (Carries::Tcp(SYN), Carries::Tcp(SYN | ACK), 80),
    (Carries::Udp, Carries::Udp, 53),
    (Carries::EchoRequest, Carries::EchoReply, 0),
];

#[test]
fn each_protocol_is_translated_out_and_back_and_nothing_else_of_it_changes() {
    for (carries, answer, port) in KINDS {
        for length in [0, 1, 2, 999, 1400] {
            let mut rig = Rig::new();
            let remote = endpoint(SERVER, port);
            let sent = Packet::outbound(C1, carries, 4000, remote).with_payload(vec![0xa5; length]);
            let (to, arrived) = rig.forward(inside(C1), &sent);
            let external = arrived.source;
            assert_eq!((to, external.ip()), (outside(VPC_A), EXTERNAL.into()));
            assert!(external.port() >= 1024, "{external}");
            let expected = Packet {
                source_mac: uplink_mac(VPC_A),
                destination_mac: host_mac(VPC_A, SERVER),
                source: external,
                ttl: sent.ttl - 1,
                ..sent.clone()
            };
            assert_eq!(arrived, expected);

            let back = Packet::inbound(VPC_A, answer, remote, external).with_payload(vec![0x5a; length]);
            let (to, arrived) = rig.forward(outside(VPC_A), &back);
            assert_eq!(to, inside(C1));
            let expected = Packet {
                source_mac: gateway_mac(C1),
                destination_mac: container_mac(C1),
                destination: endpoint(CONTAINER, 4000),
                ttl: back.ttl - 1,
                ..back.clone()
            };
            assert_eq!(arrived, expected);
            assert_eq!((rig.engine.session_count(), rig.ports_used()), (1, 1));
        }
    }
}

#[test]
fn a_udp_checksum_of_zero_stays_zero_both_ways() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let without = |packet: Packet| {
        let mut frame = packet.frame();
        frame[TRANSPORT + 6..TRANSPORT + 8].fill(0);
        frame
    };
    let external = rig.open(C1, Carries::Udp, 4000, remote);
    let out = rig.deliver(inside(C1), without(Packet::outbound(C1, Carries::Udp, 4000, remote)));
    assert_eq!(out.frame[TRANSPORT + 6..TRANSPORT + 8], [0, 0]);
    assert_eq!(Packet::read(&out.frame).source, external);
    let back = rig.deliver(outside(VPC_A), without(Packet::inbound(VPC_A, Carries::Udp, remote, external)));
    assert_eq!(back.frame[TRANSPORT + 6..TRANSPORT + 8], [0, 0]);
    assert_eq!(Packet::read(&back.frame).destination, endpoint(CONTAINER, 4000));
}

#[test]
fn a_udp_checksum_never_becomes_zero() {
    // A payload that makes the sum come out as 0, which has to be sent as 0xffff (RFC 768).
    let mut rig = Rig::new();
    let sent = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    let first = rig.deliver(inside(C1), sent.clone().with_payload([0, 0]).frame());
    let missing = &first.frame[TRANSPORT + 6..TRANSPORT + 8];
    let second = rig.deliver(inside(C1), sent.with_payload(missing).frame());
    assert_eq!(second.frame[TRANSPORT + 6..TRANSPORT + 8], [0xff, 0xff]);
    assert_eq!(wrong_checksum(&second.frame), None);
}

#[test]
fn one_internal_endpoint_has_one_external_endpoint_for_all_remotes() {
    // RFC 4787 REQ-1.
    for (carries, _, port) in KINDS {
        let mut rig = Rig::new();
        let first = rig.open(C1, carries, 4000, endpoint(SERVER, port));
        for remote in [endpoint(OTHER_SERVER, port), far(port)] {
            assert_eq!(rig.open(C1, carries, 4000, remote), first);
        }
        assert_ne!(rig.open(C1, carries, 4001, endpoint(SERVER, port)), first);
        assert_eq!((rig.engine.session_count(), rig.ports_used()), (4, 2));
    }
}

#[test]
fn containers_with_one_address_and_port_get_different_external_ports() {
    for (carries, answer, port) in KINDS {
        let mut rig = Rig::new();
        let remote = endpoint(SERVER, port);
        let [first, second] = [C1, C2].map(|id| rig.open(id, carries, 4000, remote));
        assert_ne!(first, second);
        for (id, external) in [(C1, first), (C2, second)] {
            let back = Packet::inbound(VPC_A, answer, remote, external);
            assert_eq!(rig.forward(outside(VPC_A), &back).0, inside(id));
        }
        let sessions = [inside(C1), inside(C2), outside(VPC_A)].map(|link| rig.sessions_of(link));
        assert_eq!(sessions, [1, 1, 2]);
    }
}

#[test]
fn each_protocol_has_a_port_space_of_its_own() {
    let mut rig = Rig::with_ports(2000..=2000);
    for (carries, _, port) in KINDS {
        assert_eq!(rig.open(C1, carries, 4000, endpoint(SERVER, port)), endpoint(EXTERNAL, 2000));
    }
}

#[test]
fn vpcs_with_equal_addresses_do_not_see_each_other() {
    let mut rig = Rig::with_ports(2000..=2000);
    let remote = endpoint(SERVER, 80);
    let [a, b] = [C1, C3].map(|id| rig.open(id, Carries::Udp, 4000, remote));
    assert_eq!(a, b, "the same endpoint, each on its own uplink");
    for (uplink, id) in [(VPC_A, C1), (VPC_B, C3)] {
        let (to, _) = rig.forward(outside(uplink), &Packet::inbound(uplink, Carries::Udp, remote, a));
        assert_eq!(to, inside(id));
    }
    rig.apply(gateway_core::Command::RemoveAttachment(C3));
    let back = Packet::inbound(VPC_B, Carries::Udp, remote, b);
    assert_eq!(rig.refused(outside(VPC_B), back.frame(), Reason::NoMapping), None);
}

#[test]
fn far_destinations_leave_through_the_router() {
    let mut rig = Rig::new();
    let (_, arrived) = rig.forward(inside(C1), &Packet::outbound(C1, Carries::Udp, 4000, far(53)));
    assert_eq!(arrived.destination_mac, host_mac(VPC_A, ROUTER));
    assert_eq!(arrived.destination, far(53));
}

#[test]
fn ports_start_at_random_places() {
    let mut rig = Rig::new();
    let ports: BTreeSet<u16> =
        (0..64).map(|i| rig.open(C1, Carries::Udp, 4000 + i, endpoint(SERVER, 53)).port()).collect();
    assert_eq!(ports.len(), 64);
    let blocks: BTreeSet<u16> = ports.iter().map(|port| port / gateway_core::limits::PORT_BLOCK).collect();
    assert!(blocks.len() > 32, "{blocks:?}");
}

#[test]
fn a_tcp_session_shows_its_state() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 80);
    let mut connection = Connection::new();
    let mut external = endpoint(EXTERNAL, 0);
    let states = [
        (By::Container, SYN, SessionState::Opening),
        (By::Remote, SYN | ACK, SessionState::Established),
        (By::Container, ACK, SessionState::Established),
        (By::Container, FIN | ACK, SessionState::FinOutbound),
        (By::Remote, FIN | ACK, SessionState::Closing),
        (By::Container, ACK, SessionState::Finished),
        (By::Container, SYN, SessionState::Opening),
        (By::Remote, RST | ACK, SessionState::Reset),
    ];
    for (by, flags, state) in states {
        if by == By::Container {
            let packet = Packet::outbound(C1, Carries::Tcp(flags), 4000, remote);
            external = rig.forward(inside(C1), &connection.next(by, packet)).1.source;
        } else {
            let packet = Packet::inbound(VPC_A, Carries::Tcp(flags), remote, external);
            rig.forward(outside(VPC_A), &connection.next(by, packet));
        }
        let [session] = &rig.sessions()[..] else { panic!("one session") };
        assert_eq!(session.state, state, "after {flags:#x} of the {by:?}");
        assert_eq!((session.attachment, session.connector, session.uplink), (C1, TO_A, VPC_A));
        assert_eq!((session.internal, session.external), (endpoint(CONTAINER, 4000), external));
        assert_eq!((session.remote, session.protocol), (remote, Protocol::Tcp));
    }
}

#[test]
fn ethernet_padding_passes() {
    // A VPC's link pads frames to 60 bytes.
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let external = rig.open(C1, Carries::Udp, 4000, remote);
    let mut frame = Packet::inbound(VPC_A, Carries::Udp, remote, external).frame();
    frame.resize(ETHERNET + 60, 0);
    let step = rig.deliver(outside(VPC_A), frame);
    assert_eq!(step.verdict, gateway_core::Verdict::Forward(inside(C1)));
    assert_eq!(Packet::read(&step.frame).payload, b"in");
}

#[test]
fn the_gateway_uses_the_mac_address_that_it_learned_last() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    rig.open(C1, Carries::Udp, 4000, remote);
    let moved = MacAddr([2, 0xee, 0, 0, 0, 0x77]);
    let announcement = crate::support::arp::Arp::request((moved, SERVER), SERVER);
    rig.deliver(outside(VPC_A), announcement.frame());
    let (_, arrived) = rig.forward(inside(C1), &Packet::outbound(C1, Carries::Udp, 4000, remote));
    assert_eq!(arrived.destination_mac, moved);
}

#[test]
fn a_container_always_appears_as_the_same_external_address() {
    // RFC 4787 REQ-2.
    const VPC_C: UplinkId = UplinkId(3);
    let addresses = [EXTERNAL, Ipv4Addr::new(10, 1, 0, 11)];
    let mut rig = Rig::new();
    let space = space(addresses.map(IpAddr::V4).to_vec(), &(2000..=2001), 1);
    rig.add_uplink(uplink_config(VPC_C, vec![], space));
    let mut seen = BTreeSet::new();
    for id in [AttachmentId(20), AttachmentId(21)] {
        rig.add_attachment(id);
        rig.attach(id, TO_A, VPC_C);
        let open = |rig: &mut Rig, carries, port| {
            rig.forward_resolving(inside(id), &Packet::outbound(id, carries, port, endpoint(SERVER, 80)))
        };
        let packets = KINDS.map(|(carries, ..)| open(&mut rig, carries, 4000));
        let external = packets[0].source.ip();
        assert!(packets.iter().all(|packet| packet.source.ip() == external));
        assert_eq!(open(&mut rig, Carries::Udp, 4001).source.ip(), external);
        // Its ports are used up, though the other address has some.
        let third = Packet::outbound(id, Carries::Udp, 4002, endpoint(SERVER, 80));
        rig.refused(inside(id), third.frame(), Reason::PortsExhausted);
        seen.insert(external);

        // RFC 5508 REQ-4: an error that comes to the other address is not about this session.
        let mut error = packets[1].error_by(OTHER_SERVER, 3, 3, 28);
        let other = addresses.into_iter().find(|&a| a != external).expect("there are two");
        error.destination = endpoint(other, 0);
        rig.refused(outside(VPC_C), error.frame(), Reason::IcmpErrorUnrelated);
        error.destination = endpoint(external, 0);
        assert_eq!(rig.forward(outside(VPC_C), &error).0, inside(id));
    }
    assert_eq!(seen, addresses.map(IpAddr::V4).into());
}
