//! The receiver: takes all packets, or a sample, and checks what it takes.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use netlab::Namespace;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};

use super::WHAT;
use crate::load::LoadError;
use crate::load::pattern::{PacketPattern, Seen};
use crate::load::socket::{is_pause, udp_sink};
use crate::load::window::Control;

/// The server's socket.
#[derive(Debug)]
pub(super) struct Sink(UdpSocket);

impl Sink {
    pub(super) fn open(server: &Namespace, at: SocketAddr) -> Result<Self, LoadError> {
        udp_sink(server, at).map(Self)
    }

    /// Takes packets until the run has stopped and no more come; returns whom they come from.
    pub(super) fn take(
        &self,
        pattern: &PacketPattern,
        control: &Control,
        taken: &AtomicU64,
    ) -> Result<SocketAddr, LoadError> {
        let mut check = Check { pattern, seen: Seen::default(), count: 0 };
        let peer = self.first(&mut check, control)?;
        let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
        let mut buffers = vec![[0; LONGEST]; BATCH];
        while !control.is_overdue() {
            taken.store(check.count, Ordering::Relaxed);
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            // Waits for the first packet only.
            match recvmmsg(self.0.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_WAITFORONE, None) {
                Ok(packets) => {
                    for packet in packets {
                        check.packet(packet.iovs().next().unwrap_or_default())?;
                    }
                }
                // What was under way has arrived, so that the next run does not find it.
                Err(e) if is_pause(&e.into()) && control.is_stopped() => break,
                Err(e) if is_pause(&e.into()) => {}
                Err(e) => return Err(LoadError::broken(WHAT)(io::Error::from(e))),
            }
        }
        Ok(peer)
    }

    /// Waits for the first packet.
    fn first(&self, check: &mut Check<'_>, control: &Control) -> Result<SocketAddr, LoadError> {
        let mut buffer = [0; LONGEST];
        loop {
            match self.0.recv_from(&mut buffer) {
                Ok((n, peer)) => return check.packet(&buffer[..n]).map(|()| peer),
                // The window sees that nothing arrives; here it means that nothing was checked.
                Err(e) if is_pause(&e) && control.is_stopped() => {
                    return Err(LoadError::Incomplete {
                        what: "the sample of the UDP flow",
                        arrived: 0,
                        sent: 1,
                    });
                }
                Err(e) if is_pause(&e) => {}
                Err(e) => return Err(LoadError::broken(WHAT)(e)),
            }
        }
    }
}

/// What was checked so far.
struct Check<'a> {
    pattern: &'a PacketPattern,
    seen: Seen,
    count: u64,
}

impl Check<'_> {
    fn packet(&mut self, payload: &[u8]) -> Result<(), LoadError> {
        let number =
            self.pattern.read(payload).ok_or(LoadError::WrongBytes { what: WHAT, at: self.count })?;
        if !self.seen.insert(number) {
            return Err(LoadError::Duplicate { number });
        }
        self.count += 1;
        Ok(())
    }
}

/// Packets of one call.
const BATCH: usize = 64;

/// More than any packet has. Bytes.
const LONGEST: usize = 2048;
