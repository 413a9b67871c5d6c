//! Connectors whose policy has to fit their VPC.

use super::*;
use crate::{Addressing, NewPublication};

/// VPC `v` with these external addresses, ports 1001 to 2000, in blocks or not.
fn vpc_with(external: &[&str], port_blocks: bool) -> Resources {
    let new = NewVpc {
        ports: Some(NewPorts { first: Some(1_001), last: Some(2_000), exclude: None }),
        port_blocks: Some(port_blocks),
        ..dual_vpc(external)
    };
    let mut resources = Resources::default();
    apply(&mut resources, reserve_vpc(new.validate().unwrap())).unwrap();
    apply(&mut resources, vpc_ready("v", 1)).unwrap();
    resources
}

/// VPC `v` with both families.
fn dual_vpc(external: &[&str]) -> NewVpc {
    NewVpc {
        cidr6: Some("fd00::/64".into()),
        external_addresses: external.iter().map(ToString::to_string).collect(),
        ..new_vpc("v")
    }
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
    let problem = refusal(resources, new);
    assert_eq!(problem.code(), Code::InvalidPolicy, "{problem}");
    problem.field().expect("a field is to blame").to_owned()
}

fn refusal(resources: &mut Resources, new: NewConnector) -> Problem {
    let change = add_connector(new.validate().unwrap());
    apply(resources, change.clone()).expect_err("refused");
    let refusal = resources.apply(change, 1).expect_err("refused");
    assert!(resources.connector(&full("k")).is_err() && resources.joining(&full("v")).next().is_none());
    refusal.into()
}

fn added(resources: &mut Resources, new: NewConnector) -> ConnectorView {
    apply(resources, add_connector(new.validate().unwrap())).unwrap();
    let view = resources.connector_view(resources.connector(&full("k")).unwrap(), |_| 7);
    apply(resources, Change::RemoveConnector(full("k"))).unwrap();
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

    let apdm = NewConnector {
        mapping: Some("address_and_port_dependent".into()),
        port_quota: Some(200_000),
        port_quota_per_container: Some(2_001),
        ..new()
    };
    assert_eq!(added(&mut resources, apdm).port_quota, Some(200_000), "its ports serve many sessions each");
}

#[test]
fn a_quota_is_no_larger_than_the_blocks_there_are() {
    // 1001 to 2000 have 15 whole blocks: 1024 to 1983.
    let mut resources = vpc_with(&["10.1.0.10"], true);
    let quota = |quota| NewConnector { port_quota: Some(quota), ..new() };
    for some in [959, 960] {
        assert_eq!(added(&mut resources, quota(some)).port_quota.map(i64::from), Some(some));
    }
    assert_eq!(refused(&mut resources, quota(961)), "port_quota");
}

#[test]
fn a_destination_is_of_a_family_that_the_vpc_has() {
    let to = |destinations: &[&str]| NewConnector {
        destinations: Some(destinations.iter().map(ToString::to_string).collect()),
        ..new()
    };
    for (vpc, good, bad) in [
        (vpc("v"), "0.0.0.0/0", "fd00::/64"),
        (NewVpc { cidr: None, ..dual_vpc(&["fd00::10"]) }.validate().unwrap(), "::/0", "10.1.0.0/16"),
    ] {
        let mut resources = Resources::default();
        apply(&mut resources, reserve_vpc(vpc)).unwrap();
        apply(&mut resources, vpc_ready("v", 1)).unwrap();
        assert_eq!(added(&mut resources, to(&[good])).destinations, [good]);
        let problem = refusal(&mut resources, to(&[good, bad]));
        assert_eq!((problem.code(), problem.field()), (Code::InvalidCidr, Some("destinations[1]")));
        assert!(problem.detail().contains(bad), "{problem}");
    }
    let mut dual = vpc_with(&["10.1.0.10"], false);
    assert_eq!(added(&mut dual, to(&["0.0.0.0/0", "::/0"])).destinations.len(), 2);
}

#[test]
fn somebody_may_call_what_is_published() {
    let mut resources = vpc_with(&["10.1.0.10", "fd00::10"], false);
    let to = |destinations: &[&str], endpoints: &[(&str, Option<&str>, i64)]| NewConnector {
        destinations: Some(destinations.iter().map(ToString::to_string).collect()),
        ..published(endpoints)
    };
    let both = [("tcp", None, 80), ("tcp", Some("fd00::10"), 80)];
    let view = added(&mut resources, to(&["10.1.0.1/32", "fd00::1/128"], &both));
    assert_eq!(view.publications.len(), 2);
    assert_eq!(added(&mut resources, to(&["10.1.0.1/32"], &both[..1])).publications.len(), 1);
    assert_eq!(refused(&mut resources, to(&["10.1.0.1/32"], &both)), "publications[1]");
    assert_eq!(refused(&mut resources, to(&["fd00::1/128"], &both)), "publications[0]");
}

#[test]
fn a_container_is_not_seen_with_an_address_that_the_vpc_depends_on() {
    let mut resources = Resources::default();
    let uplink_ends = NewUplink {
        kind: UplinkKind::Tap,
        address: Some("10.1.0.2/16".into()),
        address6: Some("fd00::2/64".into()),
        ..new_vpc("v").uplink
    };
    let (next_hop, next_hop6) = (Some("10.1.0.1".into()), Some("fd00::1".into()));
    let vpc = NewVpc { uplink: uplink_ends, next_hop, next_hop6, ..dual_vpc(&["10.1.0.10"]) };
    apply(&mut resources, reserve_vpc(vpc.validate().unwrap())).unwrap();
    apply(&mut resources, vpc_ready("v", 1)).unwrap();
    for (connector, translation, destinations) in [
        ("translated", true, &["10.1.0.0/16", "fd00::/64"][..]),
        ("routed", false, &["10.1.0.0/17", "fd00::/65"]),
        ("routed4", false, &["10.1.0.0/18"]),
        ("routed6", false, &["fd00::/66"]),
    ] {
        let new = NewConnector {
            name: connector.into(),
            destinations: Some(destinations.iter().map(ToString::to_string).collect()),
            translation: Some(translation),
            ..new()
        };
        apply(&mut resources, add_connector(new.validate().unwrap())).unwrap();
    }
    for (id, (address, address6, refused)) in [
        ("10.1.0.3", "fd00::3", &[][..]),
        ("10.1.0.1", "fd00::3", &["routed", "routed4"]),
        ("10.1.0.2", "fd00::3", &["routed", "routed4"]),
        ("10.1.0.3", "fd00::1", &["routed", "routed6"]),
        ("10.1.0.3", "fd00::2", &["routed", "routed6"]),
    ]
    .into_iter()
    .enumerate()
    {
        let (text, id) = (format!("c{id}"), id as u32);
        let new = ContainerSpec {
            ipv4: Addressing { address: address.parse().unwrap(), ..container(&text).ipv4 },
            ipv6: Some(Addressing {
                address: address6.parse().unwrap(),
                gateway: "fe80::1".parse().unwrap(),
            }),
            ..container(&text)
        };
        apply(&mut resources, reserve_container(new)).unwrap();
        apply(&mut resources, container_ready(&text, id)).unwrap();
        for connector in ["translated", "routed", "routed4", "routed6"] {
            let outcome = apply(&mut resources, attach(&text, connector));
            let expected = if refused.contains(&connector) { Err(Code::AddressTaken) } else { Ok(()) };
            assert_eq!(outcome, expected, "{address} {address6} by {connector}");
        }
    }
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
        "name": "k", "tenant": "default", "vpc": "v", "state": "approved", "rules": [], "rate_limits": {}, "dns_servers": [],
        "linger_s": 60, "revision": 1, "destinations": ["10.1.0.0/16", "fd00::/64"], "translation": true,
        "mapping": "endpoint_independent", "filtering": "address_dependent", "udp_refresh": "outbound", "ports_used": 7,
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
    assert!(shown.get("mapping").is_none() && shown.get("ports_used").is_none(), "{shown}");
}

#[test]
fn a_permission_carries_the_policy() {
    let mut resources = vpc_with(&["10.1.0.10"], false);
    let new = NewConnector { port_quota: Some(7), ..published(&[("tcp", None, 80)]) };
    apply(&mut resources, add_connector(new.validate().unwrap())).unwrap();
    make_container(&mut resources, "c", 1);
    apply(&mut resources, attach("c", "k")).unwrap();
    let permission = resources.permission(&full("c"), &name("k")).unwrap();
    assert_eq!(permission.spec.policy.translation.as_ref().unwrap().port_quota, Some(7));
    assert_eq!(permission.fitted.publications[0].external, "10.1.0.10:80".parse().unwrap());
}
