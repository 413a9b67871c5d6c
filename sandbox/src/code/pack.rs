//! Making archives.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::archive::{Archive, within};
use super::error::{Bound, CodeError, NameFault};
use super::tree::{self, Tree};
use crate::limits;

/// A zip archive of a directory or a single file: always the same bytes for the same names, contents and right to execute.
///
/// Links are kept as links. Directories named `.git` and `__pycache__` are left out, nothing else is. What [`super::CodeStore::add`]
/// would refuse is refused here, by name.
pub fn pack(path: &Path) -> Result<Vec<u8>, CodeError> {
    let mut packing = Packing { writer: ZipWriter::new(Cursor::new(Vec::new())), bytes: 0, entries: 0 };
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    if metadata.is_dir() {
        packing.directory(path, "")?;
    } else {
        let name = named("", path.file_name().unwrap_or(OsStr::new("")))?;
        packing.entry(path, &name, &metadata)?;
    }
    let archive = packing.writer.finish().map_err(CodeError::system("end the archive"))?.into_inner();
    Tree::of(&Archive::open(&archive)?)?;
    Ok(archive)
}

struct Packing {
    writer: ZipWriter<Cursor<Vec<u8>>>,
    bytes: u64,
    entries: u64,
}

impl Packing {
    /// Everything in it, in order of names; `name` is its own, empty for the root.
    fn directory(&mut self, path: &Path, name: &str) -> Result<(), CodeError> {
        let entries = fs::read_dir(path).map_err(unreadable(path))?;
        let names: io::Result<Vec<OsString>> = entries.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = names.map_err(unreadable(path))?;
        names.sort_unstable();
        for inner in names {
            let below = path.join(&inner);
            let metadata = fs::symlink_metadata(&below).map_err(unreadable(&below))?;
            if metadata.is_dir() && LEFT_OUT.iter().any(|name| inner == *name) {
                continue;
            }
            self.entry(&below, &named(name, &inner)?, &metadata)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &str, metadata: &Metadata) -> Result<(), CodeError> {
        let refused = |fault| CodeError::Name { entry: name.to_owned(), fault };
        tree::path(name).map_err(refused)?;
        self.entries += 1;
        within(Bound::Entries, self.entries, limits::CODE_ENTRIES)?;
        let kind = metadata.file_type();
        let mode = metadata.permissions().mode();
        if kind.is_dir() {
            self.writer.add_directory(name, options(0o755)).map_err(CodeError::system("pack a directory"))?;
            self.directory(path, name)
        } else if kind.is_file() {
            self.file(path, name, if mode & 0o111 == 0 { 0o644 } else { 0o755 })
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(unreadable(path))?;
            let target = target.to_str().ok_or_else(|| refused(NameFault::NotUtf8))?;
            self.writer.add_symlink(name, target, options(0o777)).map_err(CodeError::system("pack a link"))
        } else {
            Err(CodeError::Special { entry: name.to_owned(), mode })
        }
    }

    fn file(&mut self, path: &Path, name: &str, mode: u32) -> Result<(), CodeError> {
        let most = limits::UNPACKED_BYTES - self.bytes;
        let file = File::open(path).map_err(unreadable(path))?;
        self.writer.start_file(name, options(mode)).map_err(CodeError::system("pack a file"))?;
        self.bytes += io::copy(&mut file.take(most + 1), &mut self.writer).map_err(unreadable(path))?;
        within(Bound::Unpacked, self.bytes, limits::UNPACKED_BYTES)
    }
}

/// The name of what is in a directory.
fn named(directory: &str, inner: &OsStr) -> Result<String, CodeError> {
    let refused =
        || CodeError::Name { entry: inner.to_string_lossy().into_owned(), fault: NameFault::NotUtf8 };
    let inner = inner.to_str().ok_or_else(refused)?;
    Ok(if directory.is_empty() { inner.to_owned() } else { format!("{directory}/{inner}") })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CodeError {
    move |source| CodeError::Unreadable { path: path.into(), source }
}

/// What does not depend on when and by whom it is packed: the time is the first that an archive can say.
fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(mode)
}

/// Directories that are of no use to a function.
const LEFT_OUT: [&str; 2] = [".git", "__pycache__"];
