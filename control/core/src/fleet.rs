//! Which environment serves which request, and how many containers there are: decisions only.
//!
//! ```text
//!              created          a request needs it     handler loaded     a request
//!   Creating ──────────► Warm ───────────────────► Init ───────────► Idle ◄───────► Busy
//!       │                  │                         │                 │   answered   │
//!       │ failed           │ surplus                 │ failed          │ keep-alive   │ fault
//!       ▼                  ▼                         ▼                 ▼              ▼
//!     Gone ◄────────────────────────────────────────────────────────────────────── Draining
//! ```
//!
//! To drive a [`Fleet`]: tell it what there shall be (`set_*`, `replace`, `delete`), what is asked for ([`Fleet::handle_request`]) and
//! what became of its actions (`handle_*`), each with the time; after each, carry out every [`Action`] of [`Fleet::poll`]; call
//! [`Fleet::handle_timeout`] at [`Fleet::poll_timeout`]. Every request is answered by one action, [`Action::Run`] or
//! [`Action::Refuse`], unless it is abandoned before.
//!
//! Rules:
//! - An environment serves one request at a time, all of one version, and no other version ever.
//! - Requests of a version are served first come, first served, by the environment that was used last. Those who would wait
//!   much longer for it than for a new one get a new one.
//! - Warm containers go round among the functions that need one, so that none takes all.
//! - A function with a concurrency has at most so many environments, their memory is kept free for it, and few requests wait beyond
//!   them.
//! - The memory of a pool is a hard bound. When a request needs more, those go that are idle for the longest time, then warm containers.
//! - Containers are made when a pool has fewer than its minimum, or a request will find none; never more than that, some at a time, at
//!   a bounded rate, and one at a time with pauses when that fails.

mod environment;
mod estimate;
mod function;
mod pool;
mod reports;
mod requests;
mod steps;
mod supply;
#[cfg(test)]
mod tests;
mod version;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{FullName, Name};
pub use environment::{Cause, Environment, EnvironmentId, EnvironmentState, Transition};
use function::Function;
use pool::Pool;
pub use pool::PoolSettings;
pub use reports::Outcome;
use version::Version;
pub use version::{FunctionTerms, VersionKey};

/// A request's number. The caller's, and never the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a container. Then [`Fleet::handle_created`] or [`Fleet::handle_creation_failed`].
    Create {
        /// What it will be known by.
        environment: EnvironmentId,
        /// What it is made of.
        runtime: Name,
    },
    /// Give a warm container its function. Then [`Fleet::handle_initialised`] or [`Fleet::handle_init_failed`].
    Begin {
        /// Which one.
        environment: EnvironmentId,
        /// What it becomes.
        version: VersionKey,
    },
    /// Give an environment a request. Then [`Fleet::handle_finished`].
    Run {
        /// Which one.
        environment: EnvironmentId,
        /// What it serves.
        request: RequestId,
    },
    /// Remove a container. Then [`Fleet::handle_gone`].
    Retire {
        /// Which one.
        environment: EnvironmentId,
        /// Why.
        cause: Cause,
    },
    /// Nothing will serve the request.
    Refuse {
        /// Which one.
        request: RequestId,
        /// Why.
        reason: Reason,
    },
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The function has as many environments as it may have and enough requests that wait for them, or too many wait altogether.
    TooMany,
    /// No environment could be had: the pool's memory is used up, containers cannot be made, or it took too long.
    NoEnvironment,
    /// The function's handler cannot be loaded.
    NotLoaded,
    /// There is no such version, or not any more.
    UnknownVersion,
    /// The daemon ends.
    ShuttingDown,
}

/// How many environments of a runtime there are, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolCounts {
    /// In creation.
    pub creating: usize,
    /// Without a function.
    pub warm: usize,
    /// With one, idle.
    pub idle: usize,
    /// What all are counted as. MiB.
    pub used_mb: u64,
    /// Creations that have failed since the last that did not.
    pub failures: u32,
}

/// All environments, and who waits for one.
#[derive(Debug, Default)]
pub struct Fleet {
    pools: BTreeMap<Name, Pool>,
    functions: BTreeMap<FullName, Function>,
    versions: BTreeMap<VersionKey, Version>,
    environments: BTreeMap<EnvironmentId, Environment>,
    /// Requests that wait.
    requests: BTreeMap<RequestId, VersionKey>,
    /// The same, by when they wait no longer.
    deadlines: BTreeSet<(Duration, RequestId)>,
    /// When idle environments have been kept long enough.
    expiries: BTreeSet<(Duration, EnvironmentId)>,
    /// When versions with requests that wait are looked at again.
    looks: BTreeMap<VersionKey, Duration>,
    actions: VecDeque<Action>,
    transitions: VecDeque<Transition>,
    last_environment: u64,
    is_stopping: bool,
}

impl Fleet {
    /// No pools, no functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a pool, or changes it. What it has too much of goes; memory that is in use is not taken back.
    pub fn set_pool(&mut self, now: Duration, runtime: &Name, settings: PoolSettings) {
        self.pool(runtime).settings = settings;
        self.settle(now, runtime);
    }

    /// Makes a version known, or changes its terms. Its function's concurrency and reservation follow the terms set last.
    pub fn set_function(&mut self, now: Duration, key: &VersionKey, terms: FunctionTerms) {
        let runtime = terms.runtime.clone();
        self.pool(&runtime);
        let known = self.versions.contains_key(key);
        let function = self.functions.entry(key.function.clone()).or_insert_with(|| Function {
            runtime: runtime.clone(),
            concurrency: None,
            memory_mb: 0,
            versions: 0,
            environments: 0,
            used_mb: 0,
            waiting: 0,
        });
        function.runtime = runtime.clone();
        (function.concurrency, function.memory_mb) = (terms.concurrency, terms.memory_mb);
        function.versions += usize::from(!known);
        match self.versions.get_mut(key) {
            Some(version) => version.set(terms),
            None => drop(self.versions.insert(key.clone(), Version::new(terms))),
        }
        self.settle(now, &runtime);
    }

    /// Its function has a newer version: idle environments go at once, others when they have nothing to do. Who waits is still served,
    /// and so is who asks for this version later.
    pub fn replace(&mut self, now: Duration, key: &VersionKey) {
        let Some(version) = self.versions.get_mut(key) else { return };
        version.terms.keep_alive = Duration::ZERO;
        self.retire_idle(now, key, Cause::Replaced);
        self.settle_version(now, key);
    }

    /// What its environments have is not what they shall have any more: idle ones go at once, others as soon as that costs nobody an
    /// answer. New ones take their place.
    pub fn renew(&mut self, now: Duration, key: &VersionKey) {
        let Some(version) = self.versions.get(key) else { return };
        let serving: Vec<_> = version.init.keys().chain(version.busy.keys()).copied().collect();
        self.retire_idle(now, key, Cause::Renewed);
        for id in serving {
            self.leave(now, id, Cause::Renewed);
        }
        self.settle_version(now, key);
    }

    /// There is no such version any more: who waits is refused, what serves a request does so to its end, everything else goes.
    pub fn delete(&mut self, now: Duration, key: &VersionKey) {
        let Some(version) = self.versions.get_mut(key) else { return };
        version.is_deleted = true;
        let (init, busy): (Vec<_>, Vec<_>) =
            (version.init.keys().copied().collect(), version.busy.keys().copied().collect());
        self.refuse_waiting(key, Reason::UnknownVersion);
        self.retire_idle(now, key, Cause::Deleted);
        for id in init.into_iter().chain(busy) {
            self.leave(now, id, Cause::Deleted);
        }
        self.settle_version(now, key);
    }

    /// The environment goes: when it has served its request, if it has one, and otherwise at once.
    pub fn drain(&mut self, now: Duration, id: EnvironmentId, cause: Cause) {
        let Some(environment) = self.environments.get(&id) else { return };
        let (runtime, key) = (environment.runtime().clone(), environment.version.clone());
        self.leave(now, id, cause);
        match key {
            Some(key) => self.settle_version(now, &key),
            None => self.settle(now, &runtime),
        }
    }

    /// Nothing begins any more. Who waits is refused, what serves a request does so to its end, everything else goes.
    pub fn stop(&mut self, now: Duration) {
        self.is_stopping = true;
        let keys: Vec<_> = self.versions.keys().cloned().collect();
        for key in keys {
            self.refuse_waiting(&key, Reason::ShuttingDown);
        }
        let environments: Vec<_> = self.environments.keys().copied().collect();
        for id in environments {
            self.leave(now, id, Cause::Shutdown);
        }
        self.looks.clear();
        self.pools.values_mut().for_each(|pool| pool.next_creation = None);
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What happened next, of that which nobody has asked for yet. Of very many only the last are kept.
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    /// When [`Fleet::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let expiry = self.expiries.first().map(|&(at, _)| at);
        let creation = self.pools.values().filter_map(|pool| pool.next_creation).min();
        let look = self.looks.values().copied().min();
        [deadline, expiry, creation, look].into_iter().flatten().min()
    }

    /// One environment.
    pub fn environment(&self, id: EnvironmentId) -> Option<&Environment> {
        self.environments.get(&id)
    }

    /// All environments that are not gone, oldest first.
    pub fn environments(&self) -> impl Iterator<Item = &Environment> {
        self.environments.values()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// Every pool, what it shall be and what it is.
    pub fn pools(&self) -> impl Iterator<Item = (&Name, PoolSettings, PoolCounts)> {
        self.pools.iter().map(|(runtime, pool)| (runtime, pool.settings, pool.counts()))
    }

    fn pool(&mut self, runtime: &Name) -> &mut Pool {
        self.pools.entry(runtime.clone()).or_default()
    }
}
