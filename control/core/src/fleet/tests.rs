//! What the fleet does, rule by rule.

mod functions;
mod keeping;
mod making;
mod serving;
mod walk;

use std::time::Duration;

use super::*;
use crate::limits::{
    CREATIONS_AT_ONCE, INIT_PAUSE_MAX, REQUESTS_WAITING_PER_VERSION, TRANSITIONS_PER_ENVIRONMENT,
};

const RUNTIME: &str = "python3";

/// A pool that nothing is short in.
const ROOMY: PoolSettings =
    PoolSettings { min_warm: 0, max_warm: 200, refill_per_s: 1_000, memory_mb: 100_000 };

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn name(text: &str) -> Name {
    Name::parse("name", text.into()).unwrap()
}

/// Version `version` of a function.
fn key(function: &str, version: u64) -> VersionKey {
    VersionKey { function: FullName::new(&name("default"), &name(function)), version }
}

fn terms() -> FunctionTerms {
    let runtime = name(RUNTIME);
    FunctionTerms { runtime, concurrency: None, keep_alive: Duration::from_secs(300), memory_mb: 128 }
}

/// A fleet, the time, and what it has done since somebody looked.
struct World {
    fleet: Fleet,
    now: Duration,
    next_request: u64,
}

impl World {
    fn new(settings: PoolSettings) -> Self {
        let mut world = Self { fleet: Fleet::new(), now: ms(0), next_request: 0 };
        world.fleet.set_pool(ms(0), &name(RUNTIME), settings);
        world
    }

    /// One with so many warm containers, and functions `a` and `b`.
    fn warm(settings: PoolSettings, count: usize) -> Self {
        let mut world = Self::new(PoolSettings { min_warm: count, ..settings });
        while world.counts().warm < count {
            for id in world.created() {
                world.fleet.handle_created(world.now, id);
            }
            world.advance(ms(1));
        }
        world.fleet.set_pool(world.now, &name(RUNTIME), settings);
        world.fleet.set_function(world.now, &key("a", 1), terms());
        world.fleet.set_function(world.now, &key("b", 1), terms());
        assert_eq!(world.actions(), []);
        world
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.fleet.handle_timeout(self.now);
    }

    fn advance_to(&mut self, at: Duration) {
        self.now = at;
        self.fleet.handle_timeout(at);
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.fleet.poll()).collect()
    }

    fn counts(&self) -> PoolCounts {
        let mut pools = self.fleet.pools();
        pools.find(|(runtime, ..)| **runtime == name(RUNTIME)).unwrap().2
    }

    fn request(&mut self, key: &VersionKey) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.fleet.handle_request(self.now, request, key, self.now + Duration::from_secs(30));
        request
    }

    fn requests(&mut self, key: &VersionKey, count: usize) -> Vec<RequestId> {
        (0..count).map(|_| self.request(key)).collect()
    }

    /// Environments that are to be made. Other actions must not be pending.
    fn created(&mut self) -> Vec<EnvironmentId> {
        only(self.actions(), |action| match action {
            Action::Create { environment, .. } => Some(environment),
            _ => None,
        })
    }

    fn begun(&mut self) -> Vec<EnvironmentId> {
        only(self.actions(), |action| match action {
            Action::Begin { environment, .. } => Some(environment),
            _ => None,
        })
    }

    fn run(&mut self) -> Vec<(EnvironmentId, RequestId)> {
        only(self.actions(), |action| match action {
            Action::Run { environment, request } => Some((environment, request)),
            _ => None,
        })
    }

    fn retired(&mut self) -> Vec<(EnvironmentId, Cause)> {
        only(self.actions(), |action| match action {
            Action::Retire { environment, cause } => Some((environment, cause)),
            _ => None,
        })
    }

    fn refused(&mut self) -> Vec<(RequestId, Reason)> {
        only(self.actions(), |action| match action {
            Action::Refuse { request, reason } => Some((request, reason)),
            _ => None,
        })
    }

    /// An environment of the version that is busy with a request.
    fn busy(&mut self, key: &VersionKey) -> EnvironmentId {
        self.request(key);
        let [environment] = self.begun()[..] else { panic!("one begins") };
        self.advance(ms(50));
        self.fleet.handle_initialised(self.now, environment);
        assert_eq!(self.run().len(), 1);
        environment
    }

    /// An environment of the version that has served a request for so long.
    fn idle(&mut self, key: &VersionKey, duration: Duration) -> EnvironmentId {
        let environment = self.busy(key);
        self.advance(duration);
        self.finish(environment);
        assert_eq!(self.actions(), []);
        environment
    }

    fn finish(&mut self, environment: EnvironmentId) {
        self.fleet.handle_finished(self.now, environment, Outcome::Reusable);
    }

    fn state(&self, environment: EnvironmentId) -> Option<EnvironmentState> {
        self.fleet.environment(environment).map(Environment::state)
    }

    /// Causes of the steps so far, of one environment.
    fn causes(&self, environment: EnvironmentId) -> Vec<Cause> {
        self.fleet.environment(environment).unwrap().transitions().map(|step| step.cause).collect()
    }
}

fn only<T>(actions: Vec<Action>, pick: impl Fn(Action) -> Option<T>) -> Vec<T> {
    actions
        .into_iter()
        .map(|action| pick(action.clone()).unwrap_or_else(|| panic!("not expected: {action:?}")))
        .collect()
}
