//! Versions, limits and reservations.

use super::*;

fn limited(concurrency: u32) -> FunctionTerms {
    FunctionTerms { concurrency: Some(concurrency), ..terms() }
}

#[test]
fn a_function_has_at_most_its_concurrency_and_few_wait() {
    let mut world = World::warm(ROOMY, 10);
    world.fleet.set_function(world.now, &key("a", 1), limited(2));
    let requests = world.requests(&key("a", 1), 11);
    let actions = world.actions();
    let begun = actions.iter().filter(|action| matches!(action, Action::Begin { .. })).count();
    let refused: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Refuse { request, reason: Reason::TooMany } => Some(*request),
            _ => None,
        })
        .collect();
    assert_eq!((begun, refused, actions.len()), (2, requests[8..].to_vec(), 5));
    assert_eq!(world.counts().creating, 0, "none is made for those that have to wait");
}

#[test]
fn a_function_without_concurrency_is_not_served() {
    let mut world = World::warm(ROOMY, 1);
    world.fleet.set_function(world.now, &key("a", 1), limited(0));
    let request = world.request(&key("a", 1));
    assert_eq!(world.refused(), [(request, Reason::TooMany)]);
}

#[test]
fn what_is_reserved_stays_free() {
    let mut world = World::warm(PoolSettings { memory_mb: 600, ..ROOMY }, 6);
    world.fleet.set_function(world.now, &key("a", 1), limited(3));
    world.requests(&key("b", 1), 3);
    let actions = world.actions();
    let begun =
        |actions: &[Action]| actions.iter().filter(|action| matches!(action, Action::Begin { .. })).count();
    assert_eq!(begun(&actions), 1, "600 MiB less three times 128 is room for one: {actions:?}");
    world.requests(&key("a", 1), 3);
    let mut total = 0;
    loop {
        let actions = world.actions();
        total += begun(&actions);
        let retired = actions.iter().filter_map(|action| match action {
            Action::Retire { environment, .. } => Some(*environment),
            _ => None,
        });
        let retired: Vec<_> = retired.collect();
        for &id in &retired {
            world.fleet.handle_gone(world.now, id);
        }
        if retired.is_empty() {
            break;
        }
    }
    assert_eq!(total, 3, "all that is reserved can be had");
}

#[test]
fn what_is_reserved_for_a_function_does_not_make_room_for_others() {
    let mut world = World::warm(PoolSettings { memory_mb: 300, ..ROOMY }, 2);
    world.fleet.set_function(world.now, &key("a", 1), limited(2));
    world.idle(&key("a", 1), ms(10));
    world.request(&key("b", 1));
    assert_eq!(world.actions(), []);
}

#[test]
fn an_idle_environment_of_an_older_version_makes_room_under_the_limit() {
    let mut world = World::warm(ROOMY, 3);
    world.fleet.set_function(world.now, &key("a", 1), limited(1));
    world.fleet.set_function(world.now, &key("a", 2), limited(1));
    let old = world.idle(&key("a", 1), ms(10));
    world.request(&key("a", 2));
    let actions = world.actions();
    assert_eq!(actions[0], Action::Retire { environment: old, cause: Cause::MadeRoom });
    assert!(matches!(&actions[1..], [Action::Begin { version, .. }] if *version == key("a", 2)));
}

#[test]
fn a_replaced_version_serves_who_waits_and_then_goes() {
    let mut world = World::warm(ROOMY, 3);
    let busy = world.busy(&key("a", 1));
    world.finish(busy);
    let first = world.request(&key("a", 1));
    assert_eq!(world.run(), [(busy, first)]);
    world.fleet.set_function(world.now, &key("a", 2), terms());
    world.fleet.replace(world.now, &key("a", 1));
    let second = world.request(&key("a", 1));
    world.advance(ms(1));
    world.finish(busy);
    assert_eq!(world.run(), [(busy, second)]);
    world.finish(busy);
    world.advance(ms(0));
    assert_eq!(world.retired(), [(busy, Cause::KeptLongEnough)]);
}

#[test]
fn a_replaced_versions_idle_environments_go_at_once() {
    let mut world = World::warm(ROOMY, 1);
    let idle = world.idle(&key("a", 1), ms(10));
    world.fleet.replace(world.now, &key("a", 1));
    assert_eq!(world.retired(), [(idle, Cause::Replaced)]);
}

#[test]
fn a_deleted_version_serves_nobody_and_leaves_nothing() {
    let mut world = World::warm(ROOMY, 2);
    let idle = world.idle(&key("a", 1), ms(200));
    world.requests(&key("a", 1), 3);
    let actions = world.actions();
    assert!(
        matches!(actions[..], [Action::Run { .. }, Action::Begin { .. }, Action::Create { .. }]),
        "{actions:?}"
    );
    world.fleet.delete(world.now, &key("a", 1));
    let refused = world.actions();
    assert_eq!(refused.len(), 3, "two wait, one initialises: {refused:?}");
    let request = world.request(&key("a", 1));
    assert_eq!(world.refused(), [(request, Reason::UnknownVersion)]);
    world.finish(idle);
    assert_eq!(world.retired(), [(idle, Cause::Deleted)]);
    let draining: Vec<_> = world.fleet.environments().filter(|found| found.version().is_some()).collect();
    for id in draining.into_iter().map(Environment::id).collect::<Vec<_>>() {
        world.fleet.handle_gone(world.now, id);
    }
    assert!(!world.fleet.versions.contains_key(&key("a", 1)));
    assert!(!world.fleet.functions.contains_key(&key("a", 1).function));
}

#[test]
fn environments_are_renewed_without_costing_anybody_an_answer() {
    let mut world = World::warm(ROOMY, 4);
    world.requests(&key("a", 1), 3);
    let begun = world.begun();
    for &id in &begun[..2] {
        world.fleet.handle_initialised(world.now, id);
    }
    world.actions();
    world.finish(begun[0]);
    let [next] = world.run()[..] else { panic!("the third is served") };
    assert_eq!(next.0, begun[0]);
    world.finish(begun[1]);
    let [busy, idle, init] = begun[..] else { panic!("three") };
    world.fleet.renew(world.now, &key("a", 1));
    assert_eq!(world.retired(), [(idle, Cause::Renewed), (init, Cause::Renewed)]);
    world.finish(busy);
    assert_eq!(world.retired(), [(busy, Cause::Renewed)]);
    world.request(&key("a", 1));
    assert_eq!(world.begun().len(), 1);
}

#[test]
fn a_version_that_has_only_the_number_of_a_deleted_one_begins_anew() {
    let mut world = World::warm(ROOMY, 3);
    let old = world.busy(&key("a", 1));
    world.fleet.delete(world.now, &key("a", 1));
    let other = FunctionTerms { runtime: name("nodejs"), ..terms() };
    world.fleet.set_pool(world.now, &name("nodejs"), ROOMY);
    world.fleet.set_function(world.now, &key("a", 1), other);
    world.request(&key("a", 1));
    let actions = world.actions();
    assert!(
        matches!(&actions[..], [Action::Create { runtime, .. }] if *runtime == name("nodejs")),
        "{actions:?}"
    );
    world.finish(old);
    assert_eq!(world.retired(), [(old, Cause::Deleted)], "it has the other's code");
}

#[test]
fn a_version_that_nobody_uses_is_forgotten_at_once() {
    let mut world = World::warm(ROOMY, 0);
    world.fleet.delete(world.now, &key("a", 1));
    assert!(!world.fleet.versions.contains_key(&key("a", 1)));
}
