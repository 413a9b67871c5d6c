//! Mappings: which external endpoint an internal endpoint has, for all remotes or for some (RFC 4787 §4.1).

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::{Bound, Index, IndexMut};

use slab::Slab;

use crate::command::{PortTicket, QuotaId};
use crate::limits::GIVE_UP_SESSIONS;
use crate::ports::PortLease;
use crate::{AttachmentId, ConnectorId, Instant, MappingMode, Protocol, UplinkId};

/// What a mapping is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MappingKey {
    pub(crate) uplink: UplinkId,
    pub(crate) protocol: Protocol,
    pub(crate) internal: SocketAddr,
    pub(crate) scope: Scope,
}

/// The remotes that a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Any,
    Address(IpAddr),
    Endpoint(SocketAddr),
    /// Any, without translation: the external endpoint is the container's own.
    Own,
}

impl Scope {
    /// That of a packet to `remote`. Query ids are mapped independently of the remote (RFC 5508 REQ-1).
    pub(crate) const fn of(mode: MappingMode, protocol: Protocol, remote: SocketAddr) -> Self {
        match (mode, protocol) {
            (_, Protocol::Icmp) | (MappingMode::EndpointIndependent, _) => Self::Any,
            (MappingMode::AddressDependent, _) => Self::Address(remote.ip()),
            (MappingMode::AddressAndPortDependent, _) => Self::Endpoint(remote),
        }
    }

    /// Whether sessions with other ports of `remote` belong here.
    pub(crate) fn covers(self, remote: IpAddr) -> bool {
        match self {
            Self::Any | Self::Own => true,
            Self::Address(address) => address == remote,
            Self::Endpoint(_) => false,
        }
    }
}

/// A mapping lives as long as one of its sessions, or as its publication; then its port goes back.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) attachment: AttachmentId,
    /// By which permission it was made.
    pub(crate) connector: ConnectorId,
    pub(crate) key: MappingKey,
    pub(crate) external: SocketAddr,
    /// Keys of its sessions.
    pub(crate) sessions: Vec<usize>,
    /// `None` for the container's own endpoint, where translation is off.
    pub(crate) lease: Option<PortLease>,
    /// Of its sessions, those that are not finished.
    pub(crate) unfinished: u32,
    /// It stays without sessions: a publication.
    pub(crate) pinned: bool,
    /// Anybody could send to it, so that its UDP port rests before it is leased again (RFC 6888 REQ-8).
    pub(crate) open_to_all: bool,
    /// Of the blocks that its port belongs to one container's.
    pub(crate) in_block: bool,
    pub(crate) ticket: Option<PortTicket>,
    /// When it finished, while it is in the queue of those that give up their ports.
    finished: Option<Instant>,
}

impl Mapping {
    /// A mapping without sessions yet.
    pub(crate) fn new(
        attachment: AttachmentId,
        connector: ConnectorId,
        key: MappingKey,
        external: SocketAddr,
        lease: Option<PortLease>,
    ) -> Self {
        Self {
            attachment,
            connector,
            key,
            external,
            sessions: Vec::new(),
            lease,
            unfinished: 0,
            pinned: false,
            open_to_all: false,
            in_block: false,
            ticket: None,
            finished: None,
        }
    }

    /// Whether others can use the external port at the same time, with other remotes.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.key.scope, Scope::Endpoint(_)) && self.lease.is_some() && !self.in_block
    }

    /// Where its port would be of use.
    fn classes(&self) -> [Option<Class>; 3] {
        let port = Class::port(self.key, self.external.ip(), self.in_block.then_some(self.attachment));
        let quota = self.ticket.as_ref().map(|ticket| Class::Quota(ticket.quota()));
        [Some(port), quota, Some(Class::Share(self.connector, self.attachment))]
    }

    fn endpoint(&self) -> (UplinkId, Protocol, SocketAddr) {
        (self.key.uplink, self.key.protocol, self.external)
    }
}

/// A need that a finished mapping can serve by giving up its port. TCP only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A port of this address; one that this remote does not have yet; one of this container's blocks.
    Port(UplinkId, IpAddr, Option<SocketAddr>, Option<AttachmentId>),
    /// Room in this quota.
    Quota(QuotaId),
    /// Room in this container's share of a connector's ports.
    Share(ConnectorId, AttachmentId),
}

impl Class {
    /// What a mapping with this key, on this address, would need.
    pub(crate) const fn port(key: MappingKey, address: IpAddr, tenant: Option<AttachmentId>) -> Self {
        let remote = match key.scope {
            Scope::Endpoint(remote) => Some(remote),
            Scope::Any | Scope::Address(_) | Scope::Own => None,
        };
        Self::Port(key.uplink, address, remote, tenant)
    }
}

/// All mappings of one engine, found by key or by external endpoint.
pub(crate) struct Mappings {
    slab: Slab<Mapping>,
    /// Those that have their external endpoint alone.
    external: HashMap<(UplinkId, Protocol, SocketAddr), usize, ahash::RandomState>,
    /// TCP mappings all of whose sessions are finished, the oldest first.
    finished: BTreeSet<(Class, Instant, usize)>,
}

impl Mappings {
    pub(crate) fn new(hasher: &ahash::RandomState) -> Self {
        Self { slab: Slab::new(), external: HashMap::with_hasher(hasher.clone()), finished: BTreeSet::new() }
    }

    pub(crate) fn insert(&mut self, mapping: Mapping) -> usize {
        let (endpoint, shared) = (mapping.endpoint(), mapping.is_shared());
        let key = self.slab.insert(mapping);
        if !shared {
            let replaced = self.external.insert(endpoint, key);
            assert_eq!(replaced, None, "an exclusive port has one mapping");
        }
        key
    }

    pub(crate) fn remove(&mut self, key: usize) -> Mapping {
        self.set_finished(key, None);
        let mapping = self.slab.remove(key);
        if !mapping.is_shared() {
            self.external.remove(&mapping.endpoint());
        }
        mapping
    }

    /// The mapping that has this external endpoint alone.
    pub(crate) fn at(&self, uplink: UplinkId, protocol: Protocol, external: SocketAddr) -> Option<usize> {
        self.external.get(&(uplink, protocol, external)).copied()
    }

    /// One of its sessions has begun, or goes on after all.
    pub(crate) fn begin(&mut self, key: usize) {
        self.slab[key].unfinished += 1;
        self.set_finished(key, None);
    }

    /// One of its unfinished sessions is finished, or has ended.
    pub(crate) fn finish(&mut self, now: Instant, key: usize) {
        let mapping = &mut self.slab[key];
        mapping.unfinished -= 1;
        let over = mapping.unfinished == 0
            && mapping.key.protocol == Protocol::Tcp
            && mapping.lease.is_some()
            && !mapping.pinned
            && mapping.sessions.len() <= GIVE_UP_SESSIONS;
        if over {
            self.set_finished(key, Some(now));
        }
    }

    /// The mapping that finished first of those that could serve this need.
    pub(crate) fn oldest_finished(&self, class: Class) -> Option<usize> {
        let from = (class, Instant::ZERO, 0);
        let (found, _, key) = self.finished.range((Bound::Included(from), Bound::Unbounded)).next()?;
        (*found == class).then_some(*key)
    }

    fn set_finished(&mut self, key: usize, at: Option<Instant>) {
        let mapping = &mut self.slab[key];
        let before = std::mem::replace(&mut mapping.finished, at);
        let classes = mapping.classes();
        for class in classes.into_iter().flatten() {
            if let Some(before) = before {
                self.finished.remove(&(class, before, key));
            }
            if let Some(at) = at {
                self.finished.insert((class, at, key));
            }
        }
    }
}

impl Index<usize> for Mappings {
    type Output = Mapping;

    fn index(&self, key: usize) -> &Mapping {
        &self.slab[key]
    }
}

impl IndexMut<usize> for Mappings {
    fn index_mut(&mut self, key: usize) -> &mut Mapping {
        &mut self.slab[key]
    }
}
