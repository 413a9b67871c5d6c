//! A store that lasts as long as the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use control_core::{Change, Resources};

use super::{CommitError, Revision, Store};

/// Keeps the resources in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    resources: RwLock<Resources>,
    revision: AtomicU64,
}

impl Store for Memory {
    fn read(&self) -> RwLockReadGuard<'_, Resources> {
        // Readers change nothing, and a change that panicked is a defect which this does not make worse.
        self.resources.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, change: Change) -> Result<Revision, CommitError> {
        let mut resources = self.resources.write().unwrap_or_else(PoisonError::into_inner);
        tracing::trace!(?change, "commit");
        resources.apply(change)?;
        let before = self.revision.fetch_add(1, Ordering::Relaxed);
        Ok(Revision(before + 1))
    }
}

#[cfg(test)]
mod tests {
    use control_core::{Change, Name, UplinkId};

    use super::*;

    #[test]
    fn revisions_count_commits_and_only_commits() {
        let store = Memory::default();
        let name = Name::parse("name", "nothing".into()).unwrap();
        assert_eq!(store.commit(Change::UplinkGone(UplinkId(1))).unwrap(), Revision(1));
        assert!(store.commit(Change::DeleteVpc(name)).is_err());
        assert_eq!(store.commit(Change::UplinkGone(UplinkId(1))).unwrap(), Revision(2));
    }
}
