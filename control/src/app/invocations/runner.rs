//! What runs functions, as the API sees it.

use bytes::Bytes;
use control_core::{Caller, FullName, InvocationId, Problem, TraceSpan};
use futures_util::future::BoxFuture;
use tokio::sync::broadcast;

use super::{EnvironmentDetailView, EnvironmentView, InvocationFault, LogLineView};

/// Runs functions: the fleet, or what stands for it in tests. A tenant's functions and environments are nothing to another: they are as
/// if they were not there.
pub(crate) trait Runner: Send + Sync {
    /// The version that is meant, the latest unless one is given, if there is such a function.
    fn find(&self, function: &FullName, version: Option<u64>) -> Result<u64, Problem>;

    /// The same, of a function that may run with its connectors as they are now.
    fn resolve(&self, function: &FullName, version: Option<u64>) -> Result<u64, Problem>;

    /// Runs it. Done when there is an answer, or the beginning of one that is streamed. Whoever asked for it goes on waiting: it is not
    /// dropped before that.
    fn invoke(&self, order: Order) -> BoxFuture<'static, Result<Invoked, Box<InvocationFault>>>;

    /// The last lines that a function has written, the oldest first; and those from now on, for whoever follows.
    fn logs(&self, function: &FullName, tail: usize, follows: bool) -> Result<LogTail, Problem>;

    /// The environments of the caller's functions; for the local administrator those without a function, too.
    fn environments(&self, caller: &Caller) -> Vec<EnvironmentView>;

    /// One of these.
    fn environment(&self, caller: &Caller, id: &str) -> Result<EnvironmentDetailView, Problem>;

    /// Gives it nothing more to do, and removes it when it is done.
    fn drain(&self, caller: &Caller, id: &str) -> Result<(), Problem>;
}

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The invocation's id; that of several attempts is the same.
    pub(crate) id: InvocationId,
    pub(crate) function: FullName,
    pub(crate) version: u64,
    pub(crate) event: Bytes,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Invoked {
    pub(crate) answer: sandbox::Answer,
    /// What took how long, up to the answer or its beginning.
    pub(crate) spans: Vec<TraceSpan>,
}

/// The end of a log, and what follows.
#[derive(Debug)]
pub(crate) struct LogTail {
    pub(crate) lines: Vec<LogLineView>,
    /// Every line after these, none twice. Ends when the function is deleted.
    pub(crate) live: Option<broadcast::Receiver<LogLineView>>,
}
