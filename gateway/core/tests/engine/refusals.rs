//! Every way in which a packet ends: one reason, and what its sender is told. The last test keeps the list complete.

use std::net::Ipv4Addr;

use gateway_core::{AttachmentId, Command, Link, MacAddr, Reason, Verdict, limits};

use crate::support::arp::Arp;
use crate::support::checksum::{fix_icmp, fix_ipv4};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, far};
use crate::support::tcp::Numbers;
use crate::support::*;

/// ICMP type and code.
type Told = Option<(u8, u8)>;

const PROHIBITED: Told = Some((3, 13));

fn udp_to(destination: Ipv4Addr) -> Packet {
    Packet::outbound(C1, Carries::Udp, 4000, endpoint(destination, 53))
}

/// A good packet that a test spoils; the IPv4 header checksum is right again afterwards.
fn spoiled(packet: &Packet, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = packet.frame();
    spoil(&mut frame);
    fix_ipv4(&mut frame);
    frame
}

/// The error that the gateway sends to a container about `frame`.
fn error_about(id: AttachmentId, frame: &[u8], (kind, code): (u8, u8)) -> Packet {
    Packet {
        source_mac: gateway_mac(id),
        destination_mac: container_mac(id),
        source: endpoint(GATEWAY, 0),
        destination: endpoint(CONTAINER, 0),
        ttl: 64,
        dont_fragment: false,
        carries: Carries::Icmp { kind, code, rest: 0 },
        numbers: Numbers::default(),
        payload: frame[IP..frame.len().min(IP + limits::ICMP_ERROR_BYTES - 28)].to_vec(),
    }
}

/// Each frame, from a container of VPC A unless said otherwise, is dropped with this reason.
fn check(cases: Vec<(&str, AttachmentId, Vec<u8>, Reason, Told)>) {
    for (name, id, frame, reason, told) in cases {
        let mut rig = Rig::new();
        let expected = told.map(|told| error_about(id, &frame, told));
        assert_eq!(rig.refused(inside(id), frame.clone(), reason), expected, "{name}");
        assert_eq!((rig.engine.session_count(), rig.ports_used()), (0, 0), "{name}");
        let drops = rig.engine.recent_drops(rig.now, id).expect("the container exists");
        assert_eq!((drops.len(), drops[0].reason), (1, reason), "{name}");
        assert_eq!(drops[0].packet.length, frame.len() - ETHERNET, "{name}");
    }
}

#[test]
fn what_policy_forbids_is_dropped_and_the_sender_told() {
    let from = |id, carries, remote| Packet::outbound(id, carries, 4000, remote).frame();
    let udp = |destination| udp_to(destination).frame();
    let forbidden = Reason::DestinationForbidden;
    let tcp = Carries::Tcp(SYN);
    check(vec![
        ("no connector, tcp", C4, from(C4, tcp, endpoint(SERVER, 80)), Reason::NoConnector, PROHIBITED),
        ("no connector, udp", C4, from(C4, Carries::Udp, far(53)), Reason::NoConnector, PROHIBITED),
        ("no connector, echo", C4, from(C4, Carries::EchoRequest, far(0)), Reason::NoConnector, PROHIBITED),
        ("no route", C1, udp([203, 0, 113, 5].into()), Reason::NoRoute, PROHIBITED),
        ("metadata service", C1, udp([169, 254, 169, 254].into()), forbidden, PROHIBITED),
        ("another container", C1, udp([169, 254, 1, 3].into()), forbidden, PROHIBITED),
        ("itself", C1, udp(CONTAINER), forbidden, PROHIBITED),
        ("loopback", C1, udp([127, 0, 0, 1].into()), forbidden, PROHIBITED),
        ("this network", C1, udp([0, 0, 0, 0].into()), forbidden, PROHIBITED),
        ("reserved", C1, udp([240, 0, 0, 1].into()), forbidden, PROHIBITED),
        ("multicast", C1, udp([224, 0, 0, 251].into()), forbidden, None),
        ("broadcast", C1, udp(Ipv4Addr::BROADCAST), forbidden, None),
        ("the VPC's network address", C1, udp([10, 1, 0, 0].into()), Reason::Broadcast, None),
        ("the VPC's broadcast address", C1, udp([10, 1, 255, 255].into()), Reason::Broadcast, None),
        ("no router", C3, from(C3, Carries::Udp, far(53)), Reason::NoNextHop, Some((3, 0))),
        ("gateway, udp", C1, udp(GATEWAY), Reason::GatewayAddress, Some((3, 3))),
        ("gateway, tcp", C1, from(C1, tcp, endpoint(GATEWAY, 80)), Reason::GatewayAddress, Some((3, 3))),
        ("not syn", C1, from(C1, Carries::Tcp(ACK), endpoint(SERVER, 80)), Reason::TcpNotSyn, None),
        ("syn+ack", C1, from(C1, Carries::Tcp(SYN | ACK), endpoint(SERVER, 80)), Reason::TcpNotSyn, None),
        ("reset", C1, from(C1, Carries::Tcp(RST), endpoint(SERVER, 80)), Reason::TcpNotSyn, None),
        (
            "echo reply",
            C1,
            Packet::outbound(C1, Carries::EchoReply, 0, endpoint(SERVER, 5)).frame(),
            Reason::IcmpTypeUnsupported,
            None,
        ),
    ]);
}

#[test]
fn spoofed_senders_are_dropped_in_silence() {
    let base = udp_to(SERVER);
    let from = |source: Ipv4Addr| Packet { source: endpoint(source, 4000), ..base.clone() }.frame();
    let mac = |source_mac| Packet { source_mac, ..base.clone() }.frame();
    check(vec![
        ("another address", C1, from([10, 1, 0, 20].into()), Reason::SourceSpoofed, None),
        ("the gateway's address", C1, from(GATEWAY), Reason::SourceSpoofed, None),
        ("the external address", C1, from(EXTERNAL), Reason::SourceSpoofed, None),
        ("no address", C1, from(Ipv4Addr::UNSPECIFIED), Reason::SourceSpoofed, None),
        ("another container's MAC address", C1, mac(container_mac(C2)), Reason::SourceMacSpoofed, None),
        ("the gateway's MAC address", C1, mac(gateway_mac(C1)), Reason::SourceMacSpoofed, None),
        ("a group's MAC address", C1, mac(MacAddr::BROADCAST), Reason::SourceMacSpoofed, None),
    ]);
}

#[test]
fn frames_that_are_not_for_the_gateway_or_not_ipv4_are_dropped() {
    let base = udp_to(SERVER);
    let to = |destination_mac| Packet { destination_mac, ..base.clone() }.frame();
    let typed = |ether_type: u16| {
        let mut frame = base.frame();
        frame[ETHERNET + 12..IP].copy_from_slice(&ether_type.to_be_bytes());
        frame
    };
    check(vec![
        ("for somebody else", C1, to(host_mac(VPC_A, SERVER)), Reason::NotForGateway, None),
        ("for another link's end", C1, to(gateway_mac(C2)), Reason::NotForGateway, None),
        ("for everybody", C1, to(MacAddr::BROADCAST), Reason::NotForGateway, None),
        ("vlan", C1, typed(0x8100), Reason::VlanTagged, None),
        ("service vlan", C1, typed(0x88a8), Reason::VlanTagged, None),
        ("ipv4 as ipv6", C1, typed(0x86dd), Reason::IpHeaderInvalid, None),
        ("lldp", C1, typed(0x88cc), Reason::EtherTypeUnsupported, None),
        ("802.3 length", C1, typed(60), Reason::EtherTypeUnsupported, None),
        ("half an Ethernet header", C1, base.frame()[..IP - 1].to_vec(), Reason::FrameTruncated, None),
        ("vnet header alone", C1, base.frame()[..ETHERNET].to_vec(), Reason::FrameTruncated, None),
    ]);
}

#[test]
fn headers_that_contradict_the_frame_are_dropped() {
    let base = udp_to(SERVER);
    let tcp = Packet::outbound(C1, Carries::Tcp(SYN), 4000, endpoint(SERVER, 80));
    let echo = Packet::outbound(C1, Carries::EchoRequest, 4000, endpoint(SERVER, 0));
    let with = |packet: &Packet, at: usize, bytes: &[u8]| {
        spoiled(packet, |frame| frame[at..at + bytes.len()].copy_from_slice(bytes))
    };
    let cut = |packet: &Packet, length: u8| {
        spoiled(packet, |frame| {
            frame.truncate(TRANSPORT + usize::from(length));
            frame[IP + 3] = 20 + length;
        })
    };
    let mut wrong_sum = base.frame();
    wrong_sum[IP + 10] ^= 1;
    let header = Reason::IpHeaderInvalid;
    let transport = Reason::TransportInvalid;
    check(vec![
        ("version", C1, with(&base, IP, &[0x65]), header, None),
        ("header length below five", C1, with(&base, IP, &[0x44]), header, None),
        ("total length below the header", C1, with(&base, IP + 2, &[0, 19]), header, None),
        ("total length beyond the frame", C1, with(&base, IP + 2, &[0, 32]), header, None),
        ("half an IPv4 header", C1, base.frame()[..TRANSPORT - 1].to_vec(), header, None),
        ("header checksum", C1, wrong_sum, Reason::Ipv4ChecksumWrong, None),
        ("options", C1, with(&base, IP, &[0x46]), Reason::Ipv4Options, None),
        ("tcp without a header", C1, cut(&tcp, 0), transport, None),
        ("tcp too short", C1, cut(&tcp, 19), transport, None),
        ("tcp data offset below five", C1, with(&tcp, TRANSPORT + 12, &[0x40]), transport, None),
        ("tcp data offset beyond the packet", C1, with(&tcp, TRANSPORT + 12, &[0xf0]), transport, None),
        ("udp too short", C1, cut(&base, 7), transport, None),
        ("udp length below eight", C1, with(&base, TRANSPORT + 4, &[0, 7]), transport, None),
        ("udp length beyond the packet", C1, with(&base, TRANSPORT + 4, &[0, 12]), transport, None),
        ("icmp too short", C1, cut(&echo, 7), transport, None),
    ]);
}

#[test]
fn other_protocols_and_message_types_are_dropped() {
    let carrying = |carries| Packet::outbound(C1, carries, 0, endpoint(SERVER, 0));
    let icmp = |kind| carrying(Carries::Icmp { kind, code: 0, rest: 0 });
    let mut bad_sum = icmp(3).with_payload(udp_to(SERVER).embedded(28)).frame();
    bad_sum[TRANSPORT + 2] ^= 1;
    let unrelated = Reason::IcmpErrorUnrelated;
    check(vec![
        ("gre", C1, carrying(Carries::Other(47)).frame(), Reason::ProtocolUnsupported, Some((3, 2))),
        ("sctp", C1, carrying(Carries::Other(132)).frame(), Reason::ProtocolUnsupported, Some((3, 2))),
        ("timestamp request", C1, icmp(13).frame(), Reason::IcmpTypeUnsupported, None),
        ("redirect", C1, icmp(5).frame(), Reason::IcmpTypeUnsupported, None),
        ("error with a wrong checksum", C1, bad_sum, Reason::IcmpChecksumWrong, None),
        ("error about nothing", C1, icmp(3).with_payload([]).frame(), unrelated, None),
        (
            "error about no session",
            C1,
            icmp(3).with_payload(udp_to(SERVER).embedded(28)).frame(),
            unrelated,
            None,
        ),
    ]);
}

#[test]
fn a_ttl_that_runs_out_is_told_both_ways() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    for ttl in [0, 1] {
        let frame = udp_to(SERVER).with_ttl(ttl).frame();
        let told = error_about(C1, &frame, (11, 0));
        assert_eq!(rig.refused(inside(C1), frame, Reason::TtlExpired), Some(told));
    }
    let external = rig.open(C1, Carries::Udp, 4000, remote);
    for ttl in [0, 1] {
        let packet = Packet::inbound(VPC_A, Carries::Udp, remote, external).with_ttl(ttl);
        let told = packet.error_by(EXTERNAL, 11, 0, 548);
        assert_eq!(rig.refused(outside(VPC_A), packet.frame(), Reason::TtlExpired), Some(told));
    }
    assert_eq!(rig.forward(inside(C1), &udp_to(SERVER).with_ttl(2)).1.ttl, 1);
}

#[test]
fn ethernet_padding_is_not_quoted_in_an_error() {
    let mut rig = Rig::new();
    let packet = udp_to(SERVER).with_ttl(1);
    let told = error_about(C1, &packet.frame(), (11, 0));
    let mut padded = packet.frame();
    padded.resize(ETHERNET + 60, 0);
    assert_eq!(rig.refused(inside(C1), padded, Reason::TtlExpired), Some(told));
}

#[test]
fn what_a_vpc_sends_unasked_is_dropped_in_silence() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let external = rig.open(C1, Carries::Udp, 4000, remote);
    let unused = endpoint(EXTERNAL, external.port() ^ 1);
    let udp = |from, to| Packet::inbound(VPC_A, Carries::Udp, from, to);
    let source = |address: [u8; 4]| udp(endpoint(address, 53), external);
    let base = udp(remote, external);
    let cases = [
        (udp(remote, unused), Reason::NoMapping),
        (udp(endpoint([10, 1, 0, 22], 53), external), Reason::Filtered),
        (udp(endpoint(OTHER_SERVER, 53), external), Reason::Filtered),
        (Packet::inbound(VPC_A, Carries::Tcp(SYN), remote, external), Reason::NoMapping),
        (Packet::inbound(VPC_A, Carries::Tcp(SYN), remote, endpoint(EXTERNAL, 22)), Reason::NoMapping),
        (Packet::inbound(VPC_A, Carries::EchoRequest, remote, endpoint(EXTERNAL, 0)), Reason::NoMapping),
        (udp(remote, endpoint(CONTAINER, 4000)), Reason::NotExternalAddress),
        (udp(remote, endpoint(OTHER_SERVER, 4000)), Reason::NotExternalAddress),
        (Packet { destination_mac: MacAddr::BROADCAST, ..base.clone() }, Reason::NotExternalAddress),
        (Packet { destination_mac: uplink_mac(VPC_B), ..base.clone() }, Reason::NotForGateway),
        (source([224, 0, 0, 1]), Reason::SourceInvalid),
        (source([255, 255, 255, 255]), Reason::SourceInvalid),
        (source([0, 0, 0, 0]), Reason::SourceInvalid),
        (source([127, 0, 0, 1]), Reason::SourceInvalid),
        (source([240, 0, 0, 1]), Reason::SourceInvalid),
        (Packet { carries: Carries::Other(47), ..base }, Reason::ProtocolUnsupported),
    ];
    for (packet, reason) in cases {
        assert_eq!(rig.refused(outside(VPC_A), packet.frame(), reason), None, "{packet:?}");
    }
    rig.refused(outside(VPC_B), udp(remote, external).frame(), Reason::NotForGateway);
}

#[test]
fn an_echo_reply_is_never_mistaken_for_an_echo_request_of_the_same_session() {
    // With the query id 0, both carry the same two endpoints.
    let mut rig = Rig::with_ports(0..=0);
    let remote = endpoint(SERVER, 0);
    assert_eq!(rig.open(C1, Carries::EchoRequest, 0, remote), endpoint(EXTERNAL, 0));
    let unasked = Packet::outbound(C1, Carries::EchoReply, 0, remote);
    rig.refused(inside(C1), unasked.frame(), Reason::IcmpTypeUnsupported);
    let request = Packet::inbound(VPC_A, Carries::EchoRequest, remote, endpoint(EXTERNAL, 0));
    rig.refused(outside(VPC_A), request.frame(), Reason::NoMapping);
    let answer = Packet::inbound(VPC_A, Carries::EchoReply, remote, endpoint(EXTERNAL, 0));
    assert_eq!(rig.forward(outside(VPC_A), &answer).0, inside(C1));
}

#[test]
fn when_ports_run_out_the_sender_is_told_and_every_port_was_used() {
    let mut rig = Rig::with_ports(2000..=2004);
    for port in 4000..4005 {
        rig.open(C1, Carries::Udp, port, endpoint(SERVER, 53));
    }
    let frame = Packet::outbound(C2, Carries::Udp, 4000, endpoint(SERVER, 53)).frame();
    let told = error_about(C2, &frame, (3, 13));
    assert_eq!(rig.refused(inside(C2), frame.clone(), Reason::PortsExhausted), Some(told));
    rig.open(C1, Carries::Udp, 4000, endpoint(OTHER_SERVER, 53));
    assert_eq!(rig.apply(Command::Detach { attachment: C1, connector: TO_A }), 6);
    assert_eq!(rig.deliver(inside(C2), frame).verdict, Verdict::Forward(outside(VPC_A)));
}

#[test]
fn a_container_has_its_share_of_sessions_and_leaves_the_others_theirs() {
    let mut rig = Rig::new();
    let packet = |id, n: u64| {
        let remote = endpoint(SERVER, 1 + (n / 60_000) as u16);
        Packet::outbound(id, Carries::Udp, 2000 + (n % 60_000) as u16, remote).frame()
    };
    for n in 0..limits::SESSIONS_PER_ATTACHMENT {
        let verdict = rig.engine.handle_packet(rig.now, inside(C1), &mut packet(C1, n));
        assert_eq!(verdict, Verdict::Forward(outside(VPC_A)));
    }
    let frame = packet(C1, limits::SESSIONS_PER_ATTACHMENT);
    let told = error_about(C1, &frame, (3, 13));
    assert_eq!(rig.refused(inside(C1), frame, Reason::QuotaReached), Some(told));
    assert_eq!(rig.deliver(inside(C2), packet(C2, 60_000)).verdict, Verdict::Forward(outside(VPC_A)));
    let known = rig.deliver(inside(C1), packet(C1, 0)).verdict;
    assert_eq!(known, Verdict::Forward(outside(VPC_A)));
}

#[test]
fn the_gateway_answers_ping_for_itself() {
    for id in [C1, C4] {
        let mut rig = Rig::new();
        let ping = Packet::outbound(id, Carries::EchoRequest, 77, endpoint(GATEWAY, 0));
        let step = rig.deliver(inside(id), ping.frame());
        assert_eq!(step.verdict, Verdict::Respond);
        let expected = Packet {
            source_mac: gateway_mac(id),
            destination_mac: container_mac(id),
            source: endpoint(GATEWAY, 0),
            destination: endpoint(CONTAINER, 77),
            carries: Carries::EchoReply,
            ..ping
        };
        let [reply] = &step.sent[..] else { panic!("one reply") };
        assert_eq!((reply.to, Packet::read(&reply.frame)), (inside(id), expected));
        assert_eq!(rig.engine.session_count(), 0);
    }
}

#[test]
fn malformed_arp_is_dropped() {
    let own = (container_mac(C1), CONTAINER);
    let good = Arp::request(own, GATEWAY);
    let with = |at: usize, byte: u8| {
        let mut frame = good.frame();
        frame[at] = byte;
        frame
    };
    let spoof = |sender| Arp { sender, ..good }.frame();
    check(vec![
        ("another's address", C1, spoof((own.0, SERVER)), Reason::ArpInvalid, None),
        ("another's MAC address", C1, spoof((container_mac(C2), CONTAINER)), Reason::ArpInvalid, None),
        ("not Ethernet", C1, with(IP + 1, 6), Reason::ArpInvalid, None),
        ("not IPv4", C1, with(IP + 3, 1), Reason::ArpInvalid, None),
        ("address lengths", C1, with(IP + 4, 8), Reason::ArpInvalid, None),
        ("unknown operation", C1, with(IP + 7, 9), Reason::ArpInvalid, None),
        ("truncated", C1, good.frame()[..IP + 27].to_vec(), Reason::ArpInvalid, None),
        ("for another", C1, Arp::request(own, SERVER).frame(), Reason::ArpNotForGateway, None),
        ("a reply", C1, Arp::reply(own, (gateway_mac(C1), GATEWAY)).frame(), Reason::ArpNotForGateway, None),
    ]);
}

#[test]
fn links_that_the_engine_does_not_know_are_not_counted() {
    let mut rig = Rig::new();
    for link in [Link::Attachment(AttachmentId(77)), Link::Uplink(gateway_core::UplinkId(77))] {
        for frame in [udp_to(SERVER).frame(), vec![], vec![0; 9]] {
            assert_eq!(rig.deliver(link, frame).verdict, Verdict::Drop(Reason::UnknownLink));
        }
    }
}

#[test]
fn an_error_about_a_broken_icmp_error_is_never_sent() {
    let mut rig = Rig::new();
    let mut frame = Packet::outbound(C1, Carries::Icmp { kind: 3, code: 1, rest: 0 }, 0, endpoint(SERVER, 0))
        .with_ttl(1)
        .with_payload(udp_to(SERVER).embedded(28))
        .frame();
    assert_eq!(rig.refused(inside(C1), frame.clone(), Reason::TtlExpired), None);
    frame[IP + 8] = 64;
    frame[IP + 16..IP + 20].copy_from_slice(&[169, 254, 169, 254]);
    fix_ipv4(&mut frame);
    fix_icmp(&mut frame);
    assert_eq!(rig.refused(inside(C1), frame, Reason::DestinationForbidden), None);
}

// Where the tests of each reason are. A new reason does not compile until it is here.
#[test]
fn every_reason_has_its_test() {
    use Reason as R;
    let covered = |reason| match reason {
        R::VnetHeaderInvalid | R::PacketTooBig => "vnet",
        R::FragmentInvalid | R::FragmentOverlap | R::FragmentsFull | R::FragmentTimeout => "fragments",
        R::NdInvalid | R::NdNotForGateway => "nd",
        R::NoExternalAddress | R::ExtensionHeader => "ipv6",
        R::QuotaReached => "here (sessions) and policies (ports)",
        R::IcmpErrorUnrelated => "icmp_errors",
        R::NextHopUnreachable | R::NextHopQueueFull => "arp",
        R::OutboxFull => "rate_limit",
        R::PolicyDenied => "rules",
        R::RateLimited | R::SessionRate => "rates",
        R::SessionsExhausted => "no test: needs as many sessions as limits::SESSIONS",
        R::EgressFull | R::EgressDown | R::EgressRefused | R::IngressRefused | R::HandOffFull => {
            "the shell's"
        }
        R::UnknownLink
        | R::FrameTruncated
        | R::VlanTagged
        | R::EtherTypeUnsupported
        | R::NotForGateway
        | R::SourceMacSpoofed
        | R::ArpInvalid
        | R::ArpNotForGateway
        | R::IpHeaderInvalid
        | R::Ipv4ChecksumWrong
        | R::Ipv4Options
        | R::SourceSpoofed
        | R::SourceInvalid
        | R::DestinationForbidden
        | R::Broadcast
        | R::GatewayAddress
        | R::TtlExpired
        | R::TransportInvalid
        | R::ProtocolUnsupported
        | R::IcmpTypeUnsupported
        | R::IcmpChecksumWrong
        | R::NoConnector
        | R::NoRoute
        | R::TcpNotSyn
        | R::PortsExhausted
        | R::NoNextHop
        | R::NotExternalAddress
        | R::NoMapping
        | R::Filtered => "here",
    };
    assert!(Reason::ALL.iter().all(|&reason| !covered(reason).is_empty()));
}
