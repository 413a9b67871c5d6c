//! Frames in the buffers of a worker, and how they go through the engine: the one place where the data plane's way of
//! doing it is repeated.

use std::hint::black_box;

use gateway_core::{Engine, Instant, Link, Prepared, Verdict};

use crate::frame::Shape;

/// Frames that a worker reads before it goes on.
pub const BATCH: usize = 64;

/// The buffers of one batch, with frames of one shape.
pub struct Batch {
    bytes: Vec<u8>,
    length: usize,
    stride: usize,
    prepared: Vec<Prepared>,
}

impl Batch {
    /// Buffers that hold a frame of this shape each.
    pub fn new(shape: &Shape) -> Self {
        let frame = shape.frame();
        let (length, stride) = (frame.len(), stride(frame.len()));
        let mut bytes = vec![0; stride * BATCH];
        for buffer in bytes.chunks_exact_mut(stride) {
            buffer[..length].copy_from_slice(&frame);
        }
        Self { bytes, length, stride, prepared: Vec::with_capacity(BATCH) }
    }

    /// The frames.
    pub fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let length = self.length;
        self.bytes.chunks_exact_mut(self.stride).map(move |buffer| &mut buffer[..length])
    }

    /// One frame, to be written.
    pub fn frame_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * self.stride..][..self.length]
    }

    /// One frame, to read.
    pub fn frame(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.stride..][..self.length]
    }

    /// Gives the first `count` frames, which came from one link, to the engine. Returns how many go on.
    pub fn translate(&mut self, engine: &mut Engine, now: Instant, from: Link, count: usize) -> usize {
        let (length, stride) = (self.length, self.stride);
        let buffers = self.bytes.chunks_exact(stride).take(count);
        engine.prepare(from, buffers.map(|buffer| black_box(&buffer[..length])), &mut self.prepared);
        let mut forwarded = 0;
        for (buffer, prepared) in self.bytes.chunks_exact_mut(stride).zip(&self.prepared) {
            let verdict = engine.handle_prepared(now, from, black_box(&mut buffer[..length]), prepared);
            forwarded += usize::from(matches!(verdict, Verdict::Forward(_)));
        }
        forwarded
    }

    /// Does the same one by one, without a look ahead.
    pub fn translate_singly(&mut self, engine: &mut Engine, now: Instant, from: Link) -> usize {
        let verdicts = self.frames().map(|frame| engine.handle_packet(now, from, black_box(frame)));
        verdicts.filter(|verdict| matches!(verdict, Verdict::Forward(_))).count()
    }
}

/// Whole cache lines, and one more, so that the headers of large frames are not all in the same set of the cache.
const fn stride(length: usize) -> usize {
    length.next_multiple_of(LINE) + LINE
}

/// Bytes of a cache line.
const LINE: usize = 64;
