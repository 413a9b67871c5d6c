//! Functions, the connectors that they may have, and the containers that serve them.

use super::*;
use crate::{NewPool, Record};

fn add_function(text: &str, connectors: &[&str]) -> Change {
    let spec = new_function(text, connectors).validate().unwrap();
    Change::AddFunction { tenant: tenant(), spec, code: code(1), created_s: 7 }
}

fn update(new: NewFunction, code: Option<StoredCode>) -> Change {
    Change::UpdateFunction { tenant: tenant(), spec: new.validate().unwrap(), code, created_s: 8 }
}

fn adopt(container_name: &str, function: &str, id: u32) -> Change {
    let (spec, function) = (container(container_name), name(function));
    Change::AdoptEnvironment { container: full(container_name), spec, link: link(id), function }
}

fn connector_for(users: Option<&[&str]>, functions: Option<&[&str]>) -> ConnectorSpec {
    let patterns = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let new = NewConnector {
        name: "k".into(),
        vpc: "v".into(),
        users: users.map(patterns),
        functions: functions.map(patterns),
        ..NewConnector::default()
    };
    new.validate().unwrap()
}

fn update_connector(spec: ConnectorSpec) -> Change {
    Change::UpdateConnector { tenant: tenant(), spec }
}

fn numbers(resources: &Resources, function: &str) -> Vec<u64> {
    resources.function(&full(function)).unwrap().versions.iter().map(|version| version.number).collect()
}

/// [`one_of_each`], and a function `f` that has `k`, served by the container `e`.
fn served() -> Resources {
    let mut resources = one_of_each();
    apply(&mut resources, add_function("f", &["k"])).unwrap();
    apply(&mut resources, adopt("e", "f", 9)).unwrap();
    apply(&mut resources, attach("e", "k")).unwrap();
    resources
}

#[test]
fn a_connector_is_for_everybody_unless_it_names_somebody() {
    type Patterns = Option<&'static [&'static str]>;
    let all: [(Patterns, Patterns, bool, bool); 6] = [
        (None, None, true, true),
        (Some(&["c*"]), None, true, false),
        (None, Some(&["f"]), false, true),
        (Some(&["c"]), Some(&["f*"]), true, true),
        (Some(&[]), Some(&["g"]), false, false),
        (Some(&["f"]), Some(&["c"]), false, false),
    ];
    for (users, functions, container_may, function_may) in all {
        let spec = connector_for(users, functions);
        assert_eq!(spec.may_be_used_by(&name("c")), container_may, "{users:?} {functions:?}");
        assert_eq!(spec.may_be_used_by_function(&name("f")), function_may, "{users:?} {functions:?}");
        let mut resources = Resources::default();
        make_vpc(&mut resources, "v", 1);
        make_container(&mut resources, "c", 1);
        apply(&mut resources, add_connector(spec)).unwrap();
        let expected = |may: bool| if may { Ok(()) } else { Err(Code::MayNotUse) };
        assert_eq!(apply(&mut resources, attach("c", "k")), expected(container_may));
        assert_eq!(apply(&mut resources, add_function("f", &["k"])), expected(function_may));
    }
}

#[test]
fn a_function_needs_connectors_that_are_there_and_approved() {
    let mut resources = Resources::default();
    let refusal = resources.apply(add_function("f", &["k"]), 1).unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
    let problem = Problem::from(refusal);
    assert_eq!(problem.field(), Some("connectors"));
    assert!(problem.detail().contains("connector named k"), "{problem}");

    let manual = NewVpc { approval: Some("manual".into()), ..new_vpc("v") };
    apply(&mut resources, reserve_vpc(manual.validate().unwrap())).unwrap();
    apply(&mut resources, vpc_ready("v", 1)).unwrap();
    apply(&mut resources, add_connector(connector("k", "v", &[]))).unwrap();
    assert_eq!(apply(&mut resources, add_function("f", &["k"])), Err(Code::NotApproved));
    apply(&mut resources, Change::ApproveConnector(full("k"))).unwrap();
    apply(&mut resources, add_function("f", &["k"])).unwrap();
    assert_eq!(resources.function_permission(&full("f")).unwrap().len(), 1);

    apply(&mut resources, Change::RevokeConnector(full("k"))).unwrap();
    let refusal = resources.function_permission(&full("f")).unwrap_err();
    assert_eq!(refusal.code(), Code::NotApproved);
    assert!(refusal.to_string().contains("connector k is revoked"), "{refusal}");
    let again = new_function("f", &["k"]);
    assert_eq!(apply(&mut resources, update(again, Some(code(2)))), Err(Code::NotApproved), "nor a new one");
    apply(&mut resources, update(new_function("f", &[]), None)).unwrap();
}

#[test]
fn connectors_of_one_function_claim_different_prefixes() {
    let mut resources = one_of_each();
    make_vpc(&mut resources, "v2", 2);
    apply(&mut resources, add_connector(connector("k2", "v2", &[]))).unwrap();
    let refusal = resources.apply(add_function("f", &["k", "k2"]), 1).unwrap_err();
    assert_eq!(refusal.code(), Code::DestinationTie);
    assert!(refusal.to_string().contains("k and k2"), "{refusal}");
    apply(&mut resources, update_connector(connector("k2", "v2", &["10.2.0.0/16"]))).unwrap();
    apply(&mut resources, add_function("f", &["k", "k2"])).unwrap();
    let back = update_connector(connector("k2", "v2", &["10.1.0.0/16"]));
    assert_eq!(apply(&mut resources, back), Err(Code::DestinationTie), "nor later");
}

#[test]
fn what_a_function_names_is_neither_taken_away_nor_deleted() {
    let mut resources = one_of_each();
    apply(&mut resources, add_function("f", &["k"])).unwrap();
    for change in [
        Change::RemoveConnector(full("k")),
        update_connector(connector_for(None, Some(&["g*"]))),
        update_connector(connector_for(Some(&["c"]), None)),
    ] {
        let refusal = resources.apply(change, 1).unwrap_err();
        assert!(refusal.to_string().contains("used by function f; change or delete it"), "{refusal}");
        let problem = Problem::from(refusal);
        assert_eq!((problem.code(), problem.dependents()), (Code::InUse, &["f".to_owned()][..]));
    }
    apply(&mut resources, update_connector(connector_for(None, Some(&["f"])))).unwrap();
    apply(&mut resources, Change::RemoveFunction(full("f"))).unwrap();
    apply(&mut resources, Change::RemoveConnector(full("k"))).unwrap();
}

#[test]
fn a_container_that_serves_a_function_may_what_the_function_may() {
    let mut resources = served();
    // The function no longer names it, but what serves it still has it.
    apply(&mut resources, update(new_function("f", &[]), None)).unwrap();
    let narrow = update_connector(connector_for(None, Some(&["e"])));
    assert_eq!(apply(&mut resources, narrow.clone()), Err(Code::InUse));
    apply(&mut resources, detached("e", "k")).unwrap();
    apply(&mut resources, narrow).unwrap();
    assert_eq!(apply(&mut resources, attach("e", "k")), Err(Code::MayNotUse), "its own name says nothing");
    apply(&mut resources, update_connector(connector_for(None, Some(&["f"])))).unwrap();
    apply(&mut resources, attach("e", "k")).unwrap();
    assert!(resources.permission(&full("e"), &name("k")).is_ok());
    apply(&mut resources, Change::RevokeConnector(full("k"))).unwrap();
    assert_eq!(resources.permission(&full("e"), &name("k")).unwrap_err().code(), Code::NotAttached);
}

#[test]
fn a_container_that_serves_a_function_is_shown_but_not_kept_and_nobodys_to_change() {
    let mut resources = served();
    let view = resources.container_view(resources.container(&full("e")).unwrap());
    assert_eq!((view.function.as_deref(), view.connectors), (Some("f"), vec!["k".to_owned()]));
    assert_eq!(resources.environments_of(&full("f")).collect::<Vec<_>>(), [&full("e")]);
    assert_eq!(resources.record(Kind::Container, &full("e")), None);
    assert_eq!(resources.refuse_managed(&full("e")).unwrap_err().code(), Code::Managed);
    assert_eq!(resources.refuse_managed(&full("c")), Ok(()));
    assert_eq!(apply(&mut resources, Change::DeleteContainer(full("e"))), Err(Code::Managed));
    apply(&mut resources, Change::ForgetEnvironment(full("c"))).unwrap();
    assert!(resources.container(&full("c")).is_ok(), "others are not meant");
    for change in [detached("e", "k"), attach("e", "k"), Change::ForgetEnvironment(full("e"))] {
        let (touched, _) = resources.apply(change, 5).unwrap();
        let kept: Vec<_> = touched.iter().filter(|t| t.is_kept).collect();
        assert!(kept.is_empty() && !touched.is_empty(), "{touched:?}");
    }
    assert!(resources.container(&full("e")).is_err());
}

#[test]
fn only_a_function_that_is_there_is_served() {
    let mut resources = one_of_each();
    assert_eq!(apply(&mut resources, adopt("e", "f", 9)), Err(Code::NotFound));
    apply(&mut resources, add_function("f", &[])).unwrap();
    assert_eq!(apply(&mut resources, adopt("c", "f", 9)), Err(Code::AlreadyExists));
    apply(&mut resources, adopt("e", "f", 9)).unwrap();
    apply(&mut resources, Change::RemoveFunction(full("f"))).unwrap();
    assert_eq!(resources.environments_of(&full("f")).count(), 1, "it is drained by whoever made it");
    apply(&mut resources, Change::AttachmentGone(AttachmentId(9))).unwrap();
    assert_eq!(resources.container(&full("e")).unwrap().life.state(), State::Gone);
    apply(&mut resources, Change::ForgetEnvironment(full("e"))).unwrap();
}

#[test]
fn only_what_a_version_is_made_of_makes_another_version() {
    let mut resources = one_of_each();
    apply(&mut resources, add_function("f", &[])).unwrap();
    let settings = NewFunction { keep_alive_s: Some(1), concurrency: Some(2), ..new_function("f", &["k"]) };
    apply(&mut resources, update(settings.clone(), Some(code(1)))).unwrap();
    assert_eq!(numbers(&resources, "f"), [1], "the same code");
    let slow = NewFunction { timeout_s: Some(60), ..settings };
    apply(&mut resources, update(slow.clone(), None)).unwrap();
    apply(&mut resources, update(slow, Some(code(2)))).unwrap();
    assert_eq!(numbers(&resources, "f"), [1, 2, 3]);
    let function = resources.function(&full("f")).unwrap();
    assert_eq!((function.concurrency, function.keep_alive_s), (Some(2), 1));
    let [first, second, third] = [1, 2, 3].map(|number| function.version(number).unwrap());
    assert_eq!((first.spec.timeout_s, second.spec.timeout_s, third.spec.timeout_s), (3, 60, 60));
    assert_eq!((&first.code, &second.code, &third.code), (&code(1), &code(1), &code(2)));
    assert_eq!((first.created_s, third.created_s), (7, 8));
}

#[test]
fn the_oldest_versions_give_way_and_the_latest_stays() {
    let mut resources = one_of_each();
    apply(&mut resources, add_function("f", &[])).unwrap();
    for i in 2..=20 {
        apply(&mut resources, update(new_function("f", &[]), Some(code(i)))).unwrap();
    }
    assert_eq!(numbers(&resources, "f"), (5..=20).collect::<Vec<_>>());
    let remove = |number| Change::RemoveVersion { function: full("f"), number };
    assert_eq!(apply(&mut resources, remove(20)), Err(Code::InUse));
    assert_eq!(apply(&mut resources, remove(4)), Err(Code::NotFound));
    apply(&mut resources, remove(19)).unwrap();
    apply(&mut resources, update(new_function("f", &[]), Some(code(21)))).unwrap();
    assert_eq!(numbers(&resources, "f").last(), Some(&21), "no number is given out twice");
}

#[test]
fn a_function_is_not_its_successor_in_name() {
    let mut resources = one_of_each();
    let id = |resources: &Resources| resources.function(&full("f")).unwrap().id;
    apply(&mut resources, add_function("f", &[])).unwrap();
    assert_eq!(apply(&mut resources, add_function("f", &[])), Err(Code::AlreadyExists));
    let first = id(&resources);
    apply(&mut resources, Change::RemoveFunction(full("f"))).unwrap();
    assert_eq!(apply(&mut resources, Change::RemoveFunction(full("f"))), Err(Code::NotFound));
    apply(&mut resources, add_function("f", &[])).unwrap();
    assert_ne!(id(&resources), first);
}

#[test]
fn a_tenant_with_functions_is_in_use() {
    let mut resources = Resources::new();
    let new = crate::NewTenant { name: "a".into(), netns_prefix: None };
    apply(&mut resources, Change::AddTenant(new.validate().unwrap())).unwrap();
    let spec = new_function("f", &[]).validate().unwrap();
    let add = Change::AddFunction { tenant: name("a"), spec, code: code(1), created_s: 1 };
    apply(&mut resources, add).unwrap();
    let refusal = resources.apply(Change::RemoveTenant(name("a")), 1).unwrap_err();
    assert_eq!(Problem::from(refusal).dependents(), ["f"]);
    apply(&mut resources, Change::RemoveFunction(full("a/f"))).unwrap();
    apply(&mut resources, Change::RemoveTenant(name("a"))).unwrap();
}

#[test]
fn a_pool_is_there_before_anybody_asks() {
    let mut resources = Resources::new();
    let view = resources.pool_view(&name("python3"));
    assert_eq!((view.min_warm, view.revision), (2, 0));
    let new = NewPool { min_warm: Some(5), ..NewPool::default() };
    resources.apply(Change::SetPool(new.validate(name("python3")).unwrap()), 3).unwrap();
    let view = resources.pool_view(&name("python3"));
    assert_eq!((view.min_warm, view.revision), (5, 3));
    assert_eq!(resources.pool(&name("nodejs")).min_warm, 2, "each runtime has its own");
    for i in 1..crate::limits::POOLS {
        resources.apply(Change::SetPool(crate::Pool::of(name(&format!("r{i}")))), 4).unwrap();
    }
    let one_more = resources.apply(Change::SetPool(crate::Pool::of(name("more"))), 4);
    assert_eq!(one_more.unwrap_err().code(), Code::LimitReached);
}

#[test]
fn reservations_leave_a_quarter_of_a_pool_to_others() {
    let mut resources = Resources::new();
    let reserving = |name: &str, concurrency, memory_mb| NewFunction {
        concurrency: Some(concurrency),
        memory_mb: Some(memory_mb),
        ..new_function(name, &[])
    };
    let add = |new: NewFunction| Change::AddFunction {
        tenant: tenant(),
        spec: new.validate().unwrap(),
        code: code(1),
        created_s: 7,
    };
    let pool = |memory_mb| {
        let new = NewPool { memory_mb: Some(memory_mb), ..NewPool::default() };
        Change::SetPool(new.validate(name("python3")).unwrap())
    };
    apply(&mut resources, pool(1_000)).unwrap();
    apply(&mut resources, add(reserving("f", 5, 100))).unwrap();
    assert_eq!(apply(&mut resources, add(reserving("g", 4, 64))), Err(Code::LimitReached));
    apply(&mut resources, add(reserving("g", 3, 64))).unwrap();
    for (more, outcome) in [(reserving("g", 4, 64), Err(Code::LimitReached)), (reserving("g", 2, 64), Ok(()))]
    {
        assert_eq!(apply(&mut resources, update(more, None)), outcome);
    }
    assert_eq!(apply(&mut resources, pool(800)), Err(Code::LimitReached), "628 of 600 MiB");

    apply(&mut resources, pool(840)).unwrap();
    // Who reserves nothing, or is of another runtime, is not concerned.
    apply(&mut resources, add_function("h", &[])).unwrap();
    apply(&mut resources, add(NewFunction { runtime: "nodejs".into(), ..reserving("i", 10, 100) })).unwrap();
    // As a store of an earlier version may have it: what makes it no worse is not refused.
    let spec = NewPool { memory_mb: Some(500), ..NewPool::default() };
    let small = crate::Stored { revision: 9, record: Record::Pool { spec } };
    resources.restore(&Resources::pool_name(&name("python3")), small).unwrap();
    assert_eq!(apply(&mut resources, update(reserving("f", 6, 100), None)), Err(Code::LimitReached));
    apply(&mut resources, update(reserving("f", 4, 100), None)).unwrap();
    apply(&mut resources, pool(501)).unwrap();
    assert_eq!(apply(&mut resources, pool(499)), Err(Code::LimitReached));
}

#[test]
fn what_is_kept_of_a_function_has_versions() {
    let spec = new_function("f", &[]);
    let record = Record::Function { spec, versions: vec![] };
    let error = Resources::new().restore(&full("f"), crate::Stored { revision: 1, record }).unwrap_err();
    assert!(error.to_string().contains("function default/f"), "{error}");
}
