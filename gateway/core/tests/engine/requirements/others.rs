//! Checksums, ports, fragments and IPv6: RFC 1624, 3022, 4861, 4884, 5722, 6056, 6864, 8200.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use gateway_core::{Reason, Verdict, limits};

use super::{Error, KINDS, feed, flow, nets, pattern, received, rig_with, seen, whole};
use crate::support::checksum::{fix_icmp, fix_icmpv6, word};
use crate::support::fragments::{Piece, cut, fragment};
use crate::support::nd::{
    ADVERTISEMENT, ALL_NODES, ALL_ROUTERS, Nd, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, message,
    multicast_mac,
};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::*;

#[test]
fn rfc1624_sec_3_updated_checksums_are_what_full_computation_gives() {
    for net in nets() {
        for (carries, answer) in KINDS {
            let mut rig = Rig::new();
            // `Packet::read` computes all checksums anew.
            for n in 0..200_u16 {
                let remote = endpoint(net.server, if carries == Carries::EchoRequest { 0 } else { 80 });
                let payload = pattern(usize::from(n) % 67);
                let sent = Packet::outbound(C1, carries, n.wrapping_mul(331), remote).with_payload(payload);
                let (_, arrived) = rig.forward(inside(C1), &sent);
                assert_eq!(arrived, seen(&sent, arrived.source));
                let back = Packet::inbound(VPC_A, answer, remote, arrived.source);
                let expected = received(&back, C1, sent.source);
                assert_eq!(rig.forward(outside(VPC_A), &back), (inside(C1), expected));
            }
        }
    }
}

#[test]
fn rfc1624_sec_3_a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
    for net in nets() {
        let mut rig = Rig::new();
        let field = net.transport() + 6..net.transport() + 8;
        let sent = Packet::outbound(C1, Carries::Udp, 4000, endpoint(net.server, 53));
        let first = rig.deliver(inside(C1), sent.clone().with_payload([0, 0]).frame());
        // With the checksum as payload, the sum is complete.
        let second = rig.deliver(inside(C1), sent.with_payload(&first.frame[field.clone()]).frame());
        assert_eq!(second.frame[field], [0xff, 0xff]);
        assert_eq!(checksum::wrong(&second.frame), None);
    }
}

#[test]
fn rfc768_a_udp_checksum_of_zero_stays_zero_both_ways() {
    let [v4, _] = nets();
    let mut rig = Rig::new();
    let field = v4.transport() + 6..v4.transport() + 8;
    let without = |packet: &Packet| {
        let mut frame = packet.frame();
        frame[field.clone()].fill(0);
        frame
    };
    let sent = Packet::outbound(C1, Carries::Udp, 4000, endpoint(v4.server, 53));
    let out = rig.deliver(inside(C1), without(&sent));
    let external = Packet::read(&out.frame).source;
    let back = rig
        .deliver(outside(VPC_A), without(&Packet::inbound(VPC_A, Carries::Udp, sent.destination, external)));
    assert_eq!([&out, &back].map(|step| word(&step.frame, field.start)), [0, 0]);
    assert_eq!(back.verdict, Verdict::Forward(inside(C1)));
}

#[test]
fn rfc8200_sec_8_1_a_udp_datagram_without_checksum_is_dropped_over_ipv6() {
    let [_, v6] = nets();
    let mut rig = Rig::new();
    let external = rig.open(C1, Carries::Udp, 4000, endpoint(v6.server, 53));
    for (link, packet) in [
        (inside(C1), Packet::outbound(C1, Carries::Udp, 4000, endpoint(v6.server, 53))),
        (outside(VPC_A), Packet::inbound(VPC_A, Carries::Udp, endpoint(v6.server, 53), external)),
    ] {
        let mut frame = packet.frame();
        frame[TRANSPORT_V6 + 6..TRANSPORT_V6 + 8].fill(0);
        rig.refused(link, frame, Reason::TransportInvalid);
    }
}

#[test]
fn rfc6056_sec_3_ports_are_taken_from_the_whole_range_at_random() {
    for net in nets() {
        let mut rig = Rig::new();
        let ports: Vec<u16> =
            (0..256).map(|n| rig.open(C1, Carries::Udp, 4000 + n, endpoint(net.server, 53)).port()).collect();
        // Of eight parts of the range, none is left out; and no step from one to the next comes back often.
        let eighths: BTreeSet<u16> = ports.iter().map(|port| port / 8192).collect();
        assert_eq!(eighths.len(), 8);
        let steps: BTreeSet<u16> = ports.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.len() > 240, "{ports:?}");
    }
}

#[test]
fn rfc4884_sec_5_extensions_go_on_as_they_are() {
    for net in nets() {
        let mut flow = flow(net, Carries::Udp, Carries::Udp);
        // A quote of 128 bytes, the least that RFC 4884 lets extensions follow.
        let payload = [flow.seen.embedded(128), pattern(60)].concat();
        let kind = if net.is_v4() { 11 } else { 3 };
        let mut frame = flow.seen.error_by(net.hop, kind, 0, 0).with_payload(payload).frame();
        if net.is_v4() {
            frame[TRANSPORT + 5] = 32;
            fix_icmp(&mut frame);
        } else {
            frame[TRANSPORT_V6 + 4] = 16;
            fix_icmpv6(&mut frame);
        }
        let length = word(&frame, net.transport() + 4);
        let step = flow.rig.deliver(outside(VPC_A), frame);
        assert_eq!(step.verdict, Verdict::Forward(inside(C1)));
        assert_eq!(word(&step.frame, net.transport() + 4), length);
        let restored = flow.sent.clone().with_ttl(flow.seen.ttl).embedded(128);
        assert_eq!(Packet::read(&step.frame).payload, [restored, pattern(60)].concat());
    }
}

#[test]
fn rfc3022_sec_6_3_fragments_of_two_containers_with_one_id_are_told_apart() {
    for net in nets() {
        let mut rig = Rig::new();
        let sent = [C1, C2].map(|id| net.large(id, 4000, 4000));
        let [first, second] = [0, 1].map(|n| {
            let mut packet = sent[n].clone();
            packet.payload[100] = n as u8;
            (packet.clone(), cut(&packet.frame(), 1400, 0x1234))
        });
        for index in 0..2 {
            for (id, (_, fragments)) in [(C1, &first), (C2, &second)] {
                let verdict = rig.deliver(inside(id), fragments[index].clone()).verdict;
                assert_eq!(verdict, Verdict::Hold);
            }
        }
        let mut ids = BTreeSet::new();
        let mut sources = BTreeSet::new();
        for (id, (packet, fragments)) in [(C1, &first), (C2, &second)] {
            let sent = feed(&mut rig, inside(id), vec![fragments[2].clone()]);
            let arrived = whole(&sent, outside(VPC_A));
            assert_eq!(arrived, seen(packet, arrived.source));
            ids.insert(Piece::read(&sent[0].frame).id);
            sources.insert(arrived.source);
        }
        assert_eq!((ids.len(), sources.len()), (2, 2));
    }
}

#[test]
fn rfc6864_sec_5_3_1_datagrams_that_may_be_fragmented_get_ids_of_the_gateways_own() {
    let [v4, _] = nets();
    let mut rig = Rig::new();
    let mut ids = BTreeSet::new();
    // All of them come with one id.
    for n in 0..200 {
        let id = if n % 2 == 0 { C1 } else { C2 };
        let frame = v4.large(id, 4000 + n, 100).frame();
        assert_eq!(word(&frame, IP + 4), 0x1234);
        let step = rig.deliver(inside(id), frame);
        assert_eq!(step.verdict, Verdict::Forward(outside(VPC_A)));
        assert_eq!(checksum::wrong(&step.frame), None);
        ids.insert(word(&step.frame, IP + 4));
    }
    assert_eq!(ids.len(), 200);
    // RFC 6864 §4.1: of an atomic datagram the id says nothing, and stays.
    let atomic = Packet { dont_fragment: true, ..v4.large(C1, 4000, 100) };
    let step = rig.deliver(inside(C1), atomic.frame());
    assert_eq!(word(&step.frame, IP + 4), 0x1234);
}

#[test]
fn rfc5722_sec_4_a_datagram_with_overlapping_fragments_is_dropped_whole() {
    for net in nets() {
        let mut rig = Rig::new();
        let frame = net.large(C1, 4000, 3000).frame();
        let end = frame.len() - net.transport();
        let verdicts = [0..1400, 1392..2000, 1400..2000, 2000..end, 0..1400].map(|part| {
            let step = rig.deliver(inside(C1), fragment(&frame, part, 7));
            assert_eq!(step.sent, []);
            step.verdict
        });
        let overlap = Verdict::Drop(Reason::FragmentOverlap);
        assert_eq!(verdicts, [Verdict::Hold, overlap, overlap, overlap, overlap]);
        // Another datagram is not concerned.
        let out = feed(&mut rig, inside(C1), cut(&frame, 1400, 8));
        assert_eq!(whole(&out, outside(VPC_A)).payload, pattern(3000));
    }
}

#[test]
fn rfc8200_sec_4_5_the_sender_hears_of_a_datagram_that_stayed_incomplete() {
    for net in nets() {
        let mut rig = Rig::new();
        let external = rig.open(C1, Carries::Udp, 4000, endpoint(net.server, 53));
        let out = cut(&net.large(C1, 4000, 4000).frame(), 1400, 7);
        let back = cut(&net.large_back(external, 4000).frame(), 1400, 7);
        for (link, fragments) in [(inside(C1), &out), (outside(VPC_A), &back)] {
            for fragment in &fragments[..2] {
                assert_eq!(rig.deliver(link, fragment.clone()).verdict, Verdict::Hold);
            }
        }
        let told = |sent: Vec<crate::support::rig::Sent>| {
            let told = sent.into_iter().map(|sent| (sent.to, Packet::read(&sent.frame)));
            told.filter(|(_, packet)| packet.carries == net.icmp(Error::ReassemblyExpired))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(rig.wait_until(just_before(at(30))).1), []);
        let expected = [
            (inside(C1), net.told(C1, &out[0], Error::ReassemblyExpired)),
            (outside(VPC_A), net.told_outside(VPC_A, net.server, &back[0], Error::ReassemblyExpired)),
        ];
        let sent = told(rig.wait_until(at(30)).1);
        assert_eq!(BTreeSet::from_iter([sent[0].0, sent[1].0]).len(), 2);
        assert!(sent.len() == 2 && expected.iter().all(|told| sent.contains(told)), "{sent:?}");
        // What comes now is of another datagram.
        assert_eq!(rig.deliver(inside(C1), out[2].clone()).verdict, Verdict::Hold);
    }
}

/// The frame with a header of eight bytes, of this type, between IPv6 and transport header.
fn with_header(frame: &[u8], number: u8) -> Vec<u8> {
    let mut longer = frame[..TRANSPORT_V6].to_vec();
    longer.extend([frame[IP + 6], 0, 1, 4, 0, 0, 0, 0]);
    longer.extend(&frame[TRANSPORT_V6..]);
    longer[IP + 6] = number;
    let length = word(frame, IP + 4) + 8;
    longer[IP + 4..IP + 6].copy_from_slice(&length.to_be_bytes());
    longer
}

#[test]
fn rfc8200_sec_4_extension_headers_are_walked_over_and_unknown_ones_told() {
    const HOP_BY_HOP: u8 = 0;
    const DESTINATION_OPTIONS: u8 = 60;
    /// RFC 3692: for experiments.
    const UNKNOWN: u8 = 253;
    let [_, v6] = nets();
    let sent = Packet::outbound(C1, Carries::Udp, 4000, endpoint(v6.server, 53));
    for number in [HOP_BY_HOP, DESTINATION_OPTIONS] {
        let mut rig = Rig::new();
        let step = rig.deliver(inside(C1), with_header(&sent.frame(), number));
        assert_eq!(step.verdict, Verdict::Forward(outside(VPC_A)));
        let arrived = Packet::read(&step.frame);
        assert_eq!(arrived, seen(&sent, arrived.source));
        assert_eq!(step.frame[TRANSPORT_V6..TRANSPORT_V6 + 8], [17, 0, 1, 4, 0, 0, 0, 0]);
    }
    let mut rig = Rig::new();
    let frame = with_header(&sent.frame(), UNKNOWN);
    let told = rig.refused(inside(C1), frame, Reason::ProtocolUnsupported).expect("told");
    // Parameter problem, unrecognized next header, at byte 6.
    assert_eq!(told.carries, Carries::Icmp { kind: 4, code: 1, rest: 6 });
}

#[test]
fn rfc4861_sec_7_2_the_gateway_says_where_its_addresses_are() {
    let mut rig = Rig::new();
    let asker = (container_mac(C1), CONTAINER_V6);
    let step = rig.deliver(inside(C1), Nd::solicitation(asker, GATEWAY_V6).frame());
    let [answer] = &step.sent[..] else { panic!("one answer: {step:?}") };
    let read = Nd::read(&answer.frame);
    assert_eq!((read.kind, read.target, read.mac), (ADVERTISEMENT, GATEWAY_V6, Some(gateway_mac(C1))));
    assert_eq!((read.source, read.destination), ((gateway_mac(C1), GATEWAY_V6), asker));
    // Router, solicited, override.
    assert_eq!((answer.to, read.flags), (inside(C1), 0xe0));

    let asker = (host_mac(VPC_A, SERVER_V6), SERVER_V6);
    let step = rig.deliver(outside(VPC_A), Nd::solicitation(asker, EXTERNAL_V6).frame());
    let [answer] = &step.sent[..] else { panic!("one answer: {step:?}") };
    assert_eq!(Nd::read(&answer.frame), Nd::advertisement((uplink_mac(VPC_A), EXTERNAL_V6), asker));

    // §7.1.1: only a neighbor's hop limit is 255.
    let far = Nd::solicitation(asker, EXTERNAL_V6).packet().with_ttl(254);
    rig.refused(outside(VPC_A), far.frame(), Reason::NdInvalid);
}

#[test]
fn rfc4861_sec_6_2_a_container_hears_of_its_router_when_it_asks_and_every_ten_minutes() {
    let mut rig = Rig::new();
    let advertisements = |sent: Vec<crate::support::rig::Sent>| {
        let read =
            sent.into_iter().filter(|sent| sent.to == inside(C1)).map(|sent| Packet::read(&sent.frame));
        read.filter(|p| matches!(p.carries, Carries::Icmp { kind: ROUTER_ADVERTISEMENT, .. }))
            .collect::<Vec<_>>()
    };
    let all_routers = (multicast_mac(ALL_ROUTERS), ALL_ROUTERS);
    let own = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xc1);
    let asks = message((container_mac(C1), own), all_routers, ROUTER_SOLICITATION);
    let [told] = &advertisements(rig.deliver(inside(C1), asks.frame()).sent)[..] else { panic!("one") };
    assert_eq!((told.source.ip(), told.ttl), (GATEWAY_V6.into(), 255));
    assert_eq!(advertisements(rig.wait_until(just_before(at(600))).1), []);
    let [told] = &advertisements(rig.wait_until(at(600)).1)[..] else { panic!("one") };
    assert_eq!((told.destination.ip(), told.source.ip()), (ALL_NODES.into(), GATEWAY_V6.into()));
}

#[test]
fn rfc4861_sec_7_2_2_a_hosts_address_is_asked_for_before_the_first_packet_leaves() {
    let mut rig = Rig::unresolved(limits::DEFAULT_PORTS);
    let packet = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER_V6, 53));
    let step = rig.deliver(inside(C1), packet.frame());
    let [asked] = &step.sent[..] else { panic!("one question: {step:?}") };
    assert_eq!((step.verdict, Nd::read(&asked.frame)), (Verdict::Hold, Nd::gateway_asks(VPC_A, SERVER_V6)));
    let step = rig.deliver(outside(VPC_A), Nd::host_answers(VPC_A, SERVER_V6).frame());
    let [released] = &step.sent[..] else { panic!("one packet: {step:?}") };
    let arrived = Packet::read(&released.frame);
    assert_eq!((released.to, &arrived), (outside(VPC_A), &seen(&packet, arrived.source)));
}

#[test]
fn rfc4443_sec_2_4_an_error_is_no_larger_than_the_smallest_mtu() {
    let [_, v6] = nets();
    let mut rig = rig_with(limits::DEFAULT_PORTS, |_| {});
    let frame = v6.large(C1, 4000, 1400).with_ttl(1).frame();
    let step = rig.deliver(inside(C1), frame.clone());
    let [told] = &step.sent[..] else { panic!("one error: {step:?}") };
    assert_eq!(told.frame.len() - IP, 1280);
    assert_eq!(Packet::read(&told.frame), v6.told(C1, &frame, Error::TtlExpired));
}
