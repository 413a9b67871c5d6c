//! What a router owes: path MTU, TTL, and how many ICMP errors it sends (RFC 1191, 1812, 4443, 6691, 8201).

use std::net::SocketAddr;
use std::time::Duration;

use etherparse::{PacketBuilder, TcpHeader};
use gateway_core::{AttachmentConfig, AttachmentId, Link, Reason, VNET_LEN, Verdict, limits};

use super::{Error, Net, flows, nets, received, seen};
use crate::support::checksum::word;
use crate::support::fragments::cut;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{MTU, Rig, attachment_config};
use crate::support::*;

/// A container behind a smaller link than the VPC's.
const SMALL: AttachmentId = AttachmentId(50);
const SMALL_MTU: u16 = 1280;

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.add_attachment_with(AttachmentConfig { mtu: SMALL_MTU, ..attachment_config(SMALL) });
    rig.attach(SMALL, TO_A, VPC_A);
    rig
}

/// Both senders of packets that do not fit are told the next link's MTU; those that just fit go on.
fn too_big_is_told(net: Net) {
    let mut rig = rig();
    let of_size = |packet: Packet, bytes: u16| {
        let payload = vec![0; usize::from(bytes) - net.header - 8];
        Packet { dont_fragment: true, ..packet }.with_payload(payload)
    };
    let out = Packet::outbound(SMALL, Carries::Udp, 4000, endpoint(net.server, 53));
    let (_, arrived) = rig.forward(inside(SMALL), &of_size(out.clone(), MTU));
    let frame = of_size(out, MTU + 1).frame();
    let told = rig.refused(inside(SMALL), frame.clone(), Reason::PacketTooBig);
    assert_eq!(told, Some(net.told(SMALL, &frame, Error::TooBig(MTU))));

    let back = Packet::inbound(VPC_A, Carries::Udp, endpoint(net.server, 53), arrived.source);
    rig.forward(outside(VPC_A), &of_size(back.clone(), SMALL_MTU));
    let frame = of_size(back, SMALL_MTU + 1).frame();
    let told = rig.refused(outside(VPC_A), frame.clone(), Reason::PacketTooBig);
    assert_eq!(told, Some(net.told_outside(VPC_A, net.server, &frame, Error::TooBig(SMALL_MTU))));
}

/// The MTU that a router on the way tells reaches the container.
fn mtu_of_a_router_gets_through(wanted: Net) {
    for (net, mut flow) in flows().into_iter().filter(|(net, _)| net.server == wanted.server) {
        let error = net.error(&flow.seen, net.hop, Error::TooBig(1300));
        let payload = flow.sent.clone().with_ttl(flow.seen.ttl).embedded(548);
        let expected = Packet { payload, ..received(&error, C1, endpoint(net.container, 0)) };
        assert_eq!(expected.carries, net.icmp(Error::TooBig(1300)));
        assert_eq!(flow.rig.forward(outside(VPC_A), &error), (inside(C1), expected));
    }
}

#[test]
fn rfc1191_sec_4_fragmentation_needed_tells_the_next_links_mtu() {
    let [v4, _] = nets();
    too_big_is_told(v4);
    mtu_of_a_router_gets_through(v4);
}

#[test]
fn rfc8201_sec_4_packet_too_big_tells_the_next_links_mtu() {
    let [_, v6] = nets();
    too_big_is_told(v6);
    mtu_of_a_router_gets_through(v6);
}

/// A SYN with this MSS.
fn syn(net: Net, (from, to): (SocketAddr, SocketAddr), link: Link, mss: u16) -> Vec<u8> {
    let mut header = TcpHeader::new(from.port(), to.port(), 7, 1000);
    header.syn = true;
    let [high, low] = mss.to_be_bytes();
    header.set_options_raw(&[2, 4, high, low]).expect("they fit");
    let like = match link {
        Link::Attachment(id) => Packet::outbound(id, Carries::Udp, 1, to),
        Link::Uplink(id) => Packet::inbound(id, Carries::Udp, from, to),
    };
    let builder = PacketBuilder::ethernet2(like.source_mac.0, like.destination_mac.0);
    let octets = |frame: &[u8], at: usize, n: usize| frame[IP + at..IP + at + n].to_vec();
    let frame = like.frame();
    let builder = if net.is_v4() {
        let at = |at| octets(&frame, at, 4).try_into().expect("four");
        builder.ipv4(at(12), at(16), 64)
    } else {
        let at = |at| octets(&frame, at, 16).try_into().expect("sixteen");
        builder.ipv6(at(8), at(24), 64)
    };
    let mut frame = vec![0; VNET_LEN];
    builder.tcp_header(header).write(&mut frame, &[]).expect("a vector takes every frame");
    frame
}

#[test]
fn rfc6691_sec_2_a_syn_announces_no_larger_segments_than_both_links_carry() {
    for net in nets() {
        let largest = SMALL_MTU - net.header as u16 - 20;
        for (announced, expected) in [(9000, largest), (largest + 1, largest), (largest, largest), (536, 536)]
        {
            let mut rig = rig();
            let mss = |frame: &[u8]| {
                assert_eq!(checksum::wrong(frame), None);
                word(frame, net.transport() + 22)
            };
            let ends = (endpoint(net.container, 4000), endpoint(net.server, 80));
            let step = rig.deliver(inside(SMALL), syn(net, ends, inside(SMALL), announced));
            assert_eq!((step.verdict, mss(&step.frame)), (Verdict::Forward(outside(VPC_A)), expected));
            let back = (ends.1, Packet::read(&step.frame).source);
            let step = rig.deliver(outside(VPC_A), syn(net, back, outside(VPC_A), announced));
            assert_eq!((step.verdict, mss(&step.frame)), (Verdict::Forward(inside(SMALL)), expected));
        }
    }
}

#[test]
fn rfc1812_sec_4_3_errors_come_in_a_burst_and_then_at_their_rate() {
    for net in nets() {
        let mut rig = Rig::new();
        let frame = Packet::outbound(C1, Carries::Udp, 4000, endpoint(net.server, 53)).with_ttl(1).frame();
        let told = |rig: &mut Rig| rig.refused(inside(C1), frame.clone(), Reason::TtlExpired).is_some();
        for _ in 0..limits::ICMP_ERROR_BURST {
            assert!(told(&mut rig));
        }
        assert!(!told(&mut rig));
        let each = Duration::from_secs(1) / limits::ICMP_ERRORS_PER_SECOND;
        rig.now = just_before(rig.now + each);
        assert!(!told(&mut rig));
        rig.now = rig.now + Duration::from_nanos(1);
        assert!(told(&mut rig) && !told(&mut rig));
    }
}

#[test]
fn rfc1812_sec_4_3_nothing_is_said_about_errors_later_fragments_and_what_is_for_everybody() {
    for (net, mut flow) in flows() {
        // An error whose TTL runs out, either way.
        let outbound = net.error(&flow.received, net.container, Error::Port).with_ttl(1);
        assert_eq!(flow.rig.refused(inside(C1), outbound.frame(), Reason::TtlExpired), None);
        let inbound = net.error(&flow.seen, net.hop, Error::Port).with_ttl(1);
        assert_eq!(flow.rig.refused(outside(VPC_A), inbound.frame(), Reason::TtlExpired), None);
    }
    for net in nets() {
        let mut rig = Rig::new();
        // A datagram whose first fragment never comes.
        let [_, second, _] = &cut(&net.large(C1, 4000, 4000).frame(), 1400, 7)[..] else { panic!("three") };
        assert_eq!(rig.deliver(inside(C1), second.clone()).verdict, Verdict::Hold);
        let (_, sent) = rig.wait(seconds(30));
        assert_eq!(sent.iter().filter(|sent| sent.to == inside(C1)).count(), 0);
        assert_eq!(rig.counters()[&inside(C1)].drops.of(Reason::FragmentTimeout), 1);
        let everybody: std::net::IpAddr =
            if net.is_v4() { [224, 0, 0, 251].into() } else { "ff02::fb".parse().expect("one") };
        let packet = Packet::outbound(C1, Carries::Udp, 4000, endpoint(everybody, 5353));
        assert_eq!(rig.refused(inside(C1), packet.frame(), Reason::DestinationForbidden), None);
    }
}

#[test]
fn rfc1812_sec_5_3_1_the_ttl_goes_down_by_one_and_the_sender_hears_when_it_is_over() {
    for net in nets() {
        let mut rig = Rig::new();
        let sent = Packet::outbound(C1, Carries::Udp, 4000, endpoint(net.server, 53)).with_ttl(2);
        let (_, arrived) = rig.forward(inside(C1), &sent);
        assert_eq!((arrived.ttl, &arrived), (1, &seen(&sent, arrived.source)));
        let back = Packet::inbound(VPC_A, Carries::Udp, endpoint(net.server, 53), arrived.source).with_ttl(2);
        let (_, arrived) = rig.forward(outside(VPC_A), &back);
        assert_eq!((arrived.ttl, &arrived), (1, &received(&back, C1, endpoint(net.container, 4000))));
        for ttl in [1, 0] {
            let frame = sent.clone().with_ttl(ttl).frame();
            let told = rig.refused(inside(C1), frame.clone(), Reason::TtlExpired);
            assert_eq!(told, Some(net.told(C1, &frame, Error::TtlExpired)));
            let frame = back.clone().with_ttl(ttl).frame();
            let told = rig.refused(outside(VPC_A), frame.clone(), Reason::TtlExpired);
            assert_eq!(told, Some(net.told_outside(VPC_A, net.server, &frame, Error::TtlExpired)));
        }
    }
}
