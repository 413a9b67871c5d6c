//! The fleet as the API sees it.

use std::time::Duration;

use control_core::fleet::{EnvironmentId, Reason, VersionKey};
use control_core::{Caller, Code, FullName, Kind, Problem, Refusal, TraceSpan};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::environment::EnvironmentSeen;
use super::trace::Span;
use super::{Fleet, InvokeError, Trigger};
use crate::app::{EnvironmentDetailView, EnvironmentView, InvocationFault, Invoked, LogTail, Order, Runner};

/// How long an invocation may wait for an environment.
const PATIENCE: Duration = Duration::from_secs(30);

impl Runner for Fleet {
    fn find(&self, function: &FullName, version: Option<u64>) -> Result<u64, Problem> {
        let known = self.versions(function);
        let latest = known.last().ok_or_else(|| no_function(function))?.version;
        let version = version.unwrap_or(latest);
        if known.iter().all(|key| key.version != version) {
            let detail = format!("function {} has no version {version}", function.name);
            return Err(Problem::new(Code::NotFound, detail));
        }
        Ok(version)
    }

    fn resolve(&self, function: &FullName, version: Option<u64>) -> Result<u64, Problem> {
        let version = self.find(function, version)?;
        self.app().map_or(Ok(()), |app| app.wiring(function).map(drop))?;
        Ok(version)
    }

    fn invoke(&self, order: Order) -> BoxFuture<'static, Result<Invoked, Box<InvocationFault>>> {
        let fleet = self.clone();
        let at = Instant::now();
        async move {
            let Order { id, function, version, event } = order;
            let key = VersionKey { function, version };
            let trigger = Trigger { key, id: id.to_string(), payload: event, patience: PATIENCE, at };
            // By its own name, as the trait's is this one.
            let super::Invoked { answer, spans } = Self::invoke(&fleet, trigger).await;
            let spans = spans.iter().map(TraceSpan::from).collect::<Vec<_>>();
            match answer {
                Ok(answer) => Ok(Invoked { answer, spans }),
                Err(error) => Err(Box::new(InvocationFault::from(error).after(spans))),
            }
        }
        .boxed()
    }

    fn logs(&self, function: &FullName, tail: usize, follows: bool) -> Result<LogTail, Problem> {
        Self::logs(self).read(function, tail, follows).ok_or_else(|| no_function(function))
    }

    fn environments(&self, caller: &Caller) -> Vec<EnvironmentView> {
        let all = Self::environments(self).into_iter();
        all.filter(|seen| is_seen_by(seen, caller)).map(|seen| seen.view).collect()
    }

    fn environment(&self, caller: &Caller, id: &str) -> Result<EnvironmentDetailView, Problem> {
        let found = id.parse().ok().and_then(|id| Self::environment(self, EnvironmentId(id)));
        let found = found.filter(|seen| is_seen_by(seen, caller)).ok_or_else(|| missing(id))?;
        Ok(EnvironmentDetailView { environment: found.view, transitions: found.transitions })
    }

    fn drain(&self, caller: &Caller, id: &str) -> Result<(), Problem> {
        Runner::environment(self, caller, id)?;
        let number = id.parse().map_err(|_| missing(id))?;
        if Self::drain(self, EnvironmentId(number)) { Ok(()) } else { Err(missing(id)) }
    }
}

/// A tenant sees those of its functions; who runs the daemon sees those that nobody has, too.
fn is_seen_by(seen: &EnvironmentSeen, caller: &Caller) -> bool {
    match &seen.tenant {
        Some(tenant) => *tenant == caller.tenant,
        None => caller.is_local(),
    }
}

fn no_function(function: &FullName) -> Problem {
    Refusal::NotFound { kind: Kind::Function, name: function.name.to_string() }.into()
}

fn missing(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no environment {id}"))
}

impl From<&Span> for TraceSpan {
    fn from(span: &Span) -> Self {
        Self { name: span.name.to_owned(), start_us: span.start_us, duration_us: span.duration_us }
    }
}

impl From<InvokeError> for InvocationFault {
    fn from(error: InvokeError) -> Self {
        let detail = error.to_string();
        let code = match error {
            InvokeError::Denied(problem) => return problem.into(),
            InvokeError::Failed(fault) => return Self::of_sandbox(&fault),
            // However that ended, the handler has never run.
            InvokeError::NotLoaded(fault) => {
                let told = Self::of_sandbox(&fault);
                let problem = Problem::new(Code::FunctionNotLoaded, told.problem.detail());
                return Self { problem, ..told };
            }
            InvokeError::Broken(error) => {
                tracing::error!(error, "an environment is of no use");
                let detail = "the environment failed; the daemon's log says why";
                return Problem::new(Code::Internal, detail).into();
            }
            InvokeError::Refused(reason) => match reason {
                Reason::TooMany => Code::TooManyInvocations,
                Reason::NoEnvironment => Code::NoEnvironment,
                Reason::NotLoaded => Code::FunctionNotLoaded,
                Reason::UnknownVersion => Code::NotFound,
                Reason::ShuttingDown => Code::ShuttingDown,
            },
        };
        Problem::new(code, detail).into()
    }
}
