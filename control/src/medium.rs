//! What keeps state beyond the end of the process: a few tables of JSON, written whole or not at all.
//!
//! A medium knows nothing of resources. Whoever writes gives it keys that are in order as text; keys that count, such as revisions,
//! have 20 digits with zeros in front.

mod directory;
mod error;
pub(crate) mod redb;
pub(crate) mod schema;
mod volatile;

pub(crate) use directory::Directory;
pub use error::MediumError;
pub(crate) use error::contained;
pub(crate) use redb::Redb;
pub(crate) use schema::{SCHEMA, current_key, definition};
pub(crate) use volatile::Volatile;

/// One of a medium's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// The resources: `kind/tenant/name`.
    Records,
    /// What changed lately, by revision, for those who watch.
    Changes,
    /// Who did what, by number.
    Audit,
    /// Answers to requests that may come again.
    Replays,
}

/// One entry of a table to be put down, in place of what is there under its key, or to be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// Where.
    pub(crate) table: Table,
    /// Under which key; one that [`Table::admits`], of [`KEY_BYTES`] at most.
    pub(crate) key: String,
    /// JSON text of [`VALUE_BYTES`] at most, or nothing if the entry is to go.
    pub(crate) value: Option<Vec<u8>>,
}

/// Keeps state over the end of the process. It has one writer, which is this process.
pub(crate) trait Medium: Send + Sync {
    /// Everything in a table, in order of keys.
    fn load(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, MediumError>;

    /// Carries all of `writes` out, in their order, or none. Durable when it returns. After an error nothing has changed, and the
    /// medium goes on: a later write works as soon as what was wrong is put right.
    fn write(&self, writes: &[Write]) -> Result<(), MediumError>;
}

impl Table {
    /// All there are.
    pub(crate) const ALL: [Self; 4] = [Self::Records, Self::Changes, Self::Audit, Self::Replays];

    /// Its name in the store's file and in exports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Changes => "changes",
            Self::Audit => "audit",
            Self::Replays => "replays",
        }
    }

    /// Whether an entry may have this key: so much of a key's form is known here that backups can be checked.
    pub(crate) fn admits(self, key: &str) -> bool {
        match self {
            Self::Records => key.split('/').count() >= 3 && key.split('/').all(|part| !part.is_empty()),
            Self::Audit => key.len() == 20 && key.bytes().all(|digit| digit.is_ascii_digit()),
            Self::Changes | Self::Replays => !key.is_empty(),
        }
    }
}

/// Longest key of an entry. Names are much shorter.
pub(crate) const KEY_BYTES: usize = 512;

/// Longest value of an entry. A line of an export has room for it, its key, escaped, and what is around them.
pub(crate) const VALUE_BYTES: usize = 1020 * 1024;

#[cfg(test)]
pub(crate) mod tests;
