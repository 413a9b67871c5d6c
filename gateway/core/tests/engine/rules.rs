//! Rules of a connector: which sessions may begin, of containers and of remotes.

use std::net::{IpAddr, SocketAddr};

use gateway_core::{
    Action, Command, CommandError, ConnectorConfig, Filtering, Protocol, Publication, Reason, Rule, limits,
};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, connector};
use crate::support::*;

const DEFAULT: [&str; 2] = ["0.0.0.0/0", "::/0"];

fn rule(action: Action, destination: &str) -> Rule {
    Rule { action, destination: destination.parse().expect("a prefix"), protocol: None, ports: None }
}

/// Denied: all of 10.1.0.21 and fd00:1::21, and of the servers UDP port 53. Allowed: the rest of the prefixes.
fn rules() -> Vec<Rule> {
    let [mut v4, mut v6] = DEFAULT.map(|all| rule(Action::Deny, all));
    for udp in [&mut v4, &mut v6] {
        (udp.protocol, udp.ports) = (Some(Protocol::Udp), Some(53..=53));
    }
    let allowed = ["10.1.0.0/16", "fd00:1::/64"].map(|prefix| rule(Action::Allow, prefix));
    let denied = ["10.1.0.21/32", "fd00:1::21/128"].map(|host| rule(Action::Deny, host));
    [v4, v6].into_iter().chain(denied).chain(allowed).collect()
}

fn rig_with(rules: Vec<Rule>) -> Rig {
    let mut rig = Rig::new();
    rig.attach_with(C1, ConnectorConfig { rules, ..connector(TO_A, VPC_A) });
    rig
}

/// A server, another one, the gateway, and type, code and length of "administratively prohibited".
type Net = (IpAddr, IpAddr, IpAddr, (u8, u8), usize);

const NETS: [Net; 2] = [
    (IpAddr::V4(SERVER), IpAddr::V4(OTHER_SERVER), IpAddr::V4(GATEWAY), (3, 13), 548),
    (IpAddr::V6(SERVER_V6), IpAddr::V6(OTHER_SERVER_V6), IpAddr::V6(GATEWAY_V6), (1, 1), 1232),
];

#[test]
fn the_first_rule_that_matches_decides_for_udp_which_is_short_and_for_the_rest_which_is_long() {
    for (server, other, gateway, (kind, code), quoted) in NETS {
        let mut rig = rig_with(rules());
        for (carries, port, remote, allowed) in [
            (Carries::Udp, 53, server, false),
            (Carries::Udp, 54, server, true),
            (Carries::Tcp(SYN), 53, server, true),
            (Carries::EchoRequest, 0, server, true),
            (Carries::Udp, 54, other, false),
            (Carries::Tcp(SYN), 80, other, false),
            (Carries::EchoRequest, 0, other, false),
        ] {
            let packet = Packet::outbound(C1, carries, 4000, SocketAddr::new(remote, port));
            if allowed {
                let sessions = rig.engine.session_count();
                rig.forward(inside(C1), &packet);
                assert_eq!(rig.engine.session_count(), sessions + 1);
                rig.forward(inside(C1), &packet);
            } else {
                let told = rig.refused(inside(C1), packet.frame(), Reason::PolicyDenied);
                assert_eq!(told, Some(packet.error_by(gateway, kind, code, quoted)), "{packet:?}");
            }
        }
        assert_eq!(rig.engine.session_count(), 3);
    }
}

#[test]
fn what_no_rule_matches_is_denied_and_without_rules_everything_passes() {
    let mut rig = rig_with(vec![rule(Action::Allow, "10.1.0.21/32")]);
    let packet = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    assert!(rig.refused(inside(C1), packet.frame(), Reason::PolicyDenied).is_some());
    rig_with(Vec::new()).forward(inside(C1), &packet);
    // A destination that no connector has is no matter of rules.
    let nowhere = Packet { destination: endpoint([203, 0, 113, 1], 53), ..packet };
    rig.refused(inside(C1), nowhere.frame(), Reason::NoRoute);
}

#[test]
fn nobody_is_told_more_often_than_others_are() {
    let mut rig = rig_with(vec![rule(Action::Deny, DEFAULT[0])]);
    let frame = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53)).frame();
    let told = (0..200).filter(|_| rig.refused(inside(C1), frame.clone(), Reason::PolicyDenied).is_some());
    assert_eq!(told.count() as u32, limits::ICMP_ERROR_BURST);
}

#[test]
fn rules_are_for_sessions_that_begin_and_answers_come_back_past_them() {
    let only_out = Rule { ports: Some(53..=53), ..rule(Action::Allow, "10.1.0.20/32") };
    let mut rig = rig_with(vec![only_out]);
    let remote = endpoint(SERVER, 53);
    let external = rig.open(C1, Carries::Udp, 4000, remote);
    rig.forward(outside(VPC_A), &Packet::inbound(VPC_A, Carries::Udp, remote, external));
}

#[test]
fn a_caller_is_let_in_by_address_and_protocol_and_by_no_rule_with_ports() {
    let external = endpoint(EXTERNAL, 80);
    let publication = Publication { protocol: Protocol::Tcp, external, internal_port: 8080 };
    let allow = |rule: Rule| vec![rule];
    let server = || rule(Action::Allow, "10.1.0.20/32");
    for (rules, lets_in) in [
        (allow(server()), true),
        (allow(Rule { protocol: Some(Protocol::Tcp), ..server() }), true),
        (allow(Rule { protocol: Some(Protocol::Udp), ..server() }), false),
        // A port that it calls from is none that it offers a service at.
        (allow(Rule { ports: Some(0..=u16::MAX), ..server() }), false),
        (vec![Rule { ports: Some(0..=u16::MAX), ..rule(Action::Deny, DEFAULT[0]) }, server()], true),
        (vec![rule(Action::Deny, "10.1.0.20/32"), rule(Action::Allow, DEFAULT[0])], false),
        (Vec::new(), true),
    ] {
        let published = ConnectorConfig {
            rules: rules.clone(),
            publications: vec![publication],
            ..connector(TO_A, VPC_A)
        };
        let mut rig = Rig::new();
        rig.attach_with(C1, published);
        let syn = Packet::inbound(VPC_A, Carries::Tcp(SYN), endpoint(SERVER, 5000), external);
        if lets_in {
            assert_eq!(rig.forward(outside(VPC_A), &syn).0, inside(C1), "{rules:?}");
        } else {
            assert_eq!(rig.refused(outside(VPC_A), syn.frame(), Reason::Filtered), None, "{rules:?}");
        }
    }
}

#[test]
fn a_mapping_that_is_open_to_all_is_open_to_those_that_the_rules_name() {
    let rules = vec![rule(Action::Deny, "10.1.0.21/32"), rule(Action::Allow, DEFAULT[0])];
    let open = Filtering::EndpointIndependent;
    let mut rig = Rig::new();
    let policy = ConnectorConfig { rules, udp_filtering: open, ..connector(TO_A, VPC_A) };
    rig.attach_with(C1, policy);
    let external = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    let from = |remote| Packet::inbound(VPC_A, Carries::Udp, endpoint(remote, 99), external);
    rig.forward(outside(VPC_A), &from(SERVER));
    assert_eq!(rig.refused(outside(VPC_A), from(OTHER_SERVER).frame(), Reason::Filtered), None);
}

#[test]
fn a_hairpin_is_asked_of_both_connectors() {
    let mut rig = Rig::new();
    rig.attach_filtering(C2, TO_A, VPC_A, Filtering::EndpointIndependent);
    let callee = rig.open(C2, Carries::Udp, 4000, endpoint(SERVER, 53));
    let call = Packet::outbound(C1, Carries::Udp, 4000, callee);
    let deny = vec![rule(Action::Deny, "10.1.0.10/32"), rule(Action::Allow, DEFAULT[0])];
    rig.attach_with(C1, ConnectorConfig { rules: deny.clone(), ..connector(TO_A, VPC_A) });
    assert!(rig.refused(inside(C1), call.frame(), Reason::PolicyDenied).is_some());
    rig.attach(C1, TO_A, VPC_A);
    assert_eq!(rig.forward(inside(C1), &call).0, inside(C2));
    let open = ConnectorConfig {
        rules: deny,
        udp_filtering: Filtering::EndpointIndependent,
        ..connector(TO_A, VPC_A)
    };
    assert_eq!(rig.apply(Command::Attach { attachment: C2, connector: open }), 1, "the caller's session");
    let step = rig.deliver(inside(C1), call.frame());
    assert_eq!(step.drops, [(inside(C1), Reason::Filtered, 1)]);
}

#[test]
fn a_connector_has_so_many_rules_and_no_more() {
    let most = vec![rule(Action::Allow, "10.1.0.0/16"); limits::RULES_PER_CONNECTOR];
    let mut rig = rig_with(most.clone());
    let rules = [most, vec![rule(Action::Allow, "10.1.0.0/16")]].concat();
    let attach =
        Command::Attach { attachment: C1, connector: ConnectorConfig { rules, ..connector(TO_A, VPC_A) } };
    let full = CommandError::TableFull { what: "rules of the connector", limit: limits::RULES_PER_CONNECTOR };
    assert_eq!(rig.engine.apply(rig.now, attach), Err(full));
}

#[test]
fn explain_names_the_rule() {
    use gateway_core::{Probe, Step};
    let mut rig = rig_with(rules());
    for (remote, index, action) in [
        (endpoint(SERVER, 53), Some(0), Action::Deny),
        (endpoint(SERVER_V6, 53), Some(1), Action::Deny),
        (endpoint(SERVER, 54), Some(4), Action::Allow),
        (endpoint(FAR, 54), None, Action::Deny),
    ] {
        let probe = Probe::new(Protocol::Udp, remote);
        let explained = rig.engine.explain(rig.now, inside(C1), &probe).expect("the container exists");
        assert_eq!(explained.steps[1], Step::Rule { connector: TO_A, index, action }, "{remote}");
        let denied = (action == Action::Deny).then_some(Reason::PolicyDenied);
        assert_eq!(explained.reason(), denied, "{remote}");
    }
    rig.attach(C1, TO_A, VPC_A);
    let probe = Probe::new(Protocol::Udp, endpoint(SERVER, 53));
    let explained = rig.engine.explain(rig.now, inside(C1), &probe).expect("the container exists");
    assert!(!explained.steps.iter().any(|step| matches!(step, Step::Rule { .. })), "there is none");
}
