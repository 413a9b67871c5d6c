//! The resources in memory, and on the medium behind it: changes one after the other, many of them in one write.
//!
//! ```text
//!   callers ──► queue ──► writer thread:  apply all that wait ─► one write ─► settle, tell, answer
//!                                                                  └─ failed: take all back, refuse
//! ```
//!
//! What only a running daemon can know (a device is made, a container is attached) is not kept, and waits for no disk. Readers see a
//! change as soon as it is applied, which can be moments before it is durable; whoever asked for it is answered after.

mod audit;
mod changes;
mod open;
mod replays;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use control_core::{Change, Code, FullName, Kind, Name, Problem, Refusal, Resources};
use tokio::sync::oneshot;

pub(crate) use audit::{Entry, EntryView};
pub(crate) use changes::{Changes, Event, TooOld};
pub(crate) use open::OpenError;
pub(crate) use replays::{Replay, ReplayKey, hexadecimal};

use crate::medium::MediumError;
use audit::Audit;
use replays::Replays;
use writer::Message;

/// The resources, and who changes them.
pub(crate) struct Registry {
    shared: Arc<Shared>,
    writer: Sender<Message>,
}

/// What the writer and everybody else have in common.
struct Shared {
    resources: RwLock<Resources>,
    changes: Changes,
    audit: Mutex<Audit>,
    replays: Mutex<Replays>,
    /// Whether the last write failed.
    failing: AtomicBool,
}

/// A change, and what goes with it.
pub(crate) struct Request {
    /// What shall be.
    pub(crate) change: Change,
    /// Only if the resource was not changed since.
    pub(crate) expected: Option<Expected>,
    /// What the audit log is to say.
    pub(crate) audit: Option<Entry>,
    /// What becomes of the memory of a request that may come again.
    pub(crate) replay: Option<Memory>,
}

/// A resource as a client last saw it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) name: FullName,
    /// Its ETag.
    pub(crate) revision: u64,
}

/// What becomes of the memory of a request.
pub(crate) enum Memory {
    /// It is remembered.
    Keep(ReplayKey, Replay),
    /// It may be made again, as it failed.
    Forget(ReplayKey),
}

/// Why a change was not made. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// The resources do not admit it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The resource has changed since the client looked.
    #[error("{kind} {name} has changed since: it is at revision {found} now; look again, and decide anew")]
    Changed {
        /// Of which kind.
        kind: Kind,
        /// Which one.
        name: String,
        /// Its revision now.
        found: u64,
    },
    /// The request that has this key is under way, or is done.
    #[error("the request with this idempotency key is under way, or what it created was deleted since")]
    Repeated,
    /// The medium failed. The gateway goes on as it is.
    #[error("the store cannot be written, so that nothing can be changed: {0}")]
    Medium(Arc<MediumError>),
    /// The daemon ends.
    #[error("the daemon is shutting down")]
    Stopped,
}

/// A change that is applied, and not yet durable.
pub(crate) struct Pending(oneshot::Receiver<Result<u64, CommitError>>);

impl Registry {
    /// Looks at the resources. Changes wait until the guard is dropped; being no `Send`, it cannot cross an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Resources> {
        self.shared.read()
    }

    /// What has changed, for those who watch.
    pub(crate) fn changes(&self) -> &Changes {
        &self.shared.changes
    }

    /// Makes one change, whole or not at all. Durable when it is answered, if it is to be kept. Gives its revision.
    pub(crate) async fn commit(&self, request: Request) -> Result<u64, CommitError> {
        self.begin(request).await?.end().await
    }

    /// The same in two steps: when this is answered, the change is applied.
    pub(crate) async fn begin(&self, request: Request) -> Result<Pending, CommitError> {
        let (applied, is_applied) = oneshot::channel();
        let (durable, is_durable) = oneshot::channel();
        let message = Message::Commit { request: Box::new(request), applied, durable };
        self.writer.send(message).map_err(|_| CommitError::Stopped)?;
        is_applied.await.map_err(|_| CommitError::Stopped)??;
        Ok(Pending(is_durable))
    }

    /// Makes a change whose outcome nobody waits for; a failure is logged.
    pub(crate) fn commit_later(&self, request: Request) {
        let (applied, _) = oneshot::channel();
        let (durable, _) = oneshot::channel();
        // When the writer has ended, so has the daemon.
        _ = self.writer.send(Message::Commit { request: Box::new(request), applied, durable });
    }

    /// Looks at the resources as they would be after a change, and makes none.
    pub(crate) fn try_out<T>(
        &self,
        change: Change,
        expected: Option<&Expected>,
        look: impl FnOnce(&Resources) -> T,
    ) -> Result<T, CommitError> {
        let mut resources = self.shared.resources.write().unwrap_or_else(PoisonError::into_inner);
        expected.map_or(Ok(()), |expected| expected.check(&resources))?;
        let (_, undo) = resources.apply(change, 0)?;
        let seen = look(&resources);
        resources.undo(undo);
        Ok(seen)
    }

    /// What came of the request that had this key.
    pub(crate) fn replay(&self, key: &ReplayKey, now_s: u64) -> Option<Replay> {
        self.shared.replays().find(key, now_s)
    }

    /// A part of a tenant's audit log, newest first.
    pub(crate) fn audit(&self, tenant: &Name, before: Option<u64>, limit: usize) -> Vec<(u64, Entry)> {
        self.shared.audit().page(tenant, before, limit)
    }

    /// Whether the last write to the medium failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }
}

impl Pending {
    /// Waits until the change is durable, if it is to be kept. After an error it has been taken back.
    pub(crate) async fn end(self) -> Result<u64, CommitError> {
        self.0.await.map_err(|_| CommitError::Stopped)?
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Resources> {
        // Readers change nothing, and a change that panicked is a defect which this does not make worse.
        self.resources.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn audit(&self) -> MutexGuard<'_, Audit> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replays(&self) -> MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    /// A change that nobody in particular has asked for.
    pub(crate) fn of(change: Change) -> Self {
        Self { change, expected: None, audit: None, replay: None }
    }
}

impl Expected {
    fn check(&self, resources: &Resources) -> Result<(), CommitError> {
        let found = resources.stamp(self.kind, &self.name).asked;
        // What is not there is refused as such.
        if found == self.revision || found == 0 {
            return Ok(());
        }
        Err(CommitError::Changed { kind: self.kind, name: self.name.name.to_string(), found })
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let code = match error {
            CommitError::Refused(refusal) => return refusal.into(),
            CommitError::Changed { .. } => Code::Changed,
            CommitError::Repeated => Code::KeyDone,
            CommitError::Medium(_) => Code::StoreUnavailable,
            CommitError::Stopped => Code::ShuttingDown,
        };
        Self::new(code, error.to_string())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        _ = self.writer.send(Message::Stop);
    }
}

#[cfg(test)]
mod tests;
