//! Copies of this machine's files: their times stay, since compiled Python is compared with them.

use std::fs::{self, FileTimes};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::{RootfsError, failed};

/// Copies a file to the same place below `root`, and every link on the way to it.
pub(super) fn file(path: &Path, root: &Path) -> Result<(), RootfsError> {
    let target = below(root, path);
    if fs::symlink_metadata(&target).is_ok() {
        return Ok(());
    }
    let parent = target.parent().unwrap_or(root);
    fs::create_dir_all(parent).map_err(failed(parent))?;
    let is_link = fs::symlink_metadata(path).map_err(failed(path))?.is_symlink();
    if is_link {
        let to = fs::read_link(path).map_err(failed(path))?;
        let next = path.parent().unwrap_or(Path::new("/")).join(&to);
        symlink(&to, &target).map_err(failed(&target))?;
        return file(&plain(&next), root);
    }
    contents(path, &target).map_err(failed(path))
}

/// Copies a directory to the same place below `root`, without entries that `skipped` names. Links stay links.
pub(super) fn directory(path: &Path, root: &Path, skipped: &dyn Fn(&str) -> bool) -> Result<(), RootfsError> {
    let target = below(root, path);
    fs::create_dir_all(&target).map_err(failed(&target))?;
    for entry in fs::read_dir(path).map_err(failed(path))? {
        let entry = entry.map_err(failed(path))?;
        if entry.file_name().to_str().is_none_or(skipped) {
            continue;
        }
        let from = entry.path();
        let kind = entry.file_type().map_err(failed(&from))?;
        if kind.is_dir() {
            directory(&from, root, skipped)?;
        } else if kind.is_file() {
            contents(&from, &below(root, &from)).map_err(failed(&from))?;
        } else if kind.is_symlink() && from.exists() {
            // Where it leads to may be elsewhere: what is there is copied in its place.
            let real = fs::canonicalize(&from).map_err(failed(&from))?;
            if real.is_file() {
                contents(&real, &below(root, &from)).map_err(failed(&real))?;
            }
        }
    }
    Ok(())
}

fn contents(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let known = fs::metadata(from)?;
    // Everybody may read what is there, as any user of the machine may.
    let mode = 0o444 | (known.permissions().mode() & 0o111);
    let times = FileTimes::new().set_modified(known.modified()?);
    fs::File::options().append(true).open(to)?.set_times(times)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

/// The path below another root.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The path without `.` and `..`, by its text alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}
