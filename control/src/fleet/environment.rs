//! A container as long as it is there, and what clients see of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use control_core::fleet::{Environment as Decided, EnvironmentId};
use control_core::{ContainerSpec, FullName, Name};
use gateway::AttachmentInfo;
use sandbox::{CodeId, Container};
use tokio::sync::Mutex;

use super::begin::Begun;
use super::{Deployed, Fleet};
use crate::app::{EnvironmentView, TransitionView};

/// A container that is there.
pub(super) struct Environment {
    pub(super) id: EnvironmentId,
    pub(super) container: Container,
    pub(super) spec: ContainerSpec,
    pub(super) link: AttachmentInfo,
    /// What it serves, once it does.
    pub(super) deployed: OnceLock<Arc<Deployed>>,
    /// How it came to serve that.
    pub(super) begun: OnceLock<Begun>,
    /// What it is as a tenant's container; held while it becomes one.
    pub(super) adopted: Mutex<Adopted>,
    /// The invocation that it was given last: what it writes late belongs to that, too.
    pub(super) current: std::sync::Mutex<Option<String>>,
    /// Invocations that it has served.
    pub(super) served: AtomicU64,
}

/// What an environment is as a tenant's container.
#[derive(Default)]
pub(super) enum Adopted {
    /// Nobody's yet.
    #[default]
    Not,
    /// One of this name.
    As(FullName),
    /// Nobody's any more.
    Over,
}

/// An environment as clients see it, and whose it is.
pub(super) struct EnvironmentSeen {
    /// Whose function it serves, if it serves one.
    pub(super) tenant: Option<Name>,
    pub(super) view: EnvironmentView,
    pub(super) transitions: Vec<TransitionView>,
}

impl Fleet {
    /// All environments that are not gone, oldest first.
    pub(super) fn environments(&self) -> Vec<EnvironmentSeen> {
        let (mut all, live): (Vec<_>, Vec<_>) = {
            let state = self.state();
            let decided = state.decisions.environments();
            decided.map(|found| (self.seen(found), state.live.get(&found.id()).cloned())).unzip()
        };
        // Files are read for it: not under the lock.
        for (seen, live) in all.iter_mut().zip(live) {
            seen.look_at(live.as_deref());
        }
        all
    }

    /// The code of every container that is there: whoever removes it from the store takes it from those who run it.
    pub(crate) fn code_in_use(&self) -> Vec<CodeId> {
        let state = self.state();
        state.live.values().filter_map(|live| live.deployed.get()).map(|deployed| deployed.code).collect()
    }

    /// One environment.
    pub(super) fn environment(&self, id: EnvironmentId) -> Option<EnvironmentSeen> {
        let (mut seen, live) = {
            let state = self.state();
            (self.seen(state.decisions.environment(id)?), state.live.get(&id).cloned())
        };
        seen.look_at(live.as_deref());
        Some(seen)
    }

    fn seen(&self, found: &Decided) -> EnvironmentSeen {
        let key = found.version();
        let step = |step: &control_core::fleet::Transition| TransitionView {
            at_ms: self.unix_ms(step.at),
            from: step.from.map(|state| state.to_string()),
            to: step.to.to_string(),
            cause: step.cause.to_string(),
        };
        let view = EnvironmentView {
            id: found.id().0.to_string(),
            runtime: found.runtime().to_string(),
            state: found.state().to_string(),
            since_ms: self.unix_ms(found.since()),
            function: key.map(|key| key.function.name.to_string()),
            version: key.map(|key| key.version),
            container: None,
            invocations: 0,
            memory_bytes: None,
            memory_limit_mb: None,
        };
        let tenant = key.map(|key| key.function.tenant.clone());
        EnvironmentSeen { tenant, view, transitions: found.transitions().map(step).collect() }
    }

    /// Unix time of a time since the fleet's start.
    fn unix_ms(&self, time: Duration) -> u64 {
        let at = self.0.started_at + time;
        at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
    }
}

impl EnvironmentSeen {
    fn look_at(&mut self, live: Option<&Environment>) {
        let Some(live) = live else { return };
        self.view.container = self.tenant.as_ref().map(|_| live.spec.name.to_string());
        self.view.invocations = live.served.load(Ordering::Relaxed);
        self.view.memory_bytes = Some(live.container.usage().memory_bytes);
        self.view.memory_limit_mb = live.deployed.get().map(|deployed| deployed.terms.memory_mb);
    }
}

impl Environment {
    /// It was given an invocation. How it began, if that is the first.
    pub(super) fn serves(&self, id: &str) -> Option<&Begun> {
        *self.current() = Some(id.to_owned());
        let before = self.served.fetch_add(1, Ordering::Relaxed);
        self.begun.get().filter(|_| before == 0)
    }

    /// The invocation that it was given last, if any.
    pub(super) fn current(&self) -> MutexGuard<'_, Option<String>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
