//! Random walks: whatever comes in whatever order, what must hold holds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One step of a walk. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Request { function: u8, version: u64 },
    Abandon(u8),
    Created(u8),
    CreationFailed(u8),
    Initialised(u8),
    InitFailed(u8),
    Finished(u8),
    Spent(u8),
    Lost(u8),
    Gone(u8),
    Drain(u8),
    Wait(u16),
    SetPool { min_warm: u8, max_warm: u8, rate: u8 },
    SetFunction { function: u8, version: u64, concurrency: Option<u32>, memory: u8 },
    Replace { function: u8, version: u64 },
    Delete { function: u8, version: u64 },
}

/// What the driver knows, and what it has been told.
#[derive(Default)]
struct Shell {
    /// What each environment became, for ever.
    versions: BTreeMap<EnvironmentId, VersionKey>,
    creating: Vec<EnvironmentId>,
    beginning: Vec<EnvironmentId>,
    running: BTreeMap<EnvironmentId, RequestId>,
    retiring: Vec<EnvironmentId>,
    /// What each request asked for, and whether it has been answered.
    requests: BTreeMap<RequestId, (VersionKey, bool)>,
    log: Vec<String>,
}

const MEMORY_MB: u32 = 1_000;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let version = || (0..3_u8, 1..3_u64);
    let step = prop_oneof![
        8 => version().prop_map(|(function, version)| Step::Request { function, version }),
        1 => any::<u8>().prop_map(Step::Abandon),
        6 => any::<u8>().prop_map(Step::Created),
        1 => any::<u8>().prop_map(Step::CreationFailed),
        6 => any::<u8>().prop_map(Step::Initialised),
        1 => any::<u8>().prop_map(Step::InitFailed),
        6 => any::<u8>().prop_map(Step::Finished),
        1 => any::<u8>().prop_map(Step::Spent),
        1 => any::<u8>().prop_map(Step::Lost),
        5 => any::<u8>().prop_map(Step::Gone),
        1 => any::<u8>().prop_map(Step::Drain),
        6 => (0..200_u16).prop_map(Step::Wait),
        1 => (1_000..60_000_u16).prop_map(Step::Wait),
        1 => (0..6_u8, 0..8_u8, 0..50_u8)
            .prop_map(|(min_warm, max_warm, rate)| Step::SetPool { min_warm, max_warm, rate }),
        1 => (version(), proptest::option::of(0..4_u32), 1..5_u8).prop_map(
            |((function, version), concurrency, memory)| Step::SetFunction { function, version, concurrency, memory }
        ),
        1 => version().prop_map(|(function, version)| Step::Replace { function, version }),
        1 => version().prop_map(|(function, version)| Step::Delete { function, version }),
    ];
    proptest::collection::vec(step, 1..400)
}

fn version_key(function: u8, version: u64) -> VersionKey {
    key(["a", "b", "c"][usize::from(function) % 3], version)
}

fn take<T: Copy>(list: &mut Vec<T>, choice: u8) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(usize::from(choice) % list.len()))
}

impl Shell {
    fn walk(steps: &[Step]) -> (World, Self) {
        let settings = PoolSettings { min_warm: 2, max_warm: 4, refill_per_s: 20, memory_mb: MEMORY_MB };
        let (mut world, mut shell) = (World::new(settings), Self::default());
        for function in 0..3 {
            world.fleet.set_function(world.now, &version_key(function, 1), terms());
        }
        for step in steps {
            shell.take_step(&mut world, step);
            shell.carry_out(&mut world);
            check(&world, &shell);
        }
        (world, shell)
    }

    fn take_step(&mut self, world: &mut World, step: &Step) {
        let now = world.now;
        match *step {
            Step::Request { function, version } => {
                let key = version_key(function, version);
                world.next_request += 1;
                let request = RequestId(world.next_request);
                self.requests.insert(request, (key.clone(), false));
                world.fleet.handle_request(now, request, &key, now + Duration::from_secs(30));
            }
            Step::Abandon(choice) => {
                let open: Vec<_> =
                    self.requests.iter().filter(|(_, (_, done))| !done).map(|(id, _)| *id).collect();
                if let Some(request) = take(&mut open.clone(), choice) {
                    assert!(world.fleet.abandon(now, request), "it has not been answered, so it waits");
                    self.answer(request);
                }
            }
            Step::Created(choice) => {
                if let Some(id) = take(&mut self.creating, choice) {
                    world.fleet.handle_created(now, id);
                }
            }
            Step::CreationFailed(choice) => {
                if let Some(id) = take(&mut self.creating, choice) {
                    world.fleet.handle_creation_failed(now, id);
                }
            }
            Step::Initialised(choice) => {
                if let Some(id) = take(&mut self.beginning, choice) {
                    world.fleet.handle_initialised(now, id);
                }
            }
            Step::InitFailed(choice) => {
                if let Some(id) = take(&mut self.beginning, choice) {
                    world.fleet.handle_init_failed(now, id, Cause::InitFailed);
                }
            }
            Step::Finished(choice) => self.finish(world, choice, Outcome::Reusable),
            Step::Spent(choice) => self.finish(world, choice, Outcome::Spent(Cause::TimedOut)),
            Step::Lost(choice) => {
                let ids: Vec<_> = world.fleet.environments().map(Environment::id).collect();
                if let Some(id) = take(&mut ids.clone(), choice) {
                    self.running.remove(&id);
                    world.fleet.handle_lost(now, id, Cause::Ended);
                }
            }
            Step::Gone(choice) => {
                if let Some(id) = take(&mut self.retiring, choice) {
                    world.fleet.handle_gone(now, id);
                }
            }
            Step::Drain(choice) => {
                let ids: Vec<_> = world.fleet.environments().map(Environment::id).collect();
                if let Some(id) = take(&mut ids.clone(), choice) {
                    world.fleet.drain(now, id, Cause::Asked);
                }
            }
            Step::Wait(time) => world.advance(ms(u64::from(time))),
            Step::SetPool { min_warm, max_warm, rate } => {
                let (min_warm, max_warm) = (usize::from(min_warm), usize::from(max_warm));
                let settings =
                    PoolSettings { min_warm, max_warm, refill_per_s: u32::from(rate), memory_mb: MEMORY_MB };
                world.fleet.set_pool(now, &name(RUNTIME), settings);
            }
            Step::SetFunction { function, version, concurrency, memory } => {
                let terms = FunctionTerms { concurrency, memory_mb: 64 * u32::from(memory), ..terms() };
                world.fleet.set_function(now, &version_key(function, version), terms);
            }
            Step::Replace { function, version } => world.fleet.replace(now, &version_key(function, version)),
            Step::Delete { function, version } => world.fleet.delete(now, &version_key(function, version)),
        }
    }

    fn finish(&mut self, world: &mut World, choice: u8, outcome: Outcome) {
        let ids: Vec<_> = self.running.keys().copied().collect();
        if let Some(id) = take(&mut ids.clone(), choice) {
            self.running.remove(&id);
            world.fleet.handle_finished(world.now, id, outcome);
        }
    }

    fn carry_out(&mut self, world: &mut World) {
        while let Some(action) = world.fleet.poll() {
            self.log.push(format!("{:?} {action:?}", world.now));
            match action {
                Action::Create { environment, .. } => self.creating.push(environment),
                Action::Begin { environment, version } => {
                    let before = self.versions.insert(environment, version);
                    assert_eq!(before, None, "an environment has one function");
                    self.beginning.push(environment);
                }
                Action::Run { environment, request } => {
                    assert_eq!(self.versions.get(&environment), Some(&self.requests[&request].0));
                    assert_eq!(self.running.insert(environment, request), None, "one at a time");
                    self.answer(request);
                }
                Action::Retire { environment, .. } => {
                    assert!(!self.running.contains_key(&environment), "what serves is not removed");
                    self.retiring.push(environment);
                }
                Action::Refuse { request, .. } => self.answer(request),
            }
        }
    }

    fn answer(&mut self, request: RequestId) {
        let done = &mut self.requests.get_mut(&request).expect("it was asked").1;
        assert!(!std::mem::replace(done, true), "{request:?} is answered twice");
    }
}

/// What holds after every step.
fn check(world: &World, shell: &Shell) {
    let fleet = &world.fleet;
    let pool = &fleet.pools[&name(RUNTIME)];
    let charges: u64 = fleet.environments().map(|found| u64::from(found.charge_mb)).sum();
    assert_eq!(pool.used_mb, charges);
    assert!(pool.used_mb <= u64::from(MEMORY_MB), "{} MiB", pool.used_mb);
    assert!(pool.creating.len() <= CREATIONS_AT_ONCE);
    let open = shell.requests.values().filter(|(_, done)| !done).count();
    assert_eq!((fleet.waiting(), fleet.deadlines.len()), (open, open));
    let waiting: usize = fleet.functions.values().map(|function| function.waiting).sum();
    assert_eq!(waiting, open);
    for (key, version) in &fleet.versions {
        assert!(
            version.idle.is_empty() || version.waiting.is_empty(),
            "{key}: one is idle while somebody waits"
        );
        assert_eq!(version.waiting.is_empty(), !fleet.looks.contains_key(key), "{key}");
    }
    for found in fleet.environments() {
        assert_eq!(found.version(), shell.versions.get(&found.id()), "for ever");
        assert_eq!(found.request(), shell.running.get(&found.id()).copied());
        assert!(found.transitions().count() <= TRANSITIONS_PER_ENVIRONMENT);
    }
    if let Some(timeout) = fleet.poll_timeout() {
        assert!(timeout > world.now || !fleet.expiries.is_empty(), "it turns on the spot");
    }
}

/// From wherever the walk ended, who waits is answered and nothing is left.
fn end(world: &mut World, shell: &mut Shell) {
    for _ in 0..1_000 {
        let reports =
            [Step::Created(0), Step::Initialised(0), Step::Finished(0), Step::Gone(0), Step::Wait(50)];
        for step in &reports {
            shell.take_step(world, step);
            shell.carry_out(world);
        }
    }
    assert!(shell.requests.values().all(|(_, done)| *done), "somebody waits still");
    world.fleet.stop(world.now);
    shell.carry_out(world);
    for _ in 0..100 {
        for step in [Step::Created(0), Step::Finished(0), Step::Gone(0)] {
            shell.take_step(world, &step);
            shell.carry_out(world);
        }
    }
    assert_eq!(world.fleet.environments().count(), 0);
    assert_eq!(world.counts(), PoolCounts { failures: world.counts().failures, ..PoolCounts::default() });
    assert_eq!(world.fleet.poll_timeout(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_must_hold_holds_whatever_comes(steps in steps()) {
        let (mut world, mut shell) = Shell::walk(&steps);
        end(&mut world, &mut shell);
    }

    #[test]
    fn the_same_input_has_the_same_outcome(steps in steps()) {
        prop_assert_eq!(Shell::walk(&steps).1.log, Shell::walk(&steps).1.log);
    }
}
