//! RFC 6888: many subscribers behind few addresses. A subscriber is a container.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use gateway_core::{
    Addressing, AttachmentConfig, AttachmentId, Command, CommandError, ConnectorConfig, ConnectorId, Event,
    Filtering, PortBlock, PortQuota, Protocol, Publication, Reason, UplinkConfig, UplinkId, Verdict, limits,
};

use super::{Error, KINDS, Net, nets, received, rig_with, seen};
use crate::support::fragments::cut;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, attachment_config, connector, space, uplink_config};
use crate::support::tcp::By::{Container, Remote};
use crate::support::tcp::Connection;
use crate::support::*;

const UDP: Carries = Carries::Udp;
const SYN_: Carries = Carries::Tcp(SYN);
const VPC_C: UplinkId = UplinkId(3);

/// Containers 20, 21, … of a VPC with these addresses, and its first packets' neighbors known.
fn pool_of(net: Net, addresses: &[&str], ports: std::ops::RangeInclusive<u16>, containers: u32) -> Rig {
    let mut rig = Rig::new();
    let addresses = addresses.iter().map(|a| a.parse().expect("an address")).collect();
    rig.add_uplink(uplink_config(VPC_C, vec![], space(addresses, &ports, 1)));
    for id in (20..20 + containers).map(AttachmentId) {
        rig.add_attachment(id);
        rig.attach(id, TO_A, VPC_C);
    }
    let ping = Packet::outbound(AttachmentId(20), Carries::EchoRequest, 1, endpoint(net.server, 0));
    rig.forward_resolving(inside(AttachmentId(20)), &ping);
    rig
}

#[test]
fn rfc6888_req_2_pooling_is_paired_by_default() {
    for net in nets() {
        let pool = if net.is_v4() { ["10.1.0.10", "10.1.0.11"] } else { ["fd00:1::10", "fd00:1::11"] };
        let mut rig = pool_of(net, &pool, limits::DEFAULT_PORTS, 2);
        for id in [AttachmentId(20), AttachmentId(21)] {
            let mut addresses = BTreeSet::new();
            for (carries, _) in KINDS {
                for port in 4000..4010 {
                    addresses.insert(rig.open(id, carries, port, endpoint(net.server, 0)).ip());
                }
            }
            assert_eq!(addresses.len(), 1, "{id}");
        }
    }
}

#[test]
fn rfc6888_req_3_a_pool_has_any_addresses_and_all_are_used() {
    for net in nets() {
        let pool = if net.is_v4() {
            ["10.1.0.10", "10.1.200.7", "172.20.3.4"]
        } else {
            ["fd00:1::10", "fd00:7::1", "2001:db8:ffff::1"]
        };
        let mut rig = pool_of(net, &pool, 2000..=2000, 3);
        let opened: BTreeSet<SocketAddr> =
            (20..23).map(|id| rig.open(AttachmentId(id), UDP, 4000, endpoint(net.server, 53))).collect();
        let expected = pool.map(|address| endpoint(address.parse::<IpAddr>().expect("one"), 2000));
        assert_eq!(opened, expected.into());
    }
}

#[test]
fn rfc6888_req_4_a_containers_ports_are_limited() {
    for net in nets() {
        for (carries, _) in KINDS {
            let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| policy.quota_per_attachment = Some(2));
            let remote = |address| endpoint(address, if carries == Carries::EchoRequest { 0 } else { 80 });
            rig.open(C1, carries, 4000, remote(net.server));
            rig.open(C1, carries, 4001, remote(net.server));
            let third = Packet::outbound(C1, carries, 4002, remote(net.server)).frame();
            let told = rig.refused(inside(C1), third.clone(), Reason::QuotaReached);
            assert_eq!(told, Some(net.told(C1, &third, Error::Prohibited)));
            // A mapping that there is serves another remote; and nobody else has less.
            rig.open(C1, carries, 4001, remote(net.other));
            rig.open(C2, carries, 4000, remote(net.server));
        }
    }
}

#[test]
fn rfc6888_req_4_a_connectors_ports_are_limited() {
    for net in nets() {
        let quota = PortQuota::new(Some(2));
        let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| policy.quota = quota.clone());
        rig.open(C1, UDP, 4000, endpoint(net.server, 53));
        rig.open(C2, UDP, 4000, endpoint(net.server, 53));
        let third = Packet::outbound(C1, UDP, 4001, endpoint(net.server, 53));
        rig.refused(inside(C1), third.frame(), Reason::QuotaReached);
        assert_eq!(quota.used(), 2);
        rig.run_until(at(300));
        assert_eq!(quota.used(), 0);
        rig.forward_resolving(inside(C1), &third);
    }
}

#[test]
fn rfc6888_req_5_memory_for_a_containers_fragments_is_limited() {
    for net in nets() {
        let mut rig = Rig::new();
        let first = |id, n| cut(&net.large(id, 4000, 4000).frame(), 1400, n).remove(0);
        let all = 2 * limits::REASSEMBLIES_PER_LINK as u32;
        for n in 0..all {
            rig.engine.handle_packet(rig.now, inside(C1), &mut first(C1, n));
        }
        let full = rig.counters()[&inside(C1)].drops.of(Reason::FragmentsFull);
        assert_eq!(full, u64::from(all) / 2);
        assert_eq!(rig.deliver(inside(C2), first(C2, 0)).verdict, Verdict::Hold);
    }
}

#[test]
fn rfc6888_req_6_translation_is_off_for_chosen_destinations() {
    let own = ConnectorConfig {
        translation: false,
        destinations: vec![IpAddr::from(SERVER).into(), IpAddr::from(SERVER_V6).into()],
        ..connector(ConnectorId(9), VPC_A)
    };
    let id = AttachmentId(50);
    for net in nets() {
        for (carries, answer) in KINDS {
            let address: IpAddr =
                if net.is_v4() { [172, 16, 0, 5].into() } else { "fd00:5::5".parse().expect("one") };
            let mut rig = Rig::new();
            let addresses = vec![Addressing { address, gateway: net.gateway }];
            rig.apply(Command::AddAttachment(AttachmentConfig { addresses, ..attachment_config(id) }));
            rig.drain();
            rig.attach(id, TO_A, VPC_A);
            rig.attach_with(id, own.clone());
            let internal = endpoint(address, 4000);
            let to = |remote| {
                let remote = endpoint(remote, if carries == Carries::EchoRequest { 0 } else { 80 });
                Packet { source: internal, ..Packet::outbound(id, carries, 4000, remote) }
            };
            // Whatever comes first, from one and the same endpoint of the container.
            for order in [[net.server, net.other], [net.other, net.server]] {
                for remote in order {
                    let sent = to(remote);
                    let arrived = rig.forward_resolving(inside(id), &sent);
                    let own = remote == net.server;
                    assert_eq!(arrived.source == internal, own, "{arrived:?}");
                    assert_eq!(arrived, seen(&sent, arrived.source));
                    let back = Packet::inbound(VPC_A, answer, sent.destination, arrived.source);
                    let expected = received(&back, id, internal);
                    assert_eq!(rig.forward(outside(VPC_A), &back), (inside(id), expected));
                }
                assert_eq!(rig.ports_used(), 1);
                rig.run_until(rig.now + limits::TCP_ESTABLISHED);
                assert_eq!(rig.engine.session_count(), 0);
            }
        }
    }
}

#[test]
fn rfc6888_req_7_filtering_is_endpoint_independent_where_a_connector_says_so() {
    for net in nets() {
        for carries in [SYN_, UDP] {
            let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| {
                policy.filtering = Filtering::EndpointIndependent;
                policy.udp_filtering = Filtering::EndpointIndependent;
            });
            let external = rig.open(C1, carries, 4000, endpoint(net.server, 80));
            let stranger = Packet::inbound(VPC_A, carries, endpoint(net.other, 9), external);
            let expected = received(&stranger, C1, endpoint(net.container, 4000));
            assert_eq!(rig.forward(outside(VPC_A), &stranger), (inside(C1), expected));
        }
    }
}

#[test]
fn rfc6888_req_8_a_freed_udp_port_that_was_open_to_all_rests_two_minutes() {
    for net in nets() {
        let mut rig = rig_with(2000..=2000, |policy| policy.udp_filtering = Filtering::EndpointIndependent);
        rig.open(C1, UDP, 4000, endpoint(net.server, 53));
        let other = Packet::outbound(C2, UDP, 4000, endpoint(net.server, 53));
        for time in [at(300), just_before(at(420))] {
            rig.run_until(time);
            assert_eq!(rig.engine.session_count(), 0);
            rig.refused(inside(C2), other.frame(), Reason::PortsExhausted);
        }
        rig.run_until(at(420));
        assert_eq!(rig.forward_resolving(inside(C2), &other).source, endpoint(net.external, 2000));
    }
}

#[test]
fn rfc6888_req_8_ports_that_were_filtered_tracked_or_published_do_not_rest() {
    for net in nets() {
        for (carries, filtering, ends) in [
            (UDP, Filtering::AddressDependent, 300),
            (UDP, Filtering::AddressAndPortDependent, 300),
            (SYN_, Filtering::EndpointIndependent, 240),
        ] {
            let mut rig = rig_with(2000..=2000, |policy| {
                (policy.filtering, policy.udp_filtering) = (filtering, filtering);
            });
            rig.open(C1, carries, 4000, endpoint(net.server, 80));
            let other = Packet::outbound(C2, carries, 4000, endpoint(net.server, 80));
            rig.run_until(just_before(at(ends)));
            rig.refused(inside(C2), other.frame(), Reason::PortsExhausted);
            rig.run_until(at(ends));
            rig.forward_resolving(inside(C2), &other);
        }
        let mut rig = Rig::new();
        for id in [C1, C2, C1] {
            rig.attach_with(id, published(net, Protocol::Udp));
            rig.apply(Command::Detach { attachment: id, connector: ConnectorId(9) });
        }
    }
}

/// A connector, without destinations of others, that publishes port 8443 of its container as 443.
fn published(net: Net, protocol: Protocol) -> ConnectorConfig {
    let external = endpoint(net.external, 443);
    ConnectorConfig {
        destinations: vec![net.server.into()],
        publications: vec![Publication { protocol, external, internal_port: 8443 }],
        ..connector(ConnectorId(9), VPC_A)
    }
}

#[test]
fn rfc6888_req_9_a_mapping_is_made_on_request() {
    for net in nets() {
        for (carries, answer, protocol) in
            [(SYN_, Carries::Tcp(SYN | ACK), Protocol::Tcp), (UDP, UDP, Protocol::Udp)]
        {
            let mut rig = Rig::new();
            let (external, internal) = (endpoint(net.external, 443), endpoint(net.container, 8443));
            let call = Packet::inbound(VPC_A, carries, endpoint(net.server, 5000), external);
            rig.refused(outside(VPC_A), call.frame(), Reason::NoMapping);
            rig.attach_with(C1, published(net, protocol));
            let expected = received(&call, C1, internal);
            assert_eq!(rig.forward(outside(VPC_A), &call), (inside(C1), expected));
            let back = Packet::outbound(C1, answer, 8443, call.source);
            assert_eq!(rig.forward(inside(C1), &back).1, seen(&back, external));
            // It belongs to one container, until that gives it back.
            let attach = |attachment| Command::Attach { attachment, connector: published(net, protocol) };
            let refused = rig.engine.apply(rig.now, attach(C2));
            assert_eq!(refused, Err(CommandError::PublicationTaken { protocol, external }));
            assert_eq!(rig.apply(Command::Detach { attachment: C1, connector: ConnectorId(9) }), 1);
            rig.drain();
            rig.refused(outside(VPC_A), call.frame(), Reason::NoMapping);
            rig.apply(attach(C2));
        }
    }
}

#[test]
fn rfc6888_req_11_what_finds_no_port_is_dropped_and_counted_and_takes_nobodys() {
    for net in nets() {
        for (carries, answer) in KINDS {
            let remote = endpoint(net.server, if carries == Carries::EchoRequest { 0 } else { 80 });
            let mut rig = Rig::with_ports(2000..=2000);
            let external = rig.open(C1, carries, 4000, remote);
            for n in 1..=10 {
                let frame = Packet::outbound(C2, carries, 4000 + n, remote).frame();
                let told = rig.refused(inside(C2), frame.clone(), Reason::PortsExhausted);
                assert_eq!(told, Some(net.told(C2, &frame, Error::Prohibited)));
                assert_eq!(rig.counters()[&inside(C2)].drops.of(Reason::PortsExhausted), u64::from(n));
            }
            let back = Packet::inbound(VPC_A, answer, remote, external);
            assert_eq!(rig.forward(outside(VPC_A), &back).0, inside(C1));
        }
    }
}

/// Container 20 in a VPC whose ports come in blocks.
fn with_blocks(net: Net) -> Rig {
    let mut rig = Rig::new();
    let config = uplink_config(VPC_C, vec![], space(vec![net.external], &limits::DEFAULT_PORTS, 1));
    rig.add_uplink(UplinkConfig { port_blocks: true, ..config });
    let id = AttachmentId(20);
    rig.add_attachment(id);
    rig.attach(id, TO_A, VPC_C);
    rig
}

#[test]
fn rfc6888_req_12_no_destination_is_told() {
    for net in nets() {
        let mut rig = with_blocks(net);
        let id = AttachmentId(20);
        let packet = Packet::outbound(id, UDP, 4000, endpoint(net.server, 53));
        let external = rig.forward_resolving(inside(id), &packet).source;
        let Some(Event::BlockTaken(block)) = rig.engine.poll_event() else { panic!("a block was taken") };
        // All that there is of it: no remote.
        let PortBlock { attachment, uplink, external: address, protocol, first } = block;
        assert_eq!((attachment, uplink, address, protocol), (id, VPC_C, net.external, Protocol::Udp));
        assert_eq!(first, external.port() / limits::PORT_BLOCK * limits::PORT_BLOCK);
        let again = Packet::outbound(id, UDP, 4000, endpoint(net.server, 54));
        rig.forward(inside(id), &again);
        assert_eq!(rig.engine.poll_event(), None);
    }
}

#[test]
fn rfc6888_req_13_every_port_is_used_before_one_is_refused() {
    for net in nets() {
        for (carries, _) in KINDS {
            let mut rig = Rig::with_ports(2000..=2299);
            let remote = endpoint(net.server, if carries == Carries::EchoRequest { 0 } else { 80 });
            let mut ports: Vec<u16> =
                (0..300).map(|n| rig.open(C1, carries, 4000 + n, remote).port()).collect();
            ports.sort_unstable();
            assert!(ports.into_iter().eq(2000..=2299));
            let more = Packet::outbound(C2, carries, 4000, remote);
            rig.refused(inside(C2), more.frame(), Reason::PortsExhausted);
        }
    }
}

#[test]
fn rfc6888_req_13_short_connections_give_up_their_ports_when_none_is_free() {
    for net in nets() {
        for [last, reset] in [[ACK, 0], [0, RST | ACK]] {
            let mut rig = Rig::with_ports(2000..=2000);
            let remote = endpoint(net.server, 80);
            let mut connection = Connection::new();
            let external = endpoint(net.external, 2000);
            let mut say = |rig: &mut Rig, by, flags| {
                let packet = match by {
                    Container => Packet::outbound(C1, Carries::Tcp(flags), 4000, remote),
                    Remote => Packet::inbound(VPC_A, Carries::Tcp(flags), remote, external),
                };
                let from = if by == Container { inside(C1) } else { outside(VPC_A) };
                rig.forward(from, &connection.next(by, packet));
            };
            let next = Packet::outbound(C2, SYN_, 4000, remote);
            let talk: &[_] = if reset == 0 {
                &[(Container, SYN), (Remote, SYN | ACK), (Container, FIN | ACK), (Remote, FIN | ACK)]
            } else {
                &[(Container, SYN), (Remote, SYN | ACK)]
            };
            for &(by, flags) in talk {
                say(&mut rig, by, flags);
                // Live as it is, nobody takes its port.
                rig.refused(inside(C2), next.frame(), Reason::PortsExhausted);
            }
            say(&mut rig, Container, last | reset);
            // Only a SYN does, and no other protocol's packet.
            let no_syn = Packet::outbound(C2, Carries::Tcp(ACK), 4000, remote);
            rig.refused(inside(C2), no_syn.frame(), Reason::TcpNotSyn);
            assert_eq!(rig.engine.session_count(), 1);
            assert_eq!(rig.forward(inside(C2), &next).1.source, external);
            assert_eq!(rig.engine.session_count(), 1);
            let given_up: u64 = rig.engine.port_use().iter().map(|used| used.given_up).sum();
            assert_eq!(given_up, 1);
            rig.refused(inside(C1), Packet::outbound(C1, SYN_, 4000, remote).frame(), Reason::PortsExhausted);
        }
    }
}

#[test]
fn rfc6888_req_14_ports_come_and_go_in_blocks_and_only_blocks_are_told() {
    let id = AttachmentId(20);
    for net in nets() {
        let mut rig = with_blocks(net);
        let remote = endpoint(net.server, 53);
        rig.forward_resolving(inside(id), &Packet::outbound(id, UDP, 3999, remote));
        let mut firsts = BTreeSet::new();
        let block = |port: u16| port / limits::PORT_BLOCK * limits::PORT_BLOCK;
        for n in 0..limits::PORT_BLOCK {
            firsts.insert(block(rig.open(id, UDP, 4000 + n, remote).port()));
        }
        // 65 ports: two blocks, and two lines of log.
        assert_eq!(firsts.len(), 2);
        assert_eq!(events(&mut rig, true), firsts);
        rig.run_until(at(300));
        assert_eq!(rig.engine.session_count(), 0);
        assert_eq!(events(&mut rig, false), firsts);
    }
}

/// First ports of the blocks that were taken, or given back; nothing else is told.
fn events(rig: &mut Rig, taken: bool) -> BTreeSet<u16> {
    let mut firsts = BTreeSet::new();
    while let Some(event) = rig.engine.poll_event() {
        let (Event::BlockTaken(block) | Event::BlockGivenBack(block)) = event;
        assert_eq!(matches!(event, Event::BlockTaken(_)), taken);
        assert!(firsts.insert(block.first), "told once");
    }
    firsts
}

#[test]
fn rfc6888_req_15_a_port_says_nothing_about_the_next() {
    for net in nets() {
        // Two workers differ in their seeds alone, but for the blocks that are at home there.
        let ports = Rig::workers(limits::DEFAULT_PORTS).map(|rig| {
            let mut rig = rig.resolved();
            let mut open = |port| rig.open(C1, UDP, port, endpoint(net.server, 53)).port();
            (4000..4064).map(&mut open).collect::<Vec<u16>>()
        });
        for ports in &ports {
            let steps: BTreeSet<u16> = ports.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
            assert!(steps.len() > 60, "{ports:?}");
        }
        let places = ports.map(|ports| ports.iter().map(|port| port / 128).collect::<Vec<_>>());
        assert_ne!(places[0], places[1]);
    }
}
