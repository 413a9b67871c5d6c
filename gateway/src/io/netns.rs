//! Network namespaces: opening them by name, path or pid, and running code inside of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};

use crate::{LinkError, Netns};

/// The filesystem of namespace files (include/uapi/linux/magic.h).
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
        // Whoever names the path may name a pipe, and the one who opens it must not wait for its writer.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path);
        let file = file.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => LinkError::NetnsMissing(shown()),
            io::ErrorKind::PermissionDenied => LinkError::NotPermitted("open the namespace"),
            _ => LinkError::System { step: "open the namespace", source: e },
        })?;
        let is_network = is_network_namespace(&file)
            .map_err(|source| LinkError::System { step: "look at the namespace", source })?;
        if is_network { Ok(file.into()) } else { Err(LinkError::NetnsInvalid(shown())) }
    }
}

/// Whether the file is a namespace, and one of networks.
fn is_network_namespace(file: &File) -> io::Result<bool> {
    // First, as the number of the call below means something else to other files.
    if nix::sys::statfs::fstatfs(file)?.filesystem_type().0 as i64 != NSFS_MAGIC {
        return Ok(false);
    }
    // SAFETY: the descriptor is open for the call, which has no argument: the kernel touches no memory of ours.
    let kind = unsafe { ioctl::ns_get_nstype(file.as_raw_fd()) }?;
    Ok(kind == libc::CLONE_NEWNET)
}

/// A number that no other namespace gets until the machine starts again, unlike the inode of its file, which the next one may
/// have (`net_cookie`, net/core/net_namespace.c). Needs Linux 5.14.
pub fn cookie(netns: impl AsFd + Sync) -> io::Result<u64> {
    run_in(netns, || {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::Datagram,
            nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        let (mut cookie, mut length) = (0_u64, size_of::<u64>() as libc::socklen_t);
        // SAFETY: the socket is open, and both pointers are to live values of the lengths that they are said to have.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_NETNS_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut length,
            )
        };
        nix::errno::Errno::result(answer)?;
        Ok(cookie)
    })?
}

/// include/uapi/asm-generic/socket.h
const SO_NETNS_COOKIE: libc::c_int = 71;

mod ioctl {
    // include/uapi/linux/nsfs.h: _IO(0xb7, 3).
    nix::ioctl_none!(ns_get_nstype, 0xb7, 3);
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
