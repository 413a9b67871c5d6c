//! Asynchronous invocations: accepted, kept, and run until one attempt succeeds or there is no point in another.
//!
//! ```text
//!   accept ──► queued ── begin ──► running ── succeeded ──► succeeded ──┐
//!                ▲                    │ └──── failed for good ► failed ──┤ a day, or until there is no room
//!                └─── fault, retry ───┘                                 ▼
//!                     or the daemon's end                            (nothing)
//! ```
//!
//! At least once: an attempt is counted before it begins, so that one which takes the daemon with it counts, and is made again. The
//! rules are those of AWS Lambda: a function's fault is retried twice, and faults that are not the function's for six hours.

mod backlog;

pub use backlog::{Accepted, Backlog, BacklogLimits, NotAccepted};

use crate::limits::{
    DELIVERY_AGE_MS, DELIVERY_BACKOFF_MAX_MS, DELIVERY_BACKOFF_MIN_MS, DELIVERY_FUNCTION_RETRIES,
    DELIVERY_RECORD_BYTES,
};
use crate::{Code, FullName, InvocationId, TraceSpan};

/// An asynchronous invocation that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which one.
    pub id: InvocationId,
    /// Of which function.
    pub function: FullName,
    /// Of which of its versions.
    pub version: u64,
    /// When it was accepted. Unix time, milliseconds.
    pub accepted_at_ms: u64,
    /// Where it is in its life.
    pub state: DeliveryState,
    /// How often it was begun.
    pub attempts: u32,
    /// How many of these ended with a fault of the function, or with the daemon.
    pub function_faults: u32,
    /// How many of these ended with a fault that was not the function's.
    pub platform_faults: u32,
    /// When the last attempt began. Unix time, milliseconds.
    pub begun_at_ms: Option<u64>,
    /// Bytes of the event.
    pub event_bytes: u64,
    /// What tells the request from others, if it may come again.
    pub key: Option<DeliveryKey>,
    /// Why the last attempt failed, if it did.
    pub fault: Option<DeliveryFault>,
    /// What took how long in the last attempt that ended.
    pub spans: Vec<TraceSpan>,
}

/// Where an asynchronous invocation is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits until then for an attempt. Unix time, milliseconds.
    Queued {
        /// Not before.
        due_ms: u64,
    },
    /// An attempt is under way.
    Running,
    /// The function has answered.
    Succeeded {
        /// When. Unix time, milliseconds.
        at_ms: u64,
        /// What the answer says that it is.
        content_type: String,
        /// Bytes of the answer.
        answer_bytes: u64,
    },
    /// No attempt succeeded, and no other will be made; [`Delivery::fault`] says why.
    Failed {
        /// When. Unix time, milliseconds.
        at_ms: u64,
    },
}

/// What tells a request from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryKey {
    /// The client's key and its tenant, however they are written.
    pub key: String,
    /// Of the request.
    pub fingerprint: String,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFault {
    /// For programs.
    pub code: Code,
    /// For people.
    pub detail: String,
    /// What the function reports of it: JSON.
    pub report: Option<String>,
    /// Whether another attempt makes sense.
    pub retry: Retry,
}

/// Whether another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The function is to blame: twice more.
    Function,
    /// The function is not to blame: there was no environment, or too many were busy. For six hours.
    Platform,
    /// It would end the same: there is no such function any more, or it may not be invoked.
    Never,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The function has answered.
    Answered {
        /// What the answer says that it is.
        content_type: String,
        /// Its bytes.
        answer_bytes: u64,
    },
    /// It did not, or nothing could be asked of it.
    Failed(DeliveryFault),
    /// The daemon ends, and the attempt with it: as if it had not been begun.
    Dropped,
}

/// What is to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Which one it will be; nobody else's.
    pub id: InvocationId,
    /// Of which function.
    pub function: FullName,
    /// Of which of its versions.
    pub version: u64,
    /// Bytes of the event.
    pub event_bytes: u64,
    /// What tells the request from others, if it may come again.
    pub key: Option<DeliveryKey>,
}

impl Delivery {
    fn new(now_ms: u64, new: NewDelivery) -> Self {
        let NewDelivery { id, function, version, event_bytes, key } = new;
        Self {
            id,
            function,
            version,
            accepted_at_ms: now_ms,
            state: DeliveryState::Queued { due_ms: now_ms },
            attempts: 0,
            function_faults: 0,
            platform_faults: 0,
            begun_at_ms: None,
            event_bytes,
            key,
            fault: None,
            spans: Vec::new(),
        }
    }

    /// When it ended, if it has. Unix time, milliseconds.
    pub const fn ended_at_ms(&self) -> Option<u64> {
        match self.state {
            DeliveryState::Succeeded { at_ms, .. } | DeliveryState::Failed { at_ms } => Some(at_ms),
            DeliveryState::Queued { .. } | DeliveryState::Running => None,
        }
    }

    /// What it takes to keep it. Bytes. The event is not needed any more when it has ended.
    pub fn kept_bytes(&self) -> u64 {
        let body = match &self.state {
            DeliveryState::Queued { .. } | DeliveryState::Running => self.event_bytes,
            DeliveryState::Succeeded { answer_bytes, .. } => *answer_bytes,
            DeliveryState::Failed { .. } => 0,
        };
        let fault = self
            .fault
            .as_ref()
            .map_or(0, |fault| fault.detail.len() + fault.report.as_ref().map_or(0, String::len));
        DELIVERY_RECORD_BYTES + body + fault as u64
    }

    /// What a fault of the attempt that is under way leads to.
    fn fail(&mut self, now_ms: u64, fault: DeliveryFault) {
        let faults = match fault.retry {
            Retry::Function => &mut self.function_faults,
            Retry::Platform | Retry::Never => &mut self.platform_faults,
        };
        *faults = faults.saturating_add(1);
        let due_ms = now_ms.saturating_add(backoff_ms(*faults));
        let goes_on = match fault.retry {
            Retry::Function => *faults <= DELIVERY_FUNCTION_RETRIES,
            Retry::Platform => true,
            Retry::Never => false,
        };
        let in_time = due_ms <= self.accepted_at_ms.saturating_add(DELIVERY_AGE_MS);
        self.fault = Some(fault);
        self.state = if goes_on && in_time {
            DeliveryState::Queued { due_ms }
        } else {
            DeliveryState::Failed { at_ms: now_ms }
        };
    }

    /// What becomes of it when a daemon begins: an attempt that was under way has ended with the one before.
    fn resume(&mut self, now_ms: u64) {
        if self.state == DeliveryState::Running {
            self.fail(now_ms, interrupted());
        }
    }
}

impl DeliveryState {
    /// As the API writes it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Running => "running",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Retry {
    /// Its name in what is kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Platform => "platform",
            Self::Never => "never",
        }
    }
}

/// How long after its `faults`th fault of a kind it is tried again. Milliseconds.
fn backoff_ms(faults: u32) -> u64 {
    let doubled = faults.saturating_sub(1).min(u64::BITS - 1 - DELIVERY_BACKOFF_MIN_MS.ilog2() - 1);
    (DELIVERY_BACKOFF_MIN_MS << doubled).min(DELIVERY_BACKOFF_MAX_MS)
}

fn interrupted() -> DeliveryFault {
    let detail = "the daemon ended while the function was running".to_owned();
    DeliveryFault { code: Code::Interrupted, detail, report: None, retry: Retry::Function }
}

#[cfg(test)]
mod tests;
