//! Why a measurement is not reported.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why there is no number. Threads are ended and sockets closed when it is returned.
#[derive(thiserror::Error)]
pub enum LoadError {
    /// A system call or a file that the tools themselves need.
    #[error("{step}: {source}")]
    System {
        /// What was being done, and to what.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The client got no connection, or the server did not see it.
    #[error("no connection to {remote}: {source}")]
    NoConnection {
        /// Where the client connects to.
        remote: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Sending or receiving failed in the middle: a route is lost, or the other side closed.
    #[error("{what} broke: {source}")]
    Broken {
        /// Which traffic.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Nothing arrived for so long that the path counts as lost.
    #[error("{what}: nothing arrived for {silence:?}")]
    Silent {
        /// Which traffic.
        what: &'static str,
        /// How long.
        silence: Duration,
    },
    /// Bytes arrived that were not sent, or not at this place.
    #[error("{what}: wrong bytes at {at}")]
    WrongBytes {
        /// Which traffic.
        what: &'static str,
        /// Offset in the stream, or number of the packet.
        at: u64,
    },
    /// A stream or a set of sessions did not arrive as a whole.
    #[error("{what}: {arrived} of {sent} arrived")]
    Incomplete {
        /// Which traffic, and of what.
        what: &'static str,
        /// What arrived.
        arrived: u64,
        /// What was sent.
        sent: u64,
    },
    /// A packet arrived twice.
    #[error("packet {number} arrived twice")]
    Duplicate {
        /// Its number.
        number: u64,
    },
    /// Frames at the receiver's device have another length than those sent: joined, cut, or not ours.
    #[error("frames at {device} have {got:.1} bytes on average, not {expected}")]
    WrongSize {
        /// The receiver's device.
        device: String,
        /// Length of a frame as sent. Bytes.
        expected: u64,
        /// Mean of what arrived. Bytes.
        got: f64,
    },
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(&'static str),
    /// A file of the kernel does not have what it should have.
    #[error("{file} has no {field}")]
    Unreadable {
        /// The file.
        file: String,
        /// What was looked for.
        field: String,
    },
}

/// As people read it: a test or `main` that returns this error prints one clear line.
impl fmt::Debug for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl LoadError {
    /// For `map_err`: says what was being done.
    pub(super) fn system<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> Self {
        let step = step.into();
        move |source| Self::System { step, source: source.into() }
    }

    /// For `map_err`: says which traffic broke.
    pub(super) fn broken<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Broken { what, source: source.into() }
    }
}
