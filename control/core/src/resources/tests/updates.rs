//! Connectors that are given another policy; deletes of what others depend on; what changes are told of.

use super::*;

fn update(spec: ConnectorSpec) -> Change {
    Change::UpdateConnector { tenant: tenant(), spec }
}

fn new(text: &str) -> NewConnector {
    NewConnector { name: text.into(), vpc: "v".into(), ..NewConnector::default() }
}

fn refused(resources: &mut Resources, change: Change) -> Problem {
    let before = dump(resources);
    let problem = Problem::from(resources.apply(change, 1).expect_err("refused"));
    assert_eq!(dump(resources), before, "{problem}");
    problem
}

#[test]
fn another_policy_holds_for_all_that_have_the_connector() {
    let mut resources = all_attached();
    let id = resources.connector(&full("k")).unwrap().id;
    let spec =
        NewConnector { port_quota: Some(9), destinations: Some(vec!["10.1.7.0/24".into()]), ..new("k") };
    apply(&mut resources, update(spec.validate().unwrap())).unwrap();
    let permission = resources.permission(&full("c"), &name("k")).unwrap();
    assert_eq!(permission.connector, id);
    assert_eq!(permission.spec.policy.translation.as_ref().unwrap().port_quota, Some(9));
    assert_eq!(permission.fitted.destinations, ["10.1.7.0/24".parse::<IpNet>().unwrap()]);
    assert_eq!(resources.connector(&full("k")).unwrap().state(), ConnectorState::Ready);
    let missing = refused(&mut resources, update(connector("x", "v", &[])));
    assert_eq!(missing.code(), Code::NotFound);
}

#[test]
fn a_tie_that_an_update_would_make_is_found_for_every_container() {
    let mut resources = all_attached();
    make_container(&mut resources, "c2", 2);
    apply(&mut resources, add_connector(connector("k2", "v", &["10.1.2.0/24"]))).unwrap();
    apply(&mut resources, add_connector(connector("k3", "v", &["10.1.3.0/24"]))).unwrap();
    apply(&mut resources, attach("c2", "k2")).unwrap();
    apply(&mut resources, attach("c2", "k3")).unwrap();
    apply(&mut resources, attach("c", "k2")).unwrap();
    let tie = refused(&mut resources, update(connector("k2", "v", &["10.1.9.0/24", "10.1.0.0/16"])));
    assert_eq!(tie.code(), Code::DestinationTie, "with k at c");
    assert!(tie.detail().contains("connector k of container c "), "{tie}");
    let tie = refused(&mut resources, update(connector("k2", "v", &["10.1.3.0/24"])));
    assert!(tie.detail().contains("connector k3 of container c2 "), "{tie}");
    apply(&mut resources, update(connector("k2", "v", &["10.1.4.0/24"]))).unwrap();
}

#[test]
fn what_the_vpc_cannot_do_is_refused_in_an_update_too() {
    let mut resources = all_attached();
    make_vpc(&mut resources, "v2", 2);
    let moved = refused(&mut resources, update(connector("k", "v2", &[])));
    assert_eq!((moved.code(), moved.field()), (Code::ImmutableField, Some("vpc")));
    apply(&mut resources, update(connector("k", "default/v", &[]))).unwrap();
    // 64,512 ports are what one address has.
    for (quota, right) in [(64_511, true), (64_512, true), (64_513, false)] {
        let spec = NewConnector { port_quota: Some(quota), ..new("k") }.validate().unwrap();
        if right {
            apply(&mut resources, update(spec)).unwrap();
        } else {
            let problem = refused(&mut resources, update(spec));
            assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some("port_quota")));
        }
    }
    let family = refused(&mut resources, update(connector("k", "v", &["fd00::/64"])));
    assert_eq!((family.code(), family.field()), (Code::InvalidCidr, Some("destinations[0]")));
}

#[test]
fn containers_that_have_a_connector_cannot_be_left_out_of_its_users() {
    let mut resources = all_attached();
    make_container(&mut resources, "c2", 2);
    make_container(&mut resources, "d", 3);
    apply(&mut resources, attach("c2", "k")).unwrap();
    apply(&mut resources, attach("d", "k")).unwrap();
    let users = |users: &[&str]| {
        let users = Some(users.iter().map(ToString::to_string).collect());
        update(NewConnector { users, ..new("k") }.validate().unwrap())
    };
    let problem = refused(&mut resources, users(&["d*"]));
    assert_eq!(problem.code(), Code::InUse);
    assert_eq!(problem.dependents(), ["c", "c2"], "all of them, and nobody else");
    apply(&mut resources, users(&["d", "c*"])).unwrap();
    for container in ["c", "c2"] {
        apply(&mut resources, detached(container, "k")).unwrap();
    }
    apply(&mut resources, users(&["d*"])).unwrap();
    assert_eq!(apply(&mut resources, attach("c", "k")), Err(Code::MayNotUse));
}

#[test]
fn all_dependents_are_named() {
    let mut resources = one_of_each();
    apply(&mut resources, Change::RemoveConnector(full("k"))).unwrap();
    let many = 20;
    for i in 0..many {
        let text = format!("k{i:02}");
        apply(&mut resources, add_connector(connector(&text, "v", &[&format!("10.1.{i}.0/24")]))).unwrap();
        make_container(&mut resources, &format!("c{i:02}"), 10 + i);
        apply(&mut resources, attach(&format!("c{i:02}"), "k00")).unwrap();
    }
    let vpc = refused(&mut resources, Change::DeleteVpc(full("v")));
    let names = |letter: &str| (0..many).map(|i| format!("{letter}{i:02}")).collect::<Vec<_>>();
    assert_eq!((vpc.code(), vpc.dependents()), (Code::InUse, &names("k")[..]));
    let connector = refused(&mut resources, Change::RemoveConnector(full("k00")));
    assert_eq!((connector.code(), connector.dependents()), (Code::InUse, &names("c")[..]));
    let tenant = refused(&mut resources, Change::RemoveTenant(tenant()));
    assert_eq!((tenant.code(), tenant.dependents().len()), (Code::InUse, 0), "it is always there");
}

/// What became of which resource, and whether it is kept.
fn told(resources: &mut Resources, change: Change, revision: u64) -> Vec<(Kind, String, Operation, bool)> {
    let (touched, _) = resources.apply(change, revision).unwrap();
    touched.into_iter().map(|t| (t.kind, t.name.to_string(), t.operation, t.is_kept)).collect()
}

#[test]
fn a_change_tells_of_all_that_it_touches_and_which_of_it_is_kept() {
    use Kind::{Connector, Container, Vpc};
    use Operation::{Changed, Created, Deleted};
    let mut resources = Resources::new();
    let v = || "default/v".to_owned();
    assert_eq!(told(&mut resources, reserve_vpc(vpc("v")), 1), [(Vpc, v(), Created, true)]);
    assert_eq!(
        told(&mut resources, vpc_ready("v", 1), 2),
        [(Vpc, v(), Changed, true)],
        "its MAC address is kept"
    );
    let k = || "default/k".to_owned();
    let add = add_connector(connector("k", "v", &[]));
    assert_eq!(told(&mut resources, add, 3), [(Connector, k(), Created, true)]);
    let c = || "default/c".to_owned();
    assert_eq!(told(&mut resources, reserve_container(container("c")), 4), [(Container, c(), Created, true)]);
    assert_eq!(told(&mut resources, container_ready("c", 1), 5), [(Container, c(), Changed, false)]);
    let both = [(Connector, k(), Changed, false), (Container, c(), Changed, true)];
    assert_eq!(told(&mut resources, attach("c", "k"), 6), both);
    assert_eq!(told(&mut resources, attach("c", "k"), 7), []);
    let revoked = [(Connector, k(), Changed, true), (Container, c(), Changed, true)];
    assert_eq!(told(&mut resources, Change::RevokeConnector(full("k")), 8), revoked);
    assert_eq!(told(&mut resources, Change::RevokeConnector(full("k")), 9), []);
    assert_eq!(
        told(&mut resources, Change::RemoveConnector(full("k")), 10),
        [(Connector, k(), Deleted, true)]
    );
    assert_eq!(told(&mut resources, Change::UplinkGone(UplinkId(1)), 11), [(Vpc, v(), Changed, false)]);
    assert_eq!(told(&mut resources, Change::DeleteVpc(full("v")), 12), [(Vpc, v(), Changed, false)]);
    assert_eq!(told(&mut resources, Change::ForgetVpc(full("v")), 13), [(Vpc, v(), Deleted, true)]);
}

#[test]
fn revisions_tell_when_something_changed_and_when_what_was_asked_for_did() {
    let mut resources = all_attached();
    let stamp = |resources: &Resources| resources.stamp(Kind::Connector, &full("k"));
    let before = stamp(&resources);
    resources.apply(detached("c", "k"), 20).unwrap();
    resources.apply(Change::ConnectorIdle(full("k")), 21).unwrap();
    assert_eq!(stamp(&resources), Stamp { changed: 21, asked: before.asked });
    let again = || resources.connector(&full("k")).unwrap().spec.as_ref().clone();
    let same = update(again());
    resources.apply(same, 22).unwrap();
    assert_eq!(stamp(&resources), Stamp { changed: 21, asked: before.asked }, "nothing is other than it was");
    let (_, undo) = resources.apply(Change::RevokeConnector(full("k")), 23).unwrap();
    assert_eq!(stamp(&resources), Stamp { changed: 23, asked: 23 });
    resources.undo(undo);
    assert_eq!(stamp(&resources), Stamp { changed: 21, asked: before.asked });
}

#[test]
fn tables_end_where_the_limits_say() {
    use crate::limits::{CONNECTORS, CONTAINERS, TENANTS, TOKENS_PER_TENANT, VPCS};
    use crate::{NewTenant, Role, Token};
    type Make = fn(String) -> Change;
    let makers: [(&str, usize, Make); 5] = [
        ("VPCs", VPCS, |text| reserve_vpc(vpc(&text))),
        ("connectors", CONNECTORS, |text| add_connector(connector(&text, "other/v", &[]))),
        ("containers", CONTAINERS, |text| reserve_container(container(&text))),
        // One is always there.
        ("tenants", TENANTS - 1, |text| {
            Change::AddTenant(NewTenant { name: text, netns_prefix: None }.validate().unwrap())
        }),
        ("tokens", TOKENS_PER_TENANT, |text| {
            let token = Token { role: Role::Reader, hash: String::new(), created_at: 0, expires_at: None };
            Change::AddToken { name: full(&text), token }
        }),
    ];
    for (what, limit, make) in makers {
        let mut resources = Resources::new();
        for i in 0..limit {
            resources.apply(make(format!("x{i}")), 1).unwrap();
        }
        let refusal = resources.apply(make("more".into()), 1).unwrap_err();
        assert!(matches!(refusal, Refusal::LimitReached { what: w, .. } if w == what), "{refusal}");
    }
}
