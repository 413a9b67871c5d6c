//! What the fleet has decided, done: containers made, given functions, invoked and removed.
//!
//! ```text
//!   callers ──► Fleet ──► decisions (pure, behind one lock) ──► orders, carried out without it:
//!                 ▲                                              create, begin, remove: a task each
//!                 └────────────────── what became of them ◄───── run, refuse: who waits is told
//! ```
//!
//! The lock is held for decisions only. An order that comes too late finds its container ended, and what it reports then changes nothing.

mod begin;
mod create;
mod deploy;
mod environment;
mod invoke;
mod lease;
mod logs;
mod orders;
mod relay;
mod remove;
mod runner;
mod time;
mod trace;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use control_core::fleet::{
    Cause, EnvironmentId, Fleet as Decisions, FunctionTerms, PoolCounts, PoolSettings, RequestId, VersionKey,
};
use control_core::{FullName, Name};
use gateway::Handle;
use sandbox::{CodeId, Sandbox};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use invoke::{InvokeError, Invoked, Trigger};

use crate::app::{App, WeakApp};
use deploy::Followed;
use environment::Environment;
use lease::Heard;
use logs::Logs;

/// Containers that are removed at a time: it takes processor time that others need.
const REMOVALS: usize = 8;

/// All environments of this daemon. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Fleet(Arc<Shared>);

struct Shared {
    sandbox: Sandbox,
    gateway: Handle,
    app: OnceLock<WeakApp>,
    runtime: tokio::runtime::Handle,
    started: Instant,
    started_at: SystemTime,
    state: Mutex<State>,
    /// The next time at which something is due has changed.
    timer: Notify,
    /// An environment is gone.
    gone: Notify,
    removals: Semaphore,
    /// Functions that it follows; whoever looks at the resources for it holds this, so that nobody acts on what is old.
    followed: Mutex<HashMap<FullName, Followed>>,
    logs: Logs,
}

/// What is decided, and what the decisions are about.
#[derive(Default)]
struct State {
    decisions: Decisions,
    live: HashMap<EnvironmentId, Arc<Environment>>,
    versions: BTreeMap<VersionKey, Arc<Deployed>>,
    /// Who waits for an environment, and of what.
    requests: HashMap<RequestId, (VersionKey, oneshot::Sender<Heard>)>,
    /// Why the handler could not be loaded the last time.
    faults: HashMap<VersionKey, InvokeError>,
    last_request: u64,
    /// When the timer will look.
    armed: Option<Duration>,
}

/// A version of a function as it can be invoked.
struct Deployed {
    /// Which one.
    key: VersionKey,
    /// What its environments are.
    terms: FunctionTerms,
    /// How long an invocation may take.
    timeout: Duration,
    /// The handler, as the language writes it; empty if the runtime needs none.
    handler: String,
    /// What is started in place of the language's own bootstrap.
    command: Option<Vec<String>>,
    /// Environment variables.
    environment: Vec<(String, String)>,
    /// Its code.
    code: CodeId,
}

impl Fleet {
    /// A fleet without pools and functions. To be called in a tokio runtime; [`Fleet::bind`] comes next.
    pub(crate) fn new(sandbox: Sandbox, gateway: Handle) -> Self {
        let (app, state, timer, gone) = Default::default();
        let (followed, logs) = Default::default();
        let fleet = Self(Arc::new(Shared {
            sandbox,
            gateway,
            app,
            runtime: tokio::runtime::Handle::current(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            state,
            timer,
            gone,
            removals: Semaphore::new(REMOVALS),
            followed,
            logs,
        }));
        fleet.0.runtime.spawn(time::keep(Arc::downgrade(&fleet.0)));
        fleet
    }

    /// Whose functions these are. Once, before anything is set.
    pub(crate) fn bind(&self, app: &App) {
        assert!(self.0.app.set(app.downgrade()).is_ok(), "the fleet has an application");
    }

    /// Makes a pool what it shall be.
    fn set_pool(&self, runtime: &Name, settings: PoolSettings) {
        self.with(|state, now| state.decisions.set_pool(now, runtime, settings));
    }

    /// Makes a version known, or changes its function's terms.
    fn set_version(&self, deployed: Deployed) {
        self.0.logs.open(&deployed.key.function);
        self.with(|state, now| {
            state.decisions.set_function(now, &deployed.key, deployed.terms.clone());
            state.versions.insert(deployed.key.clone(), Arc::new(deployed));
        });
    }

    /// Its function has a newer version. It can still be invoked.
    fn replace_version(&self, key: &VersionKey) {
        self.with(|state, now| state.decisions.replace(now, key));
    }

    /// It cannot be invoked any more.
    fn delete_version(&self, key: &VersionKey) {
        self.with(|state, now| {
            state.decisions.delete(now, key);
            state.versions.remove(key);
            state.faults.remove(key);
        });
    }

    /// Versions of a function that can be invoked, oldest first.
    fn versions(&self, function: &FullName) -> Vec<VersionKey> {
        let first = VersionKey { function: function.clone(), version: 0 };
        let state = self.state();
        let from = state.versions.range(first..).map(|(key, _)| key);
        from.take_while(|key| key.function == *function).cloned().collect()
    }

    /// What a function has written, and what was written about its invocations.
    pub(crate) fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// Every pool, what it shall be and what it is.
    pub(crate) fn pools(&self) -> Vec<(Name, PoolSettings, PoolCounts)> {
        let state = self.state();
        state.decisions.pools().map(|(name, settings, counts)| (name.clone(), settings, counts)).collect()
    }

    /// What a pool has.
    pub(crate) fn pool(&self, runtime: &Name) -> Option<PoolCounts> {
        let state = self.state();
        let mut pools = state.decisions.pools();
        pools.find_map(|(name, _, counts)| (name == runtime).then_some(counts))
    }

    /// An environment goes when it has served its request. `false` if there is none of this number.
    pub(crate) fn drain(&self, id: EnvironmentId) -> bool {
        self.with(|state, now| {
            let is_there = state.decisions.environment(id).is_some();
            state.decisions.drain(now, id, Cause::Asked);
            is_there
        })
    }

    /// A link of the gateway's has disappeared by itself.
    pub(crate) fn link_lost(&self, link: gateway::AttachmentId) {
        self.with(|state, now| {
            let lost = state.live.values().find(|environment| environment.link.id == link);
            let Some(id) = lost.map(|environment| environment.id) else { return };
            state.decisions.handle_lost(now, id, Cause::LinkLost);
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn app(&self) -> Option<App> {
        self.0.app.get().and_then(WeakApp::upgrade)
    }
}
