//! Datagrams that come in fragments, and packets that leave in them (RFC 4787 REQ-13 and REQ-14).

use std::net::{IpAddr, SocketAddr};

use gateway_core::{Command, Link, Reason, Verdict, limits};

use crate::support::checksum::fix_ipv4;
use crate::support::fragments::{Piece, cut, fragment, join};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{MTU, Rig, Sent};
use crate::support::*;

/// Container, external address and server of one version of IP.
fn versions() -> [(IpAddr, IpAddr, IpAddr); 2] {
    [
        (CONTAINER.into(), EXTERNAL.into(), SERVER.into()),
        (CONTAINER_V6.into(), EXTERNAL_V6.into(), SERVER_V6.into()),
    ]
}

/// A datagram to `remote` that is larger than a link.
fn large(remote: SocketAddr) -> Packet {
    let payload: Vec<u8> = (0..=250).cycle().take(4000).collect();
    Packet::outbound(C1, Carries::Udp, 4000, remote).with_payload(payload).without_dont_fragment()
}

/// The same back, to an external endpoint.
fn large_back(remote: SocketAddr, external: SocketAddr) -> Packet {
    let payload: Vec<u8> = (0..=249).cycle().take(4000).collect();
    Packet::inbound(VPC_A, Carries::Udp, remote, external).with_payload(payload).without_dont_fragment()
}

/// Gives fragments to the engine, which keeps all but the last, and returns what it sends then, and where.
fn deliver_all(rig: &mut Rig, from: Link, fragments: Vec<Vec<u8>>) -> (Link, Vec<Vec<u8>>) {
    let last = fragments.len() - 1;
    for (index, fragment) in fragments.into_iter().enumerate() {
        let step = rig.deliver(from, fragment);
        if index == last {
            assert_eq!((step.verdict, step.drops), (Verdict::Respond, vec![]));
            let to = step.sent[0].to;
            assert!(step.sent.iter().all(|sent| sent.to == to));
            return (to, step.sent.into_iter().map(|sent| sent.frame).collect());
        }
        assert_eq!((step.verdict, step.sent), (Verdict::Hold, vec![]));
    }
    unreachable!("the last fragment returns");
}

/// The packet that the pieces are of; none of them is larger than `limit` bytes of IP packet.
fn joined(pieces: &[Vec<u8>], limit: usize) -> Packet {
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() - IP <= limit), "{limit}");
    Packet::read(&join(pieces.iter().map(Vec::as_slice)))
}

#[test]
fn a_datagram_in_fragments_is_translated_and_leaves_in_fragments_no_larger_than_they_came() {
    for (container, external, server) in versions() {
        let mut rig = Rig::new();
        let remote = endpoint(server, 53);
        let sent = large(remote);
        let fragments = cut(&sent.frame(), 1200, 7);
        let limit = fragments[0].len() - IP;
        let (to, pieces) = deliver_all(&mut rig, inside(C1), fragments);
        let arrived = joined(&pieces, limit);
        assert_eq!((to, arrived.source.ip()), (outside(VPC_A), external));
        let expected = Packet {
            source_mac: uplink_mac(VPC_A),
            destination_mac: host_mac(VPC_A, server),
            source: arrived.source,
            ttl: sent.ttl - 1,
            dont_fragment: external.is_ipv6(),
            ..sent
        };
        assert_eq!(arrived, expected);

        let back = large_back(remote, arrived.source);
        let fragments = cut(&back.frame(), 800, 8);
        let limit = fragments[0].len() - IP;
        let (to, pieces) = deliver_all(&mut rig, outside(VPC_A), fragments);
        let expected = Packet {
            source_mac: gateway_mac(C1),
            destination_mac: container_mac(C1),
            destination: endpoint(container, 4000),
            ttl: back.ttl - 1,
            dont_fragment: external.is_ipv6(),
            ..back
        };
        assert_eq!((to, joined(&pieces, limit)), (inside(C1), expected));
    }
}

#[test]
fn fragments_may_come_in_any_order_and_twice() {
    for (_, _, server) in versions() {
        let mut rig = Rig::new();
        let fragments = cut(&large(endpoint(server, 53)).frame(), 1000, 7);
        assert_eq!(fragments.len(), 5);
        let order = [4, 2, 2, 0, 4, 3, 0, 1].map(|index: usize| fragments[index].clone());
        let (_, pieces) = deliver_all(&mut rig, inside(C1), order.to_vec());
        assert_eq!(joined(&pieces, MTU.into()).payload, large(endpoint(server, 53)).payload);
    }
}

#[test]
fn fragments_of_different_datagrams_and_links_do_not_mix() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let [one, other] = [1, 2].map(|id| cut(&large(remote).frame(), 2000, id));
    let elsewhere =
        Packet { source_mac: container_mac(C2), destination_mac: gateway_mac(C2), ..large(remote) };
    let elsewhere = cut(&elsewhere.frame(), 2000, 1);
    assert_eq!(rig.deliver(inside(C1), one[0].clone()).verdict, Verdict::Hold);
    assert_eq!(rig.deliver(inside(C1), other[1].clone()).verdict, Verdict::Hold);
    assert_eq!(rig.deliver(inside(C2), elsewhere[1].clone()).verdict, Verdict::Hold);
    assert_eq!(rig.engine.session_count(), 0);
}

#[test]
fn rfc4787_req_13_a_packet_that_does_not_fit_leaves_in_fragments_unless_it_must_not() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let external = rig.open(C1, Carries::Udp, 4000, remote);
    for (from, packet) in [(inside(C1), large(remote)), (outside(VPC_A), large_back(remote, external))] {
        let step = rig.deliver(from, packet.frame());
        assert_eq!((step.verdict, step.drops), (Verdict::Respond, vec![]));
        let pieces: Vec<_> = step.sent.into_iter().map(|Sent { frame, .. }| frame).collect();
        let arrived = joined(&pieces, MTU.into());
        assert_eq!((arrived.payload, arrived.dont_fragment), (packet.payload, false));
    }
}

#[test]
fn the_segments_of_a_super_packet_that_do_not_fit_have_different_ids() {
    let mut rig = Rig::new();
    let mut frame = large(endpoint(SERVER, 53)).frame();
    // NEEDS_CSUM, UDP_L4, segments of 2,000 bytes, the checksum at its place.
    frame[..2].copy_from_slice(&[1, 5]);
    frame[2..10].copy_from_slice([42_u16, 2000, 34, 6].map(u16::to_ne_bytes).as_flattened());
    let pseudo = checksum::pseudo_header(&frame, frame.len() - TRANSPORT);
    frame[TRANSPORT + 6..TRANSPORT + 8].copy_from_slice(&pseudo.to_be_bytes());
    let step = rig.deliver(inside(C1), frame);
    assert_eq!((step.verdict, step.sent.len()), (Verdict::Respond, 4));
    let frames: Vec<_> = step.sent.iter().map(|sent| sent.frame.as_slice()).collect();
    let [first, second] = [&frames[..2], &frames[2..]].map(|pair| Packet::read(&join(pair.to_vec())));
    assert_eq!([first.payload, second.payload].concat(), large(endpoint(SERVER, 53)).payload);
    assert_ne!(Piece::read(frames[0]).id, Piece::read(frames[2]).id);
}

#[test]
fn rfc6864_packets_to_one_host_that_may_be_fragmented_have_different_ids() {
    let mut rig = Rig::new();
    let mut ids = std::collections::BTreeSet::new();
    for id in [C1, C2] {
        for port in 4000..4100 {
            let packet =
                Packet::outbound(id, Carries::Udp, port, endpoint(SERVER, 53)).without_dont_fragment();
            let step = rig.deliver(inside(id), packet.frame());
            assert_eq!(Packet::read(&step.frame).payload, packet.payload);
            ids.insert([step.frame[IP + 4], step.frame[IP + 5]]);
        }
    }
    assert_eq!(ids.len(), 200, "whoever sent them, and though all came with the same");
}

#[test]
fn malformed_fragments_are_refused() {
    let mut rig = Rig::new();
    let tcp = Packet::outbound(C1, Carries::Tcp(SYN), 4000, endpoint(SERVER, 80)).with_payload([0; 100]);
    let mut beyond = fragment(&large(endpoint(SERVER, 53)).frame(), 8..1008, 1);
    beyond[IP + 6..IP + 8].copy_from_slice(&[0x1f, 0xff]);
    fix_ipv4(&mut beyond);
    for (name, frame) in [
        ("not a multiple of eight", fragment(&large(endpoint(SERVER, 53)).frame(), 0..1001, 1)),
        ("not a multiple of eight, IPv6", fragment(&large(endpoint(SERVER_V6, 53)).frame(), 0..1001, 1)),
        ("half a TCP header", fragment(&tcp.frame(), 0..16, 1)),
        ("RFC 3128", fragment(&tcp.frame(), 8..104, 1)),
        ("beyond 64 KiB", beyond),
        ("no header to be found", fragment(&large(endpoint(SERVER_V6, 53)).frame(), 0..0, 1)),
    ] {
        let step = rig.deliver(inside(C1), frame);
        assert_eq!((step.verdict, step.sent), (Verdict::Drop(Reason::FragmentInvalid), vec![]), "{name}");
    }
}

#[test]
fn rfc5722_overlapping_fragments_end_their_datagram() {
    for (_, _, server) in versions() {
        let mut rig = Rig::new();
        let frame = large(endpoint(server, 53)).frame();
        assert_eq!(rig.deliver(inside(C1), fragment(&frame, 0..1000, 1)).verdict, Verdict::Hold);
        let end = 4008;
        for part in [992..end, 1000..end, 0..1000] {
            let overlap = fragment(&frame, part, 1);
            assert_eq!(rig.refused(inside(C1), overlap, Reason::FragmentOverlap), None);
        }
        let (_, sent) = rig.wait(limits::REASSEMBLY_TIME);
        assert!(sent.is_empty(), "nobody is told of an attack");
        assert_eq!(rig.counters()[&inside(C1)].drops.of(Reason::FragmentOverlap), 4, "the first one too");
    }
}

#[test]
fn what_waits_for_fragments_is_bounded_for_each_link_and_the_oldest_gives_way() {
    let mut rig = Rig::new();
    let frame = large(endpoint(SERVER, 53)).frame();
    let limit = limits::REASSEMBLIES_PER_LINK as u32;
    for id in 0..limit {
        assert_eq!(rig.deliver(inside(C1), fragment(&frame, 8..16, id)).verdict, Verdict::Hold);
    }
    let step = rig.deliver(inside(C1), fragment(&frame, 8..16, limit));
    assert_eq!((step.verdict, step.sent), (Verdict::Hold, vec![]));
    assert_eq!(step.drops, [(inside(C1), Reason::FragmentsFull, 1)]);
    let remote = endpoint(SERVER, 53);
    let other = Packet { source_mac: container_mac(C2), destination_mac: gateway_mac(C2), ..large(remote) };
    let step = rig.deliver(inside(C2), fragment(&other.frame(), 8..16, limit));
    assert_eq!((step.verdict, step.drops), (Verdict::Hold, vec![]), "another container is not affected");
}

#[test]
fn a_datagram_that_stays_incomplete_is_given_up_after_30_s_and_its_sender_told_if_the_first_fragment_came() {
    for (container, external, server) in versions() {
        for from_container in [true, false] {
            let mut rig = Rig::unresolved_without_ipv6().resolved();
            if container.is_ipv6() {
                rig = Rig::new();
            }
            let remote = endpoint(server, 53);
            let (from, packet) = if from_container {
                (inside(C1), large(remote))
            } else {
                (outside(VPC_A), large_back(remote, endpoint(external, 2000)))
            };
            let first = fragment(&packet.frame(), 0..1000, 1);
            let kept = [
                first.clone(),
                fragment(&packet.frame(), 1000..2000, 1),
                fragment(&packet.frame(), 8..16, 2),
            ];
            for frame in kept {
                assert_eq!(rig.deliver(from, frame).verdict, Verdict::Hold);
            }
            let end = rig.now + limits::REASSEMBLY_TIME;
            assert_eq!(rig.wait_until(just_before(end)), (0, vec![]));
            assert!(rig.engine.poll_timeout().is_some_and(|due| due <= end));
            let (_, sent) = rig.wait_until(end);
            let [Sent { to, frame }] = &sent[..] else { panic!("one of two is told: {sent:?}") };
            let by = match (from_container, container.is_ipv6()) {
                (true, false) => GATEWAY.into(),
                (true, true) => GATEWAY_V6.into(),
                (false, _) => external,
            };
            let (kind, limit) = if container.is_ipv6() { (3, 1280 - 48) } else { (11, 576 - 28) };
            let payload = first[IP..first.len().min(IP + limit)].to_vec();
            let told = Packet { payload, ..packet.error_by(by, kind, 1, 0) };
            assert_eq!((*to, Packet::read(frame)), (from, told));
            assert_eq!(rig.counters()[&from].drops.of(Reason::FragmentTimeout), 3);
        }
    }
}

#[test]
fn rfc1122_nobody_is_told_of_an_icmp_error_whose_fragments_are_missing() {
    for (_, _, server) in versions() {
        let mut rig = Rig::new();
        let about = Packet::inbound(VPC_A, Carries::Udp, endpoint(server, 53), endpoint(CONTAINER, 4000));
        let about = Packet {
            destination: Packet::outbound(C1, Carries::Udp, 4000, endpoint(server, 53)).source,
            ..about
        };
        let kind = if server.is_ipv4() { 3 } else { 1 };
        let error = Packet::outbound(C1, Carries::Icmp { kind, code: 1, rest: 0 }, 0, endpoint(server, 0));
        let error = error.with_payload(about.with_payload([0; 600]).embedded(500));
        assert_eq!(rig.deliver(inside(C1), fragment(&error.frame(), 0..96, 1)).verdict, Verdict::Hold);
        assert_eq!(rig.wait(limits::REASSEMBLY_TIME), (0, vec![]));
    }
}

#[test]
fn a_datagram_in_fragments_meets_every_check_that_a_whole_one_does() {
    let mut rig = Rig::new();
    let spoofed = Packet { source: endpoint([10, 1, 0, 99], 4000), ..large(endpoint(SERVER, 53)) };
    let last = |packet: &Packet, rig: &mut Rig, from: Link| {
        let mut fragments = cut(&packet.frame(), 2400, 9);
        assert_eq!(rig.deliver(from, fragments.remove(0)).verdict, Verdict::Hold);
        let step = rig.deliver(from, fragments.remove(0));
        assert_eq!(step.drops.iter().map(|&(.., n)| n).sum::<u64>(), 1);
        step.verdict
    };
    assert_eq!(last(&spoofed, &mut rig, inside(C1)), Verdict::Drop(Reason::SourceSpoofed));
    let nowhere = large(endpoint([203, 0, 113, 5], 53));
    assert_eq!(last(&nowhere, &mut rig, inside(C1)), Verdict::Drop(Reason::NoRoute));
    let unasked = large_back(endpoint(SERVER, 53), endpoint(EXTERNAL, 2000));
    assert_eq!(last(&unasked, &mut rig, outside(VPC_A)), Verdict::Drop(Reason::NoMapping));
}

#[test]
fn fragments_that_are_not_for_the_gateway_are_dropped_as_such() {
    let mut rig = Rig::new();
    let frame = fragment(&large(endpoint(SERVER, 53)).frame(), 0..1000, 1);
    let to = |mac: gateway_core::MacAddr| {
        let mut frame = frame.clone();
        frame[ETHERNET..ETHERNET + 6].copy_from_slice(&mac.0);
        frame
    };
    let elsewhere = to(host_mac(VPC_A, SERVER));
    rig.refused(inside(C1), elsewhere.clone(), Reason::NotForGateway);
    rig.refused(outside(VPC_A), elsewhere, Reason::NotForGateway);
    rig.refused(outside(VPC_A), to(gateway_core::MacAddr::BROADCAST), Reason::NotExternalAddress);
}

#[test]
fn a_datagram_in_fragments_waits_for_its_next_hop_and_keeps_its_sizes() {
    let mut rig = Rig::unresolved(limits::DEFAULT_PORTS);
    let sent = large(endpoint(SERVER, 53));
    let fragments = cut(&sent.frame(), 1000, 1);
    let limit = fragments[0].len() - IP;
    for fragment in fragments {
        assert_eq!(rig.deliver(inside(C1), fragment).verdict, Verdict::Hold);
    }
    let step = rig.deliver(outside(VPC_A), rig::host_answers(VPC_A, SERVER.into()));
    let pieces: Vec<_> = step.sent.into_iter().map(|sent| sent.frame).collect();
    assert_eq!(joined(&pieces, limit).payload, sent.payload);
}

#[test]
fn fragments_of_another_workers_datagram_are_put_together_and_handed_over() {
    for (_, _, server) in versions() {
        let [mut first, mut second] = Rig::workers(limits::DEFAULT_PORTS).map(Rig::resolved);
        let remote = endpoint(server, 53);
        let external = second.open(C2, Carries::Udp, 4000, remote);
        let back = large_back(remote, external);
        let mut fragments = cut(&back.frame(), 1000, 1);
        let limit = fragments[0].len() - IP;
        let last = fragments.pop().expect("several");
        for fragment in fragments {
            assert_eq!(first.deliver(outside(VPC_A), fragment).verdict, Verdict::Hold);
        }
        let step = first.deliver(outside(VPC_A), last);
        assert_eq!((step.verdict, step.sent), (Verdict::Respond, vec![]));
        let [handed] = &step.handed[..] else { panic!("one packet") };
        assert_eq!((handed.worker, handed.from), (1, VPC_A));
        second.take_whole(handed);
        let pieces: Vec<_> = second.drain().into_iter().map(|sent| sent.frame).collect();
        assert_eq!(joined(&pieces, MTU.into()).payload, back.payload);
        assert!(pieces.iter().all(|p| p.len() - IP <= limit), "no larger than they came");
    }
}

#[test]
fn fragments_of_a_link_that_goes_are_forgotten() {
    let mut rig = Rig::unresolved_without_ipv6();
    let frame = fragment(&large(endpoint(SERVER, 53)).frame(), 0..1000, 1);
    assert_eq!(rig.deliver(inside(C1), frame).verdict, Verdict::Hold);
    rig.apply(Command::RemoveAttachment(C1));
    assert_eq!(rig.engine.poll_timeout(), None);
}
