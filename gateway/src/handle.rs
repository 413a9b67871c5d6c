//! The gateway as the control plane sees it: asynchronous calls that are answered when the workers have acted.

use crate::{
    Applied, AttachmentId, AttachmentInfo, AttachmentSpec, CommandError, ConnectorConfig, ConnectorId, DropView,
    Explanation, LinkError, LinkReport, PortUse, Probe, SessionPage, SessionQuery, UplinkId, UplinkInfo, UplinkSpec,
};

/// A worker's own numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerReport {
    /// Its index.
    pub index: u16,
    /// Sessions in its table.
    pub sessions: u64,
    /// Times it woke up.
    pub wakeups: u64,
    /// Frames handed to another worker.
    pub handed_off: u64,
}

/// Counters of all workers, taken without stopping them; each worker's part is consistent in itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Workers, in order of their index.
    pub workers: Vec<WorkerReport>,
    /// Links, summed over the workers.
    pub links: Vec<LinkReport>,
    /// External addresses, summed over the workers.
    pub ports: Vec<PortUse>,
}

/// Something that happened without being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The container's device or namespace disappeared. Its sessions have ended, its ports are free, its descriptor is closed.
    AttachmentGone(AttachmentId),
    /// The VPC's device or namespace disappeared. As above, for every container that used it.
    UplinkGone(UplinkId),
}

/// Why a call to the workers failed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The worker refused.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Stopped,
}

/// Steers a running gateway. Clones steer the same one.
#[derive(Clone, Debug)]
pub struct Handle {}

#[allow(unused_variables, clippy::unused_async)]
impl Handle {
    /// Makes or opens a VPC's device and gives it to all workers.
    pub async fn add_uplink(&self, spec: UplinkSpec) -> Result<UplinkInfo, LinkError> {
        todo!()
    }

    /// Takes a VPC's device from the workers and closes it. Its sessions end first.
    pub async fn remove_uplink(&self, id: UplinkId) -> Result<Applied, CallError> {
        todo!()
    }

    /// Makes a container's device and gives it to one worker.
    pub async fn add_attachment(&self, spec: AttachmentSpec) -> Result<AttachmentInfo, LinkError> {
        todo!()
    }

    /// Takes a container's device from its worker and closes it. Its sessions end first.
    pub async fn remove_attachment(&self, id: AttachmentId) -> Result<Applied, CallError> {
        todo!()
    }

    /// Lets a container use a connector. Answered when the container's worker has it.
    pub async fn attach(&self, attachment: AttachmentId, connector: ConnectorConfig) -> Result<Applied, CallError> {
        todo!()
    }

    /// Ends the permission. Every session of the pair has ended when this returns.
    pub async fn detach(&self, attachment: AttachmentId, connector: ConnectorId) -> Result<Applied, CallError> {
        todo!()
    }

    /// One page of live sessions of all workers.
    pub async fn sessions(&self, query: SessionQuery) -> Result<SessionPage, CallError> {
        todo!()
    }

    /// Counters of everything.
    pub async fn stats(&self) -> Result<Stats, CallError> {
        todo!()
    }

    /// What would happen to a packet of this container, by the engine's own decisions. Changes nothing.
    pub async fn explain(&self, attachment: AttachmentId, probe: Probe) -> Result<Explanation, CallError> {
        todo!()
    }

    /// The container's last drops, newest first.
    pub async fn recent_drops(&self, attachment: AttachmentId) -> Result<Vec<DropView>, CallError> {
        todo!()
    }

    /// What happens from now on.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<Event> {
        todo!()
    }
}
