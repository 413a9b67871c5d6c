//! What an engine keeps of each link.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use crate::limits::RECENT_DROPS;
use crate::mapping::MappingKey;
use crate::neighbor::Neighbors;
use crate::ports::PortPool;
use crate::respond::ErrorBudget;
use crate::{
    AttachmentConfig, AttachmentId, ConnectorConfig, Instant, LinkCounters, PacketSummary, Protocol, Reason,
    UplinkConfig, WorkerSlot,
};

/// A container's link and what hangs on it.
pub(super) struct Attachment {
    pub(super) config: AttachmentConfig,
    pub(super) connectors: Vec<ConnectorConfig>,
    /// Keys of its mappings.
    pub(super) mappings: HashMap<MappingKey, usize, ahash::RandomState>,
    pub(super) base: Base,
    pub(super) recent_drops: VecDeque<(Instant, Reason, PacketSummary)>,
}

/// A VPC's link and what hangs on it.
pub(super) struct Uplink {
    pub(super) config: UplinkConfig,
    slot: WorkerSlot,
    /// One for each external address and protocol, in the order of both lists.
    pools: Vec<[PortPool; 3]>,
    pub(super) neighbors: Neighbors,
    /// The time that the engine's timer queue has for this uplink.
    pub(super) armed: Option<Instant>,
    pub(super) base: Base,
}

/// What both kinds of link have.
pub(super) struct Base {
    pub(super) counters: LinkCounters,
    pub(super) sessions: u64,
    pub(super) errors: ErrorBudget,
}

impl Base {
    fn new(now: Instant) -> Self {
        Self { counters: LinkCounters::default(), sessions: 0, errors: ErrorBudget::new(now) }
    }
}

impl Attachment {
    pub(super) fn new(now: Instant, config: AttachmentConfig, hasher: &ahash::RandomState) -> Self {
        Self {
            config,
            connectors: Vec::new(),
            mappings: HashMap::with_hasher(hasher.clone()),
            base: Base::new(now),
            recent_drops: VecDeque::new(),
        }
    }

    /// Remembers a drop; the oldest one is forgotten.
    pub(super) fn remember(&mut self, now: Instant, reason: Reason, packet: PacketSummary) {
        if self.recent_drops.len() == RECENT_DROPS {
            self.recent_drops.pop_back();
        }
        self.recent_drops.push_front((now, reason, packet));
    }
}

impl Uplink {
    pub(super) fn new(
        now: Instant,
        config: UplinkConfig,
        slot: WorkerSlot,
        hasher: &ahash::RandomState,
    ) -> Self {
        let pools = |_: &Ipv4Addr| Protocol::ALL.map(|_| PortPool::new(slot, &config.ports));
        Self {
            pools: config.external.iter().map(pools).collect(),
            slot,
            neighbors: Neighbors::new(hasher),
            armed: None,
            base: Base::new(now),
            config,
        }
    }

    /// The external address that this container appears as: always the same (paired pooling, RFC 4787 REQ-2).
    pub(super) fn paired(&self, attachment: AttachmentId) -> Ipv4Addr {
        // Attachments go to the workers in turn, so the worker's own go to the addresses in turn.
        let turn = attachment.0 as usize / usize::from(self.slot.count());
        self.config.external[turn % self.config.external.len()]
    }

    /// The pool of an external address, if it is one of this uplink's.
    pub(super) fn pool(&self, address: Ipv4Addr, protocol: Protocol) -> Option<&PortPool> {
        let index = self.config.external.iter().position(|&e| e == address)?;
        Some(&self.pools[index][protocol as usize])
    }

    pub(super) fn pool_mut(&mut self, address: Ipv4Addr, protocol: Protocol) -> Option<&mut PortPool> {
        let index = self.config.external.iter().position(|&e| e == address)?;
        Some(&mut self.pools[index][protocol as usize])
    }
}
