//! Links that disappear before their creator has told whose they are.

use std::collections::BTreeSet;

/// Creations that are under way, and the links that disappeared meanwhile.
///
/// The gateway reports a lost link by its number, and may do so before the creator has written down that number. Without this the
/// report would be of a link unknown, and the resource would be ready for ever.
#[derive(Debug)]
pub(super) struct Creations<Id> {
    running: usize,
    gone: BTreeSet<Id>,
}

impl<Id: Ord> Creations<Id> {
    /// A name is reserved.
    pub(super) const fn begin(&mut self) {
        self.running += 1;
    }

    /// A link that no resource has disappeared. Remembered only while somebody could still come for it.
    pub(super) fn link_gone(&mut self, id: Id) {
        if self.running > 0 {
            self.gone.insert(id);
        }
    }

    /// A creation ended with this link, or with none. Tells whether the link is gone already.
    pub(super) fn end(&mut self, id: Option<Id>) -> bool {
        let gone = id.is_some_and(|id| self.gone.remove(&id));
        self.running -= 1;
        if self.running == 0 {
            self.gone.clear();
        }
        gone
    }
}

impl<Id> Default for Creations<Id> {
    fn default() -> Self {
        Self { running: 0, gone: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_remembered_only_while_a_creation_runs() {
        let mut creations = Creations::default();
        creations.link_gone(1);
        creations.begin();
        assert!(!creations.end(Some(1)), "lost before anything was begun");

        creations.begin();
        creations.begin();
        creations.link_gone(2);
        assert!(!creations.end(Some(3)));
        assert!(creations.end(Some(2)));

        creations.begin();
        creations.link_gone(4);
        assert!(!creations.end(None));
        assert!(creations.gone.is_empty(), "nothing is kept when nothing runs");
    }
}
