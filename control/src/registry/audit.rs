//! Who changed what.

use std::collections::VecDeque;

use control_core::Name;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Entry {
    /// When. Unix time, milliseconds.
    pub(crate) at_ms: u64,
    /// Who.
    pub(crate) principal: String,
    /// In which tenant.
    pub(crate) tenant: String,
    /// What was done, as the API names the operation.
    pub(crate) action: String,
    /// To what.
    pub(crate) target: String,
    /// By which request, as its answer and the log name it.
    pub(crate) request: String,
}

/// One thing that somebody did.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct EntryView {
    /// Counts entries.
    pub(crate) number: u64,
    /// When. Unix time, milliseconds.
    pub(crate) at_ms: u64,
    /// Who: `uid:N` at this machine, or `token:TENANT/NAME`.
    pub(crate) principal: String,
    /// In which tenant.
    pub(crate) tenant: String,
    /// What was done: the operation's id in this document.
    pub(crate) action: String,
    /// To what, by its path.
    pub(crate) target: String,
    /// By which request: its `x-request-id`.
    pub(crate) request: String,
}

/// Entries that are kept; older ones are dropped, here and on the medium.
pub(super) const ENTRIES: usize = 10_000;

/// The latest entries.
#[derive(Debug, Default)]
pub(super) struct Audit {
    entries: VecDeque<(u64, Entry)>,
    next: u64,
}

impl Audit {
    /// Takes up what was kept.
    pub(super) fn restore(&mut self, number: u64, entry: Entry) {
        self.entries.push_back((number, entry));
        self.next = number + 1;
    }

    /// The number of the next entry but `ahead`.
    pub(super) const fn number(&self, ahead: u64) -> u64 {
        self.next + ahead
    }

    /// Adds an entry; the oldest gives way.
    pub(super) fn add(&mut self, entry: Entry) {
        self.entries.push_back((self.next, entry));
        self.next += 1;
        if self.entries.len() > ENTRIES {
            self.entries.pop_front();
        }
    }

    pub(super) fn page(&self, tenant: &Name, before: Option<u64>, limit: usize) -> Vec<(u64, Entry)> {
        let wanted = |(number, entry): &&(u64, Entry)| {
            before.is_none_or(|before| *number < before) && entry.tenant == tenant.as_str()
        };
        self.entries.iter().rev().filter(wanted).take(limit).cloned().collect()
    }
}

impl EntryView {
    pub(crate) fn new(number: u64, entry: Entry) -> Self {
        let Entry { at_ms, principal, tenant, action, target, request } = entry;
        Self { number, at_ms, principal, tenant, action, target, request }
    }
}
