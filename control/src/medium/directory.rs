//! The directory of a store: who has it, and which file in it counts.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::MediumError;

/// The directory of a store, locked for this process for as long as the value lives.
///
/// The lock is on the directory and not on the file, so that it holds while the file is made, replaced, or opened again.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    opened: File,
}

/// Closing would not do: a process that is being started has a copy of every descriptor until it runs its program, and the lock with it.
impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = self.opened.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "the store's directory is not unlocked");
        }
    }
}

impl Directory {
    /// Locks the directory at `path`, which is made if it does not exist; then only its user may enter it.
    pub(crate) fn make(path: &Path) -> Result<Self, MediumError> {
        let made = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => std::fs::create_dir_all(parent),
            _ => Ok(()),
        };
        let made = made.and_then(|()| DirBuilder::new().mode(0o700).create(path));
        match made {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(MediumError::system("make", path, e)),
            Ok(()) | Err(_) => Self::lock(path),
        }
    }

    /// Locks the directory at `path`, which has to be there.
    pub(crate) fn lock(path: &Path) -> Result<Self, MediumError> {
        let opened = File::open(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => MediumError::Absent { path: path.join(FILE) },
            _ => MediumError::system("open", path, e),
        })?;
        match opened.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), opened }),
            Err(TryLockError::WouldBlock) => Err(MediumError::Locked { directory: path.to_owned() }),
            Err(TryLockError::Error(e)) => Err(MediumError::system("lock", path, e)),
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the store's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Path of a file that is to become the store's.
    pub(crate) fn new_file(&self) -> PathBuf {
        self.path.join(NEW_FILE)
    }

    /// An empty file that is to become the store's. What an end in the middle of the last try has left is gone.
    pub(crate) fn begin(&self) -> Result<File, MediumError> {
        let path = self.new_file();
        self.discard()?;
        let options = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        options.map_err(|e| MediumError::system("make", &path, e))
    }

    /// Puts the file that was begun in the place of the store's, at once and durably. Everything in it is on disk already.
    pub(crate) fn install(&self) -> Result<(), MediumError> {
        let file = self.file();
        std::fs::rename(self.new_file(), &file)
            .and_then(|()| self.opened.sync_all())
            .map_err(|e| MediumError::system("put in place", &file, e))
    }

    /// Removes the file that was begun, if there is one.
    pub(crate) fn discard(&self) -> Result<(), MediumError> {
        let path = self.new_file();
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(MediumError::system("remove", &path, e)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether there is a store.
    pub(crate) fn is_used(&self) -> Result<bool, MediumError> {
        let path = self.file();
        path.try_exists().map_err(|e| MediumError::system("look for", &path, e))
    }
}

/// Name of the store's file.
const FILE: &str = "wharf.redb";

/// Name of a store while it is being made. It becomes the store by a rename, so that a store is never there in part.
const NEW_FILE: &str = "wharf.redb.new";
