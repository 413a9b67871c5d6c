//! ICMP errors and the packets embedded in them (RFC 5508 §7).

use std::net::Ipv4Addr;

use gateway_core::{Reason, Verdict};

use crate::support::checksum::{fix_icmp, fix_ipv4};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::*;

const HOP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 254);

/// As much of a packet as IPv4 header and the 8 bytes that RFC 792 asks for.
const SHORTEST: usize = 28;

struct Flow {
    rig: Rig,
    /// As the container sent it, and as the VPC saw it.
    sent: Packet,
    seen: Packet,
    /// As the VPC answered, and as the container saw it.
    answered: Packet,
    received: Packet,
}

/// One packet each way.
fn flow(carries: Carries, answer: Carries, port: u16) -> Flow {
    let mut rig = Rig::new();
    let sent = Packet::outbound(C1, carries, 4000, endpoint(SERVER, port)).with_payload([0xa5; 700]);
    let (_, seen) = rig.forward(inside(C1), &sent);
    let answered = Packet::inbound(VPC_A, answer, seen.destination, seen.source).with_payload([0x5a; 700]);
    let (_, received) = rig.forward(outside(VPC_A), &answered);
    Flow { rig, sent, seen, answered, received }
}

fn flows() -> [Flow; 3] {
    [
        flow(Carries::Tcp(SYN), Carries::Tcp(SYN | ACK), 80),
        flow(Carries::Udp, Carries::Udp, 53),
        flow(Carries::EchoRequest, Carries::EchoReply, 0),
    ]
}

/// The error as it leaves the gateway: its own addresses, and the packet as the other side knows it. Embedded TTL and
/// identification are those of the packet that the error is about.
fn about(packet: &Packet, ttl: u8, length: usize) -> Vec<u8> {
    packet.clone().with_ttl(ttl).embedded(length)
}

#[test]
fn an_error_of_any_router_reaches_the_container_with_its_own_packet_inside() {
    for mut flow in flows() {
        for (kind, code) in [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)] {
            for length in [SHORTEST, 29, 35, 36, 38, 40, 100, 548, 2000] {
                let error = flow.seen.error_by(HOP, kind, code, length);
                let (to, told) = flow.rig.forward(outside(VPC_A), &error);
                let expected = Packet {
                    source_mac: gateway_mac(C1),
                    destination_mac: container_mac(C1),
                    destination: endpoint(CONTAINER, 0),
                    ttl: error.ttl - 1,
                    payload: about(&flow.sent, flow.seen.ttl, length),
                    ..error
                };
                assert_eq!((to, told), (inside(C1), expected), "{:?} {length}", flow.sent.carries);
            }
        }
    }
}

#[test]
fn an_error_of_the_container_reaches_the_remote_with_its_own_packet_inside() {
    for mut flow in flows() {
        for length in [SHORTEST, 36, 38, 548, 2000] {
            let error = flow.received.error_by(CONTAINER, 3, 3, length);
            let (to, told) = flow.rig.forward(inside(C1), &error);
            let expected = Packet {
                source_mac: uplink_mac(VPC_A),
                destination_mac: host_mac(VPC_A, SERVER),
                source: endpoint(EXTERNAL, 0),
                ttl: error.ttl - 1,
                payload: about(&flow.answered, flow.received.ttl, length),
                ..error
            };
            assert_eq!((to, told), (outside(VPC_A), expected), "{:?} {length}", flow.answered.carries);
        }
    }
}

#[test]
fn half_a_checksum_inside_an_error_is_left_as_it_is() {
    let [mut flow, ..] = flows();
    let error = flow.seen.error_by(HOP, 3, 1, 37);
    let (_, told) = flow.rig.forward(outside(VPC_A), &error);
    assert_eq!(told.payload[36], error.payload[36]);
    assert_eq!(told.payload[..36], about(&flow.sent, flow.seen.ttl, 36));
}

#[test]
fn a_udp_checksum_of_zero_inside_an_error_stays_zero() {
    let [_, mut flow, _] = flows();
    let mut error = flow.seen.error_by(HOP, 3, 3, SHORTEST);
    error.payload[26..28].fill(0);
    assert_eq!(flow.rig.forward(outside(VPC_A), &error).1.payload[26..28], [0, 0]);
}

#[test]
fn rfc4884_extensions_behind_the_quoted_packet_are_left_alone() {
    for mut flow in flows() {
        // The shortest quote, its length in words, and extensions where a longer quote would have its checksum.
        let quote = flow.seen.embedded(SHORTEST);
        let payload = [quote.clone(), vec![0xee; 100]].concat();
        let mut frame = flow.seen.error_by(HOP, 3, 1, SHORTEST).with_payload(payload).frame();
        frame[TRANSPORT + 5] = (SHORTEST / 4) as u8;
        fix_icmp(&mut frame);
        let step = flow.rig.deliver(outside(VPC_A), frame);
        assert_eq!(step.verdict, Verdict::Forward(inside(C1)));
        let quoted = TRANSPORT + 8;
        assert_eq!(step.frame[quoted..quoted + SHORTEST], about(&flow.sent, flow.seen.ttl, SHORTEST));
        assert_eq!(step.frame[quoted + SHORTEST..], [0xee; 100]);
    }
}

#[test]
fn padding_behind_a_short_quoted_packet_is_left_alone() {
    let mut rig = Rig::new();
    let sent = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53)).with_payload([]);
    let (_, seen) = rig.forward(inside(C1), &sent);
    let payload = [seen.embedded(SHORTEST), vec![0xee; 100]].concat();
    let (_, told) = rig.forward(outside(VPC_A), &seen.error_by(HOP, 3, 3, SHORTEST).with_payload(payload));
    assert_eq!(told.payload[SHORTEST..], [0xee; 100]);
}

#[test]
fn the_mtu_of_a_router_gets_through() {
    let [mut flow, ..] = flows();
    let mut error = flow.seen.error_by(HOP, 3, 4, 548);
    error.carries = Carries::Icmp { kind: 3, code: 4, rest: 1400 };
    assert_eq!(flow.rig.forward(outside(VPC_A), &error).1.carries, error.carries);
}

#[test]
fn an_error_neither_refreshes_nor_ends_a_session() {
    for mut flow in flows() {
        let before = flow.rig.sessions();
        let expires = flow.rig.now + before[0].expires_in;
        flow.rig.now = flow.rig.now + seconds(30);
        let [inbound, outbound] =
            [flow.seen.error_by(HOP, 3, 3, 548), flow.received.error_by(CONTAINER, 3, 3, 548)];
        flow.rig.forward(outside(VPC_A), &inbound);
        flow.rig.forward(inside(C1), &outbound);
        let after = flow.rig.sessions();
        assert_eq!((after.len(), after[0].state), (1, before[0].state));
        assert_eq!(flow.rig.now + after[0].expires_in, expires);
        assert_eq!(flow.rig.ports_used(), 1);
    }
}

#[test]
fn an_error_about_no_session_of_this_link_is_dropped() {
    let foreign = |mut packet: Packet, change: fn(&mut Packet)| {
        change(&mut packet);
        packet
    };
    for mut flow in flows() {
        let inbound: [fn(&mut Packet); 5] = [
            |p| p.source.set_port(p.source.port() ^ 1),
            |p| p.destination.set_ip(OTHER_SERVER.into()),
            |p| p.source.set_ip(CONTAINER.into()),
            |p| std::mem::swap(&mut p.source, &mut p.destination),
            |p| p.carries = if p.carries == Carries::Udp { Carries::Tcp(SYN) } else { Carries::Udp },
        ];
        for change in inbound {
            let mut error = foreign(flow.seen.clone(), change).error_by(HOP, 3, 3, SHORTEST);
            error.destination = endpoint(EXTERNAL, 0);
            error.destination_mac = uplink_mac(VPC_A);
            flow.rig.refused(outside(VPC_A), error.frame(), Reason::IcmpErrorUnrelated);
        }
        let mut error = flow.seen.error_by(HOP, 3, 3, SHORTEST);
        (error.source_mac, error.destination_mac) = (host_mac(VPC_B, HOP), uplink_mac(VPC_B));
        flow.rig.refused(outside(VPC_B), error.frame(), Reason::IcmpErrorUnrelated);

        let error = flow.received.error_by(CONTAINER, 3, 3, SHORTEST);
        let elsewhere = Packet { destination: endpoint(OTHER_SERVER, 0), ..error.clone() };
        flow.rig.refused(inside(C1), elsewhere.frame(), Reason::IcmpErrorUnrelated);
        let of_another = Packet { source_mac: container_mac(C2), destination_mac: gateway_mac(C2), ..error };
        flow.rig.refused(inside(C2), of_another.frame(), Reason::IcmpErrorUnrelated);
    }
}

#[test]
fn an_error_with_less_than_the_shortest_embedded_packet_is_dropped() {
    for mut flow in flows() {
        for length in 0..SHORTEST {
            let inbound = flow.seen.error_by(HOP, 3, 3, length);
            flow.rig.refused(outside(VPC_A), inbound.frame(), Reason::IcmpErrorUnrelated);
            let outbound = flow.received.error_by(CONTAINER, 3, 3, length);
            flow.rig.refused(inside(C1), outbound.frame(), Reason::IcmpErrorUnrelated);
        }
    }
}

#[test]
fn an_error_whose_embedded_header_is_wrong_is_dropped() {
    // Offsets in the embedded IPv4 header: version and length, fragment offset, header checksum, protocol.
    for (at, byte) in [(0, 0x65), (0, 0x44), (0, 0x4f), (7, 1), (10, 0xee), (9, 47), (9, 6)] {
        let [_, mut flow, _] = flows();
        let mut error = flow.seen.error_by(HOP, 3, 3, SHORTEST);
        error.payload[at] = byte;
        flow.rig.refused(outside(VPC_A), error.frame(), Reason::IcmpErrorUnrelated);
    }
}

#[test]
fn an_error_with_a_wrong_checksum_is_dropped() {
    let [mut flow, ..] = flows();
    let mut frame = flow.seen.error_by(HOP, 3, 3, 100).frame();
    *frame.last_mut().expect("not empty") ^= 1;
    flow.rig.refused(outside(VPC_A), frame, Reason::IcmpChecksumWrong);
}

#[test]
fn an_embedded_header_with_options_is_translated() {
    let [_, mut flow, _] = flows();
    let with_options = |packet: &Packet, ttl: u8| {
        let mut frame = packet.clone().with_ttl(ttl).frame();
        frame.splice(TRANSPORT..TRANSPORT, [1; 4]);
        frame[IP] = 0x46;
        fix_ipv4(&mut frame);
        frame[IP..IP + 100].to_vec()
    };
    let mut error = flow.seen.error_by(HOP, 3, 3, 100);
    error.payload = with_options(&flow.seen, flow.seen.ttl);
    let (_, told) = flow.rig.forward(outside(VPC_A), &error);
    assert_eq!(told.payload, with_options(&flow.sent, flow.seen.ttl));
}

#[test]
fn an_error_waits_for_its_next_hop_like_any_packet() {
    let [_, mut flow, _] = flows();
    // The server is forgotten: nobody used it for a minute after its last answer.
    flow.rig.wait(seconds(60));
    let answer = crate::support::arp::Arp::host_answers(VPC_A, SERVER);
    flow.rig.deliver(outside(VPC_A), answer.frame());
    flow.rig.wait(seconds(60));
    let error = flow.received.error_by(CONTAINER, 3, 3, 100);
    assert_eq!(flow.rig.deliver(inside(C1), error.frame()).verdict, Verdict::Hold);
    let step = flow.rig.deliver(outside(VPC_A), answer.frame());
    let [sent] = &step.sent[..] else { panic!("one packet was held") };
    assert_eq!(Packet::read(&sent.frame).payload, about(&flow.answered, flow.received.ttl, 100));
}

#[test]
fn an_error_from_an_address_that_is_no_host_is_dropped() {
    let [_, mut flow, _] = flows();
    for by in [[127, 0, 0, 1], [0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255]] {
        let mut frame = flow.seen.error_by(by, 3, 3, 100).frame();
        fix_icmp(&mut frame);
        flow.rig.refused(outside(VPC_A), frame, Reason::SourceInvalid);
    }
}
