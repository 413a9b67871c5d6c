//! RFC 5508: ICMP and ICMPv6.

use std::net::IpAddr;

use gateway_core::{ConnectorConfig, Filtering, MappingMode, PortQuota, Reason, Verdict, limits};

use super::{Error, Flow, KINDS, Net, ends_at, flows, nets, received, rig_with, seen};
use crate::support::checksum::{fix_icmp, fix_icmpv6};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::tcp::Numbers;
use crate::support::*;

const ECHO: Carries = Carries::EchoRequest;

#[test]
fn rfc5508_req_1_queries_go_out_and_their_answers_come_back() {
    for net in nets() {
        let mut rig = Rig::new();
        for remote in [net.server, net.far] {
            let sent = Packet::outbound(C1, ECHO, 4000, endpoint(remote, 0));
            let (to, arrived) = rig.forward(inside(C1), &sent);
            assert_eq!(
                (to, arrived.source.ip(), arrived.destination),
                (outside(VPC_A), net.external, sent.destination)
            );
            let answer = Packet::inbound(VPC_A, Carries::EchoReply, sent.destination, arrived.source);
            let expected = received(&answer, C1, endpoint(net.container, 4000));
            assert_eq!(rig.forward(outside(VPC_A), &answer), (inside(C1), expected));
        }
    }
}

#[test]
fn rfc5508_req_1a_a_query_id_is_mapped_independently_of_the_remote_whatever_the_mapping() {
    use MappingMode::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    for net in nets() {
        for mapping in [EndpointIndependent, AddressDependent, AddressAndPortDependent] {
            let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| policy.mapping = mapping);
            let first = rig.open(C1, ECHO, 4000, endpoint(net.server, 0));
            for remote in [net.other, net.far] {
                assert_eq!(rig.open(C1, ECHO, 4000, endpoint(remote, 0)), first, "{mapping:?}");
            }
        }
    }
}

#[test]
fn rfc5508_req_2_a_query_session_lives_a_minute() {
    for net in nets() {
        let mut rig = Rig::new();
        let sent = Packet::outbound(C1, ECHO, 4000, endpoint(net.server, 0));
        let external = rig.forward(inside(C1), &sent).1.source;
        rig.run_until(at(50));
        rig.forward(inside(C1), &sent);
        let answer = Packet::inbound(VPC_A, Carries::EchoReply, endpoint(net.server, 0), external);
        rig.run_until(just_before(at(110)));
        rig.forward(outside(VPC_A), &answer);
        ends_at(&mut rig, at(110));
        rig.refused(outside(VPC_A), answer.frame(), Reason::NoMapping);
    }
}

#[test]
fn rfc5508_req_3_an_error_with_a_wrong_checksum_is_dropped_in_silence() {
    for (net, mut flow) in flows() {
        for (link, error) in both_ways(net, &flow) {
            let mut frame = error.frame();
            frame[net.transport() + 3] ^= 1;
            assert_eq!(flow.rig.refused(link, frame, Reason::IcmpChecksumWrong), None);
        }
    }
}

/// An error of a router outside, and one of the container.
fn both_ways(net: Net, flow: &Flow) -> [(gateway_core::Link, Packet); 2] {
    [
        (outside(VPC_A), net.error(&flow.seen, net.hop, Error::Host)),
        (inside(C1), net.error(&flow.received, net.container, Error::Port)),
    ]
}

#[test]
fn rfc5508_req_3a_an_error_whose_embedded_ip_checksum_is_wrong_is_dropped_in_silence() {
    // IPv6 has none.
    for (net, mut flow) in flows().into_iter().filter(|(net, _)| net.is_v4()) {
        for (link, mut error) in both_ways(net, &flow) {
            error.payload[10] ^= 1;
            assert_eq!(flow.rig.refused(link, error.frame(), Reason::IcmpErrorUnrelated), None);
        }
    }
}

/// The embedded packet with eight bytes of IPv4 options, or of IPv6 hop-by-hop options, that leave nothing to do.
fn with_options(net: Net, embedded: &[u8]) -> Vec<u8> {
    let (header, rest) = embedded.split_at(net.header);
    let mut header = header.to_vec();
    let options = if net.is_v4() { vec![1; 8] } else { vec![header[6], 0, 1, 4, 0, 0, 0, 0] };
    let longer = |header: &mut [u8], at: usize| {
        let length = checksum::word(header, at) + 8;
        header[at..at + 2].copy_from_slice(&length.to_be_bytes());
    };
    if net.is_v4() {
        header[0] += 2;
        longer(&mut header, 2);
        header[10..12].fill(0);
        let sum = !checksum::sum(&[&header[..], &options].concat());
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        header[6] = 0;
        longer(&mut header, 4);
    }
    [&header[..], &options, rest].concat()
}

#[test]
fn rfc5508_req_3b_options_of_the_embedded_packet_are_passed_over() {
    for (net, mut flow) in flows() {
        let error = net.error(&flow.seen, net.hop, Error::Host);
        let quoted = with_options(net, &flow.seen.embedded(200));
        let restored = with_options(net, &flow.sent.clone().with_ttl(flow.seen.ttl).embedded(200));
        let (to, told) = flow.rig.forward(outside(VPC_A), &error.with_payload(quoted));
        assert_eq!((to, told.payload), (inside(C1), restored), "{:?}", flow.sent.carries);
    }
}

#[test]
fn rfc5508_req_3c_the_embedded_transport_checksum_is_not_looked_at() {
    for (net, mut flow) in flows() {
        for (link, mut error) in both_ways(net, &flow) {
            let last = error.payload.len() - 1;
            // The payload no longer is what the checksum was made of.
            error.payload[last] ^= 1;
            assert!(matches!(flow.rig.deliver(link, error.frame()).verdict, Verdict::Forward(_)));
        }
    }
}

/// An error whose shortest quote is followed by padding and RFC 4884 extensions, and says so.
fn extended(net: Net, error: &Packet, quote: &[u8]) -> Vec<u8> {
    let mut frame = error.clone().with_payload([quote, &[0xee; 100]].concat()).frame();
    if net.is_v4() {
        frame[TRANSPORT + 5] = (quote.len() / 4) as u8;
        fix_icmp(&mut frame);
    } else {
        frame[TRANSPORT_V6 + 4] = (quote.len() / 8) as u8;
        fix_icmpv6(&mut frame);
    }
    frame
}

#[test]
fn rfc5508_req_3d_extensions_are_no_part_of_the_embedded_packet() {
    for (net, mut flow) in flows() {
        let shortest = net.header + if net.is_v4() { 8 } else { 16 };
        let error = flow.seen.error_by(net.hop, if net.is_v4() { 3 } else { 1 }, 1, 0);
        let step = flow.rig.deliver(outside(VPC_A), extended(net, &error, &flow.seen.embedded(shortest)));
        assert_eq!(step.verdict, Verdict::Forward(inside(C1)));
        let restored = flow.sent.clone().with_ttl(flow.seen.ttl).embedded(shortest);
        assert_eq!(Packet::read(&step.frame).payload, [restored, vec![0xee; 100]].concat());
    }
}

/// Types and codes of errors.
fn errors(net: Net) -> &'static [(u8, u8)] {
    if net.is_v4() {
        &[(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0)]
    } else {
        &[(1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1)]
    }
}

#[test]
fn rfc5508_req_4_an_error_from_outside_arrives_with_the_packet_that_the_container_sent() {
    for (net, mut flow) in flows() {
        for &(kind, code) in errors(net) {
            for length in [net.header + 8, net.header + 18, 548, 2000] {
                let error = flow.seen.error_by(net.hop, kind, code, length);
                let payload = flow.sent.clone().with_ttl(flow.seen.ttl).embedded(length);
                let expected = Packet { payload, ..received(&error, C1, endpoint(net.container, 0)) };
                assert_eq!(flow.rig.forward(outside(VPC_A), &error), (inside(C1), expected));
            }
        }
        let mut foreign = flow.seen.clone();
        foreign.source.set_port(foreign.source.port() ^ 1);
        let error = net.error(&foreign, net.hop, Error::Host);
        assert_eq!(flow.rig.refused(outside(VPC_A), error.frame(), Reason::IcmpErrorUnrelated), None);
    }
}

#[test]
fn rfc5508_req_5_an_error_from_inside_arrives_with_the_packet_that_the_remote_sent() {
    for (net, mut flow) in flows() {
        for &(kind, code) in errors(net) {
            for length in [net.header + 8, net.header + 18, 548, 2000] {
                let error = flow.received.error_by(net.container, kind, code, length);
                let payload = flow.answered.clone().with_ttl(flow.received.ttl).embedded(length);
                let expected = Packet { payload, ..seen(&error, endpoint(net.external, 0)) };
                assert_eq!(flow.rig.forward(inside(C1), &error), (outside(VPC_A), expected));
            }
        }
        let mut foreign = flow.received.clone();
        foreign.destination.set_port(foreign.destination.port() ^ 1);
        foreign.source.set_port(foreign.source.port() ^ 1);
        let error = net.error(&foreign, net.container, Error::Port);
        assert_eq!(flow.rig.refused(inside(C1), error.frame(), Reason::IcmpErrorUnrelated), None);
    }
}

#[test]
fn rfc5508_req_6_an_error_about_a_query_neither_refreshes_nor_ends_its_session() {
    for (net, mut flow) in flows().into_iter().filter(|(_, flow)| flow.sent.carries == ECHO) {
        flow.rig.run_until(at(50));
        for (link, error) in both_ways(net, &flow) {
            flow.rig.forward(link, &error);
        }
        ends_at(&mut flow.rig, at(60));
    }
}

#[test]
fn rfc5508_req_7_an_error_about_a_hairpinned_packet_comes_back_to_its_sender() {
    for net in nets() {
        let open = |policy: &mut ConnectorConfig| policy.udp_filtering = Filtering::EndpointIndependent;
        let mut rig = rig_with(limits::DEFAULT_PORTS, open);
        let [first, second] = [C1, C2].map(|id| rig.open(id, Carries::Udp, 4000, endpoint(net.server, 53)));
        let sent = Packet::outbound(C1, Carries::Udp, 4000, second);
        let (_, arrived) = rig.forward(inside(C1), &sent);
        assert_eq!(arrived.source, first);
        let error = net.error(&arrived, net.container, Error::Port);
        let expected = Packet {
            source_mac: gateway_mac(C1),
            destination_mac: container_mac(C1),
            source: endpoint(net.external, 0),
            // REQ-7a: the source of the embedded packet, as it is restored.
            destination: endpoint(net.container, 0),
            ttl: error.ttl - 2,
            payload: sent.clone().with_ttl(arrived.ttl).embedded(548),
            ..error.clone()
        };
        assert_eq!(rig.forward(inside(C2), &error), (inside(C1), expected));
    }
}

#[test]
fn rfc5508_req_8_whoever_can_have_no_session_is_told_that_it_is_prohibited() {
    for net in nets() {
        for (carries, _) in KINDS {
            let remote = |address: IpAddr| endpoint(address, if carries == ECHO { 0 } else { 80 });
            let quota = rig_with(limits::DEFAULT_PORTS, |policy| policy.quota = PortQuota::new(Some(1)));
            let nowhere: IpAddr =
                if net.is_v4() { [203, 0, 113, 5].into() } else { "2001:db9::5".parse().expect("one") };
            let cases = [
                (Rig::with_ports(2000..=2000), C1, remote(net.server), Reason::PortsExhausted),
                (quota, C1, remote(net.server), Reason::QuotaReached),
                (Rig::new(), C4, remote(net.server), Reason::NoConnector),
                (Rig::new(), C1, remote(nowhere), Reason::NoRoute),
            ];
            for (mut rig, id, remote, reason) in cases {
                rig.open(C1, carries, 4000, endpoint(net.server, if carries == ECHO { 0 } else { 80 }));
                let frame = Packet::outbound(id, carries, 4001, remote).frame();
                let expected = net.told(id, &frame, Error::Prohibited);
                assert_eq!(rig.refused(inside(id), frame, reason), Some(expected));
                assert_eq!(rig.engine.session_count(), 1);
            }
        }
    }
}

#[test]
fn rfc5508_req_10_unreachable_time_exceeded_and_echo_are_there() {
    for net in nets() {
        let mut rig = Rig::new();
        // What the gateway itself says: that nobody listens, and that the way was too long.
        let to_gateway = Packet::outbound(C1, Carries::Udp, 4000, endpoint(net.gateway, 53)).frame();
        let told = rig.refused(inside(C1), to_gateway.clone(), Reason::GatewayAddress);
        assert_eq!(told, Some(net.told(C1, &to_gateway, Error::Port)));
        let too_far = Packet::outbound(C1, Carries::Udp, 4000, endpoint(net.server, 53)).with_ttl(1).frame();
        let told = rig.refused(inside(C1), too_far.clone(), Reason::TtlExpired);
        assert_eq!(told, Some(net.told(C1, &too_far, Error::TtlExpired)));
        // It answers ping.
        let ping = Packet::outbound(C1, ECHO, 4000, endpoint(net.gateway, 0));
        let step = rig.deliver(inside(C1), ping.frame());
        let [answer] = &step.sent[..] else { panic!("one answer: {step:?}") };
        let expected = Packet {
            source_mac: ping.destination_mac,
            destination_mac: ping.source_mac,
            source: endpoint(net.gateway, 0),
            destination: endpoint(net.container, 4000),
            carries: Carries::EchoReply,
            numbers: Numbers::default(),
            ..ping
        };
        assert_eq!((answer.to, Packet::read(&answer.frame)), (inside(C1), expected));
    }
}
