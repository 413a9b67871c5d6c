//! Asynchronous invocations in memory, and in a file of their own beside the resources' store: accepted when they are durable, begun when it
//! is durable that they were.
//!
//! ```text
//!   accept, begin, end ──► queue ──► writer thread:  decide on all that wait ─► one write ─► answer
//!                                                                                └─ failed: refuse, take back
//! ```
//!
//! What is decided is [`control_core::Backlog`]'s. The file gets the state of whatever was touched, so that a write that failed is made good
//! by the next one, whichever part of it was carried out.

mod file;
mod memory;
mod record;
mod run;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use control_core::{
    Accepted, Backlog, BacklogLimits, Code, Delivery, DeliveryOutcome, FullName, InvocationId, NewDelivery,
    NotAccepted, Problem, TraceSpan,
};
use tokio::sync::{Notify, oneshot};

use crate::medium::MediumError;

pub(crate) use run::{Attempt, run};

use file::File;
use memory::Memory;
use writer::{Message, Writer};

/// Asynchronous invocations. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Deliveries(Arc<Parts>);

struct Parts {
    shared: Arc<Shared>,
    /// Taken when the last clone is dropped, which ends the thread.
    writer: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer and everybody else have in common.
struct Shared {
    backlog: Mutex<Backlog>,
    /// There may be something to begin.
    wake: Notify,
    /// Whether the last write failed.
    failing: AtomicBool,
}

/// An attempt that may be made now: it is durable that it was begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) delivery: Delivery,
    pub(crate) event: Bytes,
}

/// Why something was not done. Nothing changed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    /// There is no room for it, or its key was used.
    #[error(transparent)]
    Refused(#[from] NotAccepted),
    /// The medium failed. What is running goes on.
    #[error("invocations cannot be kept: {0}")]
    Medium(Arc<MediumError>),
    /// The daemon ends.
    #[error("the daemon is shutting down")]
    Stopped,
}

/// Keeps deliveries. It has one user, which is the writer.
trait Keep: Send {
    /// Every record.
    fn load(&mut self) -> Result<Vec<(InvocationId, Vec<u8>)>, MediumError>;

    /// Carries all of `puts` out, or none. Durable when it returns. After an error it is open whether they were carried out; it goes on.
    fn write(&mut self, puts: &[Put]) -> Result<(), MediumError>;

    /// What is kept of one beside its record.
    fn read(&mut self, part: Part, id: InvocationId) -> Result<Option<Bytes>, MediumError>;
}

/// Something to be written.
#[derive(Clone, Debug)]
enum Put {
    /// The record, in place of the one before.
    Record(InvocationId, Vec<u8>),
    /// The event.
    Event(InvocationId, Bytes),
    /// The answer.
    Answer(InvocationId, Bytes),
    /// The event is not needed any more.
    Done(InvocationId),
    /// Nothing of it is.
    Gone(InvocationId),
}

/// What is kept of a delivery beside its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Event,
    Answer,
}

impl Deliveries {
    /// Takes up what was kept in this directory; without one, nothing outlives the process.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self, MediumError> {
        match directory {
            Some(directory) => Self::over(Box::new(File::open(directory)?)),
            None => Self::over(Box::<Memory>::default()),
        }
    }

    fn over(mut keep: Box<dyn Keep>) -> Result<Self, MediumError> {
        let mut backlog = Backlog::new(BacklogLimits::default());
        let now_ms = now_ms();
        for (id, value) in keep.load()? {
            backlog.restore(now_ms, record::read(id, &value)?);
        }
        let (wake, failing) = (Notify::new(), AtomicBool::new(false));
        let shared = Arc::new(Shared { backlog: Mutex::new(backlog), wake, failing });
        let (writer, thread) = writer::start(Writer::new(keep, Arc::clone(&shared)))
            .map_err(|source| MediumError::system("start the thread of", Path::new(file::FILE), source))?;
        Ok(Self(Arc::new(Parts { shared, writer: Some(writer), thread: Some(thread) })))
    }

    /// Accepts an invocation. Durable when it is answered.
    pub(crate) async fn accept(&self, new: NewDelivery, event: Bytes) -> Result<Accepted, DeliveryError> {
        self.ask(|reply| Message::Accept { new: Box::new(new), event, reply }).await?
    }

    /// Begins what is due, as far as the bounds let it.
    pub(crate) async fn begin(&self) -> Result<Vec<Begun>, DeliveryError> {
        self.ask(|reply| Message::Begin { reply }).await?
    }

    /// Ends an attempt. If that cannot be kept now, it is as soon as it can.
    pub(crate) async fn end(
        &self,
        id: InvocationId,
        outcome: DeliveryOutcome,
        answer: Option<Bytes>,
        spans: Vec<TraceSpan>,
    ) -> Result<(), DeliveryError> {
        self.ask(|reply| Message::End { id, outcome: Box::new(outcome), answer, spans, reply }).await
    }

    /// Forgets all of a function that is no more: another one of its name has nothing of it.
    pub(crate) async fn forget(&self, function: &FullName) -> Result<(), DeliveryError> {
        let function = function.clone();
        self.ask(|reply| Message::Forget { function, reply }).await
    }

    /// One of them, as it is now.
    pub(crate) fn find(&self, id: InvocationId) -> Option<Delivery> {
        self.0.shared.backlog().find(id).cloned()
    }

    /// The newest of a function.
    pub(crate) fn of(&self, function: &FullName, limit: usize) -> Vec<Delivery> {
        self.0.shared.backlog().of(function).take(limit).cloned().collect()
    }

    /// The answer of one that has succeeded.
    pub(crate) async fn answer(&self, id: InvocationId) -> Result<Option<Bytes>, DeliveryError> {
        self.ask(|reply| Message::Answer { id, reply }).await?
    }

    /// Whether the last write failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.shared.failing.load(Ordering::Relaxed)
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, DeliveryError> {
        let (reply, replied) = oneshot::channel();
        let writer = self.0.writer.as_ref().ok_or(DeliveryError::Stopped)?;
        writer.send(message(reply)).map_err(|_| DeliveryError::Stopped)?;
        replied.await.map_err(|_| DeliveryError::Stopped)
    }
}

impl Shared {
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        // Whoever panicked has ended the process, if it was the one who changes something.
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // The thread ends when nobody can tell it anything any more, and has closed the file by then.
        drop(self.writer.take());
        _ = self.thread.take().map(JoinHandle::join);
    }
}

impl From<DeliveryError> for Problem {
    fn from(error: DeliveryError) -> Self {
        let code = match error {
            DeliveryError::Refused(NotAccepted::KeyReused) => Code::KeyReused,
            DeliveryError::Refused(
                NotAccepted::FunctionFull { .. } | NotAccepted::TenantFull { .. } | NotAccepted::Full { .. },
            ) => Code::TooManyInvocations,
            DeliveryError::Medium(_) => Code::StoreUnavailable,
            DeliveryError::Stopped => Code::ShuttingDown,
        };
        Self::new(code, error.to_string())
    }
}

/// Unix time, milliseconds.
fn now_ms() -> u64 {
    crate::app::now().as_millis() as u64
}

#[cfg(test)]
mod tests;
