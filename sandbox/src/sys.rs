//! System calls: the sandbox's only unsafe code.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, Pid, fork, write};
use tokio::io::unix::AsyncFd;

/// A copy of the tree at `path` that is mounted nowhere, read-only and without devices and set-user-id programs. It can be put in place
/// with [`move_mount`]. Linux 5.12: `open_tree`, `mount_setattr` (fs/namespace.c).
pub(crate) fn detached_read_only(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    let tree = path.with_nix_path(|path| {
        // SAFETY: the path ends with a zero and lives over the call, which touches no other memory of ours.
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) }
    })?;
    let tree = Errno::result(tree)?;
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else has it.
    let tree = unsafe { OwnedFd::from_raw_fd(tree as i32) };
    let attributes = MountAttributes {
        set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        user_namespace: 0,
    };
    // SAFETY: the descriptor is open, the path is empty and ends with a zero, and the attributes are of the size that is said.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    Errno::result(outcome)?;
    Ok(tree)
}

/// Puts a detached mount in place, in the calling thread's mount namespace. Linux 5.2.
pub(crate) fn move_mount(tree: impl AsFd, target: &CStr) -> io::Result<()> {
    // SAFETY: the descriptor is open, and both paths end with a zero and live over the call.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(outcome)?;
    Ok(())
}

/// `struct mount_attr` of include/uapi/linux/mount.h.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const _: () = assert!(size_of::<MountAttributes>() == 32);

/// Brings the loopback device of the calling thread's network namespace up. netdevice(7): `SIOCSIFFLAGS`.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: all zeros is a valid request: a name of no bytes and flags of zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes_with_nul()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the socket is open, and the request is a live `ifreq`, as this call expects.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}

/// A process that has a user and a network namespace of its own, and waits to be killed. It ends with its parent.
///
/// Only for programs of one thread: the child is a copy that runs on.
pub(crate) fn hold_namespaces(ready: impl AsFd) -> io::Result<Pid> {
    // SAFETY: the caller has one thread only, so that no lock is held by one that the child lacks.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let made = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
                .and_then(|()| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET));
            // Whoever reads hears of a failure by the end of the pipe.
            if made.and_then(|()| write(ready, b"1")).is_ok() {
                loop {
                    nix::unistd::pause();
                }
            }
            std::process::exit(1)
        }
    }
}

/// A descriptor that is this process, whatever becomes of its number. pidfd_open(2).
pub(crate) fn open_process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call has numbers for arguments.
    let process = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(process as i32) })
}

/// Wakes whoever waits when the process has ended. Needs a tokio runtime.
pub(crate) fn watch_process(process: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is open as long as its owner lives, which is as long as it is registered, and nobody exchanges it.
    unsafe { AsyncFd::register(process) }.map_err(Into::into)
}

/// Kills the process, if it has not ended yet. pidfd_send_signal(2).
pub(crate) fn kill_process(process: impl AsFd) -> io::Result<()> {
    let (process, none) = (process.as_fd().as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: the descriptor is open, and no further information is given.
    let outcome = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process, libc::SIGKILL, none, 0) };
    match Errno::result(outcome) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
