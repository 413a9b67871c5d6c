//! Why a medium failed.

use std::io;
use std::path::PathBuf;

/// Why the store could not be opened, read or written. Nothing changed, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// Another process has the store open: a daemon, or an import. Nothing was touched; stop that one, or wait for it.
    #[error("another process has the store in {} open", directory.display())]
    Locked {
        /// Where the store is.
        directory: PathBuf,
    },
    /// The file is not a store, or its bytes are not those that were written. It stays as it is; restore a backup over it.
    #[error("{} is corrupted: {problem}", path.display())]
    Corrupted {
        /// The store's file.
        path: PathBuf,
        /// What was found, for the log.
        problem: String,
    },
    /// A newer version wrote the store, in a form that this one does not know. Nothing in it changed; run that version.
    #[error("{} has schema {found}, and this version knows schemas up to {known}", path.display())]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Schema of the file.
        found: u64,
        /// The newest schema that this version knows.
        known: u64,
    },
    /// The file, its directory or its file system cannot be written.
    #[error("{} cannot be written: it is read-only", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// No room, or no quota, for what was to be written. Writes work again as soon as there is.
    #[error("no space is left for {}", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
    },
    /// The operating system failed in another way.
    #[error("cannot {step} {}: {source}", path.display())]
    System {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}
