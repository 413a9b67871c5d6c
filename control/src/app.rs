//! What the API can do, without HTTP: one file per resource.
//!
//! Order of every mutation: registry (reserve) → gateway → registry (outcome). Who waits for whom:
//! - names are reserved by a commit, so that two creators of one name never both reach the gateway;
//! - attach, detach and delete of one container take turns ([`turns`]), and so do changes of one connector; creations need no turn, as
//!   what is being created can neither be attached nor deleted;
//! - attaches of one connector run beside each other, but not beside its changes and its revocation; its turn is taken before a container's;
//! - everything else runs at the same time.

mod allowances;
mod audit;
mod call;
mod connectors;
mod containers;
mod convert;
mod environments;
mod explain;
mod failure;
mod functions;
mod invocations;
mod joins;
mod linger;
mod metrics;
mod page;
mod policies;
mod pools;
mod random;
mod reservation;
mod sessions;
mod stats;
mod tenants;
mod times;
mod tokens;
mod turns;
mod vpcs;
mod watch;

use std::future::Future;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use control_core::{Change, Code, Name, Problem, Resources};
use gateway::{CallError, Handle, Lifetime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

pub(crate) use call::{Call, Key};
pub(crate) use environments::Wiring;
pub(crate) use explain::{DropItem, ExplanationView};
pub(crate) use functions::Archive;
pub(crate) use invocations::{
    Answered, EnvironmentDetailView, EnvironmentView, InvocationFault, InvocationView, LogLineView, LogTail,
    StreamEnding, Unanswered,
};
pub(crate) use invocations::{Invoked, Order, Runner, TransitionView};
pub(crate) use joins::{AttachView, DetachView};
pub(crate) use page::{Page, Slice};
pub(crate) use sessions::SessionPageView;
pub(crate) use stats::StatsView;
pub(crate) use tokens::CreatedToken;
pub(crate) use watch::{Told, Watching};

use crate::fleet::Fleet;
use crate::functions::Functions;
use crate::registry::{CommitError, Registry, Request};
use allowances::Allowances;
use functions::Sweeping;
use invocations::Invocations;
use linger::Lingering;
use times::Times;
use turns::Turns;

/// Workers answer within microseconds; whoever asks whether they do wants to hear of it when they do not.
const READY_TIME: Duration = Duration::from_secs(1);

/// Bodies with code in them that are read at a time: each takes some hundred megabytes.
const UPLOADS: usize = 4;

/// The application. Clones are the same one.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

struct Parts {
    registry: Registry,
    gateway: Handle,
    /// Of the devices that are made.
    lifetime: Lifetime,
    allowances: Allowances,
    attach_times: Times,
    lingering: Lingering,
    invocations: Invocations,
    /// What runs functions, if this machine can.
    fleet: OnceLock<Fleet>,
    /// What functions need of the machine.
    functions: Option<Functions>,
    sweeping: Sweeping,
    /// Bodies with code in them that may be read at a time.
    uploads: Arc<Semaphore>,
    vpc_turns: Turns,
    connector_turns: Turns,
    container_turns: Turns,
}

/// The application, for what it has made itself and must not keep it.
#[derive(Clone)]
pub(crate) struct WeakApp(Weak<Parts>);

impl WeakApp {
    /// The application, unless it has ended.
    pub(crate) fn upgrade(&self) -> Option<App> {
        self.0.upgrade().map(App)
    }
}

impl App {
    pub(crate) fn downgrade(&self) -> WeakApp {
        WeakApp(Arc::downgrade(&self.0))
    }

    pub(crate) fn new(
        registry: Registry,
        gateway: Handle,
        lifetime: Lifetime,
        functions: Option<Functions>,
    ) -> Self {
        let (allowances, attach_times, lingering, sweeping) = Default::default();
        let (vpc_turns, connector_turns, container_turns) = Default::default();
        Self(Arc::new(Parts {
            registry,
            gateway,
            lifetime,
            allowances,
            attach_times,
            lingering,
            invocations: Invocations::default(),
            fleet: OnceLock::new(),
            functions,
            sweeping,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            vpc_turns,
            connector_turns,
            container_turns,
        }))
    }

    /// Whether every worker of the gateway answers, and soon, and whether the store can be written as far as is known.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        soon(self.gateway().ready()).await?;
        if self.registry().is_failing() {
            let detail = "the store could not be written the last time; the log says why";
            return Err(Problem::new(Code::StoreUnavailable, detail));
        }
        if self.is_losing_invocations() {
            let detail = "an asynchronous invocation could not be kept the last time; the log says why";
            return Err(Problem::new(Code::StoreUnavailable, detail));
        }
        Ok(())
    }

    /// Waits until a body with code in it may be read.
    pub(crate) async fn upload(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0.uploads).acquire_owned().await.expect("nobody closes it")
    }

    pub(crate) fn gateway(&self) -> &Handle {
        &self.0.gateway
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    fn attach_times(&self) -> &Times {
        &self.0.attach_times
    }

    /// From now on, functions run in this fleet's containers. Once only.
    pub(crate) fn run_functions(&self, fleet: &Fleet) {
        fleet.bind(self);
        self.connect(Arc::new(fleet.clone()));
        assert!(self.0.fleet.set(fleet.clone()).is_ok(), "there is one fleet");
        let functions: Vec<_> =
            self.read(|resources| resources.functions().map(|function| function.name.clone()).collect());
        self.runtimes().iter().for_each(|runtime| fleet.follow_pool(runtime));
        for function in &functions {
            fleet.follow_function(function);
        }
    }

    /// What functions can be written in.
    pub(crate) fn runtimes(&self) -> Vec<Name> {
        self.machine().map(Functions::names).unwrap_or_default()
    }

    /// What runs functions, if this machine can.
    pub(crate) fn fleet(&self) -> Option<&Fleet> {
        self.0.fleet.get()
    }

    /// Looks at the resources. The guard behind it never crosses an await.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Resources) -> T) -> T {
        look(&self.0.registry.read())
    }

    /// A change that nobody in particular has asked for.
    pub(crate) async fn commit(&self, change: Change) -> Result<(), CommitError> {
        self.registry().commit(Request::of(change)).await.map(drop)
    }

    /// Carries an operation to its end, even if the caller is dropped because its client hung up.
    async fn carry_out<T, F>(&self, operation: impl FnOnce(Self) -> F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let task = tokio::spawn(operation(self.clone()).in_current_span());
        task.await.unwrap_or_else(|error| {
            Err(Problem::new(Code::Internal, format!("the operation broke off: {error}")))
        })
    }
}

/// Unix time.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

async fn soon(answer: impl Future<Output = Result<(), CallError>>) -> Result<(), Problem> {
    match tokio::time::timeout(READY_TIME, answer).await {
        Ok(answered) => answered.map_err(failure::of_call),
        Err(_) => {
            let detail = format!("the gateway's workers did not answer within {} s", READY_TIME.as_secs());
            Err(Problem::new(Code::Unresponsive, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn workers_that_do_not_answer_are_not_waited_for() {
        let stuck = soon(std::future::pending()).await.unwrap_err();
        assert_eq!((stuck.code(), stuck.code().status()), (Code::Unresponsive, 503));
        assert_eq!(soon(std::future::ready(Ok(()))).await, Ok(()));
        let stopped = soon(std::future::ready(Err(CallError::Stopped))).await.unwrap_err();
        assert_eq!(stopped.code(), Code::ShuttingDown);
    }
}
