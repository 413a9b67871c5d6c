//! The packet plane of Wharf: worker threads and devices around [`gateway_core`]'s engine.

mod handle;
pub mod io;
mod spec;

pub use gateway_core::{
    Applied, AttachmentId, CommandError, ConnectorConfig, ConnectorId, DropCounts, DropView, Explanation, Link,
    LinkCounters, LinkReport, MacAddr, PacketSummary, ParseMacError, PortUse, Probe, Protocol, Reason, SessionPage,
    SessionQuery, SessionState, SessionView, Step, Traffic, UplinkId, limits,
};
pub use handle::{CallError, Event, Handle, Stats, WorkerReport};
pub use spec::{
    AttachmentInfo, AttachmentSpec, LinkError, Netns, UplinkDevice, UplinkInfo, UplinkSpec,
};

/// Starts the workers. Settings are in [`Config`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None` for one per core, up to four.
    pub workers: Option<u16>,
}

/// A running gateway; dropping it stops the workers and closes every device.
#[derive(Debug)]
pub struct Gateway {}

impl Gateway {
    /// Starts the worker threads. They idle until a link is added.
    pub fn start(_config: &Config) -> std::io::Result<Self> {
        todo!()
    }

    /// Something to steer it with.
    pub fn handle(&self) -> Handle {
        todo!()
    }
}
