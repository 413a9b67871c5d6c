//! The translation engine of Wharf: packet, time and randomness go in, a verdict comes out.
//!
//! It never does I/O, reads a clock, starts a thread, asks the operating system for randomness or logs.

#![forbid(unsafe_code)]

mod command;
mod id;
pub mod limits;
mod mac;
mod time;
mod verdict;
mod view;

pub use command::{Applied, AttachmentConfig, Command, CommandError, ConnectorConfig, UplinkConfig};
pub use id::{AttachmentId, ConnectorId, Link, UplinkId, WorkerSlot};
pub use mac::{MacAddr, ParseMacError};
pub use time::Instant;
pub use verdict::{DropCounts, LinkCounters, LinkReport, Reason, Traffic, Verdict};
pub use view::{
    DropView, Explanation, PacketSummary, PortUse, Probe, Protocol, SessionPage, SessionQuery, SessionState,
    SessionView, Step,
};
