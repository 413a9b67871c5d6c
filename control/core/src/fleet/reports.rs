//! What became of the fleet's actions.

use std::time::Duration;

use super::{Cause, EnvironmentId, EnvironmentState, Fleet, Reason};

/// What a request has left of its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It can serve another.
    Reusable,
    /// It is of no use any more.
    Spent(Cause),
}

impl Fleet {
    /// A container waits for a function.
    pub fn handle_created(&mut self, now: Duration, id: EnvironmentId) {
        let Some(began) = self.since(id, EnvironmentState::Creating) else { return };
        let environment = &self.environments[&id];
        let (runtime, leaving) = (environment.runtime().clone(), environment.leaving);
        self.step(now, id, EnvironmentState::Warm, Cause::Created);
        self.pool(&runtime).creation_done(now.saturating_sub(began));
        if let Some(cause) = leaving {
            self.retire(now, id, cause);
        }
        self.settle(now, &runtime);
    }

    /// A container could not be made, and nothing of it is left.
    pub fn handle_creation_failed(&mut self, now: Duration, id: EnvironmentId) {
        if self.since(id, EnvironmentState::Creating).is_none() {
            return;
        }
        let runtime = self.environments[&id].runtime().clone();
        self.step(now, id, EnvironmentState::Gone, Cause::CreationFailed);
        let pool = self.pool(&runtime);
        pool.creation_failed(now);
        if pool.is_broken(now) && pool.warm.is_empty() {
            self.refuse_who_depends_on(&runtime);
        }
        self.settle(now, &runtime);
    }

    /// The handler is loaded.
    pub fn handle_initialised(&mut self, now: Duration, id: EnvironmentId) {
        let Some(began) = self.since(id, EnvironmentState::Init) else { return };
        let key = self.key_of(id);
        self.step(now, id, EnvironmentState::Idle, Cause::Initialised);
        let took = now.saturating_sub(began);
        let version = self.versions.get_mut(&key).expect("it has an environment");
        version.initialised(took);
        let runtime = version.terms.runtime.clone();
        self.pool(&runtime).init_time.add(took);
        self.run_next(now, id, &key);
        self.settle_version(now, &key);
    }

    /// The handler could not be loaded. One request that waits for it hears so, and after some failures all.
    pub fn handle_init_failed(&mut self, now: Duration, id: EnvironmentId, cause: Cause) {
        if self.since(id, EnvironmentState::Init).is_none() {
            return;
        }
        let key = self.key_of(id);
        self.retire(now, id, cause);
        let version = self.versions.get_mut(&key).expect("it has an environment");
        let hear = version.init_failed(now);
        self.refuse_first(&key, hear, Reason::NotLoaded);
        self.settle_version(now, &key);
    }

    /// The request is served, well or not.
    pub fn handle_finished(&mut self, now: Duration, id: EnvironmentId, outcome: Outcome) {
        let Some(began) = self.since(id, EnvironmentState::Busy) else { return };
        let (key, leaving) = (self.key_of(id), self.environments[&id].leaving);
        match (outcome, leaving) {
            (Outcome::Spent(cause), _) | (Outcome::Reusable, Some(cause)) => self.retire(now, id, cause),
            (Outcome::Reusable, None) => {
                self.step(now, id, EnvironmentState::Idle, Cause::Finished);
                let version = self.versions.get_mut(&key).expect("it has an environment");
                version.duration.add(now.saturating_sub(began));
                self.run_next(now, id, &key);
            }
        }
        self.settle_version(now, &key);
    }

    /// Its processes have ended, or its link is lost, without anybody having asked for it. Who is served by it hears so from elsewhere.
    pub fn handle_lost(&mut self, now: Duration, id: EnvironmentId, cause: Cause) {
        let Some(environment) = self.environments.get(&id) else { return };
        match environment.state() {
            // No fault of the function's: whoever waits gets another one.
            EnvironmentState::Init => {
                let key = self.key_of(id);
                self.retire(now, id, cause);
                self.settle_version(now, &key);
            }
            EnvironmentState::Busy => self.handle_finished(now, id, Outcome::Spent(cause)),
            _ => self.drain(now, id, cause),
        }
    }

    /// Nothing is left of a container that was to be removed.
    pub fn handle_gone(&mut self, now: Duration, id: EnvironmentId) {
        if self.since(id, EnvironmentState::Draining).is_none() {
            return;
        }
        let environment = &self.environments[&id];
        let (runtime, key) = (environment.runtime().clone(), environment.version.clone());
        self.step(now, id, EnvironmentState::Gone, Cause::Removed);
        if let Some(key) = key {
            self.forget_if_over(&key);
        }
        self.settle(now, &runtime);
    }

    /// What is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.refuse_late(now);
        self.retire_kept(now);
        let due = self.looks.iter().filter(|&(_, &at)| at <= now);
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            self.settle_version(now, &key);
        }
        let due = self.pools.iter().filter(|(_, pool)| pool.next_creation.is_some_and(|at| at <= now));
        let due: Vec<_> = due.map(|(runtime, _)| runtime.clone()).collect();
        for runtime in due {
            self.settle(now, &runtime);
        }
    }

    /// Since when it is in this state; nothing if it is not. A report that comes too late changes nothing.
    fn since(&self, id: EnvironmentId, state: EnvironmentState) -> Option<Duration> {
        let environment = self.environments.get(&id)?;
        (environment.state() == state).then(|| environment.since())
    }
}
