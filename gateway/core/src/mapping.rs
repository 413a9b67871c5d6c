//! Mappings: an internal endpoint's external endpoint, the same for every remote (EIM, RFC 4787 REQ-1).

use std::net::SocketAddrV4;

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
