//! A device that frames are read from and written to, whatever kind it is.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Packet, Tap};
use crate::Lifetime;

/// An open device. A read or write is one frame, vnet header in front.
#[derive(Debug)]
pub enum Device {
    /// A TAP device that the gateway has made, or a queue of one.
    Tap(Tap),
    /// A packet socket on a device that exists.
    Packet(Packet),
}

/// Why a frame was not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing to read.
    Empty,
    /// No room to write.
    Full,
    /// The device is down; it may come back.
    Down,
    /// The device does not exist any more.
    Gone,
    /// The kernel does not take this frame.
    Refused(Errno),
}

impl Device {
    /// Reads one frame into `buffer`; returns its length. A longer one is cut, which its lengths then tell.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match nix::unistd::read(self, buffer) {
                Ok(length) => return Ok(length),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.not_read(errno)),
            }
        }
    }

    /// Writes one frame, whole or not at all. May be called from several threads at once.
    pub fn write(&self, frame: &[u8]) -> Result<(), Failure> {
        loop {
            match nix::unistd::write(self, frame) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.not_written(errno)),
            }
        }
    }

    /// Whether the device behind a packet socket does not exist any more; TAP devices tell by themselves.
    pub(crate) fn has_gone(&self) -> bool {
        matches!(self, Self::Packet(packet) if !packet.is_bound())
    }

    /// Whether the device is down or gone, so that it would not take a frame. Sends none.
    pub(crate) fn is_down(&self) -> bool {
        match self {
            // drivers/net/tun.c, `tun_chr_poll`: one that is up can be written to, as its buffer is as good as endless.
            Self::Tap(_) => {
                let mut ready = [PollFd::new(self.as_fd(), PollFlags::POLLOUT)];
                let asked = poll(&mut ready, PollTimeout::ZERO);
                let answer = ready[0].revents().unwrap_or(PollFlags::empty());
                asked.is_ok() && !answer.contains(PollFlags::POLLOUT)
            }
            // net/packet/af_packet.c, `packet_snd`: that the device is down comes before that a vnet header is missing.
            Self::Packet(_) => {
                let refused = nix::unistd::write(self, &[]).err().map(|errno| self.not_written(errno));
                matches!(refused, Some(Failure::Down | Failure::Gone))
            }
        }
    }

    /// Says whether a device of our own making outlives its descriptors; of another one, nothing is to be said.
    pub(crate) fn set_lifetime(&self, lifetime: Lifetime) -> Result<(), Errno> {
        match self {
            Self::Tap(tap) => tap.set_lifetime(lifetime),
            Self::Packet(_) => Ok(()),
        }
    }

    /// Takes a device of our own making away, for everybody who still has it open. Of another one, nothing is to be done.
    /// The kernel takes its time, as it waits for all its readers.
    pub(crate) fn delete(&self) {
        if let Self::Tap(tap) = self
            && let Err(error) = tap.delete()
        {
            tracing::warn!(%error, "a device goes when its last descriptor is closed, and not before");
        }
    }

    /// What the answer to a read means.
    pub(super) fn not_read(&self, errno: Errno) -> Failure {
        if errno == Errno::EAGAIN { Failure::Empty } else { self.failure(errno) }
    }

    /// What the answer to a write means.
    pub(super) fn not_written(&self, errno: Errno) -> Failure {
        match errno {
            Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM => Failure::Full,
            other => self.failure(other),
        }
    }

    fn failure(&self, errno: Errno) -> Failure {
        match (self, errno) {
            // drivers/net/tun.c: EBADFD once the device is detached, EIO while it is down.
            (Self::Tap(_), Errno::EBADFD) => Failure::Gone,
            (Self::Tap(_), Errno::EIO) => Failure::Down,
            // net/packet/af_packet.c: ENETDOWN for down and for unregistered, ENXIO for the latter on sending.
            (Self::Packet(packet), Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV) => {
                if packet.is_bound() {
                    Failure::Down
                } else {
                    Failure::Gone
                }
            }
            (_, errno) => Failure::Refused(errno),
        }
    }

    /// Offloads that the kernel accepted.
    pub(crate) fn offloads(&self) -> &[&'static str] {
        match self {
            Self::Tap(tap) => tap.offloads(),
            Self::Packet(_) => Packet::OFFLOADS,
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tap(tap) => tap.as_fd(),
            Self::Packet(packet) => packet.as_fd(),
        }
    }
}
