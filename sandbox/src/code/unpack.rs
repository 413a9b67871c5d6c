//! Making the files of an archive.
//!
//! All that is made is named by a checked path relative to a directory that is ours alone. Links are made when everything else is
//! there, so nothing can be written through one; and files are opened in a way that follows none.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{fsync, symlinkat, syncfs};

use super::archive::{Archive, Entry};
use super::error::CodeError;
use super::tree::{Node, Tree};
use crate::limits;

/// Makes all of it below `root`, read-only and on the disk.
pub(super) fn unpack(archive: &Archive<'_>, tree: &Tree<'_>, root: &OwnedFd) -> Result<(), CodeError> {
    let sync = if tree.len() > limits::SYNCED_ONE_BY_ONE { Sync::Together } else { Sync::OneByOne };
    for (path, node) in tree.nodes() {
        match node {
            Node::Directory(_) => {
                mkdirat(root, path, Mode::S_IRWXU).map_err(CodeError::system("make a directory"))?;
            }
            Node::File { entry, mode } => {
                let file = write(archive, entry, root, path)?;
                seal(&file.into(), *mode, sync)?;
            }
            Node::Link { .. } => {}
        }
    }
    for (path, node) in tree.nodes() {
        if let Node::Link { target } = node {
            symlinkat(target.as_str(), root, path).map_err(CodeError::system("make a link"))?;
        }
    }
    for (path, node) in tree.nodes().rev() {
        if let Node::Directory(_) = node {
            seal(&open(root, path, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?, DIRECTORY, sync)?;
        }
    }
    seal(root, DIRECTORY, sync)?;
    match sync {
        Sync::OneByOne => Ok(()),
        Sync::Together => syncfs(root).map_err(CodeError::system("write code to the disk")),
    }
}

/// How what is written comes to the disk.
#[derive(Clone, Copy)]
enum Sync {
    OneByOne,
    Together,
}

fn write(archive: &Archive<'_>, entry: &Entry<'_>, root: &OwnedFd, path: &str) -> Result<File, CodeError> {
    let mut file = File::from(open(root, path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)?);
    archive.copy(entry, &mut file)?;
    Ok(file)
}

/// Opens what is below `root` and no link, nor reached through one.
fn open(root: &OwnedFd, path: &str, flags: OFlag) -> Result<OwnedFd, CodeError> {
    let mode = if flags.contains(OFlag::O_CREAT) { Mode::S_IRUSR | Mode::S_IWUSR } else { Mode::empty() };
    let how = OpenHow::new()
        .flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(root, path, how).map_err(CodeError::system("open a file of the archive"))
}

/// Nobody writes it any more; the mode is not subject to the process's mask.
fn seal(file: &OwnedFd, mode: u32, sync: Sync) -> Result<(), CodeError> {
    fchmod(file, Mode::from_bits_truncate(mode)).map_err(CodeError::system("make code read-only"))?;
    match sync {
        Sync::OneByOne => fsync(file).map_err(CodeError::system("write code to the disk")),
        Sync::Together => Ok(()),
    }
}

const DIRECTORY: u32 = 0o555;
