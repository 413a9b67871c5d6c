//! Frames read from a device in one go, one behind the other in one buffer that is used again and again.

use std::ops::Range;

use gateway_core::FRAME_MAX;
use nix::errno::Errno;

use super::ring::Ring;
use super::{Device, Failure, vectored};

/// Most frames of a batch.
const FRAMES: usize = vectored::FRAMES;

/// A packet socket is asked for this many frames at least, whatever their lengths may be.
const FRAMES_MIN: usize = 8;

/// No frame is read into a batch that has this many bytes: super-packets shall not push each other out of the cache before
/// they are written. Measured, see docs/decisions/0008. Bytes.
const BYTES: usize = 256 * 1024;

/// Each frame begins on a cache line of its own. Bytes.
const LINE: usize = 64;

/// A batch of frames, vnet headers in front.
#[derive(Debug, Default)]
pub struct Batch {
    buffer: Box<[u8]>,
    frames: Vec<Range<usize>>,
    /// Bytes of a packet socket's frames lately, on average: how many of them make a batch.
    mean: usize,
    ring: Ring,
}

impl Batch {
    /// An empty batch with room for a full one.
    pub fn new() -> Self {
        // Frames of packet sockets lie far from each other, and the room between them is never touched: it takes no memory.
        let buffer = vec![0; (FRAMES * LONGEST).max(BYTES + LONGEST)].into();
        Self { buffer, frames: Vec::with_capacity(FRAMES), mean: LONGEST, ring: Ring::new() }
    }

    /// Replaces what is inside by what the device has. `Ok` if it may have more, or else why it has not. Frames that the kernel
    /// could not hand out are lost; `refused` is told.
    pub fn read(&mut self, device: &Device, refused: impl FnMut(Errno)) -> Result<(), Failure> {
        self.frames.clear();
        match device {
            Device::Tap(_) => self.read_each(device, refused),
            Device::Packet(_) => self.read_many(device, refused),
        }
    }

    /// Writes some of the frames, by their indices, in order. `failed` is told which the device does not take, and why.
    pub fn write(&mut self, device: &Device, indices: &[usize], failed: impl FnMut(&[u8], Failure)) {
        match device {
            Device::Tap(_) => self.write_each(device, indices, failed),
            Device::Packet(_) => self.write_many(device, indices, failed),
        }
    }

    fn read_each(&mut self, device: &Device, mut refused: impl FnMut(Errno)) -> Result<(), Failure> {
        let mut at = 0;
        for _ in 0..FRAMES {
            if at >= BYTES {
                break;
            }
            match device.read(&mut self.buffer[at..at + LONGEST]) {
                Ok(length) => {
                    self.frames.push(at..at + length);
                    at = (at + length).next_multiple_of(LINE);
                }
                Err(Failure::Refused(errno)) => refused(errno),
                Err(end) => return Err(end),
            }
        }
        Ok(())
    }

    fn read_many(&mut self, device: &Device, mut refused: impl FnMut(Errno)) -> Result<(), Failure> {
        let most = (BYTES / self.mean.max(1)).clamp(FRAMES_MIN, FRAMES);
        let (frames, mut at) = (&mut self.frames, 0);
        let got = |length| {
            frames.push(at..at + length);
            at += LONGEST;
        };
        if let Err(errno) = vectored::receive(device, &mut self.buffer, LONGEST, most, got) {
            let Failure::Refused(errno) = device.not_read(errno) else { return Err(device.not_read(errno)) };
            refused(errno);
            return Ok(());
        }
        self.mean = self.frames.iter().map(Range::len).sum::<usize>() / self.frames.len();
        // Less than asked for is all that there was.
        if self.frames.len() < most { Err(Failure::Empty) } else { Ok(()) }
    }

    fn write_each(&mut self, device: &Device, indices: &[usize], mut failed: impl FnMut(&[u8], Failure)) {
        let Self { buffer, frames, ring, .. } = self;
        let frame = |index: usize| &buffer[frames[index].clone()];
        let mut done = 0;
        // A ring costs more than it saves for a single frame.
        if indices.len() > 1 {
            let run = indices.iter().map(|&index| frame(index));
            done = ring.write(device, run, |nth, errno| {
                failed(frame(indices[nth]), device.not_written(errno));
            });
        }
        for &index in &indices[done..] {
            device.write(frame(index)).unwrap_or_else(|failure| failed(frame(index), failure));
        }
    }

    fn write_many(&self, device: &Device, mut indices: &[usize], mut failed: impl FnMut(&[u8], Failure)) {
        while let Some((&first, rest)) = indices.split_first() {
            let frames = indices.iter().map(|&index| self.frame(index));
            match vectored::send(device, frames) {
                Ok(count) => indices = &indices[count..],
                Err(errno) => {
                    failed(self.frame(first), device.not_written(errno));
                    indices = rest;
                }
            }
        }
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames, in the order in which they were read.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|frame| &self.buffer[frame.clone()])
    }

    /// One of the frames.
    pub fn frame(&self, index: usize) -> &[u8] {
        &self.buffer[self.frames[index].clone()]
    }

    /// One of the frames, to be changed in place.
    pub fn frame_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.buffer[self.frames[index].clone()]
    }
}

/// One byte more than the largest frame, so that a longer one is seen to be longer, and up to the next line.
const LONGEST: usize = (FRAME_MAX + 1).next_multiple_of(LINE);
