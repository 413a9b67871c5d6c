//! The store of code: archives checked and unpacked once, by what they are.

use std::path::{Path, PathBuf};

/// What code is known by: the SHA-256 of its archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeId([u8; 32]);

/// What is in the store of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// What it is known by.
    pub id: CodeId,
    /// Bytes of all its files.
    pub bytes: u64,
    /// How many files and directories it has.
    pub entries: u64,
}

/// Why an archive is refused. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The disk failed.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Directories of code, each immutable. All calls block.
#[derive(Clone, Debug)]
pub struct CodeStore {
    directory: PathBuf,
}

impl CodeStore {
    /// Opens the store, and removes what an earlier process has begun and not finished.
    pub fn open(directory: &Path) -> Result<Self, CodeError> {
        Ok(Self { directory: directory.into() })
    }

    /// Checks and unpacks a zip archive, or finds that it is there.
    pub fn add(&self, _archive: &[u8]) -> Result<Unpacked, CodeError> {
        todo!()
    }

    /// Where its files are; `None` if it is not in the store.
    pub fn path(&self, _id: CodeId) -> Option<PathBuf> {
        _ = &self.directory;
        todo!()
    }

    /// Removes what `needed` does not name.
    pub fn retain(&self, _needed: impl Fn(CodeId) -> bool) -> Result<usize, CodeError> {
        todo!()
    }
}

/// A zip archive of a directory or a single file: always the same bytes for the same content.
pub fn pack(_path: &Path) -> Result<Vec<u8>, CodeError> {
    todo!()
}

#[cfg(test)]
impl CodeId {
    /// For tests that have no archive.
    pub(crate) const NONE: Self = Self([0; 32]);
}
