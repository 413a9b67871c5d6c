//! Why a medium failed.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Why the store could not be opened, read or written. Nothing changed, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// Another process has the store open: a daemon, an export or an import. Nothing was touched; stop that one, or wait for it.
    #[error("another process has the store in {} open", directory.display())]
    Locked {
        /// Where the store is.
        directory: PathBuf,
    },
    /// There is no store, and none was to be made.
    #[error("there is no store: {} does not exist", path.display())]
    Absent {
        /// The file that would be the store.
        path: PathBuf,
    },
    /// The file is not a store, or its bytes are not those that were written. It stays as it is; restore a backup over it.
    #[error("{} is corrupted: {problem}", path.display())]
    Corrupted {
        /// The store's file.
        path: PathBuf,
        /// What was found, for the log.
        problem: String,
    },
    /// A newer version wrote the store, in a form that this one does not know. Its entries stay as they are; run that version.
    #[error("{} has schema {found}, and this version knows schemas up to {known}", path.display())]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Schema of the file.
        found: u64,
        /// The newest schema that this version knows.
        known: u64,
    },
    /// The file, its directory or its file system cannot be written by this user.
    #[error("{} cannot be written: it is read-only, or belongs to another user", path.display())]
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

impl MediumError {
    /// What a failed system call means.
    pub(crate) fn system(step: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full { path }
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Self::ReadOnly { path },
            _ => Self::System { step, path, source },
        }
    }

    /// What an error of redb about the file at `path` means.
    pub(crate) fn of_redb(step: &'static str, path: &Path, error: ::redb::Error) -> Self {
        use ::redb::Error;
        let corrupted = |problem| Self::Corrupted { path: path.to_owned(), problem };
        match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
                Self::Locked { directory: path.parent().unwrap_or(path).to_owned() }
            }
            Error::Io(source) => match source.kind() {
                ErrorKind::NotFound => Self::Absent { path: path.to_owned() },
                // redb says so itself, of a file that is none of its own or ends too early.
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput => {
                    corrupted(source.to_string())
                }
                _ => Self::system(step, path, source),
            },
            // Nothing that the file as we write it can lead to.
            other => corrupted(other.to_string()),
        }
    }
}

/// Does `step` with redb, for which an altered file is a reason to panic in some places. A panic is an error here.
pub(crate) fn contained<T>(
    step: &'static str,
    path: &Path,
    run: impl FnOnce() -> Result<T, ::redb::Error>,
) -> Result<T, MediumError> {
    // Whatever redb had in hand is thrown away after an error, and read from the file again.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(|error| MediumError::of_redb(step, path, error)),
        Err(panic) => Err(MediumError::Corrupted { path: path.to_owned(), problem: message(panic.as_ref()) }),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("redb panicked").to_owned()
}
