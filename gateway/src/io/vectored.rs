//! Several frames of a packet socket by one system call: recvmmsg(2) and sendmmsg(2). TAP devices have nothing of the kind.

use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

use nix::errno::Errno;

/// Most frames of one call.
pub(super) const FRAMES: usize = 64;

/// Reads up to `most` frames, each to a place of its own of `room` bytes in `buffer`, and tells the length of each in order.
/// What is longer than its place is cut. An error after the first frame is the next call's.
pub(super) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    room: usize,
    most: usize,
    got: impl FnMut(usize),
) -> Result<(), Errno> {
    let mut vectors = [EMPTY; FRAMES];
    let mut count = 0;
    for (vector, place) in vectors.iter_mut().zip(buffer.chunks_exact_mut(room)).take(most) {
        *vector = libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: place.len() };
        count += 1;
    }
    let mut messages = messages(&mut vectors);
    let fd = socket.as_fd().as_raw_fd();
    let received = uninterrupted(|| {
        // SAFETY: the first `count` messages have one vector each, which is a part of `buffer` of its own; all of them
        // outlive the call. There is no time limit.
        unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), count, libc::MSG_DONTWAIT, null_mut()) }
    })?;
    messages[..received].iter().map(|message| message.msg_len as usize).for_each(got);
    Ok(())
}

/// Writes frames, [`FRAMES`] at most; returns how many were taken, or why not even the first was.
pub(super) fn send<'f>(socket: impl AsFd, frames: impl Iterator<Item = &'f [u8]>) -> Result<usize, Errno> {
    let mut vectors = [EMPTY; FRAMES];
    let mut count = 0;
    for (vector, frame) in vectors.iter_mut().zip(frames) {
        *vector = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        count += 1;
    }
    let mut messages = messages(&mut vectors);
    let fd = socket.as_fd().as_raw_fd();
    uninterrupted(|| {
        // SAFETY: the first `count` messages have one vector each, which is a live frame that the kernel only reads; all of
        // them outlive the call.
        unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) }
    })
}

/// Makes the call until no signal comes between; returns how many messages it did.
fn uninterrupted(mut call: impl FnMut() -> libc::c_int) -> Result<usize, Errno> {
    loop {
        match Errno::result(call()) {
            Err(Errno::EINTR) => {}
            other => return other.map(|count| count.cast_unsigned() as usize),
        }
    }
}

/// A message for each vector.
fn messages(vectors: &mut [libc::iovec; FRAMES]) -> [libc::mmsghdr; FRAMES] {
    // SAFETY: a message of zeros has no name, no vectors and no control data, which is valid.
    let mut messages: [libc::mmsghdr; FRAMES] = unsafe { std::mem::zeroed() };
    for (message, vector) in messages.iter_mut().zip(vectors) {
        message.msg_hdr.msg_iov = vector;
        message.msg_hdr.msg_iovlen = 1;
    }
    messages
}

const EMPTY: libc::iovec = libc::iovec { iov_base: null_mut(), iov_len: 0 };
