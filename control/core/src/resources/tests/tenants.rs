//! Resources of several tenants, and connectors that lead from one to another.

use super::*;
use crate::{NewTenant, Role, Token};

fn add_tenant(text: &str) -> Change {
    let new = NewTenant { name: text.into(), netns_prefix: None };
    Change::AddTenant(new.validate().unwrap())
}

fn add_token(text: &str) -> Change {
    let token = Token { role: Role::Reader, hash: "00".into(), created_at: 1, expires_at: None };
    Change::AddToken { name: full(text), token }
}

/// Tenants `a` and `b`; of `a` a VPC `v`, and of `b` a container `c`.
fn two_tenants() -> Resources {
    let mut resources = Resources::new();
    for text in ["a", "b"] {
        apply(&mut resources, add_tenant(text)).unwrap();
    }
    vpc_of(&mut resources, "a", vpc("v"), 1);
    container_of(&mut resources, "b", "c", 1);
    resources
}

fn vpc_of(resources: &mut Resources, tenant: &str, spec: VpcSpec, id: u32) {
    let vpc = FullName::new(&name(tenant), &spec.name);
    apply(resources, Change::ReserveVpc { tenant: name(tenant), spec }).unwrap();
    apply(resources, Change::VpcReady { vpc, link: uplink(id) }).unwrap();
}

fn container_of(resources: &mut Resources, tenant: &str, text: &str, id: u32) {
    let reserve = Change::ReserveContainer { tenant: name(tenant), spec: container(text) };
    apply(resources, reserve).unwrap();
    apply(resources, container_ready(&format!("{tenant}/{text}"), id)).unwrap();
}

fn connect(tenant: &str, text: &str, vpc: &str, destinations: &[&str]) -> Change {
    Change::AddConnector { tenant: name(tenant), spec: connector(text, vpc, destinations) }
}

fn state(resources: &Resources, connector: &str) -> ConnectorState {
    resources.connector(&full(connector)).unwrap().state()
}

fn approve(connector: &str) -> Change {
    Change::ApproveConnector(full(connector))
}

fn revoke(connector: &str) -> Change {
    Change::RevokeConnector(full(connector))
}

#[test]
fn names_of_one_tenant_mean_nothing_to_another() {
    let mut resources = Resources::new();
    for (id, tenant) in [(1, "a"), (2, "b")] {
        apply(&mut resources, add_tenant(tenant)).unwrap();
        assert_eq!(apply(&mut resources, add_tenant(tenant)), Err(Code::AlreadyExists));
        vpc_of(&mut resources, tenant, vpc("v"), id);
        container_of(&mut resources, tenant, "c", id);
        apply(&mut resources, connect(tenant, "k", "v", &[])).unwrap();
        apply(&mut resources, attach(&format!("{tenant}/c"), "k")).unwrap();
        apply(&mut resources, add_token(&format!("{tenant}/t"))).unwrap();
    }
    for (id, tenant) in [(1, "a"), (2, "b")] {
        let permission = resources.permission(&full(&format!("{tenant}/c")), &name("k")).unwrap();
        assert_eq!((permission.attachment, permission.uplink), (AttachmentId(id), UplinkId(id)));
        let tenant = name(tenant);
        assert_eq!(resources.vpcs_of(&tenant, None).count(), 1);
        assert_eq!(resources.connectors_of(&tenant, None).count(), 1);
        assert_eq!(resources.containers_of(&tenant, None).count(), 1);
        assert_eq!(resources.tokens_of(&tenant, None).count(), 1);
        assert_eq!(resources.vpcs_of(&tenant, Some(&name("v"))).count(), 0);
    }
    assert_ne!(resources.connector(&full("a/k")).unwrap().id, resources.connector(&full("b/k")).unwrap().id);

    apply(&mut resources, Change::RevokeConnector(full("a/k"))).unwrap();
    apply(&mut resources, Change::RemoveConnector(full("a/k"))).unwrap();
    assert!(resources.permission(&full("b/c"), &name("k")).is_ok(), "the other's is untouched");
}

#[test]
fn what_belongs_to_a_tenant_needs_the_tenant() {
    let mut resources = Resources::new();
    for change in [
        Change::ReserveVpc { tenant: name("a"), spec: vpc("v") },
        Change::ReserveContainer { tenant: name("a"), spec: container("c") },
        connect("a", "k", "v", &[]),
        add_token("a/t"),
        Change::RemoveTenant(name("a")),
        Change::RemoveToken(full("a/t")),
    ] {
        assert_eq!(apply(&mut resources, change.clone()), Err(Code::NotFound), "{change:?}");
    }
}

#[test]
fn a_tenant_is_removed_with_its_tokens_and_with_nothing_else() {
    let mut resources = Resources::new();
    assert_eq!(apply(&mut resources, Change::RemoveTenant(tenant())), Err(Code::InUse), "always there");
    apply(&mut resources, add_tenant("a")).unwrap();
    for token in ["a/t1", "a/t2", "default/t1"] {
        apply(&mut resources, add_token(token)).unwrap();
        assert_eq!(apply(&mut resources, add_token(token)), Err(Code::AlreadyExists));
    }
    vpc_of(&mut resources, "a", vpc("v"), 1);
    vpc_of(&mut resources, "a", vpc("v2"), 2);
    apply(&mut resources, connect("a", "k", "v", &[])).unwrap();
    container_of(&mut resources, "a", "c", 1);
    for (dependents, next) in [
        (&["c"][..], vec![Change::DeleteContainer(full("a/c")), Change::ForgetContainer(full("a/c"))]),
        (&["k"], vec![Change::RemoveConnector(full("a/k"))]),
        (&["v", "v2"], vec![Change::DeleteVpc(full("a/v")), Change::ForgetVpc(full("a/v"))]),
        (&["v2"], vec![Change::DeleteVpc(full("a/v2")), Change::ForgetVpc(full("a/v2"))]),
    ] {
        let refusal = resources.apply(Change::RemoveTenant(name("a")), 1).unwrap_err();
        assert_eq!(refusal.code(), Code::InUse);
        assert_eq!(Problem::from(refusal).dependents(), dependents);
        for change in next {
            apply(&mut resources, change).unwrap();
        }
    }
    let (touched, _) = resources.apply(Change::RemoveTenant(name("a")), 9).unwrap();
    let tokens = touched.iter().filter(|t| t.kind == Kind::Token && t.operation == Operation::Deleted);
    assert_eq!(tokens.map(|t| t.name.clone()).collect::<Vec<_>>(), [full("a/t1"), full("a/t2")]);
    assert!(resources.token(&full("a/t1")).is_err() && resources.token(&full("default/t1")).is_ok());
    apply(&mut resources, Change::RemoveToken(full("default/t1"))).unwrap();
    assert!(resources.token(&full("default/t1")).is_err());
}

#[test]
fn a_connector_goes_from_requested_to_ready_to_idle_to_revoked_and_back() {
    let mut resources = two_tenants();
    apply(&mut resources, connect("b", "k", "a/v", &[])).unwrap();
    assert_eq!(state(&resources, "b/k"), ConnectorState::Requested);
    assert_eq!(apply(&mut resources, attach("b/c", "k")), Err(Code::NotApproved));
    let shown = |resources: &Resources| {
        resources.connector_view(resources.connector(&full("b/k")).unwrap(), |_| 0).destinations
    };
    assert_eq!(shown(&resources), [""; 0], "what the VPC has is nobody's business yet");
    for _ in 0..2 {
        apply(&mut resources, approve("b/k")).unwrap();
        assert_eq!(state(&resources, "b/k"), ConnectorState::Approved);
    }
    assert_eq!(shown(&resources), ["10.1.0.0/16"]);
    apply(&mut resources, Change::ConnectorIdle(full("b/k"))).unwrap();
    assert_eq!(state(&resources, "b/k"), ConnectorState::Approved, "it was not in use yet");

    for _ in 0..2 {
        apply(&mut resources, attach("b/c", "k")).unwrap();
        assert_eq!(state(&resources, "b/k"), ConnectorState::Ready);
        apply(&mut resources, Change::ConnectorIdle(full("b/k"))).unwrap();
        assert_eq!(state(&resources, "b/k"), ConnectorState::Ready, "it is in use");
        apply(&mut resources, detached("b/c", "k")).unwrap();
        assert_eq!(state(&resources, "b/k"), ConnectorState::Ready, "it lingers");
        apply(&mut resources, Change::ConnectorIdle(full("b/k"))).unwrap();
        assert_eq!(state(&resources, "b/k"), ConnectorState::Idle);
    }

    apply(&mut resources, attach("b/c", "k")).unwrap();
    for _ in 0..2 {
        apply(&mut resources, revoke("b/k")).unwrap();
        assert_eq!(state(&resources, "b/k"), ConnectorState::Revoked);
    }
    assert!(resources.container(&full("b/c")).unwrap().connectors.is_empty(), "it is detached");
    assert_eq!(apply(&mut resources, attach("b/c", "k")), Err(Code::NotApproved));
    apply(&mut resources, approve("b/k")).unwrap();
    assert_eq!(state(&resources, "b/k"), ConnectorState::Approved);
    apply(&mut resources, attach("b/c", "k")).unwrap();
    assert_eq!(state(&resources, "b/k"), ConnectorState::Ready);
}

#[test]
fn what_the_gateway_does_not_take_has_failed_until_it_does() {
    let mut resources = one_of_each();
    let failed = || Change::ConnectorFailed { connector: full("k"), detail: "no room".into() };
    apply(&mut resources, failed()).unwrap();
    assert_eq!(state(&resources, "k"), ConnectorState::Failed);
    let view = resources.connector_view(resources.connector(&full("k")).unwrap(), |_| 0);
    assert_eq!(view.failure.as_deref(), Some("no room"));
    apply(&mut resources, attach("c", "k")).unwrap();
    assert_eq!(state(&resources, "k"), ConnectorState::Ready);
    make_container(&mut resources, "c2", 2);
    apply(&mut resources, attach("c2", "k")).unwrap();
    apply(&mut resources, detached("c2", "k")).unwrap();
    apply(&mut resources, failed()).unwrap();
    assert_eq!(state(&resources, "k"), ConnectorState::Ready, "it works for others");
}

#[test]
fn nothing_tells_a_tenant_whether_anothers_vpc_exists() {
    let mut resources = two_tenants();
    // One that does not exist, one that does not fit, one that does.
    for (text, vpc, destinations) in [
        ("missing", "a/nothing", &[][..]),
        ("no-tenant", "nobody/v", &[]),
        ("unfit", "a/v", &["fd00::/64"]),
        ("fit", "a/v", &[]),
    ] {
        apply(&mut resources, connect("b", text, vpc, destinations)).unwrap();
        let connector = resources.connector(&full(&format!("b/{text}"))).unwrap();
        let view = serde_json::to_value(resources.connector_view(connector, |_| 0)).unwrap();
        assert_eq!(view["state"], "requested");
        assert_eq!(view["publications"], serde_json::json!([]));
        let update = Change::UpdateConnector { tenant: name("b"), spec: connector_again(text, vpc) };
        assert_eq!(apply(&mut resources, update), Ok(()), "{text}");
        assert_eq!(apply(&mut resources, attach("b/c", text)), Err(Code::NotApproved), "{text}");
    }
    // The owner hears of those that mean its VPC, and of no others.
    let joining: Vec<_> = resources.joining(&full("a/v")).map(|k| k.name.to_string()).collect();
    assert_eq!(joining, ["b/fit", "b/unfit"]);
    assert!(resources.connector_joining(&full("a/v"), &full("b/fit")).is_ok());
    let others = resources.connector_joining(&full("a/v"), &full("b/missing")).unwrap_err();
    let nothing = resources.connector_joining(&full("a/v"), &full("b/nothing")).unwrap_err();
    assert_eq!(others.to_string().replace("missing", "nothing"), nothing.to_string());
    // Whoever asks for what nobody has made is told the same of every tenant that is not its own.
    assert_eq!(apply(&mut resources, connect("b", "own", "nothing", &[])), Err(Code::NotFound));
}

fn connector_again(text: &str, vpc: &str) -> ConnectorSpec {
    connector(text, vpc, &["fd00::/65"])
}

#[test]
fn a_connector_of_another_tenant_has_to_fit_when_it_is_approved() {
    let mut resources = two_tenants();
    apply(&mut resources, connect("b", "k", "a/v", &["fd00::/64"])).unwrap();
    assert_eq!(apply(&mut resources, approve("b/k")), Err(Code::InvalidCidr));
    assert_eq!(state(&resources, "b/k"), ConnectorState::Requested);
}

#[test]
fn only_a_vpc_that_is_there_lets_in() {
    let mut resources = two_tenants();
    apply(&mut resources, connect("b", "early", "a/v2", &[])).unwrap();
    assert_eq!(apply(&mut resources, approve("b/early")), Err(Code::NotFound));
    apply(&mut resources, Change::ReserveVpc { tenant: name("a"), spec: vpc("v2") }).unwrap();
    assert_eq!(apply(&mut resources, approve("b/early")), Err(Code::NotReady), "it may come to nothing");
    apply(&mut resources, vpc_ready("a/v2", 2)).unwrap();
    // Who only wants to join depends on nothing.
    apply(&mut resources, Change::DeleteVpc(full("a/v2"))).unwrap();
    assert_eq!(apply(&mut resources, approve("b/early")), Err(Code::NotReady), "it is going");
    apply(&mut resources, Change::ForgetVpc(full("a/v2"))).unwrap();
    vpc_of(&mut resources, "a", vpc("v2"), 3);
    apply(&mut resources, approve("b/early")).unwrap();
    let refusal = resources.apply(Change::DeleteVpc(full("a/v2")), 1).unwrap_err();
    assert_eq!(Problem::from(refusal).dependents(), ["b/early"]);
    apply(&mut resources, revoke("b/early")).unwrap();
    apply(&mut resources, Change::DeleteVpc(full("a/v2"))).unwrap();
}

#[test]
fn a_vpc_with_manual_approval_lets_nobody_in_by_itself() {
    let mut resources = Resources::new();
    let manual = NewVpc { approval: Some("manual".into()), ..new_vpc("v") };
    vpc_of(&mut resources, DEFAULT_TENANT, manual.validate().unwrap(), 1);
    apply(&mut resources, add_connector(connector("k", "v", &[]))).unwrap();
    assert_eq!(state(&resources, "k"), ConnectorState::Requested);
    // It is its own tenant's: what does not fit is told at once.
    assert_eq!(
        apply(&mut resources, add_connector(connector("bad", "v", &["::/0"]))),
        Err(Code::InvalidCidr)
    );
    apply(&mut resources, approve("k")).unwrap();
    assert_eq!(state(&resources, "k"), ConnectorState::Approved);
}

/// A connector, its users, and the containers that may use it.
type Users<'a> = (&'a str, Option<&'a [&'a str]>, &'a [&'a str]);

#[test]
fn only_containers_that_a_connector_names_may_use_it() {
    let mut resources = one_of_each();
    for (id, text) in ["web-1", "web", "cron", "cron-2"].into_iter().enumerate() {
        make_container(&mut resources, text, 10 + id as u32);
    }
    let users: [Users<'_>; 5] = [
        ("all", None, &["c", "cron", "cron-2", "web", "web-1"]),
        ("none", Some(&[]), &[]),
        ("some", Some(&["web-*", "cron"]), &["cron", "web-1"]),
        ("begin", Some(&["w*"]), &["web", "web-1"]),
        ("star", Some(&["*"]), &["c", "cron", "cron-2", "web", "web-1"]),
    ];
    for (i, (text, users, expected)) in users.into_iter().enumerate() {
        let new = NewConnector {
            name: text.into(),
            vpc: "v".into(),
            users: users.map(|all| all.iter().map(ToString::to_string).collect()),
            destinations: Some(vec![format!("10.1.{i}.0/24")]),
            ..NewConnector::default()
        };
        apply(&mut resources, add_connector(new.validate().unwrap())).unwrap();
        let mut may = Vec::new();
        for container in ["c", "cron", "cron-2", "web", "web-1"] {
            match apply(&mut resources, attach(container, text)) {
                Ok(()) => may.push(container),
                Err(code) => assert_eq!(code, Code::MayNotUse),
            }
        }
        assert_eq!(may, expected, "{text}");
    }
}

#[test]
fn what_another_tenant_has_approved_stays_what_it_was() {
    let mut resources = two_tenants();
    apply(&mut resources, connect("b", "k", "a/v", &["10.1.7.0/24"])).unwrap();
    let update = |destinations: &[&str], linger_s| {
        let destinations = Some(destinations.iter().map(ToString::to_string).collect());
        let new = NewConnector {
            name: "k".into(),
            vpc: "a/v".into(),
            destinations,
            linger_s,
            ..NewConnector::default()
        };
        Change::UpdateConnector { tenant: name("b"), spec: new.validate().unwrap() }
    };
    apply(&mut resources, update(&["10.1.8.0/24"], None)).unwrap();
    apply(&mut resources, approve("b/k")).unwrap();
    assert_eq!(apply(&mut resources, update(&["10.1.0.0/16"], None)), Err(Code::ImmutableField));
    apply(&mut resources, update(&["10.1.8.0/24"], Some(7))).unwrap();
    apply(&mut resources, revoke("b/k")).unwrap();
    apply(&mut resources, update(&["10.1.0.0/16"], None)).unwrap();
    assert_eq!(state(&resources, "b/k"), ConnectorState::Revoked, "it has to be approved again");
}

#[test]
fn prefixes_of_tenants_do_not_begin_alike() {
    let mut resources = Resources::new();
    let add = |tenant: &str, prefix: &str| {
        let new = NewTenant { name: tenant.into(), netns_prefix: Some(prefix.into()) };
        Change::AddTenant(new.validate().unwrap())
    };
    apply(&mut resources, add("acme", "acme-")).unwrap();
    for prefix in ["acme-", "acme-2-", "a"] {
        assert_eq!(apply(&mut resources, add("other", prefix)), Err(Code::InvalidNetns), "{prefix}");
    }
    apply(&mut resources, add("other", "bcme-")).unwrap();
    apply(&mut resources, add("all", "")).unwrap();
}
