mod addresses;
mod functions;
mod policies;
mod tenants;
mod updates;
mod walk;

use ipnet::IpNet;

use super::*;
use crate::limits::CONNECTORS_PER_CONTAINER;
use crate::{
    Code, CodeHash, ConnectorSpec, ConnectorState, ConnectorView, ContainerLink, ContainerSpec,
    DEFAULT_TENANT, Join, MacAddr, MayJoin, NewConnector, NewContainer, NewFunction, NewNetns, NewPorts,
    NewUplink, NewVpc, Problem, State, StoredCode, UplinkKind, VpcLink, VpcSpec,
};

fn name(text: &str) -> Name {
    Name::parse("name", text.into()).unwrap()
}

/// `name` of the default tenant, or `tenant/name`.
fn full(text: &str) -> FullName {
    let (tenant, text) = text.split_once('/').unwrap_or((DEFAULT_TENANT, text));
    FullName::new(&name(tenant), &name(text))
}

fn tenant() -> Name {
    name(DEFAULT_TENANT)
}

fn reserve_vpc(spec: VpcSpec) -> Change {
    Change::ReserveVpc { tenant: tenant(), spec }
}

fn reserve_container(spec: ContainerSpec) -> Change {
    Change::ReserveContainer { tenant: tenant(), spec }
}

fn add_connector(spec: ConnectorSpec) -> Change {
    Change::AddConnector { tenant: tenant(), spec }
}

fn vpc(text: &str) -> VpcSpec {
    new_vpc(text).validate().unwrap()
}

fn new_vpc(text: &str) -> NewVpc {
    let uplink = NewUplink {
        kind: UplinkKind::Packet,
        netns: None,
        device: "eth1".into(),
        address: None,
        address6: None,
        bridge: None,
        mtu: None,
    };
    NewVpc {
        name: text.into(),
        cidr: Some("10.1.0.0/16".into()),
        cidr6: None,
        external_addresses: vec!["10.1.0.10".into()],
        on_link: None,
        on_link6: None,
        next_hop: None,
        next_hop6: None,
        ports: None,
        port_blocks: None,
        reserved_addresses: None,
        approval: None,
        unsolicited_syn: None,
        uplink,
    }
}

fn connector(text: &str, vpc: &str, destinations: &[&str]) -> ConnectorSpec {
    let destinations =
        (!destinations.is_empty()).then(|| destinations.iter().map(ToString::to_string).collect());
    let new = NewConnector { name: text.into(), vpc: vpc.into(), destinations, ..NewConnector::default() };
    new.validate().unwrap()
}

fn container(text: &str) -> ContainerSpec {
    let netns = NewNetns { pid: Some(1), ..NewNetns::default() };
    let new = NewContainer {
        name: text.into(),
        netns,
        device: None,
        address: None,
        gateway: None,
        address6: None,
        gateway6: None,
        mac: None,
        mtu: None,
    };
    new.validate().unwrap()
}

fn new_function(text: &str, connectors: &[&str]) -> NewFunction {
    NewFunction {
        name: text.into(),
        runtime: "python3".into(),
        handler: Some("handler.handler".into()),
        connectors: Some(connectors.iter().map(ToString::to_string).collect()),
        ..NewFunction::default()
    }
}

/// Code that differs from that of other numbers.
fn code(i: usize) -> StoredCode {
    StoredCode { hash: CodeHash::parse(&format!("{i:064x}")).unwrap(), bytes: i as u64 }
}

fn uplink(id: u32) -> VpcLink {
    VpcLink { uplink: UplinkId(id), mac: MacAddr([2; 6]), mtu: 1_500, offloads: vec![] }
}

fn link(id: u32) -> ContainerLink {
    ContainerLink { attachment: AttachmentId(id), mac: MacAddr([2; 6]), worker: 0, offloads: vec![] }
}

fn attach(container: &str, connector: &str) -> Change {
    Change::Attach { container: full(container), connector: name(connector) }
}

fn detached(container: &str, connector: &str) -> Change {
    Change::Detached { container: full(container), connector: name(connector) }
}

fn vpc_ready(vpc: &str, id: u32) -> Change {
    Change::VpcReady { vpc: full(vpc), link: uplink(id) }
}

fn container_ready(container: &str, id: u32) -> Change {
    Change::ContainerReady { container: full(container), link: link(id), origin: None }
}

/// Applies a change, takes it back, and applies it again. Checks that nothing is left of it in between, and what is always true.
fn apply(resources: &mut Resources, change: Change) -> Result<(), Code> {
    let before = dump(resources);
    if let Ok((_, undo)) = resources.apply(change.clone(), 1) {
        resources.undo(undo);
    }
    assert_eq!(dump(resources), before, "{change:?} left something");
    let outcome = resources.apply(change, 1);
    check(resources);
    outcome.map(drop).map_err(|refusal| refusal.code())
}

/// Everything that is kept, shown or found. Not the ids that connectors get next: none is given out twice.
fn dump(resources: &Resources) -> String {
    let Resources { tenants, tokens, vpcs, connectors, containers, functions, pools, index, .. } = resources;
    format!(
        "{tenants:?}\n{tokens:?}\n{vpcs:?}\n{connectors:?}\n{containers:?}\n{functions:?}\n{pools:?}\n{index:?}"
    )
}

/// What is always true.
fn check(resources: &Resources) {
    let mut index = Index::default();
    for vpc in resources.vpcs() {
        index.vpc(None, Some(vpc));
    }
    for connector in resources.connectors() {
        index.connector(None, Some(connector));
        assert_eq!(resources.connector_of(connector.id), Some(&connector.name));
        assert_eq!(connector.may_join == MayJoin::Approved, connector.fitted.is_some(), "{connector:?}");
        if connector.fitted.is_some() {
            assert!(resources.vpc(&connector.vpc).is_ok(), "{connector:?}");
        }
    }
    for container in resources.containers() {
        index.container(None, Some(container));
        for connector in container.connectors.keys() {
            let permission = resources.permission(&container.name, connector);
            let usable = permission.is_ok() || container.life.ready().is_none();
            assert!(usable, "{permission:?}");
        }
    }
    for function in resources.functions() {
        index.function(None, Some(function));
        assert!(function.versions.is_sorted_by(|a, b| a.number < b.number) && !function.versions.is_empty());
        for connector in &function.connectors {
            let connector = resources.connector(&FullName::new(&function.name.tenant, connector)).unwrap();
            assert!(connector.spec.may_be_used_by_function(&function.name.name), "{connector:?}");
        }
    }
    assert_eq!(format!("{:?}", resources.index), format!("{index:?}"), "the index follows from the rest");
}

fn make_vpc(resources: &mut Resources, text: &str, id: u32) {
    apply(resources, reserve_vpc(vpc(text))).unwrap();
    apply(resources, vpc_ready(text, id)).unwrap();
}

fn make_container(resources: &mut Resources, text: &str, id: u32) {
    apply(resources, reserve_container(container(text))).unwrap();
    apply(resources, container_ready(text, id)).unwrap();
}

/// VPC `v` (uplink 1), connector `k` to it, container `c` (attachment 1).
fn one_of_each() -> Resources {
    let mut resources = Resources::default();
    make_vpc(&mut resources, "v", 1);
    apply(&mut resources, add_connector(connector("k", "v", &[]))).unwrap();
    make_container(&mut resources, "c", 1);
    resources
}

fn all_attached() -> Resources {
    let mut resources = one_of_each();
    apply(&mut resources, attach("c", "k")).unwrap();
    resources
}

fn vpc_state(resources: &Resources) -> State {
    resources.vpc(&full("v")).unwrap().life.state()
}

fn container_state(resources: &Resources) -> State {
    resources.container(&full("c")).unwrap().life.state()
}

#[test]
fn a_name_is_taken_from_its_reservation_on() {
    let mut resources = Resources::default();
    for _ in 0..2 {
        apply(&mut resources, reserve_vpc(vpc("v"))).unwrap();
        apply(&mut resources, reserve_container(container("c"))).unwrap();
        assert_eq!(apply(&mut resources, reserve_vpc(vpc("v"))), Err(Code::AlreadyExists));
        assert_eq!(apply(&mut resources, reserve_container(container("c"))), Err(Code::AlreadyExists));
        // The device could not be made: nothing is left, and the name is free.
        apply(&mut resources, Change::ForgetVpc(full("v"))).unwrap();
        apply(&mut resources, Change::ForgetContainer(full("c"))).unwrap();
        assert_eq!((resources.vpcs().count(), resources.containers().count()), (0, 0));
    }
}

#[test]
fn what_is_being_created_cannot_be_used_or_deleted() {
    let mut resources = one_of_each();
    apply(&mut resources, reserve_vpc(vpc("v2"))).unwrap();
    apply(&mut resources, reserve_container(container("c2"))).unwrap();
    assert_eq!(apply(&mut resources, add_connector(connector("k2", "v2", &[]))), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, attach("c2", "k")), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, Change::DeleteVpc(full("v2"))), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, Change::DeleteContainer(full("c2"))), Err(Code::NotReady));
}

#[test]
fn what_does_not_exist_is_named() {
    let mut resources = one_of_each();
    for change in [
        attach("x", "k"),
        attach("c", "x"),
        Change::DeleteVpc(full("x")),
        Change::DeleteContainer(full("x")),
        Change::RemoveConnector(full("x")),
        add_connector(connector("k2", "x", &[])),
    ] {
        assert_eq!(apply(&mut resources, change.clone()), Err(Code::NotFound), "{change:?}");
    }
    let problem = Problem::from(resources.apply(add_connector(connector("k2", "x", &[])), 1).unwrap_err());
    assert_eq!(problem.field(), Some("vpc"));
}

#[test]
fn a_connector_without_destinations_leads_to_the_whole_vpc() {
    let resources = one_of_each();
    let connector = resources.connector(&full("k")).unwrap();
    let fitted = connector.fitted.as_ref().expect("it may join at once");
    assert_eq!(fitted.destinations, ["10.1.0.0/16".parse::<IpNet>().unwrap()]);
}

#[test]
fn connector_ids_are_never_reused() {
    let mut resources = one_of_each();
    let first = resources.connector(&full("k")).unwrap().id;
    apply(&mut resources, Change::RemoveConnector(full("k"))).unwrap();
    assert_eq!(resources.connector_of(first), None);
    apply(&mut resources, add_connector(connector("k", "v", &[]))).unwrap();
    assert_ne!(resources.connector(&full("k")).unwrap().id, first);
}

#[test]
fn attaching_and_detaching_again_changes_nothing() {
    let mut resources = one_of_each();
    let shown = |resources: &Resources| {
        let connector = resources.connector(&full("k")).unwrap();
        let container = resources.container(&full("c")).unwrap();
        let containers = resources.connector_view(connector, |_| 0).containers;
        (containers, resources.container_view(container).connectors)
    };
    for _ in 0..2 {
        apply(&mut resources, attach("c", "k")).unwrap();
        assert_eq!(shown(&resources), (vec!["c".into()], vec!["k".into()]));
        assert_eq!(apply(&mut resources, Change::RemoveConnector(full("k"))), Err(Code::InUse));
    }
    let (touched, _) = resources.apply(attach("c", "k"), 2).unwrap();
    assert_eq!(touched, [], "nobody has to hear of it");

    let permission = resources.permission(&full("c"), &name("k")).unwrap();
    assert_eq!((permission.attachment, permission.uplink), (AttachmentId(1), UplinkId(1)));
    for _ in 0..2 {
        apply(&mut resources, detached("c", "k")).unwrap();
        assert_eq!(shown(&resources), (vec![], vec![]));
    }
    let (touched, _) = resources.apply(detached("c", "k"), 3).unwrap();
    assert_eq!(touched, [], "nobody has to hear of it");
    let refusal = resources.permission(&full("c"), &name("k")).unwrap_err();
    assert_eq!(refusal.code(), Code::NotAttached);
}

#[test]
fn deletes_are_refused_while_others_depend() {
    let mut resources = all_attached();
    assert_eq!(apply(&mut resources, Change::DeleteVpc(full("v"))), Err(Code::InUse));
    assert_eq!(apply(&mut resources, Change::RemoveConnector(full("k"))), Err(Code::InUse));
    assert_eq!((vpc_state(&resources), container_state(&resources)), (State::Ready, State::Ready));

    // Until its sessions have ended, the container has the connector.
    apply(&mut resources, Change::DeleteContainer(full("c"))).unwrap();
    assert_eq!(apply(&mut resources, Change::RemoveConnector(full("k"))), Err(Code::InUse));
    apply(&mut resources, detached("c", "k")).unwrap();
    apply(&mut resources, Change::RemoveConnector(full("k"))).unwrap();
    apply(&mut resources, Change::DeleteVpc(full("v"))).unwrap();
    assert_eq!((vpc_state(&resources), container_state(&resources)), (State::Deleting, State::Deleting));
    assert_eq!(apply(&mut resources, add_connector(connector("k", "v", &[]))), Err(Code::NotReady));

    // A delete that failed halfway can be asked for again.
    apply(&mut resources, Change::DeleteContainer(full("c"))).unwrap();
    apply(&mut resources, Change::DeleteVpc(full("v"))).unwrap();
    apply(&mut resources, Change::ForgetContainer(full("c"))).unwrap();
    apply(&mut resources, Change::ForgetVpc(full("v"))).unwrap();
    assert_eq!((resources.vpcs().count(), resources.containers().count()), (0, 0));
}

#[test]
fn equal_prefixes_of_two_connectors_tie() {
    let mut resources = all_attached();
    make_vpc(&mut resources, "v2", 2);
    for (text, destinations, outcome) in [
        ("same", &["10.9.0.0/16", "10.1.0.0/16"][..], Err(Code::DestinationTie)),
        ("longer", &["10.1.0.0/17"][..], Ok(())),
        ("shorter", &["10.0.0.0/8"][..], Ok(())),
    ] {
        apply(&mut resources, add_connector(connector(text, "v2", destinations))).unwrap();
        assert_eq!(apply(&mut resources, attach("c", text)), outcome, "{text}");
    }
}

#[test]
fn a_container_has_a_bounded_number_of_connectors() {
    let mut resources = one_of_each();
    for i in 0..=CONNECTORS_PER_CONTAINER {
        let (text, prefix) = (format!("k{i}"), format!("10.{i}.0.0/24"));
        apply(&mut resources, add_connector(connector(&text, "v", &[&prefix]))).unwrap();
        let outcome = apply(&mut resources, attach("c", &text));
        assert_eq!(outcome, if i < CONNECTORS_PER_CONTAINER { Ok(()) } else { Err(Code::LimitReached) });
    }
}

#[test]
fn a_lost_container_has_no_connectors_and_can_be_deleted() {
    let mut resources = all_attached();
    apply(&mut resources, Change::AttachmentGone(AttachmentId(1))).unwrap();
    assert_eq!(container_state(&resources), State::Gone);
    assert_eq!(apply(&mut resources, attach("c", "k")), Err(Code::NotReady));
    apply(&mut resources, Change::RemoveConnector(full("k"))).unwrap();
    apply(&mut resources, Change::DeleteContainer(full("c"))).unwrap();
    apply(&mut resources, Change::ForgetContainer(full("c"))).unwrap();
    assert_eq!(resources.containers().count(), 0);
}

#[test]
fn a_lost_vpc_takes_the_attachments_through_it_along_and_no_others() {
    let mut resources = all_attached();
    make_vpc(&mut resources, "v2", 2);
    apply(&mut resources, add_connector(connector("k2", "v2", &["10.2.0.0/16"]))).unwrap();
    apply(&mut resources, attach("c", "k2")).unwrap();

    apply(&mut resources, Change::UplinkGone(UplinkId(1))).unwrap();
    assert_eq!(vpc_state(&resources), State::Gone);
    assert_eq!(resources.container(&full("c")).unwrap().connectors.keys().collect::<Vec<_>>(), [&name("k2")]);
    assert_eq!(apply(&mut resources, attach("c", "k")), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, add_connector(connector("k3", "v", &[]))), Err(Code::NotReady));
    apply(&mut resources, Change::RemoveConnector(full("k"))).unwrap();
    apply(&mut resources, Change::DeleteVpc(full("v"))).unwrap();
    apply(&mut resources, Change::ForgetVpc(full("v"))).unwrap();
}

#[test]
fn what_is_lost_before_its_creation_is_written_down_is_gone_not_ready() {
    let mut resources = Resources::default();
    apply(&mut resources, reserve_vpc(vpc("v"))).unwrap();
    apply(&mut resources, reserve_container(container("c"))).unwrap();
    apply(&mut resources, Change::UplinkGone(UplinkId(7))).unwrap();
    apply(&mut resources, Change::AttachmentGone(AttachmentId(7))).unwrap();
    apply(&mut resources, vpc_ready("v", 7)).unwrap();
    apply(&mut resources, container_ready("c", 7)).unwrap();
    assert_eq!((vpc_state(&resources), container_state(&resources)), (State::Gone, State::Gone));
}

#[test]
fn what_is_lost_while_attaching_is_not_attached() {
    for (lost, kind) in [
        (Change::UplinkGone(UplinkId(1)), Kind::Vpc),
        (Change::AttachmentGone(AttachmentId(1)), Kind::Container),
    ] {
        let mut resources = one_of_each();
        apply(&mut resources, attach("c", "k")).unwrap();
        apply(&mut resources, lost).unwrap();
        let attached = Change::Attached { container: full("c"), connector: name("k") };
        let refusal = resources.apply(attached, 1).unwrap_err();
        assert!(
            matches!(refusal, Refusal::NotReady { kind: k, state: State::Gone, .. } if k == kind),
            "{refusal}"
        );
        assert!(resources.container(&full("c")).unwrap().connectors.is_empty());
    }
}

#[test]
fn reports_about_what_is_not_there_change_nothing() {
    let mut resources = all_attached();
    apply(&mut resources, Change::UplinkGone(UplinkId(99))).unwrap();
    apply(&mut resources, Change::AttachmentGone(AttachmentId(99))).unwrap();
    apply(&mut resources, Change::ForgetVpc(full("v"))).unwrap();
    apply(&mut resources, Change::ForgetContainer(full("c"))).unwrap();
    apply(&mut resources, vpc_ready("v", 9)).unwrap();
    apply(&mut resources, container_ready("c", 9)).unwrap();
    assert_eq!((vpc_state(&resources), container_state(&resources)), (State::Ready, State::Ready));
    assert_eq!(resources.permission(&full("c"), &name("k")).unwrap().join, Join::Attached);
}
