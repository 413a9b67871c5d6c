//! The loop that runs what is due.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use control_core::limits::DELIVERY_ANSWER_BYTES;
use control_core::{Code, Delivery, DeliveryFault, DeliveryOutcome, InvocationId, Retry, TraceSpan};
use futures_util::FutureExt;
use tokio::task::{Id, JoinSet};

use super::{Begun, Deliveries, now_ms};

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// What the answer says that it is, and the answer.
    pub(crate) answer: Result<(String, Bytes), DeliveryFault>,
    /// What took how long.
    pub(crate) spans: Vec<TraceSpan>,
}

/// Between two tries to begin something, when that cannot be kept.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs deliveries by `attempt` until `shutdown` ends. What is under way then has so much patience to end, and is run again by the next
/// daemon if it does not.
pub(crate) async fn run<F>(
    deliveries: Deliveries,
    attempt: impl Fn(Delivery, Bytes) -> F,
    shutdown: impl Future<Output = ()>,
    patience: Duration,
) where
    F: Future<Output = Attempt> + Send + 'static,
{
    let mut shutdown = pin!(shutdown);
    let mut running = Running::default();
    loop {
        let pause = match deliveries.begin().await {
            Ok(begun) => {
                for Begun { delivery, event } in begun {
                    let id = delivery.id;
                    running.add(id, carry_out(deliveries.clone(), id, attempt(delivery, event)));
                }
                deliveries.0.shared.backlog().next_due_ms().map(until)
            }
            Err(error) => {
                tracing::warn!(%error, "no invocation can be begun");
                Some(AGAIN)
            }
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = deliveries.0.shared.wake.notified() => {}
            () = running.next() => {}
            () = after(pause) => {}
        }
    }
    if tokio::time::timeout(patience, running.all()).await.is_err() {
        let count = running.ids.len();
        tracing::warn!(count, "asynchronous invocations took too long to end; they will be run again");
    }
    for id in running.give_up().await {
        // An attempt that has ended in time is not affected.
        _ = deliveries.end(id, DeliveryOutcome::Dropped, None, Vec::new()).await;
    }
}

/// Attempts that are under way.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    ids: HashMap<Id, InvocationId>,
}

impl Running {
    fn add(&mut self, id: InvocationId, attempt: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(attempt);
        self.ids.insert(task.id(), id);
    }

    /// Waits for one to end; for ever if there is none.
    async fn next(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((task, ()))) => _ = self.ids.remove(&task),
            Some(Err(error)) => _ = self.ids.remove(&error.id()),
            None => std::future::pending().await,
        }
    }

    async fn all(&mut self) {
        while !self.tasks.is_empty() {
            self.next().await;
        }
    }

    /// Ends all; gives those that were not at their end.
    async fn give_up(mut self) -> Vec<InvocationId> {
        self.tasks.shutdown().await;
        self.ids.into_values().collect()
    }
}

/// Makes one attempt, and writes down how it ended.
async fn carry_out(deliveries: Deliveries, id: InvocationId, attempt: impl Future<Output = Attempt>) {
    let Attempt { answer, spans } = match AssertUnwindSafe(attempt).catch_unwind().await {
        Ok(attempt) => attempt,
        Err(panic) => Attempt { answer: Err(defect(&*panic)), spans: Vec::new() },
    };
    let (outcome, answer) = match answer {
        Ok((_, answer)) if answer.len() > DELIVERY_ANSWER_BYTES => {
            (DeliveryOutcome::Failed(too_large(answer.len())), None)
        }
        Ok((content_type, answer)) => {
            let answer_bytes = answer.len() as u64;
            (DeliveryOutcome::Answered { content_type, answer_bytes }, Some(answer))
        }
        Err(fault) => (DeliveryOutcome::Failed(fault), None),
    };
    // Only a daemon that ends does not hear it, and the next one runs it again.
    _ = deliveries.end(id, outcome, answer, spans).await;
}

/// Another attempt would be answered at the same length.
fn too_large(bytes: usize) -> DeliveryFault {
    let detail = format!(
        "the function has answered with {bytes} bytes; the answer of an asynchronous invocation has at most {DELIVERY_ANSWER_BYTES}"
    );
    DeliveryFault { code: Code::AnswerTooLarge, detail, report: None, retry: Retry::Never }
}

fn defect(panic: &(dyn Any + Send)) -> DeliveryFault {
    let message =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message, "an attempt panicked");
    let detail = "a defect in the daemon; its log says more".to_owned();
    DeliveryFault { code: Code::Internal, detail, report: None, retry: Retry::Function }
}

fn until(due_ms: u64) -> Duration {
    Duration::from_millis(due_ms.saturating_sub(now_ms()))
}

async fn after(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
