//! Mappings: an internal endpoint's external endpoint, the same for every remote (EIM, RFC 4787 REQ-1).

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::ops::{Index, IndexMut};

use slab::Slab;

use crate::ports::PortLease;
use crate::{AttachmentId, Protocol, UplinkId};

/// What a mapping is found by. The internal address is the attachment's only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MappingKey {
    pub(crate) uplink: UplinkId,
    pub(crate) protocol: Protocol,
    pub(crate) internal_port: u16,
}

/// A mapping lives as long as one of its sessions; then its port goes back.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) attachment: AttachmentId,
    pub(crate) key: MappingKey,
    pub(crate) external: SocketAddrV4,
    /// Keys of its sessions.
    pub(crate) sessions: Vec<usize>,
    /// Held for its drop, which gives the port back.
    _lease: PortLease,
}

impl Mapping {
    /// A mapping without sessions yet, on `address` and the leased port.
    pub(crate) fn new(
        attachment: AttachmentId,
        key: MappingKey,
        address: std::net::Ipv4Addr,
        lease: PortLease,
    ) -> Self {
        let external = SocketAddrV4::new(address, lease.port());
        Self { attachment, key, external, sessions: Vec::new(), _lease: lease }
    }
}

/// All mappings of one engine, found by key or by external endpoint.
pub(crate) struct Mappings {
    mappings: Slab<Mapping>,
    external: HashMap<(UplinkId, Protocol, SocketAddrV4), usize, ahash::RandomState>,
}

impl Mappings {
    pub(crate) fn new(hasher: &ahash::RandomState) -> Self {
        Self { mappings: Slab::new(), external: HashMap::with_hasher(hasher.clone()) }
    }

    pub(crate) fn insert(&mut self, mapping: Mapping) -> usize {
        let endpoint = mapping.endpoint();
        let key = self.mappings.insert(mapping);
        let replaced = self.external.insert(endpoint, key);
        assert_eq!(replaced, None, "a leased port has one mapping");
        key
    }

    pub(crate) fn remove(&mut self, key: usize) -> Mapping {
        let mapping = self.mappings.remove(key);
        self.external.remove(&mapping.endpoint());
        mapping
    }

    /// The mapping that has this external endpoint.
    pub(crate) fn at(&self, uplink: UplinkId, protocol: Protocol, external: SocketAddrV4) -> Option<usize> {
        self.external.get(&(uplink, protocol, external)).copied()
    }
}

impl Mapping {
    fn endpoint(&self) -> (UplinkId, Protocol, SocketAddrV4) {
        (self.key.uplink, self.key.protocol, self.external)
    }
}

impl Index<usize> for Mappings {
    type Output = Mapping;

    fn index(&self, key: usize) -> &Mapping {
        &self.mappings[key]
    }
}

impl IndexMut<usize> for Mappings {
    fn index_mut(&mut self, key: usize) -> &mut Mapping {
        &mut self.mappings[key]
    }
}
