//! Neighbor Discovery on both sides, and routers made known to containers (RFC 4861).

use std::net::Ipv6Addr;

use gateway_core::{MacAddr, Reason, Verdict, limits};

use crate::support::checksum::fix_icmpv6;
use crate::support::fragments::cut;
use crate::support::nd::{
    ALL_NODES, ALL_ROUTERS, Nd, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, message, multicast_mac,
};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{MTU, Rig, is_nd, space, uplink_config};
use crate::support::*;

/// The container, as it speaks.
const SELF: (MacAddr, Ipv6Addr) = (container_mac(C1), CONTAINER_V6);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xc);
const EVERYBODY: (MacAddr, Ipv6Addr) = (MacAddr([0x33, 0x33, 0, 0, 0, 1]), ALL_NODES);

fn unresolved() -> Rig {
    Rig::unresolved(limits::DEFAULT_PORTS)
}

fn udp(port: u16, destination: Ipv6Addr) -> Packet {
    Packet::outbound(C1, Carries::Udp, port, endpoint(destination, 53))
}

/// What the gateway says about itself on the container's link: router, solicited unless to everybody, override.
fn gateway_answers(to: (MacAddr, Ipv6Addr)) -> Nd {
    let flags = if to == EVERYBODY { 0xa0 } else { 0xe0 };
    Nd { flags, ..Nd::advertisement((gateway_mac(C1), GATEWAY_V6), to) }
}

fn router_solicitation(source: Ipv6Addr) -> Packet {
    message((container_mac(C1), source), (multicast_mac(ALL_ROUTERS), ALL_ROUTERS), ROUTER_SOLICITATION)
}

#[test]
fn a_container_learns_the_gateways_mac_address() {
    let mut rig = unresolved();
    for source in [CONTAINER_V6, LINK_LOCAL] {
        let asker = (container_mac(C1), source);
        let multicast = Nd::solicitation(asker, GATEWAY_V6);
        let unicast = Nd { destination: (gateway_mac(C1), GATEWAY_V6), ..multicast };
        for question in [multicast, unicast] {
            let step = rig.deliver(inside(C1), question.frame());
            let [answer] = &step.sent[..] else { panic!("one answer") };
            assert_eq!((step.verdict, answer.to), (Verdict::Respond, inside(C1)));
            assert_eq!(Nd::read(&answer.frame), gateway_answers(asker));
        }
    }
}

#[test]
fn rfc4862_the_gateways_address_is_defended_and_any_other_left_alone() {
    let mut rig = unresolved();
    let anonymous =
        |target| Nd { mac: None, ..Nd::solicitation((container_mac(C1), Ipv6Addr::UNSPECIFIED), target) };
    let step = rig.deliver(inside(C1), anonymous(GATEWAY_V6).frame());
    assert_eq!(Nd::read(&step.sent[0].frame), gateway_answers(EVERYBODY));
    for target in [CONTAINER_V6, LINK_LOCAL, SERVER_V6] {
        let step = rig.deliver(inside(C1), anonymous(target).frame());
        assert_eq!((step.verdict, step.sent), (Verdict::Respond, vec![]));
    }
}

#[test]
fn a_container_is_told_of_its_router_when_it_asks_and_every_ten_minutes() {
    let mut rig = unresolved();
    for source in [CONTAINER_V6, LINK_LOCAL, Ipv6Addr::UNSPECIFIED] {
        let step = rig.deliver(inside(C1), router_solicitation(source).frame());
        let [answer] = &step.sent[..] else { panic!("one answer") };
        let told = Packet::read(&answer.frame);
        assert_eq!((told.source_mac, told.source), (gateway_mac(C1), endpoint(GATEWAY_V6, 0)));
        assert_eq!((told.destination_mac, told.destination), (EVERYBODY.0, endpoint(EVERYBODY.1, 0)));
        // Hop limit 64, no flags, half an hour.
        assert_eq!(told.carries, Carries::Icmp { kind: ROUTER_ADVERTISEMENT, code: 0, rest: 0x4000_0708 });
        let mac = [&[1, 1], &gateway_mac(C1).0[..]].concat();
        let mtu = [&[5, 1, 0, 0, 0, 0], &MTU.to_be_bytes()[..]].concat();
        assert_eq!(told.payload, [vec![0; 8], mac, mtu].concat());
    }
    for round in 1..=3 {
        let due = at(600 * round);
        assert_eq!(rig.engine.poll_timeout(), Some(due));
        let (_, sent) = rig.wait_until(due);
        assert!(sent.iter().all(|sent| is_nd(&sent.frame, ROUTER_ADVERTISEMENT)));
        let links: std::collections::BTreeSet<_> = sent.iter().map(|sent| sent.to).collect();
        assert_eq!((sent.len(), links), (4, [C1, C2, C3, C4].map(inside).into()));
    }
}

#[test]
fn a_container_without_ipv6_is_told_nothing() {
    let mut rig = Rig::unresolved_without_ipv6();
    assert_eq!(rig.refused(inside(C1), router_solicitation(LINK_LOCAL).frame(), Reason::NdInvalid), None);
    assert_eq!(rig.engine.poll_timeout(), None);
}

#[test]
fn messages_that_break_a_rule_are_dropped_in_silence() {
    let mut rig = Rig::new();
    let good = Nd::solicitation(SELF, GATEWAY_V6);
    let mut wrong_sum = good.frame();
    wrong_sum[TRANSPORT_V6 + 2] ^= 1;
    let mut short = good.frame();
    short.truncate(TRANSPORT_V6 + 16);
    short[IP + 5] = 16;
    fix_icmpv6(&mut short);
    let stranger = Nd { source: (container_mac(C1), SERVER_V6), ..good };
    let group = Nd { target: ALL_NODES, ..good };
    let silent = Nd { source: (container_mac(C1), Ipv6Addr::UNSPECIFIED), ..good };
    for (name, frame) in [
        ("forwarded", good.packet().with_ttl(254).frame()),
        ("checksum", wrong_sum),
        ("without a target", short),
        ("another's address", stranger.frame()),
        ("a group as target", group.frame()),
        ("no address but a MAC address", silent.frame()),
    ] {
        let step = rig.deliver(inside(C1), frame);
        assert_eq!((step.verdict, step.sent), (Verdict::Drop(Reason::NdInvalid), vec![]), "{name}");
    }
    let forwarded = Nd::host_answers(VPC_A, SERVER_V6).packet().with_ttl(254);
    assert_eq!(rig.refused(outside(VPC_A), forwarded.frame(), Reason::NdInvalid), None);
}

#[test]
fn rfc6980_messages_in_fragments_are_dropped() {
    let mut rig = Rig::new();
    for fragments in [
        cut(
            &Nd { destination: (gateway_mac(C1), GATEWAY_V6), ..Nd::solicitation(SELF, GATEWAY_V6) }.frame(),
            8,
            1,
        ),
        // One fragment that is all (RFC 6946).
        cut(
            &Nd { destination: (gateway_mac(C1), GATEWAY_V6), ..Nd::solicitation(SELF, GATEWAY_V6) }.frame(),
            800,
            2,
        ),
    ] {
        let mut last = None;
        for fragment in fragments {
            let step = rig.deliver(inside(C1), fragment);
            assert_eq!(step.sent, []);
            last = Some(step.verdict);
        }
        assert_eq!(last, Some(Verdict::Drop(Reason::NdInvalid)));
    }
    let [.., last] = &cut(&Nd::host_answers(VPC_A, NOBODY_V6).frame(), 800, 3)[..] else { panic!("one") };
    rig.refused(outside(VPC_A), last.clone(), Reason::NdInvalid);
}

#[test]
fn a_vpc_learns_the_mac_address_of_the_external_address_and_of_nothing_else() {
    let mut rig = unresolved();
    let asker = (host_mac(VPC_A, SERVER_V6), SERVER_V6);
    let step = rig.deliver(outside(VPC_A), Nd::solicitation(asker, EXTERNAL_V6).frame());
    let [answer] = &step.sent[..] else { panic!("one answer") };
    assert_eq!((step.verdict, answer.to), (Verdict::Respond, outside(VPC_A)));
    assert_eq!(Nd::read(&answer.frame), Nd::advertisement((uplink_mac(VPC_A), EXTERNAL_V6), asker));
    for target in [SERVER_V6, OTHER_SERVER_V6, CONTAINER_V6, GATEWAY_V6] {
        let question = Nd::solicitation((host_mac(VPC_A, ROUTER_V6), ROUTER_V6), target);
        assert_eq!(rig.refused(outside(VPC_A), question.frame(), Reason::NdNotForGateway), None);
    }
    for target in [SERVER_V6, CONTAINER_V6] {
        let question = Nd::solicitation(SELF, target);
        assert_eq!(rig.refused(inside(C1), question.frame(), Reason::NdNotForGateway), None);
    }
}

#[test]
fn packets_wait_for_their_next_hop_and_leave_in_order() {
    let mut rig = unresolved();
    for port in 0..5 {
        let step = rig.deliver(inside(C1), udp(4000 + port, SERVER_V6).frame());
        let asked: Vec<_> = step.sent.iter().map(|sent| Nd::read(&sent.frame)).collect();
        let expected = if port == 0 { vec![Nd::gateway_asks(VPC_A, SERVER_V6)] } else { vec![] };
        assert_eq!((step.verdict, asked), (Verdict::Hold, expected));
    }
    let step = rig.deliver(outside(VPC_A), Nd::host_answers(VPC_A, SERVER_V6).frame());
    let ports: Vec<_> = step.sent.iter().map(|sent| Packet::read(&sent.frame).source).collect();
    let sessions = rig.sessions();
    let internal = |external| sessions.iter().find(|s| s.external == external).expect("a session").internal;
    let internal: Vec<_> = ports.into_iter().map(internal).collect();
    assert_eq!(internal, [4000, 4001, 4002, 4003, 4004].map(|port| endpoint(CONTAINER_V6, port)));
}

#[test]
fn a_silent_next_hop_is_asked_three_times_and_given_up_after_three_seconds() {
    let mut rig = unresolved();
    let packet = udp(4000, NOBODY_V6);
    rig.deliver(inside(C1), packet.frame());
    for second in 1..=2 {
        let (_, sent) = rig.wait_until(at(second));
        assert_eq!(Nd::read(&sent[0].frame), Nd::gateway_asks(VPC_A, NOBODY_V6));
    }
    let (_, sent) = rig.wait_until(at(3));
    let [told] = &sent[..] else { panic!("the sender is told") };
    assert_eq!((told.to, Packet::read(&told.frame)), (inside(C1), packet.error_by(GATEWAY_V6, 1, 3, 1232)));
}

#[test]
fn the_external_addresses_of_a_new_uplink_are_announced() {
    let mut rig = unresolved();
    let vpc = gateway_core::UplinkId(9);
    let config = uplink_config(vpc, vec![], space(vec![EXTERNAL_V6.into()], &(2000..=2100), 1));
    rig.apply(gateway_core::Command::AddUplink(config));
    let sent = rig.drain();
    let [announced] = &sent[..] else { panic!("one address") };
    // RFC 4861 §7.2.6: unsolicited, to all nodes; override.
    let expected = Nd { flags: 0x20, ..Nd::advertisement((uplink_mac(vpc), EXTERNAL_V6), EVERYBODY) };
    assert_eq!((announced.to, Nd::read(&announced.frame)), (outside(vpc), expected));
}
