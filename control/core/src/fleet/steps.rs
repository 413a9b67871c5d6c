//! How an environment goes from state to state: the only place where the tables of who does what are changed.

use std::time::Duration;

use super::function::Function;
use super::pool::Pool;
use super::{
    Action, Cause, Environment, EnvironmentId, EnvironmentState, Fleet, PoolCounts, Version, VersionKey,
};
use crate::Name;
use crate::limits::{TRANSITIONS, WARM_CONTAINER_MB};

impl Fleet {
    /// A new one.
    pub(super) fn create(&mut self, now: Duration, runtime: &Name, cause: Cause) {
        self.last_environment += 1;
        let id = EnvironmentId(self.last_environment);
        let environment = Environment::new(id, runtime.clone(), WARM_CONTAINER_MB);
        self.environments.insert(id, environment);
        let pool = self.pool(runtime);
        pool.used_mb += u64::from(WARM_CONTAINER_MB);
        pool.creation_begun(now);
        self.step(now, id, EnvironmentState::Creating, cause);
        self.actions.push_back(Action::Create { environment: id, runtime: runtime.clone() });
    }

    /// A warm one becomes a version's.
    pub(super) fn begin(&mut self, now: Duration, id: EnvironmentId, key: &VersionKey) {
        let memory_mb = self.versions[key].terms.memory_mb;
        let environment = self.environments.get_mut(&id).expect("it is warm");
        assert!(environment.version.is_none(), "an environment keeps its version");
        environment.version = Some(key.clone());
        let before = std::mem::replace(&mut environment.charge_mb, memory_mb);
        let runtime = environment.runtime().clone();
        let pool = self.pool(&runtime);
        pool.used_mb = pool.used_mb - u64::from(before) + u64::from(memory_mb);
        pool.serving_mb += u64::from(memory_mb);
        self.function(key).used_mb += u64::from(memory_mb);
        self.step(now, id, EnvironmentState::Init, Cause::Triggered);
        self.actions.push_back(Action::Begin { environment: id, version: key.clone() });
    }

    /// It goes now.
    pub(super) fn retire(&mut self, now: Duration, id: EnvironmentId, cause: Cause) {
        self.step(now, id, EnvironmentState::Draining, cause);
        self.actions.push_back(Action::Retire { environment: id, cause });
    }

    /// It goes as soon as that costs nobody an answer.
    pub(super) fn leave(&mut self, now: Duration, id: EnvironmentId, cause: Cause) {
        let Some(environment) = self.environments.get_mut(&id) else { return };
        match environment.state() {
            EnvironmentState::Creating | EnvironmentState::Busy => {
                environment.leaving.get_or_insert(cause);
            }
            EnvironmentState::Warm | EnvironmentState::Init | EnvironmentState::Idle => {
                self.retire(now, id, cause);
            }
            EnvironmentState::Draining | EnvironmentState::Gone => {}
        }
    }

    /// Takes it out of the tables of its state and puts it into those of the next.
    pub(super) fn step(&mut self, now: Duration, id: EnvironmentId, to: EnvironmentState, cause: Cause) {
        let mut environment = self.environments.remove(&id).expect("it exists");
        self.take_from_tables(&environment);
        let transition = environment.step(now, to, cause);
        if self.transitions.len() == TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
        environment.request = None;
        self.put_into_tables(&mut environment);
        if to != EnvironmentState::Gone {
            self.environments.insert(id, environment);
        }
    }

    fn take_from_tables(&mut self, environment: &Environment) {
        let (id, since) = (environment.id(), environment.since());
        let pool = self.pools.get_mut(environment.runtime()).expect("a pool is never removed");
        let charge_mb = u64::from(environment.charge_mb);
        match environment.state() {
            EnvironmentState::Creating => drop(pool.creating.remove(&id)),
            EnvironmentState::Warm => drop(pool.warm.remove(&(since, id))),
            EnvironmentState::Idle => drop(pool.idle.remove(&(since, id))),
            EnvironmentState::Draining => pool.leaving_mb -= charge_mb,
            EnvironmentState::Init | EnvironmentState::Busy | EnvironmentState::Gone => {}
        }
        let Some(key) = &environment.version else { return };
        if environment.state() == EnvironmentState::Draining {
            pool.leaving_serving_mb -= charge_mb;
        }
        let version = self.versions.get_mut(key).expect("it has an environment");
        let function = self.functions.get_mut(&key.function).expect("it has a version");
        match environment.state() {
            EnvironmentState::Init => drop(version.init.remove(&id)),
            EnvironmentState::Busy => drop(version.busy.remove(&id)),
            EnvironmentState::Idle => {
                version.idle.remove(&(since, id));
                self.expiries.remove(&(environment.keep_until, id));
            }
            _ => return,
        }
        function.environments -= 1;
    }

    fn put_into_tables(&mut self, environment: &mut Environment) {
        let (id, since) = (environment.id(), environment.since());
        let pool = self.pools.get_mut(environment.runtime()).expect("a pool is never removed");
        let charge_mb = u64::from(environment.charge_mb);
        match environment.state() {
            EnvironmentState::Creating => drop(pool.creating.insert(id)),
            EnvironmentState::Warm => drop(pool.warm.insert((since, id))),
            EnvironmentState::Idle => drop(pool.idle.insert((since, id))),
            EnvironmentState::Draining => pool.leaving_mb += charge_mb,
            EnvironmentState::Gone => pool.used_mb -= charge_mb,
            EnvironmentState::Init | EnvironmentState::Busy => {}
        }
        let Some(key) = &environment.version else { return };
        let version = self.versions.get_mut(key).expect("it has an environment");
        let function = self.functions.get_mut(&key.function).expect("it has a version");
        match environment.state() {
            EnvironmentState::Init => drop(version.init.insert(id, since)),
            EnvironmentState::Busy => drop(version.busy.insert(id, since)),
            EnvironmentState::Idle => {
                version.idle.insert((since, id));
                environment.keep_until = since + version.terms.keep_alive;
                self.expiries.insert((environment.keep_until, id));
            }
            EnvironmentState::Draining => {
                pool.leaving_serving_mb += charge_mb;
                return;
            }
            EnvironmentState::Gone => {
                pool.serving_mb -= charge_mb;
                function.used_mb -= charge_mb;
                return;
            }
            EnvironmentState::Creating | EnvironmentState::Warm => return,
        }
        function.environments += 1;
    }

    /// A deleted version goes with its last environment, and a function with its last version.
    pub(super) fn forget_if_over(&mut self, key: &VersionKey) {
        if !self.versions.get(key).is_some_and(Version::is_over) {
            return;
        }
        // Those that are being removed count too.
        if self.environments.values().any(|found| found.version.as_ref() == Some(key)) {
            return;
        }
        self.versions.remove(key);
        self.looks.remove(key);
        let function = self.function(key);
        function.versions -= 1;
        if function.versions == 0 {
            self.functions.remove(&key.function);
        }
    }

    pub(super) fn key_of(&self, id: EnvironmentId) -> VersionKey {
        self.environments[&id].version.clone().expect("it has a function")
    }

    pub(super) fn function(&mut self, key: &VersionKey) -> &mut Function {
        self.functions.get_mut(&key.function).expect("it has a version")
    }
}

impl Pool {
    pub(super) fn counts(&self) -> PoolCounts {
        PoolCounts {
            creating: self.creating.len(),
            warm: self.warm.len(),
            idle: self.idle.len(),
            used_mb: self.used_mb,
            failures: self.failures,
        }
    }
}
