//! Mappings: which external endpoint an internal endpoint has, for all remotes or for some (RFC 4787 §4.1).

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::ops::{self, Bound};

use crate::chunked::{Arena, NIL};
use crate::command::{PortTicket, QuotaId};
use crate::index::Index;
use crate::limits::GIVE_UP_SESSIONS;
use crate::ports::PortLease;
use crate::session::Siblings;
use crate::{AttachmentId, ConnectorId, Instant, MappingMode, Protocol, UplinkId};

/// What a mapping is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappingKey {
    pub(crate) uplink: UplinkId,
    pub(crate) protocol: Protocol,
    pub(crate) internal: SocketAddr,
    pub(crate) scope: Scope,
}

/// The remotes that a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Of the external address among those of the uplink, or [`OWN`](crate::session::key::OWN).
    pub(crate) place: u8,
    pub(crate) sessions: Siblings,
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
    /// The container's mappings before and behind this one.
    siblings: [u32; 2],
    /// When it finished, while it is in the queue of those that give up their ports.
    finished: Option<Instant>,
}

/// The mappings of one container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MappingList {
    first: u32,
}

impl MappingList {
    pub(crate) const EMPTY: Self = Self { first: NIL };
}

impl Mapping {
    /// A mapping without sessions yet.
    pub(crate) fn new(
        attachment: AttachmentId,
        connector: ConnectorId,
        key: MappingKey,
        (place, external): (u8, SocketAddr),
        lease: Option<PortLease>,
    ) -> Self {
        Self {
            attachment,
            connector,
            key,
            external,
            place,
            sessions: Siblings::NONE,
            lease,
            unfinished: 0,
            pinned: false,
            open_to_all: false,
            in_block: false,
            ticket: None,
            siblings: [NIL; 2],
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

    fn endpoint(&self) -> Endpoint {
        Endpoint(self.key.uplink, self.key.protocol, self.external)
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
    pub(crate) const fn port(key: MappingKey, address: IpAddr, holder: Option<AttachmentId>) -> Self {
        let remote = match key.scope {
            Scope::Endpoint(remote) => Some(remote),
            Scope::Any | Scope::Address(_) | Scope::Own => None,
        };
        Self::Port(key.uplink, address, remote, holder)
    }
}

/// What the VPC sees of a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Endpoint(UplinkId, Protocol, SocketAddr);

/// As few words as there are: what is derived would hash each octet by itself.
impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self(uplink, protocol, external) = self;
        hash_endpoint(state, *external, u64::from(uplink.0) << 8 | *protocol as u64);
    }
}

/// The same.
impl Hash for MappingKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let link = u64::from(self.uplink.0) << 8 | self.protocol as u64;
        match self.scope {
            Scope::Any => hash_endpoint(state, self.internal, link),
            Scope::Own => hash_endpoint(state, self.internal, link | 1 << 7),
            Scope::Address(address) => {
                hash_endpoint(state, self.internal, link);
                hash_endpoint(state, SocketAddr::new(address, 0), 0);
            }
            Scope::Endpoint(remote) => {
                hash_endpoint(state, self.internal, link);
                hash_endpoint(state, remote, 1);
            }
        }
    }
}

/// `link` has 40 bits.
fn hash_endpoint<H: Hasher>(state: &mut H, endpoint: SocketAddr, link: u64) {
    let rest = u128::from(link << 16 | u64::from(endpoint.port()));
    match endpoint.ip() {
        IpAddr::V4(address) => state.write_u128(rest << 64 | u128::from(address.to_bits())),
        IpAddr::V6(address) => {
            state.write_u128(address.to_bits());
            state.write_u128(rest);
        }
    }
}

/// Mappings of one chunk.
const MAPPINGS_CHUNK: usize = 128;

/// All mappings of one engine, found by key or by external endpoint.
pub(crate) struct Mappings {
    arena: Arena<Mapping, MAPPINGS_CHUNK>,
    keys: Index,
    /// Those that have their external endpoint alone.
    external: Index,
    /// TCP mappings all of whose sessions are finished, the oldest first.
    finished: BTreeSet<(Class, Instant, usize)>,
    hasher: ahash::RandomState,
}

impl Mappings {
    pub(crate) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            arena: Arena::new(),
            keys: Index::new(),
            external: Index::new(),
            finished: BTreeSet::new(),
            hasher: hasher.clone(),
        }
    }

    /// Adds a mapping to those of its container.
    pub(crate) fn insert(&mut self, mut mapping: Mapping, list: &mut MappingList) -> usize {
        let (endpoint, shared) = (mapping.endpoint(), mapping.is_shared());
        mapping.siblings = [NIL, list.first];
        let key = self.arena.insert(mapping);
        if list.first != NIL {
            self.arena[list.first].siblings[0] = key;
        }
        list.first = key;
        if !shared {
            debug_assert_eq!(
                self.at(endpoint.0, endpoint.1, endpoint.2),
                None,
                "an exclusive port has one mapping"
            );
            self.external.insert(self.tag(endpoint), key);
        }
        self.keys.insert(self.key_tag(key as usize), key);
        key as usize
    }

    pub(crate) fn remove(&mut self, key: usize, list: &mut MappingList) -> Mapping {
        self.set_finished(key, None);
        let tag = self.key_tag(key);
        let mapping = self.arena.remove(key as u32);
        let [before, behind] = mapping.siblings;
        match before {
            NIL => list.first = behind,
            _ => self.arena[before].siblings[1] = behind,
        }
        if behind != NIL {
            self.arena[behind].siblings[0] = before;
        }
        self.keys.remove(tag, key as u32);
        if !mapping.is_shared() {
            self.external.remove(self.tag(mapping.endpoint()), key as u32);
        }
        mapping
    }

    /// The container's mapping with this key that serves. One that packets have made comes before publications of the same
    /// internal endpoint, of which it is the one with the lowest external endpoint.
    pub(crate) fn of_key(
        &self,
        attachment: AttachmentId,
        key: &MappingKey,
        serves: impl Fn(&Mapping) -> bool,
    ) -> Option<usize> {
        let mut published: Option<u32> = None;
        let is_it = |other: u32| {
            let mapping = &self.arena[other];
            let serves = mapping.attachment == attachment && mapping.key == *key && serves(mapping);
            if serves && mapping.pinned {
                // Always the same one, wherever the index has them.
                let first = published.filter(|&first| self.arena[first].external <= mapping.external);
                published = Some(first.unwrap_or(other));
            }
            serves && !mapping.pinned
        };
        let dynamic = self.keys.find(self.tag((attachment.0, key)), is_it);
        dynamic.or(published).map(|key| key as usize)
    }

    /// All mappings of a container.
    pub(crate) fn of(&self, list: MappingList) -> impl Iterator<Item = usize> {
        let behind = |&key: &u32| {
            let [_, next] = self.arena[key].siblings;
            (next != NIL).then_some(next)
        };
        std::iter::successors((list.first != NIL).then_some(list.first), behind).map(|key| key as usize)
    }

    /// The mapping that has this external endpoint alone.
    pub(crate) fn at(&self, uplink: UplinkId, protocol: Protocol, external: SocketAddr) -> Option<usize> {
        let endpoint = Endpoint(uplink, protocol, external);
        let is_it = |key: u32| self.arena[key].endpoint() == endpoint;
        self.external.find(self.tag(endpoint), is_it).map(|key| key as usize)
    }

    fn tag(&self, key: impl Hash) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    fn key_tag(&self, key: usize) -> u32 {
        let mapping = &self[key];
        self.tag((mapping.attachment.0, &mapping.key))
    }

    /// One of its sessions has begun, or goes on after all.
    pub(crate) fn begin(&mut self, key: usize) {
        self[key].unfinished += 1;
        self.set_finished(key, None);
    }

    /// One of its unfinished sessions is finished, or has ended.
    pub(crate) fn finish(&mut self, now: Instant, key: usize) {
        let mapping = &mut self[key];
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
        let mapping = &mut self[key];
        let before = std::mem::replace(&mut mapping.finished, at);
        if before == at {
            return;
        }
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

impl ops::Index<usize> for Mappings {
    type Output = Mapping;

    fn index(&self, key: usize) -> &Mapping {
        &self.arena[key as u32]
    }
}

impl ops::IndexMut<usize> for Mappings {
    fn index_mut(&mut self, key: usize) -> &mut Mapping {
        &mut self.arena[key as u32]
    }
}
