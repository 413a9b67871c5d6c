//! Whether an event got to the runtime.
//!
//! hyper takes a response's body, keeps it, and writes it when it can; a client may vanish at any time before. So the body notes
//! when hyper took it, and the connection notes when hyper had nothing left to write after that. What was not written when the
//! connection is over is the following client's.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::state::Ticket;

/// The event that is on its way on one connection. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery(Arc<Mutex<Option<Parcel>>>);

#[derive(Clone, Copy, Debug)]
struct Parcel {
    ticket: Ticket,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The body is ours still.
    Packed,
    /// hyper has it, and has not written it.
    Sent,
}

/// A body in one piece.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    delivery: Option<Delivery>,
}

/// A connection that notes what is written.
#[derive(Debug)]
pub(super) struct Noted<I> {
    io: I,
    delivery: Delivery,
}

impl Delivery {
    /// A body that carries this event.
    pub(super) fn pack(&self, ticket: Ticket, payload: Bytes) -> Piece {
        let step = if payload.is_empty() { Step::Sent } else { Step::Packed };
        self.set(Some(Parcel { ticket, step }));
        Piece { bytes: payload, delivery: Some(self.clone()) }
    }

    /// The connection is over: what it has not delivered.
    pub(super) fn undelivered(&self) -> Option<Ticket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map(|parcel| parcel.ticket)
    }

    fn sent(&self) {
        let mut parcel = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parcel) = parcel.as_mut() {
            parcel.step = Step::Sent;
        }
    }

    fn written(&self) {
        let mut parcel = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parcel.take_if(|parcel| parcel.step == Step::Sent);
    }

    fn set(&self, parcel: Option<Parcel>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = parcel;
    }
}

impl Piece {
    /// A body that nobody misses.
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self { bytes, delivery: None }
    }
}

impl Body for Piece {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(delivery) = &self.delivery {
            delivery.sent();
        }
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

impl<I> Noted<I> {
    /// Notes of this connection what becomes of its delivery.
    pub(super) const fn new(io: I, delivery: Delivery) -> Self {
        Self { io, delivery }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Noted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Noted<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes when it has given away everything that it had.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.delivery.written();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
