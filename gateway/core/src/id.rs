//! Identities. A packet belongs to the link that it came from, never to the address that it carries.

use std::fmt;

/// A container's link. Never reused within the life of a gateway, so that nothing of a gone
/// container can reach the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachmentId(pub u32);

/// A VPC's link. Never reused within the life of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UplinkId(pub u32);

/// The named permission that joins an attachment to an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectorId(pub u32);

/// Where a frame came from, or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// Inside: a container.
    Attachment(AttachmentId),
    /// Outside: a VPC.
    Uplink(UplinkId),
}

/// Which of how many workers an engine serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerSlot {
    index: u16,
    count: u16,
}

impl WorkerSlot {
    /// The only worker.
    pub const ONLY: Self = Self { index: 0, count: 1 };

    /// Worker `index` of `count`.
    ///
    /// # Panics
    /// If `index` is not below `count`.
    pub const fn new(index: u16, count: u16) -> Self {
        assert!(index < count, "a worker's index is below the number of workers");
        Self { index, count }
    }

    /// This worker's index, from 0.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many workers there are.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// The index of the worker that leases an external `port` (or ICMP query id) first, if it is free: steering goes by this.
    ///
    /// Homes go by blocks of [`crate::limits::PORT_BLOCK`] ports, so that a block is never split.
    pub const fn home_of(self, port: u16) -> u16 {
        (port / crate::limits::PORT_BLOCK) % self.count
    }
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attachment {}", self.0)
    }
}

impl fmt::Display for UplinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uplink {}", self.0)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attachment(id) => id.fmt(f),
            Self::Uplink(id) => id.fmt(f),
        }
    }
}
