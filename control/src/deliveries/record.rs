//! The form in which a delivery is kept.

use std::path::Path;

use control_core::{
    Code, Delivery, DeliveryFault, DeliveryKey, DeliveryState, FullName, InvocationId, Name, Problem, Retry,
    TraceSpan,
};
use serde::{Deserialize, Serialize};

use super::file::FILE;
use crate::medium::MediumError;

/// A delivery without its id.
#[derive(Deserialize, Serialize)]
struct Record {
    tenant: String,
    function: String,
    version: u64,
    accepted_at_ms: u64,
    #[serde(flatten)]
    state: State,
    attempts: u32,
    function_faults: u32,
    platform_faults: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at_ms: Option<u64>,
    event_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spans: Vec<TraceSpan>,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    Queued { due_ms: u64 },
    Running,
    Succeeded { at_ms: u64, content_type: String, answer_bytes: u64 },
    Failed { at_ms: u64 },
}

#[derive(Deserialize, Serialize)]
struct Key {
    key: String,
    fingerprint: String,
}

#[derive(Deserialize, Serialize)]
struct Fault {
    code: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
    retry: String,
}

/// What is kept of a delivery.
pub(super) fn write(delivery: &Delivery) -> Vec<u8> {
    let Delivery { id: _, function, version, accepted_at_ms, state, attempts, .. } = delivery;
    let record = Record {
        tenant: function.tenant.to_string(),
        function: function.name.to_string(),
        version: *version,
        accepted_at_ms: *accepted_at_ms,
        state: state.into(),
        attempts: *attempts,
        function_faults: delivery.function_faults,
        platform_faults: delivery.platform_faults,
        begun_at_ms: delivery.begun_at_ms,
        event_bytes: delivery.event_bytes,
        key: delivery.key.as_ref().map(|DeliveryKey { key, fingerprint }| Key {
            key: key.clone(),
            fingerprint: fingerprint.clone(),
        }),
        fault: delivery.fault.as_ref().map(Fault::from),
        spans: delivery.spans.clone(),
    };
    serde_json::to_vec(&record).expect("a record is plain data")
}

/// The delivery of which this is kept.
pub(super) fn read(id: InvocationId, value: &[u8]) -> Result<Delivery, MediumError> {
    let wrong = |problem: String| corrupted(Path::new(FILE), &format!("the entry {id}: {problem}"));
    let record: Record = serde_json::from_slice(value).map_err(|error| wrong(error.to_string()))?;
    let name =
        |text: String| Name::parse("name", text).map_err(|problem: Problem| wrong(problem.to_string()));
    Ok(Delivery {
        id,
        function: FullName { tenant: name(record.tenant)?, name: name(record.function)? },
        version: record.version,
        accepted_at_ms: record.accepted_at_ms,
        state: record.state.into(),
        attempts: record.attempts,
        function_faults: record.function_faults,
        platform_faults: record.platform_faults,
        begun_at_ms: record.begun_at_ms,
        event_bytes: record.event_bytes,
        key: record.key.map(|Key { key, fingerprint }| DeliveryKey { key, fingerprint }),
        fault: record.fault.map(DeliveryFault::from),
        spans: record.spans,
    })
}

/// What is found is not what was written.
pub(super) fn corrupted(path: &Path, problem: &str) -> MediumError {
    MediumError::Corrupted { path: path.to_owned(), problem: problem.to_owned() }
}

impl From<&DeliveryState> for State {
    fn from(state: &DeliveryState) -> Self {
        match state {
            DeliveryState::Queued { due_ms } => Self::Queued { due_ms: *due_ms },
            DeliveryState::Running => Self::Running,
            DeliveryState::Succeeded { at_ms, content_type, answer_bytes } => Self::Succeeded {
                at_ms: *at_ms,
                content_type: content_type.clone(),
                answer_bytes: *answer_bytes,
            },
            DeliveryState::Failed { at_ms } => Self::Failed { at_ms: *at_ms },
        }
    }
}

impl From<State> for DeliveryState {
    fn from(state: State) -> Self {
        match state {
            State::Queued { due_ms } => Self::Queued { due_ms },
            State::Running => Self::Running,
            State::Succeeded { at_ms, content_type, answer_bytes } => {
                Self::Succeeded { at_ms, content_type, answer_bytes }
            }
            State::Failed { at_ms } => Self::Failed { at_ms },
        }
    }
}

impl From<&DeliveryFault> for Fault {
    fn from(fault: &DeliveryFault) -> Self {
        Self {
            code: fault.code.as_str().to_owned(),
            detail: fault.detail.clone(),
            report: fault.report.clone(),
            retry: fault.retry.as_str().to_owned(),
        }
    }
}

impl From<Fault> for DeliveryFault {
    fn from(fault: Fault) -> Self {
        let code = Code::ALL.iter().find(|code| code.as_str() == fault.code);
        let retries = [Retry::Function, Retry::Platform, Retry::Never];
        let retry = retries.into_iter().find(|retry| retry.as_str() == fault.retry);
        // Another version may have written words that this one does not know.
        Self {
            code: code.copied().unwrap_or(Code::Internal),
            detail: fault.detail,
            report: fault.report,
            retry: retry.unwrap_or(Retry::Function),
        }
    }
}
