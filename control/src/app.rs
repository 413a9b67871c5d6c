//! What the API can do, without HTTP: one file per resource.
//!
//! Order of every mutation: store (reserve) → gateway → store (outcome). Who waits for whom:
//! - names are reserved by a commit, so that two creators of one name never both reach the gateway;
//! - attach, detach and delete of one container take turns ([`turns`]); creations need no turn, as what is being created can
//!   neither be attached nor deleted;
//! - everything else runs at the same time.

mod connectors;
mod containers;
mod convert;
mod explain;
mod failure;
mod quotas;
mod reservation;
mod sessions;
mod stats;
mod turns;
mod vpcs;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use control_core::{Change, Code, Problem, Resources};
use gateway::{CallError, Handle};
use tracing::Instrument;

pub(crate) use connectors::{AttachView, DetachView};
pub(crate) use explain::{DropItem, ExplanationView};
pub(crate) use sessions::SessionPageView;
pub(crate) use stats::StatsView;

use crate::store::Store;
use quotas::Quotas;
use turns::Turns;

/// Workers answer within microseconds; whoever asks whether they do wants to hear of it when they do not.
const READY_TIME: Duration = Duration::from_secs(1);

/// The application. Clones are the same one.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

struct Parts {
    store: Box<dyn Store>,
    gateway: Handle,
    quotas: Quotas,
    vpc_turns: Turns,
    container_turns: Turns,
}

impl App {
    pub(crate) fn new(store: Box<dyn Store>, gateway: Handle) -> Self {
        let (quotas, vpc_turns, container_turns) = Default::default();
        Self(Arc::new(Parts { store, gateway, quotas, vpc_turns, container_turns }))
    }

    /// Whether every worker of the gateway answers, and soon.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        soon(self.gateway().ready()).await
    }

    pub(crate) fn gateway(&self) -> &Handle {
        &self.0.gateway
    }

    /// Looks at the resources. The guard behind it never crosses an await.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Resources) -> T) -> T {
        look(&self.0.store.read())
    }

    pub(crate) fn commit(&self, change: Change) -> Result<(), Problem> {
        self.0.store.commit(change)?;
        Ok(())
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
