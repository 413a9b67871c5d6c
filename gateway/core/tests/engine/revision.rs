//! A connector's policy changes while its sessions live: what it does not allow any more ends, and nothing else.

use std::net::SocketAddr;
use std::num::NonZeroU64;

use gateway_core::{
    Action, AttachmentId, Command, ConnectorConfig, ConnectorId, Filtering, Link, MappingMode, OnDetach,
    Protocol, Publication, RateLimits, Rates, Reason, Rule, Verdict, limits,
};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, connector};
use crate::support::*;

const NARROW: ConnectorId = ConnectorId(7);

fn rule(action: Action, destination: &str) -> Rule {
    Rule { action, destination: destination.parse().expect("a prefix"), protocol: None, ports: None }
}

/// C1 gets another policy; how many sessions ended.
fn change(rig: &mut Rig, connector: ConnectorConfig) -> usize {
    rig.apply(Command::Attach { attachment: C1, connector })
}

fn remotes(rig: &Rig) -> Vec<SocketAddr> {
    let mut remotes: Vec<_> = rig.sessions().iter().map(|session| session.remote).collect();
    remotes.sort();
    remotes
}

#[test]
fn sessions_that_the_rules_deny_end_in_that_call_and_both_ends_are_told() {
    for (on_detach, told) in [(OnDetach::Reset, 2), (OnDetach::Silent, 0)] {
        let mut rig = Rig::new();
        rig.open(C1, Carries::Tcp(SYN), 4000, endpoint(SERVER, 80));
        rig.open(C1, Carries::Tcp(SYN), 4000, endpoint(OTHER_SERVER, 80));
        rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
        rig.open(C1, Carries::Udp, 4000, endpoint(SERVER_V6, 53));
        rig.open(C2, Carries::Udp, 4000, endpoint(SERVER, 80));
        let rules = vec![
            Rule { ports: Some(80..=80), ..rule(Action::Deny, "10.1.0.20/32") },
            rule(Action::Allow, "0.0.0.0/0"),
        ];
        let policy = ConnectorConfig { rules, on_detach, ..connector(TO_A, VPC_A) };
        assert_eq!(change(&mut rig, policy), 2, "TCP to the server, and IPv6");
        let mut left = vec![endpoint(SERVER, 53), endpoint(SERVER, 80), endpoint(OTHER_SERVER, 80)];
        left.sort();
        assert_eq!(remotes(&rig), left, "the other container's is its own connector's");
        assert_eq!(rig.drain().len(), told);
        let again = Packet::outbound(C1, Carries::Tcp(SYN), 4000, endpoint(SERVER, 80));
        rig.refused(inside(C1), again.frame(), Reason::PolicyDenied);
    }
}

#[test]
fn an_allowed_session_goes_on_untouched() {
    let mut rig = Rig::new();
    let external = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    rig.now = rig.now + seconds(10);
    let before = rig.sessions();
    let policy = ConnectorConfig {
        rules: vec![rule(Action::Allow, "10.1.0.20/32")],
        limits: RateLimits::new(Rates { packets: NonZeroU64::new(1), ..Rates::default() }),
        filtering: Filtering::AddressAndPortDependent,
        udp_filtering: Filtering::EndpointIndependent,
        quota_per_attachment: Some(1),
        ..connector(TO_A, VPC_A)
    };
    assert_eq!(change(&mut rig, policy), 0);
    assert_eq!(rig.sessions(), before);
    assert_eq!(rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53)), external);
}

#[test]
fn a_limit_that_is_added_is_for_sessions_whose_way_is_known_and_one_that_goes_is_for_none() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let external = rig.open(C1, Carries::Udp, 4000, remote);
    let frames: [(Link, Vec<u8>); 2] = [
        (inside(C1), Packet::outbound(C1, Carries::Udp, 4000, remote).frame()),
        (outside(VPC_A), Packet::inbound(VPC_A, Carries::Udp, remote, external).frame()),
    ];
    let forwarded = |rig: &mut Rig, (from, frame): &(Link, Vec<u8>)| {
        let verdicts = (0..100).map(|_| rig.deliver(*from, frame.clone()).verdict);
        verdicts.filter(|verdict| matches!(verdict, Verdict::Forward(_))).count()
    };
    for frame in &frames {
        assert_eq!(forwarded(&mut rig, frame), 100);
    }
    let limits = RateLimits::new(Rates { packets: NonZeroU64::new(1), ..Rates::default() });
    assert_eq!(change(&mut rig, ConnectorConfig { limits, ..connector(TO_A, VPC_A) }), 0);
    for frame in &frames {
        assert_eq!(forwarded(&mut rig, frame) as u64, limits::PACKET_BURST);
    }
    assert_eq!(change(&mut rig, connector(TO_A, VPC_A)), 0);
    for frame in &frames {
        assert_eq!(forwarded(&mut rig, frame), 100);
    }
}

#[test]
fn sessions_to_destinations_that_are_gone_or_another_connectors_end() {
    let mut rig = Rig::new();
    for server in [SERVER, OTHER_SERVER] {
        rig.open(C1, Carries::Udp, 4000, endpoint(server, 53));
    }
    let destinations = vec!["10.1.0.20/32".parse().expect("a prefix")];
    let policy = ConnectorConfig { destinations, ..connector(TO_A, VPC_A) };
    assert_eq!(change(&mut rig, policy), 1);
    assert_eq!(remotes(&rig), [endpoint(SERVER, 53)]);

    assert_eq!(change(&mut rig, connector(TO_A, VPC_A)), 0);
    let narrow = ConnectorConfig::new(NARROW, VPC_A, vec!["10.1.0.20/32".parse().expect("a prefix")]);
    assert_eq!(change(&mut rig, narrow), 0, "an attach of its own ends nothing of others");
    assert_eq!(change(&mut rig, connector(TO_A, VPC_A)), 1, "and here it is another connector's");
}

#[test]
fn mappings_of_another_mode_end_and_those_of_queries_and_publications_have_none() {
    use MappingMode::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    let modes = [EndpointIndependent, AddressDependent, AddressAndPortDependent];
    for (before, after) in modes.into_iter().flat_map(|before| modes.map(|after| (before, after))) {
        let external = endpoint(EXTERNAL, 80);
        let publication = Publication { protocol: Protocol::Udp, external, internal_port: 8080 };
        let policy =
            |mapping| ConnectorConfig { mapping, publications: vec![publication], ..connector(TO_A, VPC_A) };
        let mut rig = Rig::new();
        change(&mut rig, policy(before));
        rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
        rig.open(C1, Carries::EchoRequest, 4000, endpoint(SERVER, 0));
        rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, Carries::Udp, endpoint(SERVER, 99), external));
        let ended = usize::from(before != after);
        assert_eq!(change(&mut rig, policy(after)), ended, "{before:?} to {after:?}");
        assert_eq!(rig.engine.session_count(), 3 - ended);
    }
}

#[test]
fn translation_that_is_switched_ends_every_session() {
    let mut config = crate::support::rig::attachment_config(AttachmentId(50));
    config.addresses.retain(|addressing| addressing.address.is_ipv6());
    let id = config.id;
    let mut rig = Rig::new();
    rig.add_attachment_with(config);
    let policy = |translation| ConnectorConfig { translation, ..connector(TO_A, VPC_A) };
    let open = |rig: &mut Rig| rig.open(id, Carries::Udp, 4000, endpoint(SERVER_V6, 53)).ip();
    let attach = |rig: &mut Rig, on| rig.apply(Command::Attach { attachment: id, connector: policy(on) });
    for (translation, address) in
        [(true, EXTERNAL_V6), (false, CONTAINER_V6), (true, EXTERNAL_V6), (false, CONTAINER_V6)]
    {
        attach(&mut rig, translation);
        assert_eq!(open(&mut rig), address);
        assert_eq!(attach(&mut rig, translation), 0, "the same again");
        assert_eq!(attach(&mut rig, !translation), 1);
        assert_eq!((rig.engine.session_count(), rig.ports_used()), (0, 0));
    }
}

#[test]
fn sessions_that_a_remote_opened_end_where_filtering_keeps_it_out_now() {
    use Filtering::{AddressAndPortDependent as Apdf, AddressDependent as Adf, EndpointIndependent as Eif};
    let (contact, same_host, stranger) =
        (endpoint(SERVER, 53), endpoint(SERVER, 54), endpoint(OTHER_SERVER, 53));
    for (before, after, left) in [
        (Eif, Eif, &[contact, same_host, stranger][..]),
        (Eif, Adf, &[contact, same_host]),
        (Eif, Apdf, &[contact]),
        (Adf, Eif, &[contact, same_host]),
        (Adf, Adf, &[contact, same_host]),
        (Adf, Apdf, &[contact]),
        (Apdf, Eif, &[contact]),
    ] {
        let mut rig = Rig::new();
        let policy = |udp_filtering| ConnectorConfig { udp_filtering, ..connector(TO_A, VPC_A) };
        change(&mut rig, policy(before));
        let external = rig.open(C1, Carries::Udp, 4000, contact);
        for caller in [same_host, stranger] {
            let call = Packet::inbound(VPC_A, Carries::Udp, caller, external);
            rig.deliver(outside(VPC_A), call.frame());
        }
        let sessions = rig.engine.session_count();
        assert_eq!(change(&mut rig, policy(after)), sessions - left.len(), "{before:?} to {after:?}");
        assert_eq!(remotes(&rig), left, "{before:?} to {after:?}");
    }
}

#[test]
fn a_caller_whose_contact_has_ended_by_itself_stays_while_the_filtering_does() {
    let mut rig = Rig::new();
    let policy = || ConnectorConfig { udp_refresh: gateway_core::UdpRefresh::Both, ..connector(TO_A, VPC_A) };
    change(&mut rig, policy());
    let external = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    rig.wait(seconds(100));
    rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, Carries::Udp, endpoint(SERVER, 54), external));
    assert_eq!(rig.wait_until(at(0) + limits::UDP_IDLE).0, 1);
    assert_eq!(change(&mut rig, policy()), 0);
    assert_eq!(remotes(&rig), [endpoint(SERVER, 54)]);
}

#[test]
fn callers_are_judged_by_the_rules_for_callers() {
    let external = endpoint(EXTERNAL, 80);
    let publication = Publication { protocol: Protocol::Udp, external, internal_port: 8080 };
    let policy = |rules| ConnectorConfig { rules, publications: vec![publication], ..connector(TO_A, VPC_A) };
    let mut rig = Rig::new();
    change(&mut rig, policy(vec![]));
    for server in [SERVER, OTHER_SERVER] {
        let call = Packet::inbound(VPC_A, Carries::Udp, endpoint(server, 99), external);
        rig.forward(outside(VPC_A), &call);
    }
    let ports = Rule { ports: Some(99..=99), ..rule(Action::Deny, "0.0.0.0/0") };
    let allow = vec![ports, rule(Action::Allow, "10.1.0.0/16")];
    assert_eq!(change(&mut rig, policy(allow)), 0, "a port says nothing about a caller");
    assert_eq!(change(&mut rig, policy(vec![rule(Action::Allow, "10.1.0.20/32")])), 1);
    assert_eq!(remotes(&rig), [endpoint(SERVER, 99)]);
}

#[test]
fn a_connector_that_leads_to_another_vpc_now_leaves_nothing_in_the_old_one() {
    let mut rig = Rig::new();
    rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    assert_eq!(change(&mut rig, connector(TO_A, VPC_B)), 1);
    let packet = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    assert_eq!(rig.forward(inside(C1), &packet).0, outside(VPC_B));
}
