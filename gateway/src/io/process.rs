//! Descriptors of processes, which tell when a process ends and are never another's.

use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Opens the process: readable once it has ended (pidfd_open(2)). `ESRCH` if there is none.
pub(crate) fn open_process(pid: u32) -> Result<OwnedFd, Errno> {
    let pid = i32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    // SAFETY: both arguments are plain numbers; the kernel touches no memory of ours.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })? as i32;
    // SAFETY: the descriptor was opened just now and nobody else has it; it is closed on exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
