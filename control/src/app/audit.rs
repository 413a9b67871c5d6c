//! Who changed what.

use control_core::Caller;

use super::App;
use crate::registry::EntryView;

impl App {
    /// A page of the audit log, newest first.
    pub(crate) fn audit(&self, caller: &Caller, limit: usize, before: Option<u64>) -> Vec<EntryView> {
        let entries = self.registry().audit(&caller.tenant, before, limit);
        entries.into_iter().map(|(number, entry)| EntryView::new(number, entry)).collect()
    }
}
