//! RFC 4787: UDP.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gateway_core::{
    Addressing, AttachmentConfig, AttachmentId, Filtering, Reason, UdpRefresh, UplinkId, Verdict, limits,
};

use super::{Error, Net, ends_at, feed, flows, nets, received, rig_with, seen, whole};
use crate::support::fragments::cut;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{MTU, Rig, attachment_config, space, uplink_config};
use crate::support::*;

const UDP: Carries = Carries::Udp;

#[test]
fn rfc4787_req_1_an_internal_endpoint_has_one_external_endpoint_for_all_remotes() {
    for net in nets() {
        let mut rig = Rig::new();
        let first = rig.open(C1, UDP, 4000, endpoint(net.server, 53));
        assert_eq!(first.ip(), net.external);
        for remote in [endpoint(net.server, 54), endpoint(net.other, 53), endpoint(net.far, 53)] {
            assert_eq!(rig.open(C1, UDP, 4000, remote), first, "{remote}");
        }
        assert_ne!(rig.open(C1, UDP, 4001, endpoint(net.server, 53)), first);
    }
}

#[test]
fn rfc4787_req_2_a_container_has_one_external_address_for_all_its_ports() {
    const VPC_C: UplinkId = UplinkId(3);
    let pool: [IpAddr; 4] =
        ["10.1.0.10", "10.1.7.11", "fd00:1::10", "fd00:1::7:11"].map(|a| a.parse().expect("one"));
    for net in nets() {
        let mut rig = Rig::new();
        rig.add_uplink(uplink_config(VPC_C, vec![], space(pool.to_vec(), &(2000..=2001), 1)));
        let mut addresses = BTreeSet::new();
        for id in [AttachmentId(20), AttachmentId(21)] {
            rig.add_attachment(id);
            rig.attach(id, TO_A, VPC_C);
            let mut open = |port| {
                let packet = Packet::outbound(id, UDP, port, endpoint(net.server, 53));
                rig.forward_resolving(inside(id), &packet).source.ip()
            };
            let address = open(4000);
            assert_eq!(open(4001), address);
            // Its address has no port left. That another one has does not matter.
            let third = Packet::outbound(id, UDP, 4002, endpoint(net.server, 53));
            rig.refused(inside(id), third.frame(), Reason::PortsExhausted);
            addresses.insert(address);
        }
        assert_eq!(addresses, pool.into_iter().filter(|a| a.is_ipv4() == net.is_v4()).collect());
    }
}

#[test]
fn rfc4787_req_3_no_two_internal_endpoints_share_an_external_port() {
    for net in nets() {
        let mut rig = Rig::with_ports(2000..=2001);
        let [first, second] = [C1, C2].map(|id| rig.open(id, UDP, 4000, endpoint(net.server, 53)));
        assert_eq!(BTreeSet::from([first.port(), second.port()]), BTreeSet::from([2000, 2001]));
        for remote in [endpoint(net.server, 53), endpoint(net.other, 53)] {
            let third = Packet::outbound(C1, UDP, 4001, remote);
            rig.refused(inside(C1), third.frame(), Reason::PortsExhausted);
        }
    }
}

#[test]
fn rfc4787_req_3a_ports_above_1023_stay_there() {
    for net in nets() {
        let mut rig = Rig::new();
        for port in [1024, 1025, 40_000, 65_535] {
            let external = rig.open(C1, UDP, port, endpoint(net.server, 53));
            assert!(external.port() >= 1024, "{port}: {external}");
        }
        for used in rig.engine.port_use() {
            assert_eq!(used.used + used.free, 65_536 - 1024, "no port below 1024 is leasable");
        }
    }
}

#[test]
fn rfc4787_req_5_a_udp_mapping_lives_five_minutes() {
    for net in nets() {
        let mut rig = Rig::new();
        let external = rig.open(C1, UDP, 4000, endpoint(net.server, 53));
        let answer = Packet::inbound(VPC_A, UDP, endpoint(net.server, 53), external);
        for time in [at(120), just_before(at(300))] {
            rig.run_until(time);
            assert_eq!(rig.forward(outside(VPC_A), &answer).0, inside(C1));
        }
        rig.run_until(at(300));
        rig.refused(outside(VPC_A), answer.frame(), Reason::NoMapping);
    }
}

#[test]
fn rfc4787_req_6_outbound_packets_refresh_and_inbound_ones_do_not() {
    for net in nets() {
        let mut rig = Rig::new();
        let sent = Packet::outbound(C1, UDP, 4000, endpoint(net.server, 53));
        let external = rig.forward(inside(C1), &sent).1.source;
        rig.run_until(at(200));
        rig.forward_resolving(inside(C1), &sent);
        rig.run_until(at(499));
        rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, UDP, endpoint(net.server, 53), external));
        ends_at(&mut rig, at(500));
    }
}

#[test]
fn rfc4787_req_6a_inbound_packets_refresh_if_the_connector_says_so() {
    for net in nets() {
        let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| policy.udp_refresh = UdpRefresh::Both);
        let external = rig.open(C1, UDP, 4000, endpoint(net.server, 53));
        rig.run_until(at(299));
        rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, UDP, endpoint(net.server, 53), external));
        ends_at(&mut rig, at(599));
    }
}

#[test]
fn rfc4787_req_7_a_container_talks_to_hosts_that_have_its_own_address() {
    const TWIN: AttachmentId = AttachmentId(50);
    for net in nets() {
        let mut rig = Rig::new();
        let addresses = vec![Addressing { address: net.server, gateway: net.gateway }];
        rig.apply(gateway_core::Command::AddAttachment(AttachmentConfig {
            addresses,
            ..attachment_config(TWIN)
        }));
        rig.drain();
        rig.attach(TWIN, TO_A, VPC_A);
        for remote in [endpoint(net.server, 53), endpoint(net.other, 53)] {
            let own = endpoint(net.server, 4000);
            let sent = Packet { source: own, ..Packet::outbound(TWIN, UDP, 4000, remote) };
            let (_, arrived) = rig.forward(inside(TWIN), &sent);
            assert_eq!(arrived, seen(&sent, arrived.source));
            assert_eq!(arrived.source.ip(), net.external);
            let back = Packet::inbound(VPC_A, UDP, remote, arrived.source);
            assert_eq!(rig.forward(outside(VPC_A), &back), (inside(TWIN), received(&back, TWIN, own)));
        }
    }
}

#[test]
fn rfc4787_req_8_filtering_lets_in_whom_the_connector_says() {
    use Filtering::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    for net in nets() {
        let remotes = [endpoint(net.server, 53), endpoint(net.server, 54), endpoint(net.other, 53)];
        for (filtering, lets_in) in [
            (EndpointIndependent, [true, true, true]),
            (AddressDependent, [true, true, false]),
            (AddressAndPortDependent, [true, false, false]),
        ] {
            for (remote, lets_in) in remotes.into_iter().zip(lets_in) {
                let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| policy.udp_filtering = filtering);
                let external = rig.open(C1, UDP, 4000, remotes[0]);
                let packet = Packet::inbound(VPC_A, UDP, remote, external);
                let verdict = rig.deliver(outside(VPC_A), packet.frame()).verdict;
                let expected =
                    if lets_in { Verdict::Forward(inside(C1)) } else { Verdict::Drop(Reason::Filtered) };
                assert_eq!(verdict, expected, "{filtering:?} {remote}");
            }
        }
    }
    assert_eq!(Filtering::default(), AddressDependent);
}

#[test]
fn rfc4787_req_9_containers_reach_each_other_and_see_external_sources() {
    for net in nets() {
        let open_to_all = |policy: &mut gateway_core::ConnectorConfig| {
            policy.udp_filtering = Filtering::EndpointIndependent;
        };
        let mut rig = rig_with(limits::DEFAULT_PORTS, open_to_all);
        let [first, second] = [C1, C2].map(|id| rig.open(id, UDP, 4000, endpoint(net.server, 53)));
        for (from, own, to, other) in [(C1, first, C2, second), (C2, second, C1, first)] {
            let sent = Packet::outbound(from, UDP, 4000, other);
            let expected = Packet {
                source_mac: gateway_mac(to),
                destination_mac: container_mac(to),
                source: own,
                destination: endpoint(net.container, 4000),
                // Once out, once in.
                ttl: sent.ttl - 2,
                ..sent.clone()
            };
            assert_eq!(rig.forward(inside(from), &sent), (inside(to), expected));
        }
    }
}

#[test]
fn rfc4787_req_10_no_payload_is_looked_at() {
    for net in nets() {
        for (port, payload) in [
            (5060, "INVITE sip:a@10.1.0.20\r\nVia: SIP/2.0/UDP 169.254.1.2:4000\r\n"),
            (69, "\0\x01f\0octet\0"),
        ] {
            let mut rig = Rig::new();
            let sent = Packet::outbound(C1, UDP, 4000, endpoint(net.server, port)).with_payload(payload);
            let (_, arrived) = rig.forward(inside(C1), &sent);
            assert_eq!(arrived, seen(&sent, arrived.source));
            // A TFTP server answers from another port; nothing has been prepared for one of another address.
            let other = Packet::inbound(VPC_A, UDP, endpoint(net.other, port), arrived.source);
            rig.refused(outside(VPC_A), other.frame(), Reason::Filtered);
        }
    }
}

#[test]
fn rfc4787_req_11_mapping_and_filtering_stay_what_they_are_when_ports_run_out() {
    for net in nets() {
        let mut rig = Rig::with_ports(2000..=2001);
        let first = rig.open(C1, UDP, 4000, endpoint(net.server, 53));
        rig.open(C2, UDP, 4000, endpoint(net.server, 53));
        let more = Packet::outbound(C2, UDP, 4001, endpoint(net.server, 53));
        rig.refused(inside(C2), more.frame(), Reason::PortsExhausted);
        let stranger = Packet::inbound(VPC_A, UDP, endpoint(net.other, 53), first);
        rig.refused(outside(VPC_A), stranger.frame(), Reason::Filtered);
        assert_eq!(rig.open(C1, UDP, 4000, endpoint(net.other, 53)), first);
        assert_eq!(rig.forward(outside(VPC_A), &stranger).0, inside(C1));
    }
}

#[test]
fn rfc4787_req_12_no_icmp_error_ends_a_mapping() {
    for (net, mut flow) in flows() {
        let errors = [Error::Host, Error::Port, Error::TooBig(1400), Error::Prohibited, Error::TtlExpired];
        for error in errors {
            // REQ-12a: whichever host or router sends it.
            for by in [net.hop, net.server, net.far] {
                flow.rig.forward(outside(VPC_A), &net.error(&flow.seen, by, error));
            }
            flow.rig.forward(inside(C1), &net.error(&flow.received, net.container, error));
        }
        let again = flow.rig.forward(inside(C1), &flow.sent.clone()).1;
        assert_eq!(again.source, flow.seen.source);
        assert_eq!(flow.rig.forward(outside(VPC_A), &flow.answered.clone()).1, flow.received);
    }
}

/// A datagram whose IP packet has this many bytes.
fn of_size(net: Net, bytes: usize) -> Packet {
    net.large(C1, 4000, bytes - net.header - 8)
}

#[test]
fn rfc4787_req_13_a_packet_that_is_too_big_and_must_not_be_fragmented_is_told_the_mtu() {
    for net in nets() {
        let mut rig = Rig::new();
        let fits = Packet { dont_fragment: true, ..of_size(net, MTU.into()) };
        rig.forward(inside(C1), &fits);
        let frame = Packet { dont_fragment: true, ..of_size(net, usize::from(MTU) + 1) }.frame();
        let told = rig.refused(inside(C1), frame.clone(), Reason::PacketTooBig);
        assert_eq!(told, Some(net.told(C1, &frame, Error::TooBig(MTU))));
    }
}

#[test]
fn rfc4787_req_13a_a_packet_that_is_too_big_leaves_in_fragments_in_order() {
    let [v4, _] = nets();
    let mut rig = Rig::new();
    for bytes in [usize::from(MTU) + 1, 4000] {
        let sent = of_size(v4, bytes);
        let step = rig.deliver(inside(C1), sent.frame());
        assert_eq!(step.verdict, Verdict::Respond);
        assert!(step.sent.iter().all(|s| s.frame.len() <= IP + usize::from(MTU)));
        assert_eq!(step.sent.len(), (bytes - 20).div_ceil(1480));
        let arrived = whole(&step.sent, outside(VPC_A));
        assert_eq!(arrived, seen(&sent, arrived.source));
    }
}

#[test]
fn rfc4787_req_14_fragments_in_any_order_get_through_both_ways() {
    for net in nets() {
        for (id, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].into_iter().enumerate() {
            let mut rig = Rig::new();
            let arranged = |packet: &Packet| {
                let fragments = cut(&packet.frame(), 1400, id as u32);
                assert_eq!(fragments.len(), 3);
                order.map(|index| fragments[index].clone()).to_vec()
            };
            let sent = net.large(C1, 4000, 4000);
            let out = feed(&mut rig, inside(C1), arranged(&sent));
            let arrived = whole(&out, outside(VPC_A));
            assert_eq!(arrived, seen(&sent, arrived.source));
            let back = net.large_back(arrived.source, 4000);
            let out = feed(&mut rig, outside(VPC_A), arranged(&back));
            assert_eq!(whole(&out, inside(C1)), received(&back, C1, endpoint(net.container, 4000)));
            // None is larger than those that came in.
            let extra = if net.is_v4() { 0 } else { 8 };
            assert!(out.iter().all(|s| s.frame.len() <= IP + net.header + extra + 1400));
        }
    }
}

/// First fragments of datagrams that never become whole, from this many hosts of VPC A.
fn flood(rig: &mut Rig, net: Net, external: std::net::SocketAddr, hosts: u16) {
    for n in 0..1000_u16 {
        let low = 256 + n % hosts;
        let source: IpAddr = if net.is_v4() {
            [10, 1, (low >> 8) as u8, low as u8].into()
        } else {
            [0xfd00, 1, 0, 0, 0, 0, 9, low].into()
        };
        let packet = Packet { source: endpoint(source, 53), ..net.large_back(external, 4000) };
        let mut first = cut(&packet.frame(), 1400, n.into()).remove(0);
        // A datagram that makes room for this one can be counted as a drop, which `deliver` does not expect.
        let verdict = rig.engine.handle_packet(rig.now, outside(VPC_A), &mut first);
        assert!(matches!(verdict, Verdict::Hold | Verdict::Drop(Reason::FragmentsFull)), "{verdict:?}");
    }
}

#[test]
fn rfc4787_req_14a_a_fragment_flood_stops_neither_whole_packets_nor_fragments_in_order() {
    for net in nets() {
        for hosts in [1, 200] {
            let mut rig = Rig::new();
            let external = rig.open(C1, UDP, 4000, endpoint(net.server, 53));
            flood(&mut rig, net, external, hosts);
            let back = Packet::inbound(VPC_A, UDP, endpoint(net.server, 53), external);
            assert_eq!(rig.forward(outside(VPC_A), &back).0, inside(C1));
            let back = net.large_back(external, 4000);
            let out = feed(&mut rig, outside(VPC_A), cut(&back.frame(), 1400, 7));
            assert_eq!(whole(&out, inside(C1)), received(&back, C1, endpoint(net.container, 4000)));
        }
    }
}
