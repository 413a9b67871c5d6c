//! What is different with IPv6.

use std::net::Ipv6Addr;

use gateway_core::{AttachmentId, Reason, UplinkId, Verdict, limits};

use crate::support::checksum::wrong as wrong_checksum;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, far, space, uplink_config};
use crate::support::*;

fn udp_to(destination: Ipv6Addr) -> Packet {
    Packet::outbound(C1, Carries::Udp, 4000, endpoint(destination, 53))
}

/// The packet with these extension headers behind its IPv6 header. Each has the number of the next one left out, which
/// is `number` for the first one and follows for the others.
fn with_extensions(packet: &Packet, extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut frame = packet.frame();
    let mut next = frame[IP + 6];
    for &(number, rest) in extensions.iter().rev() {
        let header = [&[next], rest].concat();
        assert_eq!(header.len() % 8, 0);
        frame.splice(TRANSPORT_V6..TRANSPORT_V6, header);
        next = number;
    }
    frame[IP + 6] = next;
    let length = (frame.len() - TRANSPORT_V6) as u16;
    frame[IP + 4..IP + 6].copy_from_slice(&length.to_be_bytes());
    frame
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
/// PadN that fills the header.
const OPTIONS: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
/// A routing header of an unknown type, with nowhere left to go, and with one more stop.
const ARRIVED: &[u8] = &[0, 200, 0, 0, 0, 0, 0];
const NOT_ARRIVED: &[u8] = &[0, 200, 1, 0, 0, 0, 0];

#[test]
fn extension_headers_are_passed_on_as_they_are() {
    for carries in [Carries::Tcp(SYN), Carries::Udp, Carries::EchoRequest] {
        let mut rig = Rig::new();
        let sent = Packet::outbound(C1, carries, 4000, endpoint(SERVER_V6, 0));
        let extensions = [(HOP_BY_HOP, OPTIONS), (DESTINATION, OPTIONS), (ROUTING, ARRIVED)];
        let frame = with_extensions(&sent, &extensions);
        let step = rig.deliver(inside(C1), frame.clone());
        assert_eq!(step.verdict, Verdict::Forward(outside(VPC_A)));
        assert_eq!(step.frame[TRANSPORT_V6..TRANSPORT_V6 + 24], frame[TRANSPORT_V6..TRANSPORT_V6 + 24]);
        assert_eq!(wrong_checksum(&step.frame), None);
        let seen = Packet::read(&step.frame);
        assert_eq!((seen.source.ip(), seen.payload), (EXTERNAL_V6.into(), sent.payload));
    }
}

#[test]
fn malformed_extension_headers_are_dropped() {
    let base = udp_to(SERVER_V6);
    let many = vec![(DESTINATION, OPTIONS); limits::EXTENSION_HEADERS + 1];
    let enough = vec![(DESTINATION, OPTIONS); limits::EXTENSION_HEADERS];
    let too_long = [255, 1, 4, 0, 0, 0, 0];
    for (name, extensions) in [
        ("hop-by-hop options that are not first", vec![(DESTINATION, OPTIONS), (HOP_BY_HOP, OPTIONS)]),
        ("a route that has not ended", vec![(ROUTING, NOT_ARRIVED)]),
        ("longer than the packet", vec![(DESTINATION, &too_long[..])]),
        ("too many", many),
    ] {
        let frame = with_extensions(&base, &extensions);
        assert_eq!(Rig::new().refused(inside(C1), frame, Reason::ExtensionHeader), None, "{name}");
    }
    let frame = with_extensions(&base, &enough);
    assert_eq!(Rig::new().deliver(inside(C1), frame).verdict, Verdict::Forward(outside(VPC_A)));
}

#[test]
fn rfc4443_an_unknown_upper_layer_is_told_with_the_place_that_names_it() {
    let mut rig = Rig::new();
    let gre = Packet::outbound(C1, Carries::Other(47), 0, endpoint(SERVER_V6, 0));
    for (extensions, pointer) in [(vec![], 6), (vec![(HOP_BY_HOP, OPTIONS), (DESTINATION, OPTIONS)], 48)] {
        let frame = with_extensions(&gre, &extensions);
        let told = rig.refused(inside(C1), frame.clone(), Reason::ProtocolUnsupported).expect("told");
        let expected = Packet {
            carries: Carries::Icmp { kind: 4, code: 1, rest: pointer },
            payload: frame[IP..].to_vec(),
            ..gre.error_by(GATEWAY_V6, 4, 1, 0)
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn without_an_external_address_of_the_same_version_the_sender_is_told() {
    const VPC_C: UplinkId = UplinkId(3);
    for (external, remote, by, error) in [
        (EXTERNAL.into(), endpoint(SERVER_V6, 53), GATEWAY_V6.into(), (1, 1)),
        (EXTERNAL_V6.into(), endpoint(SERVER, 53), std::net::IpAddr::from(GATEWAY), (3, 13)),
    ] {
        let id = AttachmentId(20);
        let mut rig = Rig::new();
        rig.add_uplink(uplink_config(VPC_C, vec![], space(vec![external], &(2000..=2001), 1)));
        rig.add_attachment(id);
        rig.attach(id, TO_A, VPC_C);
        let packet = Packet::outbound(id, Carries::Udp, 4000, remote);
        let told = rig.refused(inside(id), packet.frame(), Reason::NoExternalAddress);
        assert_eq!(told, Some(packet.error_by(by, error.0, error.1, 500)));
    }
}

#[test]
fn what_no_connector_can_name_is_forbidden() {
    let mut rig = Rig::new();
    for destination in ["::", "::1", "fe80::2", "fe80::a9fe:a9fe", "::ffff:10.1.0.20"] {
        let packet = udp_to(destination.parse().expect("an address"));
        let told = rig.refused(inside(C1), packet.frame(), Reason::DestinationForbidden);
        assert_eq!(told, Some(packet.error_by(GATEWAY_V6, 1, 1, 500)), "{destination}");
    }
    let group = udp_to("ff0e::1".parse().expect("an address"));
    assert_eq!(rig.refused(inside(C1), group.frame(), Reason::DestinationForbidden), None);
}

#[test]
fn a_udp_checksum_of_zero_is_refused() {
    let mut rig = Rig::new();
    let mut frame = udp_to(SERVER_V6).frame();
    frame[TRANSPORT_V6 + 6..TRANSPORT_V6 + 8].fill(0);
    assert_eq!(rig.refused(inside(C1), frame, Reason::TransportInvalid), None);
}

#[test]
fn a_packet_that_does_not_fit_is_told_the_mtu() {
    let mut rig = Rig::new();
    let large = udp_to(SERVER_V6).with_payload([7; 2000]);
    let told = rig.refused(inside(C1), large.frame(), Reason::PacketTooBig).expect("told");
    let too_big = Carries::Icmp { kind: 2, code: 0, rest: 1500 };
    assert_eq!(told, Packet { carries: too_big, ..large.error_by(GATEWAY_V6, 2, 0, 1232) });
}

#[test]
fn the_gateway_answers_ping_to_both_addresses_of_a_container() {
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xc);
    for source in [CONTAINER_V6, link_local] {
        let mut rig = Rig::new();
        let ping = Packet::outbound(C1, Carries::EchoRequest, 77, endpoint(GATEWAY_V6, 0));
        let ping = Packet { source: endpoint(source, 77), ..ping };
        let step = rig.deliver(inside(C1), ping.frame());
        let [reply] = &step.sent[..] else { panic!("one reply") };
        let expected = Packet {
            source_mac: gateway_mac(C1),
            destination_mac: container_mac(C1),
            source: endpoint(GATEWAY_V6, 0),
            destination: endpoint(source, 77),
            carries: Carries::EchoReply,
            ..ping
        };
        assert_eq!((step.verdict, Packet::read(&reply.frame)), (Verdict::Respond, expected));
    }
}

#[test]
fn hosts_that_report_their_groups_are_no_drops() {
    let mut rig = Rig::new();
    let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
    let report =
        Packet::outbound(C1, Carries::Icmp { kind: 143, code: 0, rest: 0 }, 0, endpoint(all_routers, 0));
    let report = Packet { destination_mac: nd::multicast_mac(all_routers), ..report };
    let step = rig.deliver(inside(C1), report.frame());
    assert_eq!((step.verdict, step.sent), (Verdict::Respond, vec![]));
}

#[test]
fn far_destinations_leave_through_the_router() {
    let mut rig = Rig::new();
    let (_, arrived) = rig.forward(inside(C1), &udp_to(FAR_V6));
    assert_eq!(arrived.destination_mac, host_mac(VPC_A, ROUTER_V6));
    let (_, arrived) = rig.forward(inside(C1), &Packet::outbound(C1, Carries::Udp, 4000, far(53)));
    assert_eq!(arrived.destination_mac, host_mac(VPC_A, ROUTER));
}
