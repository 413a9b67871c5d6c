//! The API's unix socket: one daemon a socket, no leftovers that stop the next start.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

use crate::failure::{Exit, Failure};

/// A bound socket. Dropping it removes the file and lets the next daemon in.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    listener: UnixListener,
    // Held for as long as the socket is ours; released by the kernel however the process ends.
    _lock: File,
}

/// Why there is no socket. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// The kernel has no room for the path.
    #[error("the socket's path has {} bytes, and {PATH_BYTES} are possible: {}", .0.as_os_str().len(), .0.display())]
    TooLong(PathBuf),
    /// Another daemon holds it.
    #[error("another daemon serves {0}")]
    Taken(PathBuf),
    /// Something else has that name.
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    /// A system call failed.
    #[error("cannot {step} {path}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Longest path of a unix socket: `sun_path` of unix(7), without the zero at its end. Bytes.
const PATH_BYTES: usize = 107;

impl Socket {
    /// Takes the lock beside `path`, clears what a killed daemon left, and listens there with permission bits `mode`.
    ///
    /// To be called while the process has one thread: it changes the umask for a moment.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, SocketError> {
        if path.as_os_str().len() > PATH_BYTES {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        if let Some(directory) = path.parent() {
            let created = DirBuilder::new().recursive(true).mode(0o755).create(directory);
            created.map_err(|e| failed("create", directory, e))?;
        }
        let lock = lock(path)?;
        clear(path)?;
        // Closed to everybody until its mode is set, so that nobody slips in between.
        let before = umask(Mode::from_bits_truncate(0o777));
        let bound = UnixListener::bind(path);
        umask(before);
        let listener = bound.map_err(|e| failed("bind", path, e))?;
        let socket = Self { path: path.to_owned(), listener, _lock: lock };
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|e| failed("set the mode of", path, e))?;
        Ok(socket)
    }

    /// Another descriptor of the listener, non-blocking.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.set_nonblocking(true)?;
        self.listener.try_clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The lock is still held, so the file is ours; that it is gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// The lock's file stays when the lock is released: to remove it would let two daemons hold two files of one name.
fn lock(path: &Path) -> Result<File, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    // Nobody else may open it: whoever can, can hold the lock.
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&name);
    let file = file.map_err(|e| failed("open", &name, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::Taken(path.to_owned())),
        Err(TryLockError::Error(e)) => Err(failed("lock", &name, e)),
    }
}

/// Removes a socket that nobody answers on; leaves everything else alone.
fn clear(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed("look at", path, e)),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Taken(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| failed("remove the old", path, e))
        }
        Err(e) => Err(failed("try the old", path, e)),
    }
}

fn failed(step: &'static str, path: &Path, source: io::Error) -> SocketError {
    SocketError::System { step, path: path.to_owned(), source }
}

impl From<SocketError> for Failure {
    fn from(e: SocketError) -> Self {
        let hint = match &e {
            SocketError::TooLong(_) => "choose a shorter --socket",
            SocketError::Taken(_) => "stop that one first, or choose another --socket",
            SocketError::NotASocket(_) => "choose another --socket, or move that file away",
            SocketError::System { .. } => {
                "choose a --socket in a directory that the daemon may write to, such as /run/wharf"
            }
        };
        Self::new(Exit::Failed, e).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_its_mode_and_goes_with_its_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/wharf.sock");
        let socket = Socket::bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn two_daemons_cannot_share_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.sock");
        let first = Socket::bind(&path, 0o600).unwrap();
        assert!(matches!(Socket::bind(&path, 0o600), Err(SocketError::Taken(_))));
        UnixStream::connect(&path).expect("the first is unharmed");
        drop(first);
        Socket::bind(&path, 0o600).unwrap();
    }

    #[test]
    fn a_path_is_as_long_as_the_kernel_takes_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let path = |bytes: usize| folder.join("s".repeat(bytes - folder.as_os_str().len() - 1));
        let too_long = Socket::bind(&path(PATH_BYTES + 1), 0o600).unwrap_err();
        assert!(too_long.to_string().contains("has 108 bytes, and 107 are possible"), "{too_long}");
        assert!(!folder.exists(), "something is left");
        Socket::bind(&path(PATH_BYTES), 0o600).unwrap();
    }

    #[test]
    fn what_a_killed_daemon_left_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Socket::bind(&path, 0o600).unwrap();
    }

    #[test]
    fn foreign_listeners_and_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.sock");
        let foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path, 0o600), Err(SocketError::Taken(_))));
        drop(foreign);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path, 0o600), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
