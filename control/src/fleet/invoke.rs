//! One invocation, from its trigger to its answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use control_core::fleet::{Cause, Outcome, Reason, RequestId, VersionKey};
use control_core::{FullName, Problem};
use sandbox::{Answer, Body, Fault, Invocation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::begin::Begun;
use super::environment::{Adopted, Environment};
use super::lease::{Heard, Lease, Waiting};
use super::logs::{Report, of_platform, start_line};
use super::relay::relay;
use super::trace::{Span, Timed};
use super::{Deployed, Fleet};

/// Somebody wants a function to do something.
#[derive(Debug)]
pub(crate) struct Trigger {
    /// Which version of which function.
    pub(crate) key: VersionKey,
    /// The invocation's id.
    pub(crate) id: String,
    /// The event.
    pub(crate) payload: Bytes,
    /// How long it may wait for an environment.
    pub(crate) patience: Duration,
    /// When it came.
    pub(crate) at: Instant,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Invoked {
    /// The answer, or why there is none.
    pub(crate) answer: Result<Answer, InvokeError>,
    /// What took how long until then.
    pub(crate) spans: Vec<Span>,
}

/// Why a function did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvokeError {
    /// It was not tried.
    #[error("{}", reason_text(*.0))]
    Refused(Reason),
    /// It may not use what it names.
    #[error("{}", .0.detail())]
    Denied(Problem),
    /// Its handler could not be loaded.
    #[error("{0}")]
    NotLoaded(Fault),
    /// Its handler was running.
    #[error("{0}")]
    Failed(Fault),
    /// A defect or a failure of the machine; for the log.
    #[error("{0}")]
    Broken(String),
}

/// Parts of a streamed answer that wait for the client.
const PARTS_WAITING: usize = 8;

impl Fleet {
    /// Invokes a function. A caller that is dropped while it waits for an environment takes the invocation back; after that it is carried
    /// to its end, and nobody hears of it.
    pub(crate) async fn invoke(&self, trigger: Trigger) -> Invoked {
        let (deployed, lease) = match self.grant(&trigger).await {
            Ok(granted) => granted,
            Err(error) => return Self::not_run(&trigger, error),
        };
        let (tell, told) = oneshot::channel();
        self.0.runtime.spawn(self.clone().run(trigger, deployed, lease, tell));
        told.await.unwrap_or_else(|_| {
            let answer = Err(InvokeError::Broken("the invocation broke off".into()));
            Invoked { answer, spans: Vec::new() }
        })
    }

    async fn grant(&self, trigger: &Trigger) -> Result<(Arc<Deployed>, Lease), InvokeError> {
        let deployed = self.permit(&trigger.key)?;
        Ok((deployed, self.wait(trigger).await?))
    }

    /// Whether the function may be invoked now: its connectors can have been revoked since it was deployed.
    fn permit(&self, key: &VersionKey) -> Result<Arc<Deployed>, InvokeError> {
        let app = self.app().ok_or(InvokeError::Refused(Reason::ShuttingDown))?;
        let deployed = self.state().versions.get(key).cloned();
        let deployed = deployed.ok_or(InvokeError::Refused(Reason::UnknownVersion))?;
        app.wiring(&key.function).map_err(InvokeError::Denied)?;
        Ok(deployed)
    }

    /// Waits for an environment.
    async fn wait(&self, trigger: &Trigger) -> Result<Lease, InvokeError> {
        let (tell, told) = oneshot::channel();
        let request = self.with(|state, now| {
            state.last_request += 1;
            let request = RequestId(state.last_request);
            state.requests.insert(request, (trigger.key.clone(), tell));
            state.decisions.handle_request(now, request, &trigger.key, now + trigger.patience);
            request
        });
        let _waiting = Waiting { fleet: self.clone(), request };
        match told.await {
            Ok(Heard::Granted(lease)) => Ok(lease),
            Ok(Heard::Refused(error)) => Err(error),
            Err(_) => Err(InvokeError::Refused(Reason::ShuttingDown)),
        }
    }

    fn not_run(trigger: &Trigger, error: InvokeError) -> Invoked {
        let waited = Timed { name: "queue", start: trigger.at, took: trigger.at.elapsed() };
        let spans = vec![waited.since(trigger.at)];
        Invoked { answer: Err(error), spans }
    }

    /// Has an environment serve it.
    async fn run(
        self,
        trigger: Trigger,
        deployed: Arc<Deployed>,
        lease: Lease,
        tell: oneshot::Sender<Invoked>,
    ) {
        let environment = Arc::clone(&lease.environment);
        if let Err(problem) = self.rewire(&environment, &trigger.key.function).await {
            _ = tell.send(Self::not_run(&trigger, InvokeError::Denied(problem)));
            return;
        }
        let begun = environment.serves(&trigger.id);
        self.log(&trigger, &environment, start_line(&trigger.id, trigger.key.version));
        let start = Instant::now();
        let invocation = Invocation {
            id: trigger.id.clone(),
            payload: trigger.payload.clone(),
            deadline: SystemTime::now() + deployed.timeout,
            trace: None,
        };
        let answer = environment.container.invoke(invocation).await;
        let mut spans = spans(begun, trigger.at, start);
        spans.push(Timed { name: "handler", start, took: start.elapsed() }.since(trigger.at));
        let fault = match answer {
            Ok(Answer { content_type, body: Body::Stream(parts) }) => {
                let (pass_on, body) = mpsc::channel(PARTS_WAITING);
                let answer = Ok(Answer { content_type, body: Body::Stream(body) });
                _ = tell.send(Invoked { answer, spans });
                let over = async {
                    _ = timeout_at(start + deployed.timeout, environment.container.ended()).await;
                };
                let (fault, client) = relay(parts, pass_on, over).await;
                lease.end(outcome(fault.as_ref()));
                drop(client);
                fault
            }
            answer => {
                let fault = answer.as_ref().err().cloned();
                // Whoever hears the answer can come back at once, and finds the environment idle.
                lease.end(outcome(fault.as_ref()));
                _ = tell.send(Invoked { answer: answer.map_err(InvokeError::Failed), spans });
                // Whoever waits for the answer goes first: what it has used is read from files.
                tokio::task::yield_now().await;
                fault
            }
        };
        let report = Report {
            id: &trigger.id,
            duration: start.elapsed(),
            init: begun.map(|begun| begun.took),
            memory_mb: deployed.terms.memory_mb,
            memory_peak_bytes: environment.container.usage().memory_peak_bytes,
            fault: fault.filter(|fault| !matches!(fault, Fault::Reported(_))).map(|fault| fault.to_string()),
        };
        for line in report.lines() {
            self.log(&trigger, &environment, line);
        }
    }

    /// Gives an environment what it lacks since it began. What the function may use is asked now: it can have changed while it waited.
    async fn rewire(&self, environment: &Environment, function: &FullName) -> Result<(), Problem> {
        let Some(app) = self.app() else { return Ok(()) };
        let wiring = app.wiring(function)?;
        let adopted = environment.adopted.lock().await;
        match &*adopted {
            Adopted::As(container) => app.rewire_environment(container, &wiring.connectors).await,
            Adopted::Not | Adopted::Over => Ok(()),
        }
    }

    fn log(&self, trigger: &Trigger, environment: &Environment, text: String) {
        self.0.logs.add(&trigger.key, of_platform(environment.id, &trigger.id, text));
    }
}

/// What an invocation waited for: in the queue, and for what its environment had to do first, if it is the first there.
fn spans(begun: Option<&Begun>, triggered: Instant, served: Instant) -> Vec<Span> {
    let queued = begun.map_or(served, |begun| begun.at.max(triggered));
    let took = queued.saturating_duration_since(triggered);
    let queue = Timed { name: "queue", start: triggered, took };
    let parts = begun.iter().flat_map(|begun| begun.parts.iter().copied());
    std::iter::once(queue).chain(parts).map(|timed| timed.since(triggered)).collect()
}

/// What an invocation has left of its environment.
fn outcome(fault: Option<&Fault>) -> Outcome {
    match fault {
        None => Outcome::Reusable,
        Some(fault) if fault.leaves_it_usable() => Outcome::Reusable,
        Some(Fault::TimedOut { .. }) => Outcome::Spent(Cause::TimedOut),
        Some(Fault::OutOfMemory { .. }) => Outcome::Spent(Cause::OutOfMemory),
        Some(Fault::Init(_)) => Outcome::Spent(Cause::InitFailed),
        Some(_) => Outcome::Spent(Cause::Ended),
    }
}

/// For people.
const fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::TooMany => "the function has as many invocations as it may have; try again later",
        Reason::NoEnvironment => "no environment could be had in time; try again later",
        Reason::NotLoaded => "the function's handler cannot be loaded; its log says why",
        Reason::UnknownVersion => "there is no such version of the function",
        Reason::ShuttingDown => "the daemon is shutting down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_leave_nothing_usable_spend_the_environment() {
        let error =
            sandbox::FunctionError { error_type: "E".into(), message: "m".into(), report: Bytes::new() };
        let after = Duration::from_secs(1);
        for (fault, expected) in [
            (None, Outcome::Reusable),
            (Some(Fault::Reported(error.clone())), Outcome::Reusable),
            (Some(Fault::ResponseTooLarge { limit: 1 }), Outcome::Reusable),
            (Some(Fault::TimedOut { after }), Outcome::Spent(Cause::TimedOut)),
            (Some(Fault::OutOfMemory { limit_mb: 1 }), Outcome::Spent(Cause::OutOfMemory)),
            (Some(Fault::Init(error)), Outcome::Spent(Cause::InitFailed)),
            (Some(Fault::Exited(sandbox::Exit::Status(1))), Outcome::Spent(Cause::Ended)),
            (Some(Fault::Removed), Outcome::Spent(Cause::Ended)),
        ] {
            assert_eq!(outcome(fault.as_ref()), expected, "{fault:?}");
        }
    }
}
