//! An invocation, what is answered, and what can go wrong with a function.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;

/// One event for a function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its id: unique for ever, printable ASCII without blanks, at most 64 bytes. `Lambda-Runtime-Aws-Request-Id`.
    pub id: String,
    /// The event, as the handler gets it.
    pub payload: Bytes,
    /// When the function will be stopped. `Lambda-Runtime-Deadline-Ms`.
    pub deadline: SystemTime,
    /// `Lambda-Runtime-Trace-Id`, if any.
    pub trace: Option<String>,
}

/// What a function has answered.
#[derive(Debug)]
pub struct Answer {
    /// What it says that the body is; `application/json` unless it says so.
    pub content_type: String,
    /// The answer.
    pub body: Body,
}

/// An answer's body.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// It is still being written (`Lambda-Runtime-Function-Response-Mode: streaming`). Ends with the channel; a fault ends it too,
    /// with what came before already answered.
    Stream(mpsc::Receiver<Result<Bytes, Fault>>),
}

/// Why a function did not answer, or not to the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The function says so itself: its handler raised, or it reported an error. It can be invoked again.
    #[error("{}: {}", .0.error_type, .0.message)]
    Reported(FunctionError),
    /// The handler could not be loaded. The container is of no use any more.
    #[error("{}: {}", .0.error_type, .0.message)]
    Init(FunctionError),
    /// It did not answer in time. The container is of no use any more.
    #[error("task timed out after {:.2} seconds", .after.as_secs_f64())]
    TimedOut {
        /// How long it had.
        after: Duration,
    },
    /// The answer is longer than an answer may be; it was dropped. It can be invoked again.
    #[error("the answer is longer than {limit} bytes")]
    ResponseTooLarge {
        /// Most bytes of an answer.
        limit: usize,
    },
    /// The processes used more memory than they may and the kernel ended one of them. The container is of no use any more.
    #[error("out of memory: more than {limit_mb} MB")]
    OutOfMemory {
        /// What it may use.
        limit_mb: u32,
    },
    /// Its process ended before it answered. The container is of no use any more.
    #[error("the process ended before it answered: {0}")]
    Exited(Exit),
    /// The container was removed while it was at work.
    #[error("the environment was removed")]
    Removed,
}

/// What a function reports of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// Such as `Runtime.ImportModuleError` or `KeyError`.
    pub error_type: String,
    /// For people.
    pub message: String,
    /// The whole report as it came: JSON, bounded.
    pub report: Bytes,
}

/// How a container's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody knows: it was not our child any more.
    Unknown,
}

impl Fault {
    /// The name that clients of the ecosystem know it by, such as `Sandbox.Timedout`.
    pub fn error_type(&self) -> &str {
        match self {
            Self::Reported(error) | Self::Init(error) => &error.error_type,
            Self::TimedOut { .. } => "Sandbox.Timedout",
            Self::ResponseTooLarge { .. } => "Function.ResponseSizeTooLarge",
            Self::OutOfMemory { .. } => "Runtime.OutOfMemory",
            Self::Exited(_) => "Runtime.ExitError",
            Self::Removed => "Sandbox.Removed",
        }
    }

    /// Whether the container can serve another invocation.
    pub const fn leaves_it_usable(&self) -> bool {
        matches!(self, Self::Reported(_) | Self::ResponseTooLarge { .. })
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("it is gone"),
        }
    }
}
