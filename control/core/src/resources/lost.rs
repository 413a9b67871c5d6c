//! Links that disappear before their creator has told whose they are.

use std::collections::BTreeSet;

/// Links that disappeared while others were being made.
///
/// The gateway reports a lost link by its number, and may do so before the creator has written down that number. Without this the
/// report would be of a link unknown, and the resource would be ready for ever.
#[derive(Debug)]
pub(super) struct Lost<Id>(BTreeSet<Id>);

impl<Id: Ord> Lost<Id> {
    /// A link that no resource has disappeared.
    pub(super) fn note(&mut self, id: Id) {
        self.0.insert(id);
    }

    /// Whether the link that was made is gone already. It stays noted: the change that asks can be taken back.
    pub(super) fn has(&self, id: &Id) -> bool {
        self.0.contains(id)
    }

    /// Links are remembered only while somebody could still come for them.
    pub(super) fn forget_unless(&mut self, creating: bool) {
        if !creating {
            self.0.clear();
        }
    }
}

impl<Id> Default for Lost<Id> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}
