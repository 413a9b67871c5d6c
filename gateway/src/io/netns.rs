//! Network namespaces: opening them by name, path or pid, and running code inside of them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};

use crate::{LinkError, Netns};

/// The filesystem of namespace files (include/uapi/linux/magic.h); `setns` checks the kind of namespace.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Where `ip netns` keeps its names.
pub const NAMED: &str = "/run/netns";

impl Netns {
    /// The file that is this namespace.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Name(name) => [NAMED, name].iter().collect(),
            Self::Path(path) => path.clone(),
            Self::Pid(pid) => format!("/proc/{pid}/ns/net").into(),
        }
    }

    /// Opens the namespace; it lives at least as long as the descriptor.
    pub fn open(&self) -> Result<OwnedFd, LinkError> {
        let path = self.path();
        let shown = || path.display().to_string();
        let file = std::fs::File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => LinkError::NetnsMissing(shown()),
            io::ErrorKind::PermissionDenied => LinkError::NotPermitted("open the namespace"),
            _ => LinkError::System { step: "open the namespace", source: e },
        })?;
        let fs = nix::sys::statfs::fstatfs(&file)
            .map_err(|e| LinkError::System { step: "look at the namespace", source: e.into() })?;
        if fs.filesystem_type().0 as i64 == NSFS_MAGIC {
            Ok(file.into())
        } else {
            Err(LinkError::NetnsInvalid(shown()))
        }
    }
}

/// Runs `f` on a thread of its own inside `netns`, and waits for it.
///
/// A thread of its own, because entering a namespace changes the whole thread, and a thread that
/// failed to come back would do the next caller's work in the wrong place.
pub fn run_in<T: Send>(netns: impl AsFd + Sync, f: impl FnOnce() -> T + Send) -> io::Result<T> {
    let enter = || setns(netns.as_fd(), CloneFlags::CLONE_NEWNET);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("wharf-netns".into()).spawn_scoped(scope, || {
            enter()?;
            Ok(f())
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
