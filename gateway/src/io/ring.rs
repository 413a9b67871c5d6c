//! Several frames to a TAP device by one system call: io_uring(7). Packet sockets have [`super::vectored`].
//!
//! Nothing is left under way when a call returns: each write says that it shall not wait (`RWF_NOWAIT`), and the kernel does
//! such writes one after the other within `io_uring_enter`, in the order in which they were put (`io_queue_sqe`). So frames
//! keep their order, each has its answer, and none has to live longer than the call.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::{IoUring, opcode, types};
use nix::errno::Errno;
use tracing::debug;

/// Most frames of one call.
const FRAMES: usize = super::vectored::FRAMES;

/// What takes a run of frames at once, or takes none: where the kernel has no rings for us, or none for such a device.
#[derive(Default)]
pub(super) struct Ring(Option<Box<IoUring>>);

impl Ring {
    /// A ring, if the kernel gives one: it may be built without, told to refuse (`kernel.io_uring_disabled`), or be behind a
    /// filter of system calls.
    pub(super) fn new() -> Self {
        let made = IoUring::new(FRAMES as u32);
        Self(made.inspect_err(without).ok().map(Box::new))
    }

    /// Writes frames in order, and tells of each that was not taken, by its number and why. Returns how many of them are done
    /// with; the others are the caller's to write in another way.
    pub(super) fn write<'f>(
        &mut self,
        device: impl AsFd,
        frames: impl Iterator<Item = &'f [u8]>,
        mut failed: impl FnMut(usize, Errno),
    ) -> usize {
        let Some(ring) = &mut self.0 else { return 0 };
        let fd = types::Fd(device.as_fd().as_raw_fd());
        let (mut queue, mut count) = (ring.submission(), 0);
        for frame in frames.take(FRAMES) {
            let write = opcode::Write::new(fd, frame.as_ptr(), frame.len() as u32).rw_flags(libc::RWF_NOWAIT);
            // SAFETY: `finish` returns when the kernel has done with the frame, which it only reads, or drops the ring and
            // the entry in it, which the kernel then has never seen.
            let put = unsafe { queue.push(&write.build().user_data(count as u64)) };
            put.expect("a ring has room for a run, and is empty before it");
            count += 1;
        }
        drop(queue);
        match finish(ring, count, &mut failed) {
            Ok(()) => count,
            Err((done, error)) => {
                without(&error);
                self.0 = None;
                done
            }
        }
    }
}

/// Has the kernel do what was put into the ring. If it does not, tells how much it did, from the first on, and why not more.
fn finish(
    ring: &mut IoUring,
    count: usize,
    failed: &mut impl FnMut(usize, Errno),
) -> Result<(), (usize, io::Error)> {
    let (mut done, mut unable) = (0, None);
    let mut answered = 0;
    while answered < count {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err((done, error)),
            _ => {}
        }
        for answer in ring.completion() {
            answered += 1;
            match Errno::from_raw(-answer.result().min(0)) {
                // The device does not know `RWF_NOWAIT`, and says so before it looks at the frame.
                Errno::EOPNOTSUPP => unable = Some(io::Error::from(Errno::EOPNOTSUPP)),
                errno => {
                    done += 1;
                    if answer.result() < 0 {
                        failed(answer.user_data() as usize, errno);
                    }
                }
            }
        }
    }
    unable.map_or(Ok(()), |error| Err((done, error)))
}

fn without(error: &io::Error) {
    debug!(%error, "no io_uring: TAP devices are given each frame by a call of its own");
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ring").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn numbered() -> Vec<[u8; 1]> {
        (0..FRAMES as u8).map(|number| [number]).collect()
    }

    /// What the ring did not do, and whether it is there.
    fn write(ring: &mut Ring, to: impl AsFd) -> (Vec<(usize, Errno)>, usize) {
        let (frames, mut failed) = (numbered(), Vec::new());
        let frames = frames.iter().map(|frame| &frame[..]);
        let done = ring.write(to, frames, |nth, errno| failed.push((nth, errno)));
        (failed, done)
    }

    #[test]
    fn frames_are_written_in_order_and_those_without_room_are_told() {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut ring = Ring::new();
        // Another time, to see that nothing of the first is left in the ring.
        for _ in 0..2 {
            let (failed, done) = write(&mut ring, &near);
            let mut arrived = Vec::new();
            let mut byte = [0];
            while far.recv(&mut byte).is_ok() {
                arrived.push(usize::from(byte[0]));
            }
            let (all, there) = (0..FRAMES, ring.0.is_some());
            let expected: Vec<_> = all.skip(arrived.len()).map(|nth| (nth, Errno::EAGAIN)).collect();
            assert_eq!(arrived, (0..arrived.len()).collect::<Vec<_>>());
            assert_eq!((failed, done), if there { (expected, FRAMES) } else { (vec![], 0) });
            assert!(!there || !arrived.is_empty());
        }
    }

    #[test]
    fn a_device_that_cannot_be_written_without_waiting_is_left_to_others() {
        let mut ring = Ring::new();
        // A file of procfs, which knows nothing of RWF_NOWAIT.
        let file = File::options().write(true).open("/proc/thread-self/comm").unwrap();
        assert_eq!(write(&mut ring, &file), (vec![], 0));
        assert!(ring.0.is_none(), "it is not tried again");
    }

    #[test]
    fn no_ring_does_nothing() {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        assert_eq!(write(&mut Ring::default(), &near), (vec![], 0));
        assert!(far.recv(&mut [0]).is_err());
    }
}
