//! How long environments stay.

use super::*;

#[test]
fn an_idle_environment_goes_after_its_keep_alive() {
    let mut world = World::warm(ROOMY, 1);
    let environment = world.idle(&key("a", 1), ms(10));
    assert_eq!(world.fleet.poll_timeout(), Some(world.now + terms().keep_alive));
    world.advance(terms().keep_alive.saturating_sub(ms(1)));
    assert_eq!(world.actions(), []);
    let request = world.request(&key("a", 1));
    assert_eq!(world.run(), [(environment, request)]);
    world.advance(terms().keep_alive);
    world.finish(environment);
    assert_eq!(world.actions(), []);
    world.advance(terms().keep_alive);
    assert_eq!(world.retired(), [(environment, Cause::KeptLongEnough)]);
    world.fleet.handle_gone(world.now, environment);
    assert_eq!(world.state(environment), None);
    assert_eq!(world.counts().used_mb, 0);
}

#[test]
fn warm_containers_above_the_maximum_go() {
    let mut world = World::warm(ROOMY, 5);
    world.fleet.set_pool(world.now, &name(RUNTIME), PoolSettings { max_warm: 3, ..ROOMY });
    assert_eq!(world.retired().len(), 2);
    assert_eq!(world.counts().warm, 3);
}

#[test]
fn the_longest_idle_environment_makes_room_for_another_function() {
    let mut world = World::warm(ROOMY, 3);
    world.fleet.set_function(world.now, &key("c", 1), terms());
    let (first, second) = (world.idle(&key("a", 1), ms(10)), world.idle(&key("c", 1), ms(10)));
    let again = world.request(&key("a", 1));
    assert_eq!(world.run(), [(first, again)]);
    world.advance(ms(10));
    world.finish(first);
    world.fleet.set_pool(world.now, &name(RUNTIME), PoolSettings { memory_mb: 128 * 2 + 32, ..ROOMY });
    assert_eq!(world.actions(), [], "nobody needs it");
    world.request(&key("b", 1));
    assert_eq!(world.retired(), [(second, Cause::MadeRoom)]);
    world.advance(ms(100));
    assert_eq!(world.actions(), [], "one goes, and no more");
    world.fleet.handle_gone(world.now, second);
    assert_eq!(world.begun().len(), 1);
    assert_eq!(world.state(first), Some(EnvironmentState::Idle));
}

#[test]
fn warm_containers_make_room_when_nothing_is_idle() {
    let mut world = World::warm(PoolSettings { memory_mb: 160, ..ROOMY }, 5);
    world.request(&key("a", 1));
    let retired = world.retired();
    assert_eq!(retired.len(), 3);
    assert!(retired.iter().all(|&(_, cause)| cause == Cause::MadeRoom));
    for (id, _) in retired {
        world.fleet.handle_gone(world.now, id);
    }
    assert_eq!(world.begun().len(), 1);
    assert_eq!(world.counts().used_mb, 160);
}

#[test]
fn nobody_goes_for_what_would_not_fit_all_the_same() {
    let mut world = World::warm(ROOMY, 3);
    world.idle(&key("a", 1), ms(10));
    let busy = FunctionTerms { memory_mb: 1_000, ..terms() };
    world.fleet.set_function(world.now, &key("b", 1), busy.clone());
    world.busy(&key("b", 1));
    world.fleet.set_function(world.now, &key("c", 1), busy);
    world.fleet.set_pool(world.now, &name(RUNTIME), PoolSettings { memory_mb: 1_500, ..ROOMY });
    world.request(&key("c", 1));
    assert_eq!(world.actions(), []);
}

#[test]
fn a_lost_environment_goes_whatever_it_does() {
    let mut world = World::warm(ROOMY, 4);
    let idle = world.idle(&key("a", 1), ms(10));
    let busy = world.busy(&key("b", 1));
    world.requests(&key("a", 1), 1);
    world.actions();
    for id in [idle, busy] {
        world.fleet.handle_lost(world.now, id, Cause::Ended);
        assert_eq!(world.retired(), [(id, Cause::Ended)]);
        world.fleet.handle_lost(world.now, id, Cause::Ended);
        world.fleet.handle_finished(world.now, id, Outcome::Spent(Cause::Ended));
        assert_eq!(world.actions(), [], "once");
    }
    let warm = world.fleet.environments().find(|found| found.state() == EnvironmentState::Warm).unwrap().id();
    world.fleet.handle_lost(world.now, warm, Cause::LinkLost);
    assert_eq!(world.retired(), [(warm, Cause::LinkLost)]);
}

#[test]
fn a_lost_warm_container_is_replaced() {
    let settings = PoolSettings { min_warm: 2, ..ROOMY };
    let mut world = World::new(settings);
    let made = world.created();
    for &id in &made {
        world.fleet.handle_created(world.now, id);
    }
    world.fleet.handle_lost(world.now, made[0], Cause::Ended);
    let actions = world.actions();
    assert!(matches!(actions[..], [Action::Retire { .. }, Action::Create { .. }]), "{actions:?}");
}

#[test]
fn drained_environments_finish_what_they_serve() {
    let mut world = World::warm(ROOMY, 2);
    let busy = world.busy(&key("a", 1));
    world.fleet.drain(world.now, busy, Cause::Asked);
    assert_eq!(world.actions(), []);
    world.finish(busy);
    assert_eq!(world.retired(), [(busy, Cause::Asked)]);
}

#[test]
fn at_the_end_who_waits_is_refused_and_what_serves_finishes() {
    let mut world = World::warm(ROOMY, 2);
    let idle = world.idle(&key("a", 1), ms(10));
    let busy = world.busy(&key("b", 1));
    let waiting = world.request(&key("b", 1));
    let [creating] = world.created()[..] else { panic!("one is made for it") };
    world.fleet.stop(world.now);
    let actions = world.actions();
    let (retire, cause) = (|environment, cause| Action::Retire { environment, cause }, Cause::Shutdown);
    let refuse = Action::Refuse { request: waiting, reason: Reason::ShuttingDown };
    assert_eq!(actions, [refuse, retire(idle, cause)]);
    world.finish(busy);
    assert_eq!(world.retired(), [(busy, cause)]);
    world.fleet.handle_created(world.now, creating);
    assert_eq!(world.retired(), [(creating, cause)]);
    let late = world.request(&key("a", 1));
    assert_eq!(world.refused(), [(late, Reason::ShuttingDown)]);
    assert_eq!(world.fleet.poll_timeout(), None);
}
