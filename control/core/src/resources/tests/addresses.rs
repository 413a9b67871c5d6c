//! Addresses that a VPC keeps for connectors, and DNS servers.

use super::*;
use crate::{Action, NewRule, Protocol};

/// VPC `v` with two addresses for connectors; containers `c` and `c2`.
fn reserved() -> Resources {
    let new =
        NewVpc { reserved_addresses: Some(vec!["10.1.0.20".into(), "10.1.0.21".into()]), ..new_vpc("v") };
    let mut resources = Resources::new();
    apply(&mut resources, reserve_vpc(new.validate().unwrap())).unwrap();
    apply(&mut resources, vpc_ready("v", 1)).unwrap();
    make_container(&mut resources, "c", 1);
    make_container(&mut resources, "c2", 2);
    resources
}

fn as_address(text: &str, addresses: &[&str]) -> NewConnector {
    NewConnector {
        name: text.into(),
        vpc: "v".into(),
        external_addresses: Some(addresses.iter().map(ToString::to_string).collect()),
        ..NewConnector::default()
    }
}

fn add(resources: &mut Resources, new: NewConnector) {
    apply(resources, add_connector(new.validate().unwrap())).unwrap();
}

fn problem(resources: &mut Resources, change: Change) -> Problem {
    apply(resources, change.clone()).unwrap_err();
    resources.apply(change, 1).unwrap_err().into()
}

#[test]
fn a_connector_has_only_addresses_that_the_vpc_keeps_for_connectors() {
    let mut resources = reserved();
    add(&mut resources, as_address("k", &["10.1.0.21", "10.1.0.20"]));
    // The pool is for all, and others are nobody's.
    for address in ["10.1.0.10", "10.1.0.22"] {
        let new = as_address("bad", &["10.1.0.20", address]);
        let problem = problem(&mut resources, add_connector(new.validate().unwrap()));
        assert_eq!((problem.code(), problem.field()), (Code::InvalidAddress, Some("external_addresses[1]")));
    }
    let published = NewConnector {
        publications: Some(vec![crate::NewPublication {
            protocol: "tcp".into(),
            external_port: 80,
            external_address: Some("10.1.0.20".into()),
            container_port: None,
        }]),
        ..as_address("published", &["10.1.0.20"])
    };
    add(&mut resources, published);
}

#[test]
fn an_address_is_one_connectors_until_that_is_idle() {
    let mut resources = reserved();
    add(&mut resources, as_address("k", &["10.1.0.20"]));
    add(&mut resources, as_address("k2", &["10.1.0.21", "10.1.0.20"]));
    add(&mut resources, as_address("k3", &["10.1.0.21"]));
    apply(&mut resources, attach("c", "k")).unwrap();
    apply(&mut resources, detached("c", "k")).unwrap();
    // It lingers: the address is still its own.
    let taken = problem(&mut resources, attach("c2", "k2"));
    assert_eq!(taken.code(), Code::ExternalTaken);
    assert!(taken.detail().contains("10.1.0.20 is in use by connector k;"), "{taken}");
    apply(&mut resources, attach("c2", "k3")).unwrap();
    apply(&mut resources, detached("c2", "k3")).unwrap();
    for idle in ["k", "k3"] {
        apply(&mut resources, Change::ConnectorIdle(full(idle))).unwrap();
    }
    apply(&mut resources, attach("c2", "k2")).unwrap();
    assert_eq!(apply(&mut resources, attach("c", "k")), Err(Code::ExternalTaken));
    assert_eq!(apply(&mut resources, attach("c", "k3")), Err(Code::ExternalTaken));
    apply(&mut resources, Change::RevokeConnector(full("k2"))).unwrap();
    apply(&mut resources, attach("c", "k")).unwrap();
}

#[test]
fn who_has_an_address_is_nothing_that_another_tenant_hears_of() {
    let mut resources = reserved();
    let new = crate::NewTenant { name: "b".into(), netns_prefix: None };
    apply(&mut resources, Change::AddTenant(new.validate().unwrap())).unwrap();
    let reserve = Change::ReserveContainer { tenant: name("b"), spec: container("c") };
    apply(&mut resources, reserve).unwrap();
    apply(&mut resources, container_ready("b/c", 3)).unwrap();
    let theirs = NewConnector { vpc: "default/v".into(), ..as_address("k", &["10.1.0.20"]) };
    let theirs = Change::AddConnector { tenant: name("b"), spec: theirs.validate().unwrap() };
    apply(&mut resources, theirs).unwrap();
    apply(&mut resources, Change::ApproveConnector(full("b/k"))).unwrap();
    add(&mut resources, as_address("secret", &["10.1.0.20"]));
    apply(&mut resources, attach("c", "secret")).unwrap();
    let taken = problem(&mut resources, attach("b/c", "k"));
    assert_eq!(taken.code(), Code::ExternalTaken);
    assert!(!taken.detail().contains("secret") && taken.detail().contains("another connector"), "{taken}");
}

#[test]
fn who_shares_an_address_can_be_changed_while_the_other_has_it() {
    let mut resources = reserved();
    add(&mut resources, as_address("k", &["10.1.0.20"]));
    add(&mut resources, as_address("k2", &["10.1.0.20"]));
    let update =
        |new: NewConnector| Change::UpdateConnector { tenant: tenant(), spec: new.validate().unwrap() };
    apply(&mut resources, attach("c", "k")).unwrap();
    apply(&mut resources, update(NewConnector { linger_s: Some(7), ..as_address("k2", &["10.1.0.20"]) }))
        .unwrap();
    apply(&mut resources, update(as_address("k2", &["10.1.0.21"]))).unwrap();
    apply(&mut resources, attach("c2", "k2")).unwrap();
    let taken = problem(&mut resources, update(as_address("k2", &["10.1.0.20"])));
    assert_eq!(taken.code(), Code::ExternalTaken, "both are in use");
}

#[test]
fn dns_servers_are_reached_and_containers_are_told_of_them() {
    let mut resources = one_of_each();
    let with_dns = |text: &str, destination: &str, servers: &[&str]| NewConnector {
        name: text.into(),
        vpc: "v".into(),
        destinations: Some(vec![destination.into()]),
        dns_servers: Some(servers.iter().map(ToString::to_string).collect()),
        ..NewConnector::default()
    };
    let outside = with_dns("k1", "10.1.1.0/24", &["10.1.1.53", "10.1.2.53"]);
    let problem = problem(&mut resources, add_connector(outside.validate().unwrap()));
    assert_eq!((problem.code(), problem.field()), (Code::InvalidAddress, Some("dns_servers[1]")));

    let deny = NewRule { action: Action::Deny, destination: None, protocol: None, ports: None };
    let k1 = NewConnector {
        rules: Some(vec![deny]),
        ..with_dns("k1", "10.1.1.0/24", &["10.1.1.53", "10.1.1.54"])
    };
    add(&mut resources, k1);
    add(&mut resources, with_dns("k0", "10.1.2.0/24", &["10.1.2.53"]));
    let rules = &resources.connector(&full("k1")).unwrap().fitted.as_ref().unwrap().rules;
    let shown: Vec<_> =
        rules.iter().map(|r| (r.action, r.destination.map(|d| d.to_string()), r.protocol)).collect();
    let dns = |server: &str, protocol| (Action::Allow, Some(format!("{server}/32")), Some(protocol));
    assert_eq!(
        shown,
        [
            dns("10.1.1.53", Protocol::Udp),
            dns("10.1.1.53", Protocol::Tcp),
            dns("10.1.1.54", Protocol::Udp),
            dns("10.1.1.54", Protocol::Tcp),
            (Action::Deny, None, None),
        ]
    );
    let without = &resources.connector(&full("k0")).unwrap().fitted.as_ref().unwrap().rules;
    assert!(without.is_empty(), "without rules all is let through already");

    let told = |resources: &Resources| {
        resources.container_view(resources.container(&full("c")).unwrap()).dns_servers
    };
    assert_eq!(told(&resources), [""; 0]);
    for connector in ["k1", "k0"] {
        apply(&mut resources, attach("c", connector)).unwrap();
    }
    assert_eq!(told(&resources), ["10.1.2.53", "10.1.1.53", "10.1.1.54"]);
    apply(&mut resources, detached("c", "k0")).unwrap();
    assert_eq!(told(&resources), ["10.1.1.53", "10.1.1.54"]);
}
