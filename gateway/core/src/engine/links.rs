//! What an engine keeps of each link.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::limits::RECENT_DROPS;
use crate::mapping::MappingKey;
use crate::neighbor::Neighbors;
use crate::ports::PortPool;
use crate::respond::ErrorBudget;
use crate::{
    AttachmentConfig, AttachmentId, ConnectorConfig, ConnectorId, Instant, LinkCounters, PacketSummary,
    Protocol, Reason, UplinkConfig, WorkerSlot, route,
};

/// A container's link and what hangs on it.
pub(super) struct Attachment {
    pub(super) config: AttachmentConfig,
    pub(super) connectors: Vec<Attached>,
    /// Keys of its mappings.
    pub(super) mappings: HashMap<MappingKey, usize, ahash::RandomState>,
    /// When it gets its next router advertisement.
    pub(super) advertise: Option<Instant>,
    pub(super) base: Base,
    pub(super) recent_drops: VecDeque<(Instant, Reason, PacketSummary)>,
}

/// A connector, as a container has it.
pub(super) struct Attached {
    pub(super) config: ConnectorConfig,
    /// External ports of the container's mappings that were made by it.
    pub(super) ports: u32,
    /// Keys of the mappings of its publications.
    pub(super) published: Vec<usize>,
}

/// A VPC's link and what hangs on it.
pub(super) struct Uplink {
    pub(super) config: UplinkConfig,
    slot: WorkerSlot,
    /// One for each external address and protocol, in the order of both lists.
    pub(super) pools: Vec<[Pool; 3]>,
    pub(super) neighbors: Neighbors,
    /// The time that the engine's timer queue has for this uplink.
    pub(super) armed: Option<Instant>,
    pub(super) base: Base,
}

/// The ports of one external address and protocol.
pub(super) struct Pool {
    pub(super) ports: PortPool,
    /// How many were given up by finished sessions, ever.
    pub(super) given_up: u64,
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
            advertise: None,
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

    /// What its connectors allow.
    pub(super) fn policies(&self) -> impl Iterator<Item = &ConnectorConfig> {
        self.connectors.iter().map(|attached| &attached.config)
    }

    pub(super) fn attached(&self, id: ConnectorId) -> Option<&Attached> {
        self.connectors.iter().find(|attached| attached.config.id == id)
    }

    pub(super) fn attached_mut(&mut self, id: ConnectorId) -> Option<&mut Attached> {
        self.connectors.iter_mut().find(|attached| attached.config.id == id)
    }
}

impl Uplink {
    pub(super) fn new(
        now: Instant,
        config: UplinkConfig,
        slot: WorkerSlot,
        hasher: &ahash::RandomState,
    ) -> Self {
        let space = &config.space;
        let pool = |address, protocol| Pool {
            ports: PortPool::new(space, address, protocol, slot, hasher),
            given_up: 0,
        };
        let pools = (0..space.external().len()).map(|address| Protocol::ALL.map(|p| pool(address, p)));
        Self {
            pools: pools.collect(),
            slot,
            neighbors: Neighbors::new(hasher),
            armed: None,
            base: Base::new(now),
            config,
        }
    }

    /// The external address that this container appears as to addresses like this one: always the same (paired pooling,
    /// RFC 4787 REQ-2).
    pub(super) fn paired(&self, attachment: AttachmentId, like: IpAddr) -> Option<IpAddr> {
        let family = || self.external().iter().filter(|e| e.is_ipv4() == like.is_ipv4());
        // Attachments go to the workers in turn, so the worker's own go to the addresses in turn.
        let turn = attachment.0 as usize / usize::from(self.slot.count());
        let count = family().count();
        (count > 0).then(|| family().nth(turn % count).copied()).flatten()
    }

    /// The external addresses.
    pub(super) fn external(&self) -> &[IpAddr] {
        self.config.space.external()
    }

    /// Whether this is one of the external addresses.
    pub(super) fn is_external(&self, address: IpAddr) -> bool {
        self.config.space.index_of(address).is_some()
    }

    /// Whether a packet to this address comes back inside.
    pub(super) fn turns_back(&self, destination: IpAddr) -> bool {
        self.is_external(destination) || self.config.space.routed(destination).is_some()
    }

    /// Whose MAC address a frame to `destination` carries; what comes back inside needs nobody's.
    pub(super) fn next_hop(&self, destination: IpAddr) -> Option<IpAddr> {
        if self.turns_back(destination) {
            Some(destination)
        } else {
            route::next_hop(&self.config, destination)
        }
    }

    /// The pool of an external address, if it is one of this uplink's.
    pub(super) fn pool(&self, address: IpAddr, protocol: Protocol) -> Option<&Pool> {
        Some(&self.pools[self.config.space.index_of(address)?][protocol as usize])
    }

    pub(super) fn pool_mut(&mut self, address: IpAddr, protocol: Protocol) -> Option<&mut Pool> {
        Some(&mut self.pools[self.config.space.index_of(address)?][protocol as usize])
    }
}
