//! How many containers are made, and when.

use super::*;

fn creations(world: &mut World) -> usize {
    world.created().len()
}

#[test]
fn a_pool_keeps_its_minimum_and_counts_what_is_in_creation() {
    let mut world = World::new(PoolSettings { min_warm: 6, ..ROOMY });
    let made = world.created();
    assert_eq!(made.len(), CREATIONS_AT_ONCE);
    world.advance(ms(100));
    assert_eq!(world.actions(), []);
    world.fleet.handle_created(world.now, made[0]);
    assert_eq!(creations(&mut world), 1);
    for &id in &made[1..] {
        world.fleet.handle_created(world.now, id);
    }
    assert_eq!(creations(&mut world), 1, "six with those in creation");
}

#[test]
fn a_pool_is_refilled_at_its_rate() {
    let settings = PoolSettings { min_warm: 100, max_warm: 100, refill_per_s: 10, ..ROOMY };
    let mut world = World::new(settings);
    let (mut made, end) = (0, Duration::from_secs(3));
    while world.now < end {
        for id in world.created() {
            made += 1;
            world.fleet.handle_created(world.now, id);
        }
        let next = world.fleet.poll_timeout().unwrap();
        assert!(next > world.now, "no turning on the spot");
        world.advance_to(next);
    }
    assert_eq!(made, CREATIONS_AT_ONCE + 30 - 1);
}

#[test]
fn requests_that_find_none_get_one_each_and_no_more() {
    let mut world = World::warm(ROOMY, 0);
    world.requests(&key("a", 1), 2);
    let made = world.created();
    assert_eq!(made.len(), 2);
    world.advance(ms(5));
    assert_eq!(world.actions(), []);
    world.fleet.handle_created(world.now, made[0]);
    assert_eq!(world.begun(), [made[0]]);
}

#[test]
fn what_was_made_for_a_request_that_is_gone_is_kept_as_far_as_it_may_be() {
    for (max_warm, retired) in [(1, 0), (0, 1)] {
        let mut world = World::warm(PoolSettings { max_warm, ..ROOMY }, 0);
        let request = world.request(&key("a", 1));
        let [environment] = world.created()[..] else { panic!("one is made") };
        world.fleet.abandon(world.now, request);
        world.fleet.handle_created(world.now, environment);
        assert_eq!(world.retired(), vec![(environment, Cause::Surplus); retired]);
    }
}

#[test]
fn failed_creations_back_off_one_at_a_time() {
    let mut world = World::new(PoolSettings { min_warm: 50, ..ROOMY });
    for id in world.created() {
        world.fleet.handle_creation_failed(world.now, id);
    }
    let mut tries = Vec::new();
    while world.now < Duration::from_secs(100) {
        let at = world.fleet.poll_timeout().unwrap();
        world.advance_to(at);
        let made = world.created();
        assert!(made.len() <= 1, "{made:?}");
        for id in made {
            tries.push(world.now.as_millis());
            world.fleet.handle_creation_failed(world.now, id);
        }
    }
    assert_eq!(tries, [800, 2_400, 5_600, 12_000, 24_800, 50_400, 80_400, 110_400]);
}

#[test]
fn when_creations_fail_nobody_waits_for_one() {
    let mut world = World::warm(ROOMY, 1);
    let busy = world.busy(&key("b", 1));
    let requests = world.requests(&key("a", 1), 3);
    let served = world.request(&key("b", 1));
    let made = world.created();
    for &id in &made[..2] {
        world.fleet.handle_creation_failed(world.now, id);
    }
    assert_eq!(world.actions(), []);
    world.fleet.handle_creation_failed(world.now, made[2]);
    assert_eq!(world.refused(), requests.iter().map(|&it| (it, Reason::NoEnvironment)).collect::<Vec<_>>());
    let late = world.request(&key("a", 1));
    assert_eq!(world.refused(), [(late, Reason::NoEnvironment)], "it is known");
    world.finish(busy);
    assert_eq!(world.run(), [(busy, served)]);
}

#[test]
fn memory_is_a_hard_bound() {
    let settings = PoolSettings { min_warm: 10, max_warm: 10, memory_mb: 100, ..ROOMY };
    let mut world = World::new(settings);
    let made = world.created();
    assert_eq!(made.len(), 3);
    for id in made {
        world.fleet.handle_created(world.now, id);
    }
    world.advance(ms(10_000));
    assert_eq!((world.actions(), world.counts().used_mb), (vec![], 96));
}

#[test]
fn a_function_that_never_fits_is_refused() {
    let mut world = World::warm(PoolSettings { memory_mb: 100, ..ROOMY }, 2);
    let request = world.request(&key("a", 1));
    assert_eq!(world.refused(), [(request, Reason::NoEnvironment)]);
}
