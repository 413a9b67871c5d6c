mod policies;

use super::*;
use crate::limits::CONNECTORS_PER_CONTAINER;
use crate::{
    Change, Code, ConnectorSpec, ContainerLink, ContainerSpec, MacAddr, NewConnector, NewContainer, NewNetns,
    NewPorts, NewUplink, NewVpc, Problem, State, UplinkKind, VpcLink, VpcSpec,
};

fn name(text: &str) -> Name {
    Name::parse("name", text.into()).unwrap()
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

fn uplink(id: u32) -> VpcLink {
    VpcLink { uplink: UplinkId(id), mac: MacAddr([2; 6]), mtu: 1_500, offloads: vec![] }
}

fn link(id: u32) -> ContainerLink {
    ContainerLink { attachment: AttachmentId(id), mac: MacAddr([2; 6]), worker: 0, offloads: vec![] }
}

fn attach(container: &str, connector: &str) -> Change {
    Change::Attach { container: name(container), connector: name(connector) }
}

fn attached(container: &str, connector: &str) -> Change {
    Change::Attached { container: name(container), connector: name(connector) }
}

/// Applies a change, then checks what is always true.
fn apply(resources: &mut Resources, change: Change) -> Result<(), Code> {
    let outcome = resources.apply(change);
    for connector in resources.connectors() {
        assert!(resources.vpc(connector.vpc.as_str()).unwrap().connectors.contains(&connector.name));
        assert_eq!(resources.connector_of(connector.id), Some(&connector.name));
        for container in &connector.containers {
            let container = resources.container(container.as_str()).unwrap();
            assert!(container.connectors.contains_key(&connector.name));
        }
    }
    for container in resources.containers() {
        for connector in container.connectors.keys() {
            let permission = resources.permission(&container.spec.name, connector);
            assert!(permission.is_ok(), "{permission:?}");
            assert!(
                resources.connector(connector.as_str()).unwrap().containers.contains(&container.spec.name)
            );
        }
    }
    let vpcs = resources.vpcs().filter(|vpc| vpc.life.link().is_some()).count();
    let containers = resources.containers().filter(|container| container.life.link().is_some()).count();
    assert_eq!((vpcs, containers), (resources.uplinks.len(), resources.attachments.len()));
    outcome.map_err(|refusal| refusal.code())
}

fn make_vpc(resources: &mut Resources, text: &str, id: u32) {
    apply(resources, Change::ReserveVpc(vpc(text))).unwrap();
    apply(resources, Change::VpcReady { vpc: name(text), link: uplink(id) }).unwrap();
}

fn make_container(resources: &mut Resources, text: &str, id: u32) {
    apply(resources, Change::ReserveContainer(container(text))).unwrap();
    apply(resources, Change::ContainerReady { container: name(text), link: link(id) }).unwrap();
}

/// VPC `v` (uplink 1), connector `k` to it, container `c` (attachment 1).
fn one_of_each() -> Resources {
    let mut resources = Resources::default();
    make_vpc(&mut resources, "v", 1);
    apply(&mut resources, Change::AddConnector(connector("k", "v", &[]))).unwrap();
    make_container(&mut resources, "c", 1);
    resources
}

fn all_attached() -> Resources {
    let mut resources = one_of_each();
    apply(&mut resources, attach("c", "k")).unwrap();
    apply(&mut resources, attached("c", "k")).unwrap();
    resources
}

fn vpc_state(resources: &Resources) -> State {
    resources.vpc("v").unwrap().life.state()
}

fn container_state(resources: &Resources) -> State {
    resources.container("c").unwrap().life.state()
}

#[test]
fn a_name_is_taken_from_its_reservation_on() {
    let mut resources = Resources::default();
    for _ in 0..2 {
        apply(&mut resources, Change::ReserveVpc(vpc("v"))).unwrap();
        apply(&mut resources, Change::ReserveContainer(container("c"))).unwrap();
        assert_eq!(apply(&mut resources, Change::ReserveVpc(vpc("v"))), Err(Code::AlreadyExists));
        assert_eq!(apply(&mut resources, Change::ReserveContainer(container("c"))), Err(Code::AlreadyExists));
        // The device could not be made: nothing is left, and the name is free.
        apply(&mut resources, Change::ForgetVpc(name("v"))).unwrap();
        apply(&mut resources, Change::ForgetContainer(name("c"))).unwrap();
        assert_eq!((resources.vpcs().count(), resources.containers().count()), (0, 0));
    }
}

#[test]
fn what_is_being_created_cannot_be_used_or_deleted() {
    let mut resources = one_of_each();
    apply(&mut resources, Change::ReserveVpc(vpc("v2"))).unwrap();
    apply(&mut resources, Change::ReserveContainer(container("c2"))).unwrap();
    assert_eq!(apply(&mut resources, Change::AddConnector(connector("k2", "v2", &[]))), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, attach("c2", "k")), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, Change::DeleteVpc(name("v2"))), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, Change::DeleteContainer(name("c2"))), Err(Code::NotReady));
}

#[test]
fn what_does_not_exist_is_named() {
    let mut resources = one_of_each();
    for change in [
        attach("x", "k"),
        attach("c", "x"),
        Change::DeleteVpc(name("x")),
        Change::DeleteContainer(name("x")),
        Change::RemoveConnector(name("x")),
        Change::AddConnector(connector("k2", "x", &[])),
    ] {
        assert_eq!(apply(&mut resources, change.clone()), Err(Code::NotFound), "{change:?}");
    }
    let problem =
        Problem::from(resources.apply(Change::AddConnector(connector("k2", "x", &[]))).unwrap_err());
    assert_eq!(problem.field(), Some("vpc"));
}

#[test]
fn a_connector_without_destinations_leads_to_the_whole_vpc() {
    let resources = one_of_each();
    assert_eq!(resources.connector("k").unwrap().destinations, ["10.1.0.0/16".parse::<IpNet>().unwrap()]);
}

#[test]
fn connector_ids_are_never_reused() {
    let mut resources = one_of_each();
    let first = resources.connector("k").unwrap().id;
    apply(&mut resources, Change::RemoveConnector(name("k"))).unwrap();
    assert_eq!(resources.connector_of(first), None);
    apply(&mut resources, Change::AddConnector(connector("k", "v", &[]))).unwrap();
    assert_ne!(resources.connector("k").unwrap().id, first);
}

#[test]
fn attaching_counts_at_once_but_shows_only_when_the_gateway_has_it() {
    let mut resources = one_of_each();
    let shown = |resources: &Resources| {
        let connector = resources.connector_view(resources.connector("k").unwrap(), 0);
        (connector.containers, resources.container("c").unwrap().view().connectors)
    };
    apply(&mut resources, attach("c", "k")).unwrap();
    assert_eq!(shown(&resources), (vec![], vec![]));
    assert_eq!(apply(&mut resources, Change::RemoveConnector(name("k"))), Err(Code::InUse));

    apply(&mut resources, attached("c", "k")).unwrap();
    assert_eq!(shown(&resources), (vec!["c".into()], vec!["k".into()]));
    apply(&mut resources, attach("c", "k")).unwrap();
    assert_eq!(shown(&resources), (vec!["c".into()], vec!["k".into()]), "attaching again changes nothing");

    let permission = resources.permission(&name("c"), &name("k")).unwrap();
    assert_eq!((permission.attachment, permission.uplink), (AttachmentId(1), UplinkId(1)));
    for _ in 0..2 {
        apply(&mut resources, Change::Detached { container: name("c"), connector: name("k") }).unwrap();
        assert_eq!(shown(&resources), (vec![], vec![]));
    }
    let refusal = resources.permission(&name("c"), &name("k")).unwrap_err();
    assert_eq!(refusal.code(), Code::NotAttached);
}

#[test]
fn deletes_are_refused_while_others_depend() {
    let mut resources = all_attached();
    assert_eq!(apply(&mut resources, Change::DeleteVpc(name("v"))), Err(Code::InUse));
    assert_eq!(apply(&mut resources, Change::RemoveConnector(name("k"))), Err(Code::InUse));
    assert_eq!((vpc_state(&resources), container_state(&resources)), (State::Ready, State::Ready));

    apply(&mut resources, Change::DeleteContainer(name("c"))).unwrap();
    apply(&mut resources, Change::RemoveConnector(name("k"))).unwrap();
    apply(&mut resources, Change::DeleteVpc(name("v"))).unwrap();
    assert_eq!((vpc_state(&resources), container_state(&resources)), (State::Deleting, State::Deleting));
    assert_eq!(apply(&mut resources, Change::AddConnector(connector("k", "v", &[]))), Err(Code::NotReady));

    // A delete that failed halfway can be asked for again.
    apply(&mut resources, Change::DeleteContainer(name("c"))).unwrap();
    apply(&mut resources, Change::DeleteVpc(name("v"))).unwrap();
    apply(&mut resources, Change::ForgetContainer(name("c"))).unwrap();
    apply(&mut resources, Change::ForgetVpc(name("v"))).unwrap();
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
        apply(&mut resources, Change::AddConnector(connector(text, "v2", destinations))).unwrap();
        assert_eq!(apply(&mut resources, attach("c", text)), outcome, "{text}");
    }
}

#[test]
fn a_container_has_a_bounded_number_of_connectors() {
    let mut resources = one_of_each();
    for i in 0..=CONNECTORS_PER_CONTAINER {
        let (text, prefix) = (format!("k{i}"), format!("10.{i}.0.0/24"));
        apply(&mut resources, Change::AddConnector(connector(&text, "v", &[&prefix]))).unwrap();
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
    apply(&mut resources, Change::RemoveConnector(name("k"))).unwrap();
    apply(&mut resources, Change::DeleteContainer(name("c"))).unwrap();
    apply(&mut resources, Change::ForgetContainer(name("c"))).unwrap();
    assert_eq!(resources.containers().count(), 0);
}

#[test]
fn a_lost_vpc_takes_the_attachments_through_it_along_and_no_others() {
    let mut resources = all_attached();
    make_vpc(&mut resources, "v2", 2);
    apply(&mut resources, Change::AddConnector(connector("k2", "v2", &["10.2.0.0/16"]))).unwrap();
    apply(&mut resources, attach("c", "k2")).unwrap();
    apply(&mut resources, attached("c", "k2")).unwrap();

    apply(&mut resources, Change::UplinkGone(UplinkId(1))).unwrap();
    assert_eq!(vpc_state(&resources), State::Gone);
    assert_eq!(resources.container("c").unwrap().view().connectors, ["k2"]);
    assert_eq!(apply(&mut resources, attach("c", "k")), Err(Code::NotReady));
    assert_eq!(apply(&mut resources, Change::AddConnector(connector("k3", "v", &[]))), Err(Code::NotReady));
    apply(&mut resources, Change::RemoveConnector(name("k"))).unwrap();
    apply(&mut resources, Change::DeleteVpc(name("v"))).unwrap();
    apply(&mut resources, Change::ForgetVpc(name("v"))).unwrap();
}

#[test]
fn what_is_lost_before_its_creation_is_written_down_is_gone_not_ready() {
    let mut resources = Resources::default();
    apply(&mut resources, Change::ReserveVpc(vpc("v"))).unwrap();
    apply(&mut resources, Change::ReserveContainer(container("c"))).unwrap();
    apply(&mut resources, Change::UplinkGone(UplinkId(7))).unwrap();
    apply(&mut resources, Change::AttachmentGone(AttachmentId(7))).unwrap();
    apply(&mut resources, Change::VpcReady { vpc: name("v"), link: uplink(7) }).unwrap();
    apply(&mut resources, Change::ContainerReady { container: name("c"), link: link(7) }).unwrap();
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
        let refusal = resources.apply(attached("c", "k")).unwrap_err();
        assert!(
            matches!(refusal, Refusal::NotReady { kind: k, state: State::Gone, .. } if k == kind),
            "{refusal}"
        );
        assert!(resources.container("c").unwrap().connectors.is_empty());
    }
}

#[test]
fn reports_about_what_is_not_there_change_nothing() {
    let mut resources = all_attached();
    apply(&mut resources, Change::UplinkGone(UplinkId(99))).unwrap();
    apply(&mut resources, Change::AttachmentGone(AttachmentId(99))).unwrap();
    apply(&mut resources, Change::ForgetVpc(name("v"))).unwrap();
    apply(&mut resources, Change::ForgetContainer(name("c"))).unwrap();
    apply(&mut resources, Change::VpcReady { vpc: name("v"), link: uplink(9) }).unwrap();
    apply(&mut resources, Change::ContainerReady { container: name("c"), link: link(9) }).unwrap();
    assert_eq!((vpc_state(&resources), container_state(&resources)), (State::Ready, State::Ready));
    assert_eq!(resources.permission(&name("c"), &name("k")).unwrap().join, Join::Attached);
}
