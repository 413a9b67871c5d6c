//! Invocations: those whose caller waits, and those that are accepted and run later.
//!
//! ```text
//!   sync   ──► resolve ──► Runner::invoke ──► answer, remembered for a while
//!   async  ──► resolve ──► Deliveries::accept ──► 202        … deliver ──► Runner::invoke ──► outcome, kept for a day
//! ```

mod fault;
mod recent;
mod runner;
mod views;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use control_core::limits::DELIVERY_ANSWER_BYTES;
use control_core::{
    Accepted, Caller, Code, Delivery, DeliveryKey, FullName, InvocationId, Kind, Name, NewDelivery, Problem,
    TraceSpan,
};
use tracing::Instrument;

pub(crate) use fault::InvocationFault;
pub(crate) use runner::{Invoked, LogTail, Order, Runner};
pub(crate) use views::{
    EnvironmentDetailView, EnvironmentView, FaultView, InvocationView, LogLineView, TransitionView,
};

use super::call::named;
use super::{App, Call, now, random};
use crate::deliveries::{self, Attempt, Deliveries};
use crate::registry::ReplayKey;
use recent::Recent;

/// What invocations need of the daemon; nothing of it is there in a daemon that does not serve functions.
#[derive(Default)]
pub(super) struct Invocations {
    runner: OnceLock<Arc<dyn Runner>>,
    deliveries: OnceLock<Deliveries>,
    recent: Mutex<Recent>,
}

/// An invocation whose function has begun to answer.
pub(crate) struct Answered {
    pub(crate) id: InvocationId,
    pub(crate) version: u64,
    pub(crate) spans: Vec<TraceSpan>,
    pub(crate) content_type: String,
    pub(crate) body: sandbox::Body,
    /// Told how a streamed answer ends.
    pub(crate) ending: Option<StreamEnding>,
}

/// An invocation without an answer.
pub(crate) struct Unanswered {
    /// Which one, if it came to that.
    pub(crate) id: Option<InvocationId>,
    pub(crate) fault: Box<InvocationFault>,
}

/// Remembers how a streamed answer ends: if nobody tells, whoever read it has gone.
pub(crate) struct StreamEnding {
    app: App,
    id: InvocationId,
}

/// Forgets an invocation whose caller has gone.
struct Heard<'a> {
    app: &'a App,
    id: Option<InvocationId>,
}

impl Heard<'_> {
    fn end(mut self) {
        self.id = None;
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.app.recent().forget(id);
        }
    }
}

impl App {
    /// From now on, functions are run by `runner`. Once only.
    pub(crate) fn connect(&self, runner: Arc<dyn Runner>) {
        assert!(self.0.invocations.runner.set(runner).is_ok(), "functions are run by one only");
    }

    /// From now on, what is accepted is kept there. Once only.
    pub(crate) fn keep_invocations(&self, deliveries: Option<Deliveries>) {
        let Some(deliveries) = deliveries else { return };
        assert!(self.0.invocations.deliveries.set(deliveries).is_ok(), "they are kept in one place");
    }

    pub(super) fn runner(&self) -> Result<&Arc<dyn Runner>, Problem> {
        let detail = "this daemon does not serve functions on this machine; its log says why";
        self.0.invocations.runner.get().ok_or_else(|| Problem::new(Code::FunctionsUnavailable, detail))
    }

    fn deliveries(&self) -> Result<&Deliveries, Problem> {
        let detail = "the store of asynchronous invocations could not be opened; the daemon's log says why";
        self.0.invocations.deliveries.get().ok_or_else(|| Problem::new(Code::StoreUnavailable, detail))
    }

    /// Whether what is accepted can be kept, as far as is known.
    pub(super) fn is_losing_invocations(&self) -> bool {
        self.0.invocations.deliveries.get().is_some_and(Deliveries::is_failing)
    }

    /// The version that would run.
    pub(crate) fn resolve(&self, call: &Call, name: &str, version: Option<u64>) -> Result<u64, Problem> {
        self.runner()?.resolve(&function_named(call.tenant(), name)?, version)
    }

    /// Invokes a function and waits for its answer, or for the beginning of one that is streamed. If the caller is dropped,
    /// one that waits for an environment is taken back, and one that has begun goes on and nobody hears of it.
    pub(crate) async fn invoke(
        &self,
        call: &Call,
        name: &str,
        version: Option<u64>,
        event: Bytes,
    ) -> Result<Answered, Unanswered> {
        let refused = |problem: Problem| Unanswered { id: None, fault: problem.into() };
        let function = function_named(call.tenant(), name).map_err(refused)?;
        let runner = Arc::clone(self.runner().map_err(refused)?);
        let version = runner.resolve(&function, version).map_err(refused)?;
        let id = new_id().map_err(refused)?;
        self.recent().begin(id, function.clone(), version);
        let heard = Heard { app: self, id: Some(id) };
        let outcome = runner.invoke(Order { id, function: function.clone(), version, event }).await;
        heard.end();
        // If the function was deleted before this one came, it is refused, and what is remembered of it may have been forgotten before.
        if outcome.is_err() && runner.find(&function, None).is_err() {
            self.recent().forget_all(&function);
        }
        self.answered(id, version, outcome)
    }

    fn answered(
        &self,
        id: InvocationId,
        version: u64,
        outcome: Result<Invoked, Box<InvocationFault>>,
    ) -> Result<Answered, Unanswered> {
        match outcome {
            Ok(Invoked { answer: sandbox::Answer { content_type, body }, spans }) => {
                let is_whole = matches!(body, sandbox::Body::Whole(_));
                self.recent().trace(id, spans.clone());
                if is_whole {
                    self.recent().end(id, None);
                }
                let ending = (!is_whole).then(|| StreamEnding { app: self.clone(), id });
                Ok(Answered { id, version, spans, content_type, body, ending })
            }
            Err(fault) => {
                self.recent().trace(id, fault.spans.clone());
                self.recent().end(id, Some(fault.view()));
                Err(Unanswered { id: Some(id), fault })
            }
        }
    }

    /// Accepts an invocation that is run later. It is kept when this returns.
    pub(crate) async fn accept_invocation(
        &self,
        call: &Call,
        name: &str,
        version: Option<u64>,
        event: Bytes,
    ) -> Result<InvocationView, Problem> {
        let function = function_named(call.tenant(), name)?;
        let version = self.runner()?.resolve(&function, version)?;
        let deliveries = self.deliveries()?;
        let key = call.key.as_ref().map(|key| DeliveryKey {
            key: ReplayKey::new(call.tenant(), &key.key).as_str().to_owned(),
            fingerprint: key.fingerprint.clone(),
        });
        let new = NewDelivery {
            id: new_id()?,
            function: function.clone(),
            version,
            event_bytes: event.len() as u64,
            key,
        };
        let (Accepted::New(id) | Accepted::Before(id)) = deliveries.accept(new, event).await?;
        // If the function was deleted meanwhile, its invocations may have been forgotten before this one came.
        if let Err(gone) = self.runner()?.find(&function, None) {
            self.forget_invocations(&function).await;
            return Err(gone);
        }
        tracing::debug!(%id, "invocation accepted");
        let gone = || {
            Problem::new(Code::KeyDone, "the request with this key was made before, and is forgotten by now")
        };
        deliveries.find(id).map(|delivery| InvocationView::of(&delivery)).ok_or_else(gone)
    }

    /// A function is no more, and nobody shall take its invocations for those of another of its name.
    pub(super) async fn forget_invocations(&self, function: &FullName) {
        self.recent().forget_all(function);
        let Ok(deliveries) = self.deliveries() else { return };
        if let Err(error) = deliveries.forget(function).await {
            tracing::error!(%function, %error, "asynchronous invocations of a deleted function stay");
        }
    }

    /// The latest invocations of a function, the newest first.
    pub(crate) fn invocations(
        &self,
        caller: &Caller,
        name: &str,
        limit: usize,
    ) -> Result<Vec<InvocationView>, Problem> {
        let function = function_named(&caller.tenant, name)?;
        self.runner()?.find(&function, None)?;
        let mut all = self.recent().of(&function, limit);
        if let Ok(deliveries) = self.deliveries() {
            all.extend(deliveries.of(&function, limit).iter().map(InvocationView::of));
        }
        all.sort_by(|a, b| b.id.cmp(&a.id));
        all.truncate(limit);
        Ok(all)
    }

    /// An invocation, with its answer if that is kept.
    pub(crate) async fn invocation(
        &self,
        caller: &Caller,
        name: &str,
        id: &str,
    ) -> Result<InvocationView, Problem> {
        let function = function_named(&caller.tenant, name)?;
        let missing = || {
            let detail = format!("function {name} has no invocation {id}, or it is forgotten by now");
            Problem::new(Code::NotFound, detail)
        };
        let known = InvocationId::parse(id).ok_or_else(missing)?;
        if let Some(found) = self.recent().find(&function, known) {
            return Ok(found);
        }
        let deliveries = self.deliveries()?;
        let found = deliveries.find(known).filter(|found| found.function == function).ok_or_else(missing)?;
        let answer = deliveries.answer(known).await?;
        Ok(InvocationView::of(&found).with_answer(answer))
    }

    /// What a function has written lately, and what it writes from now on.
    pub(crate) fn function_logs(
        &self,
        caller: &Caller,
        name: &str,
        tail: usize,
        follows: bool,
    ) -> Result<LogTail, Problem> {
        self.runner()?.logs(&function_named(&caller.tenant, name)?, tail, follows)
    }

    /// The environments that the caller may see.
    pub(crate) fn environments(&self, caller: &Caller) -> Result<Vec<EnvironmentView>, Problem> {
        Ok(self.runner()?.environments(caller))
    }

    /// One of them.
    pub(crate) fn environment(&self, caller: &Caller, id: &str) -> Result<EnvironmentDetailView, Problem> {
        self.runner()?.environment(caller, id)
    }

    /// Ends an environment as soon as it has done what it does.
    pub(crate) fn drain_environment(&self, call: &Call, id: &str) -> Result<(), Problem> {
        let runner = self.runner()?;
        if call.dry_run {
            return runner.environment(&call.caller, id).map(drop);
        }
        runner.drain(&call.caller, id)
    }

    /// Runs what was accepted until `shutdown` ends. Does nothing if functions are not served.
    pub(crate) async fn deliver(self, shutdown: impl Future<Output = ()>, patience: Duration) {
        let (Ok(runner), Ok(deliveries)) = (self.runner(), self.deliveries()) else { return };
        let attempt = |delivery, event| attempt(Arc::clone(runner), delivery, event);
        deliveries::run(deliveries.clone(), attempt, shutdown, patience).await;
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.invocations.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamEnding {
    /// It ended, with this fault if it was cut short.
    pub(crate) fn tell(self, fault: Option<&sandbox::Fault>) {
        let fault = fault.map(|fault| InvocationFault::of_sandbox(fault).view());
        self.app.recent().end(self.id, fault);
    }
}

impl Drop for StreamEnding {
    fn drop(&mut self) {
        self.app.recent().end_if_running(self.id);
    }
}

/// Makes one attempt of what was accepted.
async fn attempt(runner: Arc<dyn Runner>, delivery: Delivery, event: Bytes) -> Attempt {
    let Delivery { id, function, version, .. } = delivery;
    let span = tracing::info_span!("delivery", %id, %function, attempt = delivery.attempts);
    let run = async move {
        match runner.invoke(Order { id, function, version, event }).await {
            Ok(Invoked { answer, spans }) => {
                let body =
                    whole(answer.body).await.map_err(|fault| InvocationFault::of_sandbox(&fault).kept());
                Attempt { answer: body.map(|body| (answer.content_type, body)), spans }
            }
            Err(fault) => Attempt { spans: fault.spans.clone(), answer: Err(fault.kept()) },
        }
    };
    run.instrument(span).await
}

/// An answer to its end. Of one that is too long to be kept, a part that is too long as well.
async fn whole(body: sandbox::Body) -> Result<Bytes, sandbox::Fault> {
    let mut parts = match body {
        sandbox::Body::Whole(bytes) => return Ok(bytes),
        sandbox::Body::Stream(parts) => parts,
    };
    let mut whole = Vec::new();
    while let Some(part) = parts.recv().await {
        whole.extend_from_slice(&part?);
        if whole.len() > DELIVERY_ANSWER_BYTES {
            break;
        }
    }
    Ok(whole.into())
}

/// A tenant's function of this name. Whether there is one is for the runner to say.
fn function_named(tenant: &Name, name: &str) -> Result<FullName, Problem> {
    named(tenant, name, Kind::Function)
}

fn new_id() -> Result<InvocationId, Problem> {
    let random = random::bytes().map_err(|error| {
        tracing::error!(%error, "no randomness");
        Problem::new(Code::Internal, "the machine gives no randomness for an id")
    })?;
    Ok(InvocationId::new(now().as_millis() as u64, random))
}
