//! The packet plane of Wharf: worker threads and devices around [`gateway_core`]'s engine.
//!
//! [`Gateway::start`] starts the workers, [`Gateway::handle`] gives a [`Handle`] that adds and removes links, attaches
//! connectors and takes snapshots. Dropping the [`Gateway`] stops the workers and closes every device; TAP devices
//! live no longer than their descriptor, so nothing is left behind, however the process ends. Those that shall last
//! ([`Lifetime::Lasting`]) stay where they are, just as surely, for the next gateway to take again.

mod config;
mod device;
mod event;
mod gateway;
mod handle;
mod identity;
pub mod io;
mod losses;
mod placement;
mod question;
mod spec;
mod spin;
mod stats;
mod worker;

pub use config::{Config, WORKERS_MAX};
pub use device::open_bare_tap;
pub use event::Event;
pub use gateway::Gateway;
pub use gateway_core::{
    Action, Addressing, Applied, AttachmentId, CommandError, ConnectorConfig, ConnectorId, DropCounts,
    DropView, Explanation, Filtering, Link, LinkCounters, LinkReport, MacAddr, MappingMode, OnDetach,
    PacketSummary, ParseMacError, PortQuota, PortSet, PortUse, Probe, Protocol, Publication, RateLimits,
    Rates, Reason, Rule, SessionPage, SessionQuery, SessionState, SessionView, Step, Traffic, UdpRefresh,
    Unsolicited, UplinkId, Verdict, limits,
};
pub use handle::{CallError, Handle};
pub use identity::{NetnsIdentity, ParseNetnsIdentityError};
pub use question::Question;
pub use spec::{
    AttachmentInfo, AttachmentSpec, Lifetime, LinkError, Netns, Origin, UplinkDevice, UplinkInfo, UplinkSpec,
};
pub use spin::{SPIN_MAX, Spin, Spinning};
pub use stats::{Stats, WorkerReport};
