//! Where the resources are kept.

mod memory;

use std::sync::RwLockReadGuard;

use control_core::{Change, Code, Problem, Refusal, Resources};

pub(crate) use memory::Memory;

/// Counts commits. A greater one includes every smaller one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision(pub(crate) u64);

/// Why a change was not committed. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// The resources do not admit it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The medium failed; a store in memory has none.
    #[error("the store could not write: {0}")]
    #[allow(dead_code, reason = "part of the contract: a durable store fails this way")]
    Medium(std::io::Error),
}

/// Keeps the resources. Changes are applied one at a time.
///
/// Reads are many and small, so that a durable store too keeps the resources in memory: it checks a change there, writes it, and
/// then applies it.
pub(crate) trait Store: Send + Sync {
    /// The resources as of the last commit. Changes wait until the guard is dropped; being no `Send`, it cannot cross an await.
    fn read(&self) -> RwLockReadGuard<'_, Resources>;

    /// Applies one change, whole or not at all. Durable when it returns.
    fn commit(&self, change: Change) -> Result<Revision, CommitError>;
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refusal) => refusal.into(),
            CommitError::Medium(_) => Self::new(Code::Internal, error.to_string()),
        }
    }
}
