//! Invocations, environments and lines of logs as clients see them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use control_core::{Delivery, DeliveryFault, DeliveryState, FullName, InvocationId, TraceSpan};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::now;

/// An invocation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Invocation)]
pub(crate) struct InvocationView {
    /// Tells it from all others; later ones are greater.
    pub(crate) id: String,
    pub(crate) function: String,
    /// Which version of it.
    pub(crate) version: u64,
    /// `sync` if its caller waits, or else `async`.
    #[schema(example = "async")]
    pub(crate) mode: &'static str,
    /// `queued`, `running`, `succeeded` or `failed`.
    #[schema(example = "succeeded")]
    pub(crate) state: &'static str,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// When it came. Unix time, milliseconds.
    pub(crate) accepted_at_ms: u64,
    /// When the last attempt began. Unix time, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) begun_at_ms: Option<u64>,
    /// When it ended. Unix time, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at_ms: Option<u64>,
    /// When it is tried next, at the earliest. Unix time, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_attempt_at_ms: Option<u64>,
    /// What took how long in the last attempt that ended.
    pub(crate) spans: Vec<TraceSpan>,
    /// What the answer says that it is, if one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    /// The answer, if one is kept and it is JSON. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Value>,
    /// The answer, if one is kept and it is no JSON. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer_base64: Option<String>,
    /// Why the last attempt failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<FaultView>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InvocationFault)]
pub(crate) struct FaultView {
    /// For programs: a code of a problem.
    #[schema(example = "function_failed")]
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) detail: String,
    /// What the function reports of it: `errorType`, `errorMessage`, `stackTrace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function_error: Option<Value>,
}

/// An environment: a container that serves one version of a function, or waits for one.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Environment)]
pub(crate) struct EnvironmentView {
    /// Tells it from all others of this daemon.
    pub(crate) id: String,
    /// What it is made of.
    #[schema(example = "python3")]
    pub(crate) runtime: String,
    /// `creating`, `warm`, `init`, `idle`, `busy`, `draining` or `gone`.
    #[schema(example = "idle")]
    pub(crate) state: String,
    /// Since when. Unix time, milliseconds.
    pub(crate) since_ms: u64,
    /// The function that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    /// Which version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    /// The container that it is, for its sessions and drops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<String>,
    /// Invocations that it has served.
    pub(crate) invocations: u64,
    /// Memory that it uses. Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<u64>,
    /// Memory that it may use. MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_limit_mb: Option<u32>,
}

/// An environment and how it came to be as it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EnvironmentDetail)]
pub(crate) struct EnvironmentDetailView {
    #[serde(flatten)]
    pub(crate) environment: EnvironmentView,
    /// Its last steps, the oldest first.
    pub(crate) transitions: Vec<TransitionView>,
}

/// A step of an environment's life.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Transition)]
pub(crate) struct TransitionView {
    /// When. Unix time, milliseconds.
    pub(crate) at_ms: u64,
    /// From which state; from none at its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// To which state.
    pub(crate) to: String,
    /// Why.
    #[schema(example = "triggered")]
    pub(crate) cause: String,
}

/// A line that a function, or the daemon about it, has written.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LogLineView {
    /// When. Unix time, milliseconds.
    pub(crate) at_ms: u64,
    /// The environment that has written it.
    pub(crate) environment: String,
    /// The invocation that was under way, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invocation: Option<String>,
    /// `stdout`, `stderr`, or `platform` for lines of the daemon, such as `START` and `REPORT`.
    #[schema(example = "stdout")]
    pub(crate) stream: &'static str,
    /// The line, without its end.
    pub(crate) text: String,
}

impl InvocationView {
    /// One whose caller waits, as it begins.
    pub(super) fn begun(id: InvocationId, function: &FullName, version: u64) -> Self {
        let now_ms = now().as_millis() as u64;
        Self {
            id: id.to_string(),
            function: function.name.to_string(),
            version,
            mode: "sync",
            state: "running",
            attempts: 1,
            accepted_at_ms: now_ms,
            begun_at_ms: Some(now_ms),
            ended_at_ms: None,
            next_attempt_at_ms: None,
            spans: Vec::new(),
            content_type: None,
            answer: None,
            answer_base64: None,
            fault: None,
        }
    }

    /// One that was accepted, without its answer.
    pub(super) fn of(delivery: &Delivery) -> Self {
        let (next_attempt_at_ms, content_type) = match &delivery.state {
            DeliveryState::Queued { due_ms } => (Some(*due_ms), None),
            DeliveryState::Succeeded { content_type, .. } => (None, Some(content_type.clone())),
            DeliveryState::Running | DeliveryState::Failed { .. } => (None, None),
        };
        Self {
            id: delivery.id.to_string(),
            function: delivery.function.name.to_string(),
            version: delivery.version,
            mode: "async",
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            accepted_at_ms: delivery.accepted_at_ms,
            begun_at_ms: delivery.begun_at_ms,
            ended_at_ms: delivery.ended_at_ms(),
            next_attempt_at_ms,
            spans: delivery.spans.clone(),
            content_type,
            answer: None,
            answer_base64: None,
            fault: delivery.fault.as_ref().map(FaultView::from),
        }
    }

    /// The same with what the function has answered.
    pub(super) fn with_answer(mut self, answer: Option<Bytes>) -> Self {
        let Some(answer) = answer else { return self };
        let is_json = self.content_type.as_ref().is_some_and(|kind| kind.starts_with("application/json"));
        match serde_json::from_slice(&answer) {
            Ok(json) if is_json => self.answer = Some(json),
            _ => self.answer_base64 = Some(BASE64_STANDARD.encode(answer)),
        }
        self
    }
}

impl From<&DeliveryFault> for FaultView {
    fn from(fault: &DeliveryFault) -> Self {
        Self {
            code: fault.code.as_str(),
            detail: fault.detail.clone(),
            function_error: fault.report.as_ref().and_then(|report| serde_json::from_str(report).ok()),
        }
    }
}
