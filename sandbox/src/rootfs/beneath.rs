//! What is below a directory, whatever links in there say: for them the directory is `/`, as it will be for a container.
//!
//! Without that, who makes an image could have us write to `/etc` of this machine, by a link of that name. Nobody else may change
//! what is below the directory in the meantime.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, syncfs, unlinkat};

use crate::limits;

/// The directory, open.
pub(crate) struct Beneath {
    root: OwnedFd,
    /// Parts of its own path.
    depth: usize,
}

/// A directory below it, and what had to be made for it.
pub(super) struct Made {
    pub(super) directory: OwnedFd,
    pub(super) count: u64,
}

impl Beneath {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let root = open(root, DIRECTORY, Mode::empty())?;
        let depth = depth(&root)?;
        Ok(Self { root, depth })
    }

    /// The directory at a path; `NotFound` also if a link leads nowhere.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        for _ in 0..RACES {
            match openat2(&self.root, path, OpenHow::new().flags(DIRECTORY).resolve(resolve)) {
                // Something was renamed somewhere on this machine while the kernel went up a `..` (openat2(2)).
                Err(Errno::EAGAIN) => {}
                opened => return Ok(opened?),
            }
        }
        Err(Errno::EAGAIN.into())
    }

    /// The same, made with its parents if it is not there.
    pub(super) fn make(&self, path: &Path) -> io::Result<Made> {
        match self.directory(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map(|directory| Made { directory, count: 0 }),
        }
        let (mut so_far, mut count) = (PathBuf::new(), 0);
        let mut directory = self.directory(&so_far)?;
        for name in path {
            so_far.push(name);
            directory = match self.directory(&so_far) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    count += 1;
                    self.make_in(&directory, name)?
                }
                found => found?,
            };
        }
        Ok(Made { directory, count })
    }

    /// Makes a directory in another one, unless it would be too deep for who removes it.
    pub(super) fn make_in(&self, parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
        if depth(parent)? - self.depth >= limits::PATH_DEPTH {
            return Err(Errno::ENAMETOOLONG.into());
        }
        mkdirat(parent, name, Mode::S_IRWXU)?;
        let made = openat(parent, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
        fchmod(&made, Mode::from_bits_truncate(0o755))?;
        Ok(made)
    }

    /// Makes an empty file with its parents, unless anything is there.
    pub(super) fn make_empty_file(&self, path: &Path) -> io::Result<()> {
        let parent = self.make(path.parent().unwrap_or(Path::new("")))?.directory;
        let name = path.file_name().ok_or(Errno::EISDIR)?;
        match kind(&parent, name) {
            Err(Errno::ENOENT) => fchmod(make_file(&parent, name)?, Mode::from_bits_truncate(0o644))?,
            known => _ = known?,
        }
        Ok(())
    }

    /// Writes all of it to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(syncfs(&self.root)?)
    }
}

/// Whether it is a directory itself, not a link to one.
pub(super) fn is_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    is_of_kind(parent, name, SFlag::S_IFDIR)
}

/// Whether it is a file with bytes, not a link to one.
pub(super) fn is_file(parent: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    is_of_kind(parent, name, SFlag::S_IFREG)
}

/// A new file, for its owner only.
pub(super) fn make_file(parent: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// A new symbolic link. Where it leads to is not looked at: it counts in the container only.
pub(super) fn make_link(parent: &OwnedFd, name: &OsStr, target: &OsStr) -> io::Result<()> {
    Ok(symlinkat(target, parent, name)?)
}

/// Another name for a file, or for the link that is there.
pub(super) fn make_hard_link(from: (&OwnedFd, &OsStr), to: (&OwnedFd, &OsStr)) -> io::Result<()> {
    Ok(linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?)
}

/// Removes it with all that is in it, if it is there.
pub(super) fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR) => fs::remove_dir_all(path(parent).join(name)),
        Err(error) => Err(error.into()),
    }
}

/// Removes all that is in a directory.
pub(super) fn empty(directory: &OwnedFd) -> io::Result<()> {
    for entry in fs::read_dir(path(directory))? {
        remove(directory, &entry?.file_name())?;
    }
    Ok(())
}

fn is_of_kind(parent: &OwnedFd, name: &OsStr, wanted: SFlag) -> io::Result<bool> {
    match kind(parent, name) {
        Ok(kind) => Ok(kind == wanted),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn kind(parent: &OwnedFd, name: &OsStr) -> nix::Result<SFlag> {
    let known = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(SFlag::from_bits_truncate(known.st_mode & SFlag::S_IFMT.bits()))
}

/// How deep below `/` a directory really is, without links.
fn depth(directory: &OwnedFd) -> io::Result<usize> {
    let path = fs::read_link(path(directory))?;
    Ok(path.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty()).count())
}

/// A path to an open directory, for calls that take nothing else.
pub(crate) fn path(directory: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// How often a path is looked up again before we give up. As often as libpathrs does.
const RACES: usize = 128;
