//! What connectors and uplinks say besides destinations: quotas, ports given up, translation, publications, SYNs unasked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use gateway_core::{
    AttachmentConfig, AttachmentId, Command, CommandError, ConnectorConfig, ConnectorId, MappingMode,
    PortQuota, Protocol, Publication, Reason, SessionState, Unsolicited, Verdict, limits,
};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, Sent, attachment_config, connector, space, uplink_config};
use crate::support::tcp::{By, Connection};
use crate::support::*;

const NARROW: ConnectorId = ConnectorId(7);

/// C1 and C2 have the connector with this policy instead of the default one.
fn rig_with(mut rig: Rig, policy: &ConnectorConfig) -> Rig {
    for id in [C1, C2] {
        rig.apply(Command::Detach { attachment: id, connector: TO_A });
        rig.attach_with(id, policy.clone());
    }
    rig
}

/// A container whose addresses a VPC can have a route to.
const ROUTABLE: AttachmentId = AttachmentId(50);
const ROUTABLE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

fn routable() -> AttachmentConfig {
    let mut config = attachment_config(ROUTABLE);
    config.addresses[0].address = ROUTABLE_ADDRESS.into();
    config
}

fn with_routable() -> Rig {
    let mut rig = Rig::new();
    rig.add_attachment_with(routable());
    rig
}

fn udp(id: AttachmentId, port: u16) -> Packet {
    Packet::outbound(id, Carries::Udp, port, endpoint(SERVER, 53))
}

/// A connection of C1 from this port, opened and closed by both ends.
fn finished(rig: &mut Rig, port: u16) -> SocketAddr {
    let remote = endpoint(SERVER, 80);
    let mut connection = Connection::new();
    let mut external = endpoint(EXTERNAL, 0);
    for (by, flags) in [
        (By::Container, SYN),
        (By::Remote, SYN | ACK),
        (By::Container, FIN | ACK),
        (By::Remote, FIN | ACK),
        (By::Container, ACK),
    ] {
        if by == By::Container {
            let packet = Packet::outbound(C1, Carries::Tcp(flags), port, remote);
            external = rig.forward(inside(C1), &connection.next(by, packet)).1.source;
        } else {
            let packet = Packet::inbound(VPC_A, Carries::Tcp(flags), remote, external);
            rig.forward(outside(VPC_A), &connection.next(by, packet));
        }
    }
    let session = rig.sessions().into_iter().find(|s| s.external == external).expect("a session");
    assert_eq!(session.state, SessionState::Finished);
    external
}

#[test]
fn a_connector_has_as_many_ports_as_its_quota_and_no_container_more_than_its_share() {
    let policy = ConnectorConfig {
        quota: PortQuota::new(Some(3)),
        quota_per_attachment: Some(2),
        ..connector(TO_A, VPC_A)
    };
    let mut rig = rig_with(Rig::new(), &policy);
    for port in [4000, 4001] {
        rig.forward(inside(C1), &udp(C1, port));
    }
    let told = rig.refused(inside(C1), udp(C1, 4002).frame(), Reason::QuotaReached);
    assert_eq!(told, Some(udp(C1, 4002).error_by(GATEWAY, 3, 13, 548)));
    rig.forward(inside(C2), &udp(C2, 4000));
    rig.refused(inside(C2), udp(C2, 4001).frame(), Reason::QuotaReached);
    assert_eq!((policy.quota.used(), rig.ports_used()), (3, 3));
    // A session more of a mapping needs no port more.
    rig.forward(inside(C1), &Packet { destination: endpoint(OTHER_SERVER, 53), ..udp(C1, 4000) });

    rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    assert_eq!(policy.quota.used(), 1);
    rig.forward(inside(C2), &udp(C2, 4001));
}

#[test]
fn a_finished_connection_gives_up_its_port_to_a_new_one_and_a_live_one_does_not() {
    let mut rig = Rig::with_ports(2000..=2001);
    let first = finished(&mut rig, 4000);
    let live = rig.open(C1, Carries::Tcp(SYN), 4001, endpoint(SERVER, 80));
    let second = rig.open(C2, Carries::Tcp(SYN), 4002, endpoint(SERVER, 80));
    assert_eq!((second, rig.engine.session_count()), (first, 2));
    assert_ne!(live, second);
    let third = Packet::outbound(C2, Carries::Tcp(SYN), 4003, endpoint(SERVER, 80));
    rig.refused(inside(C2), third.frame(), Reason::PortsExhausted);
    let given_up = rig.engine.port_use().iter().map(|used| used.given_up).sum::<u64>();
    assert_eq!(given_up, 1);
}

#[test]
fn finished_connections_give_up_their_share_of_sessions_and_live_ones_do_not() {
    let mut rig = Rig::new();
    let live = rig.open(C1, Carries::Udp, 1999, endpoint(SERVER, 53));
    for n in 1..limits::SESSIONS_PER_ATTACHMENT {
        // As a client does it that talks to a few servers, one short connection after the other.
        let (port, remote) = (2000 + (n % 60_000) as u16, endpoint(SERVER, 80 + (n / 60_000) as u16));
        let mut connection = Connection::new();
        let syn = Packet::outbound(C1, Carries::Tcp(SYN), port, remote);
        let external = rig.forward(inside(C1), &connection.next(By::Container, syn)).1.source;
        let refusal = Packet::inbound(VPC_A, Carries::Tcp(RST | ACK), remote, external);
        rig.forward(outside(VPC_A), &connection.next(By::Remote, refusal));
    }
    assert_eq!(rig.engine.session_count() as u64, limits::SESSIONS_PER_ATTACHMENT);
    for port in 2000..2010 {
        // The mapping of the first ones is the one that gives up.
        rig.forward(inside(C1), &udp(C1, port));
        rig.open(C1, Carries::Tcp(SYN), port, endpoint(OTHER_SERVER, 443));
        assert!(rig.engine.session_count() as u64 <= limits::SESSIONS_PER_ATTACHMENT);
    }
    assert!(rig.engine.session_count() as u64 > limits::SESSIONS_PER_ATTACHMENT - 100, "no more than needed");
    assert_eq!(rig.open(C1, Carries::Udp, 1999, endpoint(SERVER, 53)), live, "it lives on");
}

#[test]
fn a_finished_connection_does_not_end_for_a_port_that_it_cannot_give() {
    let mut rig = Rig::with_ports(2000..=2000);
    finished(&mut rig, 4000);
    rig.forward(inside(C1), &udp(C1, 4000));
    let probe = gateway_core::Probe {
        source_port: Some(4001),
        ..gateway_core::Probe::new(Protocol::Udp, endpoint(SERVER, 53))
    };
    let explained = rig.engine.explain(rig.now, inside(C1), &probe).expect("the container exists");
    assert_eq!(explained.reason(), Some(Reason::PortsExhausted), "a TCP port is no UDP port");
    rig.refused(inside(C1), udp(C1, 4001).frame(), Reason::PortsExhausted);
    assert_eq!(rig.engine.session_count(), 2, "the TCP connection is still there");
}

#[test]
fn a_connector_that_comes_back_while_one_of_its_mappings_lives_on_counts_its_ports_right() {
    let policy = ConnectorConfig { quota_per_attachment: Some(1), ..connector(TO_A, VPC_A) };
    let mut rig = rig_with(Rig::new(), &policy);
    let narrow = ConnectorConfig::new(NARROW, VPC_A, vec!["10.1.0.21/32".parse().expect("a prefix")]);
    rig.attach_with(C1, narrow);
    let external = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    assert_eq!(rig.open(C1, Carries::Udp, 4000, endpoint(OTHER_SERVER, 53)), external);
    rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    rig.attach_with(C1, policy);
    // The mapping ends after its connector was attached anew.
    rig.apply(Command::Detach { attachment: C1, connector: NARROW });
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (0, 0));
    rig.forward(inside(C1), &udp(C1, 4000));
    rig.refused(inside(C1), udp(C1, 4001).frame(), Reason::QuotaReached);
}

#[test]
fn a_connector_with_translation_and_one_without_do_not_lend_each_other_their_endpoints() {
    for routed_first in [true, false] {
        let mut rig = with_routable();
        let narrow = ConnectorConfig::new(NARROW, VPC_A, vec!["10.1.0.21/32".parse().expect("a prefix")]);
        rig.attach(ROUTABLE, TO_A, VPC_A);
        rig.attach_with(ROUTABLE, ConnectorConfig { translation: false, ..narrow });
        let mut remotes = [SERVER, OTHER_SERVER];
        if routed_first {
            remotes.reverse();
        }
        for server in remotes {
            let sent = Packet::outbound(ROUTABLE, Carries::Udp, 4000, endpoint(server, 53));
            let sent = Packet { source: endpoint(ROUTABLE_ADDRESS, 4000), ..sent };
            let seen = rig.forward(inside(ROUTABLE), &sent).1.source;
            let own = seen == sent.source;
            assert_eq!(own, server == OTHER_SERVER, "{server} sees {seen}, routed first: {routed_first}");
        }
    }
}

#[test]
fn a_connector_without_translation_shows_the_container_as_it_is_both_ways() {
    for (container, server) in [
        (endpoint(ROUTABLE_ADDRESS, 4000), IpAddr::from(SERVER)),
        (endpoint(CONTAINER_V6, 4000), SERVER_V6.into()),
    ] {
        for (carries, answer, port) in [
            (Carries::Tcp(SYN), Carries::Tcp(SYN | ACK), 80),
            (Carries::Udp, Carries::Udp, 53),
            (Carries::EchoRequest, Carries::EchoReply, 0),
        ] {
            let mut rig = with_routable();
            rig.attach_with(ROUTABLE, ConnectorConfig { translation: false, ..connector(TO_A, VPC_A) });
            let sent = Packet::outbound(ROUTABLE, carries, 4000, endpoint(server, port));
            let sent = Packet { source: container, ..sent };
            let (to, seen) = rig.forward(inside(ROUTABLE), &sent);
            assert_eq!((to, seen.source, rig.ports_used()), (outside(VPC_A), container, 0));
            let back = Packet::inbound(VPC_A, answer, seen.destination, container);
            let (to, arrived) = rig.forward(outside(VPC_A), &back);
            assert_eq!((to, arrived.destination, arrived.ttl), (inside(ROUTABLE), container, back.ttl - 1));
            // Another container with this address cannot have the same.
            let other = AttachmentId(51);
            rig.add_attachment_with(AttachmentConfig { id: other, ..routable() });
            let attach = Command::Attach {
                attachment: other,
                connector: ConnectorConfig { translation: false, ..connector(TO_A, VPC_A) },
            };
            let taken = CommandError::AddressTaken(ROUTABLE_ADDRESS.into());
            assert_eq!(rig.engine.apply(rig.now, attach), Err(taken));
        }
    }
}

#[test]
fn a_publication_is_reached_by_the_connectors_destinations_and_by_nobody_else() {
    let external = endpoint(EXTERNAL, 80);
    let publication = Publication { protocol: Protocol::Tcp, external, internal_port: 8080 };
    let policy = ConnectorConfig { publications: vec![publication], ..connector(TO_A, VPC_A) };
    let mut rig = Rig::new();
    rig.attach_with(C1, policy.clone());
    let syn = |remote| Packet::inbound(VPC_A, Carries::Tcp(SYN), remote, external);
    let (to, arrived) = rig.forward(outside(VPC_A), &syn(endpoint(SERVER, 5000)));
    assert_eq!((to, arrived.destination), (inside(C1), endpoint(CONTAINER, 8080)));
    let answer = Packet::outbound(C1, Carries::Tcp(SYN | ACK), 8080, endpoint(SERVER, 5000));
    assert_eq!(rig.forward(inside(C1), &answer).1.source, external);
    rig.refused(outside(VPC_A), syn(endpoint([203, 0, 113, 5], 5000)).frame(), Reason::Filtered);

    let attach = Command::Attach { attachment: C2, connector: policy };
    let taken = CommandError::PublicationTaken { protocol: Protocol::Tcp, external };
    assert_eq!(rig.engine.apply(rig.now, attach), Err(taken));
    rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    assert_eq!(rig.drain().len(), 2, "both ends are told");
    rig.refused(outside(VPC_A), syn(endpoint(SERVER, 5001)).frame(), Reason::NoMapping);
}

#[test]
fn a_policy_that_is_refused_or_the_same_leaves_the_sessions_of_publications() {
    let external = endpoint(EXTERNAL, 80);
    let published = |port| Publication {
        protocol: Protocol::Tcp,
        external: endpoint(EXTERNAL, port),
        internal_port: port,
    };
    let policy = |ports: &[u16]| ConnectorConfig {
        publications: ports.iter().copied().map(published).collect(),
        ..connector(TO_A, VPC_A)
    };
    let mut rig = Rig::new();
    rig.attach_with(C2, policy(&[81]));
    rig.attach_with(C1, policy(&[80]));
    rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, Carries::Tcp(SYN), endpoint(SERVER, 5000), external));
    let refused = Command::Attach { attachment: C1, connector: policy(&[80, 81]) };
    assert!(rig.engine.apply(rig.now, refused).is_err());
    assert_eq!((rig.engine.session_count(), rig.drain()), (1, vec![]), "nothing changed");
    rig.attach_with(C1, policy(&[80]));
    assert_eq!((rig.engine.session_count(), rig.drain()), (1, vec![]), "the publication is still there");
}

#[test]
fn a_connector_that_maps_by_endpoint_uses_one_port_for_many_remotes() {
    let mapping = MappingMode::AddressAndPortDependent;
    let policy = ConnectorConfig { mapping, ..connector(TO_A, VPC_A) };
    let mut rig = rig_with(Rig::with_ports(2000..=2000), &policy);
    let remotes = [endpoint(SERVER, 53), endpoint(SERVER, 54), endpoint(OTHER_SERVER, 53)];
    for remote in remotes {
        assert_eq!(rig.open(C1, Carries::Udp, 4000, remote), endpoint(EXTERNAL, 2000));
    }
    rig.refused(inside(C2), udp(C2, 4000).frame(), Reason::PortsExhausted);
    for remote in remotes {
        let back = Packet::inbound(VPC_A, Carries::Udp, remote, endpoint(EXTERNAL, 2000));
        assert_eq!(rig.forward(outside(VPC_A), &back).0, inside(C1));
    }
}

#[test]
fn rfc5382_req_4_who_sent_a_syn_unasked_is_told_after_six_seconds_unless_the_container_calls_too() {
    for (external, server, by, kind, code) in [
        (endpoint(EXTERNAL, 2000), endpoint(SERVER, 80), IpAddr::from(EXTERNAL), 3, 3),
        (endpoint(EXTERNAL_V6, 2000), endpoint(SERVER_V6, 80), EXTERNAL_V6.into(), 1, 4),
    ] {
        let mut rig = Rig::with_ports(2000..=2000);
        let syn = Packet::inbound(VPC_A, Carries::Tcp(SYN), server, external);
        for _ in 0..2 {
            assert_eq!(rig.refused(outside(VPC_A), syn.frame(), Reason::NoMapping), None);
        }
        assert_eq!(rig.wait_until(just_before(at(6))), (0, vec![]));
        let (_, sent) = rig.wait_until(at(6));
        let [Sent { to, frame }] = &sent[..] else { panic!("told once: {sent:?}") };
        assert_eq!((*to, Packet::read(frame)), (outside(VPC_A), syn.error_by(by, kind, code, 1000)));

        assert_eq!(rig.refused(outside(VPC_A), syn.frame(), Reason::NoMapping), None);
        assert_eq!(rig.open(C1, Carries::Tcp(SYN), 4000, server), external);
        assert_eq!(rig.wait(limits::UNSOLICITED_SYN), (0, vec![]), "a simultaneous open");
    }
}

#[test]
fn nobody_is_told_where_the_policy_is_silence() {
    const VPC_C: gateway_core::UplinkId = gateway_core::UplinkId(3);
    let mut rig = Rig::unresolved_without_ipv6();
    let space = space(vec![EXTERNAL.into()], &(2000..=2100), 1);
    let unsolicited = Unsolicited::Silent;
    rig.add_uplink(gateway_core::UplinkConfig { unsolicited, ..uplink_config(VPC_C, vec![], space) });
    let syn = Packet::inbound(VPC_C, Carries::Tcp(SYN), endpoint(SERVER, 80), endpoint(EXTERNAL, 2000));
    rig.refused(outside(VPC_C), syn.frame(), Reason::NoMapping);
    assert_eq!(rig.engine.poll_timeout(), None);
}

#[test]
fn a_hairpinned_syn_that_nobody_takes_is_not_answered_on_the_uplink() {
    let mut rig = Rig::new();
    let syn = Packet::outbound(C1, Carries::Tcp(SYN), 4000, endpoint(EXTERNAL, 2000));
    rig.refused(inside(C1), syn.frame(), Reason::NoMapping);
    let (_, sent) = rig.wait(limits::UNSOLICITED_SYN);
    assert!(sent.iter().all(|sent| sent.to == inside(C1)), "the sender is inside: {sent:?}");
}

#[test]
fn rfc6888_req_8_a_udp_port_that_was_open_to_all_rests_for_two_minutes() {
    let open = ConnectorConfig {
        udp_filtering: gateway_core::Filtering::EndpointIndependent,
        ..connector(TO_A, VPC_A)
    };
    let mut rig = rig_with(Rig::with_ports(2000..=2000), &open);
    rig.forward(inside(C1), &udp(C1, 4000));
    rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    rig.now = just_before(rig.now + limits::PORT_REST);
    rig.refused(inside(C2), udp(C2, 4000).frame(), Reason::PortsExhausted);
    rig.run_until(at(120));
    assert_eq!(rig.deliver(inside(C2), udp(C2, 4000).frame()).verdict, Verdict::Hold, "it is asked for anew");
}

#[test]
fn a_remote_that_calls_two_publications_of_one_port_from_one_port_does_no_harm() {
    let published = |port| Publication {
        protocol: Protocol::Tcp,
        external: endpoint(EXTERNAL, port),
        internal_port: 8080,
    };
    let publications = vec![published(80), published(81)];
    let mut rig = Rig::new();
    rig.attach_with(C1, ConnectorConfig { publications, ..connector(TO_A, VPC_A) });
    let remote = endpoint(SERVER, 5000);
    let syn = |port| Packet::inbound(VPC_A, Carries::Tcp(SYN), remote, endpoint(EXTERNAL, port));
    rig.forward(outside(VPC_A), &syn(80));
    // The container could not tell the two apart.
    let step = rig.deliver(outside(VPC_A), syn(81).frame());
    assert!(matches!(step.verdict, Verdict::Drop(_)), "{:?}", step.verdict);
    assert_eq!(rig.engine.session_count(), 1);
    let answer = Packet::outbound(C1, Carries::Tcp(SYN | ACK), 8080, remote);
    assert_eq!(rig.forward(inside(C1), &answer).1.source, endpoint(EXTERNAL, 80));
}

#[test]
fn a_remote_that_calls_a_publication_and_a_mapping_of_one_port_from_one_port_does_no_harm() {
    let open = ConnectorConfig {
        udp_filtering: gateway_core::Filtering::EndpointIndependent,
        ..connector(TO_A, VPC_A)
    };
    let mut rig = rig_with(Rig::new(), &open);
    let mapped = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    let external = endpoint(EXTERNAL, 80);
    let publications = vec![Publication { protocol: Protocol::Udp, external, internal_port: 4000 }];
    rig.attach_with(C1, ConnectorConfig { publications, ..open });
    let remote = endpoint(OTHER_SERVER, 5000);
    rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, Carries::Udp, remote, mapped));
    let again = Packet::inbound(VPC_A, Carries::Udp, remote, external);
    let step = rig.deliver(outside(VPC_A), again.frame());
    assert!(matches!(step.verdict, Verdict::Drop(_)), "{:?}", step.verdict);
}

#[test]
fn a_container_cannot_show_an_external_address_as_its_own() {
    let mut rig = Rig::new();
    let mut config = attachment_config(ROUTABLE);
    config.addresses[0].address = EXTERNAL.into();
    rig.add_attachment_with(config);
    let connector = ConnectorConfig { translation: false, ..connector(TO_A, VPC_A) };
    let attach = Command::Attach { attachment: ROUTABLE, connector };
    let taken = CommandError::AddressIsExternal(EXTERNAL.into());
    assert_eq!(rig.engine.apply(rig.now, attach), Err(taken));
}
