//! The store of code: archives checked and unpacked once, by what they are.
//!
//! ```text
//!   <directory>/<SHA-256 of the archive>/files/…   what is mounted; read-only
//!                                       /measure   bytes and entries
//!              /.new-…   being unpacked            ── renamed into place when all of it is on the disk
//!              /.old-…   being deleted
//! ```
//!
//! What is there under a hash is therefore whole, whenever the machine fails. [`CodeStore::open`] deletes the others.

mod archive;
mod error;
mod id;
mod pack;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use archive::Archive;
pub use error::{Bound, CodeError, LinkFault, NameFault};
pub use id::{CodeId, InvalidCodeId};
pub use pack::pack;
use tree::Tree;

/// What is in the store of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// What it is known by.
    pub id: CodeId,
    /// Bytes of all its files.
    pub bytes: u64,
    /// How many files, directories and links it has.
    pub entries: u64,
}

/// Directories of code, each immutable. All calls block; clones are the same store. A directory is opened once at a time.
#[derive(Clone, Debug)]
pub struct CodeStore {
    directory: PathBuf,
    added: Arc<Mutex<Added>>,
}

/// What may be in use before anybody could say so to [`CodeStore::retain`].
#[derive(Debug, Default)]
struct Added {
    /// How many calls of `retain` have begun.
    retained: u64,
    /// How many of them had begun when it was added or found.
    at: HashMap<CodeId, u64>,
}

impl CodeStore {
    /// Opens the store, and removes what an earlier process has begun and not finished.
    pub fn open(directory: &Path) -> Result<Self, CodeError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(CodeError::system("make the store of code"))?;
        for name in names(directory)? {
            if [NEW, OLD].iter().any(|prefix| name.starts_with(prefix)) {
                remove(&directory.join(name)).map_err(CodeError::system("remove unfinished code"))?;
            }
        }
        Ok(Self { directory: directory.into(), added: Arc::default() })
    }

    /// Checks and unpacks a zip archive, or finds that it is there. Every call but those for the same archive may go on at the
    /// same time without waiting; two for the same archive do the work twice, and one of them is kept.
    ///
    /// Of an entry counts what the central directory says: its name, its mode (for whether it is executable, a directory or a
    /// link) and its bytes. Times and owners are not kept.
    pub fn add(&self, archive: &[u8]) -> Result<Unpacked, CodeError> {
        archive::within(Bound::Archive, archive.len() as u64, crate::limits::ARCHIVE_BYTES)?;
        let id = CodeId::of(archive);
        if self.find(id) {
            return self.measure(id);
        }
        let archive = Archive::open(archive)?;
        let tree = Tree::of(&archive)?;
        let unpacked = Unpacked { id, bytes: tree.bytes(), entries: tree.len() as u64 };
        let new = Temporary::new(&self.directory, NEW)?;
        let root = new.0.join(FILES);
        DirBuilder::new().mode(0o700).create(&root).map_err(CodeError::system("make a directory"))?;
        unpack::unpack(&archive, &tree, &directory(&root)?)?;
        write_measure(&new.0, unpacked).map_err(CodeError::system("write the measure of code"))?;
        self.publish(&new.0, id)?;
        Ok(unpacked)
    }

    /// Where its files are; `None` if it is not in the store.
    pub fn path(&self, id: CodeId) -> Option<PathBuf> {
        Some(self.home(id).join(FILES)).filter(|files| files.is_dir())
    }

    /// Removes what `needed` does not name, and says how much that was.
    ///
    /// What has been added, or found by [`Self::add`], is spared by the first call that begins after that: whoever adds code and
    /// then writes down that it is needed, has until the second call to do so. What a running container has mounted is needed.
    pub fn retain(&self, needed: impl Fn(CodeId) -> bool) -> Result<usize, CodeError> {
        let round = {
            let mut added = self.lock();
            added.retained += 1;
            added.retained
        };
        let old = Temporary::new(&self.directory, OLD)?;
        let mut removed = 0;
        for id in names(&self.directory)?.iter().filter_map(|name| name.parse().ok()) {
            // Asked before the lock is taken: what is added after the answer is found to be so.
            if needed(id) {
                continue;
            }
            let added = self.lock();
            if added.at.get(&id).is_some_and(|&at| at + 1 >= round) {
                continue;
            }
            match fs::rename(self.home(id), old.0.join(id.to_string())) {
                Ok(()) => removed += 1,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(CodeError::system("remove code")(e)),
            }
        }
        self.lock().at.retain(|_, at| *at >= round);
        remove(&old.0).map_err(CodeError::system("remove code"))?;
        Ok(removed)
    }

    /// Whether it is there; if so, it stays there for now.
    fn find(&self, id: CodeId) -> bool {
        let mut added = self.lock();
        let found = self.path(id).is_some();
        if found {
            added.note(id);
        }
        found
    }

    /// Moves it to where it is found, unless somebody was quicker.
    fn publish(&self, new: &Path, id: CodeId) -> Result<(), CodeError> {
        let mut added = self.lock();
        match fs::rename(new, self.home(id)) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
            }
            Err(e) => return Err(CodeError::system("put code in its place")(e)),
        }
        added.note(id);
        drop(added);
        let store = File::open(&self.directory);
        store.and_then(|store| store.sync_all()).map_err(CodeError::system("write code to the disk"))
    }

    fn measure(&self, id: CodeId) -> Result<Unpacked, CodeError> {
        let failed = CodeError::system("read the measure of code");
        let text = match fs::read_to_string(self.home(id).join(MEASURE)) {
            Ok(text) => text,
            Err(e) => return Err(failed(e)),
        };
        let parsed = text.trim_end().split_once(' ').and_then(|(bytes, entries)| {
            Some(Unpacked { id, bytes: bytes.parse().ok()?, entries: entries.parse().ok()? })
        });
        parsed.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
    }

    fn home(&self, id: CodeId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Added> {
        self.added.lock().expect("nothing panics while it is locked")
    }
}

impl Added {
    fn note(&mut self, id: CodeId) {
        self.at.insert(id, self.retained);
    }
}

/// A directory that goes with all that is in it, unless it has been renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn new(parent: &Path, prefix: &str) -> Result<Self, CodeError> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
        Ok(Self(made.map_err(CodeError::system("make a temporary directory"))?.keep()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove unfinished code; the next start will");
        }
    }
}

fn directory(path: &Path) -> Result<OwnedFd, CodeError> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path);
    Ok(opened.map_err(CodeError::system("open a directory"))?.into())
}

/// Names that are UTF-8; ours are.
fn names(directory: &Path) -> Result<Vec<String>, CodeError> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(CodeError::system("list the store of code"))?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn write_measure(home: &Path, unpacked: Unpacked) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(home.join(MEASURE))?;
    writeln!(file, "{} {}", unpacked.bytes, unpacked.entries)?;
    file.sync_all()?;
    File::open(home)?.sync_all()
}

/// Removes a directory, its read-only directories included. It is fine if it is not there.
fn remove(path: &Path) -> io::Result<()> {
    let removed = fs::remove_dir_all(path).or_else(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => {
            unseal(path)?;
            fs::remove_dir_all(path)
        }
        _ => Err(e),
    });
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// Makes directories writable, for those who are not root.
fn unseal(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unseal(&entry.path())?;
        }
    }
    Ok(())
}

const FILES: &str = "files";
const MEASURE: &str = "measure";
const NEW: &str = ".new-";
const OLD: &str = ".old-";
