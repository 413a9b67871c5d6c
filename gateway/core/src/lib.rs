//! The translation engine of Wharf: packet, time and randomness go in, a verdict comes out.
//!
//! It never does I/O, reads a clock, starts a thread, asks the operating system for randomness, or logs. So it runs
//! in virtual time in tests, under a fuzzer, in a bench, and in the worker threads of the `gateway` crate alike.
//!
//! # How to drive it
//!
//! 1. [`Engine::apply`] a [`Command`] whenever the configuration changes.
//! 2. Give each frame from a link to [`Engine::handle_packet`] and do what the [`Verdict`] says.
//! 3. Call [`Engine::handle_timeout`] when [`Engine::poll_timeout`] is due.
//! 4. After each of these, send what [`Engine::poll_transmit`] has until it has nothing, and note what [`Engine::poll_event`] has.
//!
//! `now` never goes back. A frame begins with its vnet header ([`VNET_LEN`] bytes), then Ethernet.
//!
//! # Several workers
//!
//! Each worker has an engine of its own, with a [`WorkerSlot`]. An attachment lives in one engine, an uplink in all of
//! them, and its external ports in an [`AddressSpace`] that they share. A frame from an uplink that another worker's port
//! is meant by comes back as [`Verdict::HandOff`], and ARP of an uplink as [`Verdict::Share`] for [`Engine::handle_shared`] of the
//! others; a datagram that came in fragments is put together by the worker that reads them, and handed over as
//! [`Transmit::Whole`].

#![forbid(unsafe_code)]

mod checksum;
mod chunked;
mod command;
mod engine;
mod event;
mod fragment;
mod id;
mod index;
pub mod limits;
mod mac;
mod mapping;
mod nd;
mod neighbor;
mod packet;
mod ports;
mod rate;
mod respond;
mod route;
mod rule;
mod session;
mod space;
mod split;
mod time;
mod translate;
mod verdict;
mod view;
mod vnet;
mod wire;

pub use command::{
    Addressing, Applied, AttachmentConfig, Command, CommandError, ConnectorConfig, Filtering, MappingMode,
    OnDetach, PortQuota, Publication, UdpRefresh, Unsolicited, UplinkConfig,
};
#[cfg(feature = "bench")]
#[doc(hidden)]
pub use engine::bench;
pub use engine::{Engine, Prepared, Transmit};
pub use event::{Event, PortBlock};
pub use id::{AttachmentId, ConnectorId, Link, UplinkId, WorkerSlot};
pub use mac::{MacAddr, ParseMacError};
pub use nd::SHARED_FRAME_MAX;
pub use rate::{RateLimits, Rates};
pub use rule::{Action, Rule};
pub use space::{AddressSpace, PortSet};
pub use time::Instant;
pub use verdict::{DropCounts, LinkCounters, LinkReport, Reason, Traffic, Verdict};
pub use view::{
    DropView, Explanation, PacketSummary, PortUse, Probe, Protocol, SessionPage, SessionQuery, SessionState,
    SessionView, Step,
};
pub use wire::{FRAME_MAX, VNET_LEN};
