//! The sender: batches on a connected socket, one packet a segment.

use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};

use super::WHAT;
use crate::load::LoadError;
use crate::load::pattern::{PacketPattern, TEMPLATES};
use crate::load::socket::is_pause;
use crate::load::window::Control;

/// Sends numbered packets until the run stops: `rate` a second, or as many as the kernel takes.
pub(super) fn send(
    socket: &UdpSocket,
    pattern: &PacketPattern,
    rate: Option<u32>,
    control: &Control,
    sent: &AtomicU64,
) -> Result<(), LoadError> {
    let mut ring = pattern.payloads();
    let mut headers = MultiHeaders::<()>::preallocate(TEMPLATES, None);
    let (mut number, begin) = (0, Instant::now());
    while !control.is_stopped() {
        let due = rate.map_or(u64::MAX, |rate| due(rate, begin.elapsed()).saturating_sub(number));
        if due == 0 {
            thread::sleep(SHORT);
            continue;
        }
        let more = due.min(TEMPLATES as u64);
        for next in number..number + more {
            pattern.number(&mut ring[slot(next)], next);
        }
        // After a batch that was taken in part, the next one begins in the middle of the ring.
        let batch: [_; TEMPLATES] = std::array::from_fn(|i| [IoSlice::new(&ring[slot(number + i as u64)])]);
        let batch = &batch[..more as usize];
        let taken =
            sendmmsg(socket.as_raw_fd(), &mut headers, batch, [None; TEMPLATES], [], MsgFlags::empty());
        match taken.map(Iterator::count) {
            Ok(n) => number += n as u64,
            // The device's queue is full; its packets are lost, as everywhere with UDP.
            Err(Errno::ENOBUFS) => {}
            Err(e) if is_pause(&e.into()) => {}
            Err(e) => return Err(LoadError::broken(WHAT)(io::Error::from(e))),
        }
        sent.store(number, Ordering::Relaxed);
    }
    Ok(())
}

/// How many packets are to be sent after so long.
fn due(rate: u32, elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
}

fn slot(number: u64) -> usize {
    (number % TEMPLATES as u64) as usize
}

/// Between two looks at the clock when the rate is given.
const SHORT: Duration = Duration::from_micros(200);
