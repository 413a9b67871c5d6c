//! Connectors whose policy has to fit their VPC.

use super::*;
use crate::NewPublication;

/// VPC `v` with these external addresses, ports 1001 to 2000, in blocks or not.
fn vpc_with(external: &[&str], port_blocks: bool) -> Resources {
    let new = NewVpc {
        name: "v".into(),
        cidr6: Some("fd00::/64".into()),
        external_addresses: external.iter().map(ToString::to_string).collect(),
        ports: Some(NewPorts { first: Some(1_001), last: Some(2_000), exclude: None }),
        port_blocks: Some(port_blocks),
        ..new_vpc("v")
    };
    let mut resources = Resources::default();
    apply(&mut resources, Change::ReserveVpc(new.validate().unwrap())).unwrap();
    apply(&mut resources, Change::VpcReady { vpc: name("v"), link: uplink(1) }).unwrap();
    resources
}

fn published(endpoints: &[(&str, Option<&str>, i64)]) -> NewConnector {
    let publication = |&(protocol, address, external_port): &(&str, Option<&str>, i64)| NewPublication {
        protocol: protocol.into(),
        external_address: address.map(Into::into),
        external_port,
        container_port: None,
    };
    NewConnector { publications: Some(endpoints.iter().map(publication).collect()), ..new() }
}

fn new() -> NewConnector {
    NewConnector { name: "k".into(), vpc: "v".into(), ..NewConnector::default() }
}

/// The field that is to blame, which nothing has come of.
fn refused(resources: &mut Resources, new: NewConnector) -> String {
    let problem: Problem =
        resources.apply(Change::AddConnector(new.validate().unwrap())).expect_err("refused").into();
    assert_eq!(problem.code(), Code::InvalidPolicy, "{problem}");
    assert!(resources.connector("k").is_err() && resources.vpc("v").unwrap().connectors.is_empty());
    problem.field().expect("a field is to blame").to_owned()
}

fn added(resources: &mut Resources, new: NewConnector) -> ConnectorView {
    apply(resources, Change::AddConnector(new.validate().unwrap())).unwrap();
    let view = resources.connector_view(resources.connector("k").unwrap());
    apply(resources, Change::RemoveConnector(name("k"))).unwrap();
    view
}

#[test]
fn a_quota_is_no_larger_than_what_there_is() {
    let mut resources = vpc_with(&["10.1.0.10", "10.1.0.11", "fd00::10"], false);
    for quota in [1, 2_000] {
        let both = NewConnector { port_quota: Some(quota), port_quota_per_container: Some(quota), ..new() };
        assert_eq!(added(&mut resources, both).port_quota.map(i64::from), Some(quota));
    }
    let all = NewConnector { port_quota: Some(2_001), ..new() };
    assert_eq!(refused(&mut resources, all), "port_quota");
    let each = NewConnector { port_quota_per_container: Some(2_001), ..new() };
    assert_eq!(refused(&mut resources, each), "port_quota_per_container");
}

#[test]
fn a_port_that_serves_several_containers_is_in_no_block() {
    let mapping = |mapping: &str| NewConnector { mapping: Some(mapping.into()), ..new() };
    let (shared, own) = ("address_and_port_dependent", "address_dependent");
    let mut blocks = vpc_with(&["10.1.0.10"], true);
    assert_eq!(refused(&mut blocks, mapping(shared)), "mapping");
    assert_eq!(added(&mut blocks, mapping(own)).mapping.unwrap().as_str(), own);
    let mut single = vpc_with(&["10.1.0.10"], false);
    assert_eq!(added(&mut single, mapping(shared)).mapping.unwrap().as_str(), shared);
}

#[test]
fn what_is_published_is_an_external_address() {
    for (external, first) in
        [(&["fd00::10", "10.1.0.10", "10.1.0.11"][..], "10.1.0.10"), (&["fd00::10", "fd00::11"], "fd00::10")]
    {
        let mut resources = vpc_with(external, false);
        let view = added(&mut resources, published(&[("tcp", None, 80), ("tcp", Some(external[1]), 81)]));
        let addresses: Vec<_> = view.publications.iter().map(|p| p.external_address.as_str()).collect();
        assert_eq!(addresses, [first, external[1]]);
        let foreign = published(&[("tcp", None, 80), ("tcp", Some("10.1.0.99"), 80)]);
        assert_eq!(refused(&mut resources, foreign), "publications[1].external_address");
    }
}

#[test]
fn an_endpoint_is_published_once() {
    let mut resources = vpc_with(&["10.1.0.10", "10.1.0.11"], false);
    let different = [("tcp", None, 80), ("udp", None, 80), ("tcp", None, 81), ("tcp", Some("10.1.0.11"), 80)];
    assert_eq!(added(&mut resources, published(&different)).publications.len(), 4);
    for twice in [("tcp", None, 80), ("tcp", Some("10.1.0.10"), 80)] {
        let endpoints = published(&[("tcp", None, 80), ("udp", None, 80), twice]);
        assert_eq!(refused(&mut resources, endpoints), "publications[2]");
    }
}

#[test]
fn a_connector_without_destinations_leads_to_both_families() {
    let mut resources = vpc_with(&["10.1.0.10"], false);
    assert_eq!(added(&mut resources, new()).destinations, ["10.1.0.0/16", "fd00::/64"]);
}

#[test]
fn a_view_shows_what_holds_and_leaves_out_what_does_not() {
    let mut resources = vpc_with(&["10.1.0.10"], false);
    let json = |view| serde_json::to_value::<ConnectorView>(view).unwrap();
    let shown = json(added(&mut resources, published(&[("udp", None, 53)])));
    let expected = serde_json::json!({
        "name": "k", "vpc": "v", "destinations": ["10.1.0.0/16", "fd00::/64"], "translation": true,
        "mapping": "endpoint_independent", "filtering": "address_dependent", "udp_refresh": "outbound",
        "on_detach": "reset", "containers": [],
        "publications": [
            {"protocol": "udp", "external_address": "10.1.0.10", "external_port": 53, "container_port": 53},
        ],
    });
    assert_eq!(shown, expected);

    let routed = NewConnector {
        translation: Some(false),
        udp_filtering: Some("endpoint_independent".into()),
        ..new()
    };
    let shown = json(added(&mut resources, routed));
    assert_eq!(
        (&shown["translation"], &shown["udp_filtering"]),
        (&false.into(), &"endpoint_independent".into())
    );
    assert!(shown.get("mapping").is_none(), "{shown}");
}

#[test]
fn a_permission_carries_the_policy() {
    let mut resources = vpc_with(&["10.1.0.10"], false);
    let new = NewConnector { port_quota: Some(7), ..published(&[("tcp", None, 80)]) };
    apply(&mut resources, Change::AddConnector(new.validate().unwrap())).unwrap();
    make_container(&mut resources, "c", 1);
    apply(&mut resources, attach("c", "k")).unwrap();
    let permission = resources.permission(&name("c"), &name("k")).unwrap();
    assert_eq!(permission.policy.translation.unwrap().port_quota, Some(7));
    assert_eq!(permission.publications[0].external, "10.1.0.10:80".parse().unwrap());
}
