//! Which environment serves which request.

use super::*;

#[test]
fn a_first_burst_begins_one_warm_container_for_each_request() {
    let mut world = World::warm(ROOMY, 100);
    world.requests(&key("a", 1), 100);
    assert_eq!(world.begun().len(), 100);
    assert_eq!((world.counts().warm, world.counts().creating), (0, 0));
}

#[test]
fn an_idle_environment_is_used_at_once_and_the_last_used_first() {
    let mut world = World::warm(ROOMY, 2);
    world.requests(&key("a", 1), 2);
    let begun = world.begun();
    for &id in &begun {
        world.fleet.handle_initialised(world.now, id);
    }
    world.actions();
    for &id in &begun {
        world.advance(ms(10));
        world.finish(id);
    }
    let request = world.request(&key("a", 1));
    assert_eq!(world.run(), [(begun[1], request)]);
}

#[test]
fn requests_are_served_in_their_order_by_whatever_is_free_first() {
    let mut world = World::warm(ROOMY, 1);
    let busy = world.busy(&key("a", 1));
    let requests = world.requests(&key("a", 1), 3);
    assert_eq!(world.created().len(), 3, "nobody knows how long it takes");
    for request in requests {
        world.advance(ms(5));
        world.finish(busy);
        let actions = world.actions();
        assert!(actions.contains(&Action::Run { environment: busy, request }), "{actions:?}");
    }
}

#[test]
fn a_request_waits_for_a_busy_environment_that_is_soon_free() {
    let mut world = World::warm(ROOMY, 5);
    let environment = world.idle(&key("a", 1), ms(10));
    let first = world.request(&key("a", 1));
    assert_eq!(world.run(), [(environment, first)]);
    let second = world.request(&key("a", 1));
    world.advance(ms(10));
    assert_eq!(world.actions(), []);
    world.finish(environment);
    assert_eq!(world.run(), [(environment, second)]);
}

#[test]
fn a_request_that_has_waited_for_much_longer_than_expected_takes_a_warm_container() {
    let mut world = World::warm(ROOMY, 5);
    world.idle(&key("a", 1), ms(10));
    let asked_at = world.now;
    world.requests(&key("a", 1), 2);
    assert_eq!(world.run().len(), 1);
    let begun_at = std::iter::from_fn(|| {
        let at = world.fleet.poll_timeout()?;
        world.advance_to(at);
        Some((world.now, world.begun()))
    });
    let (at, begun) = begun_at.take(1_000).find(|(_, begun)| !begun.is_empty()).expect("it gives up");
    let waited = at.saturating_sub(asked_at);
    assert!(begun.len() == 1 && waited >= ms(100) && waited < ms(150), "{begun:?} after {waited:?}");
}

#[test]
fn a_burst_of_short_requests_shares_few_containers() {
    let mut world = World::warm(ROOMY, 5);
    world.idle(&key("a", 1), ms(1));
    world.requests(&key("a", 1), 100);
    let actions = world.actions();
    let made = actions.iter().filter(|action| matches!(action, Action::Create { .. })).count();
    let begun = actions.iter().filter(|action| matches!(action, Action::Begin { .. })).count();
    assert!(made == 0 && begun <= 2, "{made} made, {begun} begun");
}

#[test]
fn a_burst_of_long_requests_takes_what_is_warm_and_creates_the_rest() {
    let mut world = World::warm(ROOMY, 5);
    world.idle(&key("a", 1), ms(10_000));
    world.requests(&key("a", 1), 100);
    let actions = world.actions();
    let begun = actions.iter().filter(|action| matches!(action, Action::Begin { .. })).count();
    assert_eq!((begun, world.counts().creating), (4, CREATIONS_AT_ONCE));
}

#[test]
fn warm_containers_go_round_among_functions() {
    let mut world = World::warm(ROOMY, 0);
    world.requests(&key("a", 1), 20);
    world.requests(&key("b", 1), 2);
    let made = world.created();
    for id in made {
        world.advance(ms(1));
        world.fleet.handle_created(world.now, id);
    }
    let begun: Vec<_> = world
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Begin { version, .. } => Some(version.function.name.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(begun, ["a", "b", "a", "b"]);
}

#[test]
fn a_request_waits_until_its_deadline_and_no_longer() {
    let mut world = World::warm(PoolSettings { refill_per_s: 1, ..ROOMY }, 0);
    let request = world.request(&key("a", 1));
    assert_eq!(world.created().len(), 1);
    world.advance(ms(29_999));
    assert_eq!(world.refused(), []);
    world.advance(ms(1));
    assert_eq!(world.refused(), [(request, Reason::NoEnvironment)]);
    assert_eq!(world.fleet.waiting(), 0);
}

#[test]
fn an_abandoned_request_is_neither_run_nor_refused() {
    let mut world = World::warm(ROOMY, 1);
    let busy = world.busy(&key("a", 1));
    let request = world.request(&key("a", 1));
    world.actions();
    assert!(world.fleet.abandon(world.now, request));
    assert!(!world.fleet.abandon(world.now, request), "once");
    world.finish(busy);
    world.advance(ms(60_000));
    assert_eq!(world.actions(), []);
}

#[test]
fn too_many_requests_of_one_version_are_refused() {
    let mut world = World::warm(ROOMY, 0);
    world.requests(&key("a", 1), REQUESTS_WAITING_PER_VERSION);
    world.actions();
    let request = world.request(&key("a", 1));
    assert_eq!(world.refused(), [(request, Reason::TooMany)]);
}

#[test]
fn a_failed_init_is_heard_of_by_one_request_each_and_at_last_by_all() {
    let mut world = World::warm(ROOMY, 10);
    let requests = world.requests(&key("a", 1), 10);
    let begun = world.begun();
    let fail = |world: &mut World, id| {
        world.fleet.handle_init_failed(world.now, id, Cause::InitFailed);
        let actions = world.actions();
        actions.into_iter().filter(|action| matches!(action, Action::Refuse { .. })).collect::<Vec<_>>()
    };
    let refused = |request: &RequestId| Action::Refuse { request: *request, reason: Reason::NotLoaded };
    for n in 0..2 {
        assert_eq!(fail(&mut world, begun[n]), [refused(&requests[n])]);
    }
    assert_eq!(fail(&mut world, begun[2]), requests[2..].iter().map(refused).collect::<Vec<_>>());
    for &id in &begun[3..] {
        assert_eq!(fail(&mut world, id), []);
    }
    let request = world.request(&key("a", 1));
    assert_eq!(world.refused(), [(request, Reason::NotLoaded)], "it is known");
    world.advance(INIT_PAUSE_MAX);
    world.requests(&key("a", 1), 5);
    assert_eq!(world.created().len(), 1, "one tries for all");
}

#[test]
fn every_step_is_remembered_with_its_time_and_cause() {
    let mut world = World::warm(ROOMY, 1);
    let environment = world.idle(&key("a", 1), ms(7));
    let expected = [
        Cause::Refill,
        Cause::Created,
        Cause::Triggered,
        Cause::Initialised,
        Cause::Invoked,
        Cause::Finished,
    ];
    assert_eq!(world.causes(environment), expected);
    let told: Vec<_> = std::iter::from_fn(|| world.fleet.poll_transition()).collect();
    assert_eq!(
        told,
        world.fleet.environment(environment).unwrap().transitions().copied().collect::<Vec<_>>()
    );
    let last = told.last().unwrap();
    let steps = (last.from, last.to, last.at);
    assert_eq!(steps, (Some(EnvironmentState::Busy), EnvironmentState::Idle, world.now));
    for _ in 0..100 {
        world.request(&key("a", 1));
        world.finish(environment);
    }
    assert_eq!(world.causes(environment).len(), TRANSITIONS_PER_ENVIRONMENT);
}
