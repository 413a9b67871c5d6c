//! What the control plane tells an engine, as plain values; what all workers share is counted in [`AddressSpace`] and
//! [`PortQuota`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ipnet::IpNet;

use crate::{AddressSpace, AttachmentId, ConnectorId, MacAddr, Protocol, RateLimits, Rule, UplinkId};

/// One change of an engine's configuration. It is applied whole or not at all.
#[derive(Clone, Debug)]
pub enum Command {
    /// A VPC's link exists.
    AddUplink(UplinkConfig),
    /// A VPC's link is gone: every session through it ends, every connector to it is detached.
    RemoveUplink(UplinkId),
    /// A container's link exists. It reaches nothing yet but the gateway's own answers.
    AddAttachment(AttachmentConfig),
    /// A container's link is gone: every session of it ends.
    RemoveAttachment(AttachmentId),
    /// The container may use the connector; its publications come into force. If it may already, the policy changes: sessions of
    /// the pair that the new one does not allow end.
    Attach {
        /// Which container.
        attachment: AttachmentId,
        /// What it may reach.
        connector: ConnectorConfig,
    },
    /// The container may no longer use the connector: every session of the pair ends.
    Detach {
        /// Which container.
        attachment: AttachmentId,
        /// Which permission.
        connector: ConnectorId,
    },
}

/// A container's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentConfig {
    /// Its identity.
    pub id: AttachmentId,
    /// What the container may send from; one of each IP version at most.
    pub addresses: Vec<Addressing>,
    /// The container's interface.
    pub mac: MacAddr,
    /// The gateway's end.
    pub gateway_mac: MacAddr,
    /// Largest IP packet on the link, in bytes, without the Ethernet header.
    pub mtu: u16,
}

/// A container's address, and the gateway's on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressing {
    /// What the container may send from. Any number of containers may have the same.
    pub address: IpAddr,
    /// What the gateway answers ARP or Neighbor Discovery, and echo, for on this link; link-local for IPv6.
    pub gateway: IpAddr,
}

/// A VPC's link.
#[derive(Clone, Debug)]
pub struct UplinkConfig {
    /// Its identity.
    pub id: UplinkId,
    /// The gateway's end: source of every frame that leaves, answer to ARP and Neighbor Discovery for the external addresses.
    pub mac: MacAddr,
    /// Largest IP packet on the link, in bytes, without the Ethernet header.
    pub mtu: u16,
    /// Addresses in these prefixes are resolved by ARP or Neighbor Discovery on the link.
    pub on_link: Vec<IpNet>,
    /// The routers for everything else; one of each IP version at most.
    pub next_hops: Vec<IpAddr>,
    /// Addresses that containers appear as, and their ports (and ICMP query ids). At least one address. Clones share.
    pub space: AddressSpace,
    /// Those of the external addresses that only connectors have that name them.
    pub reserved: Vec<IpAddr>,
    /// Containers get their ports in blocks of [`crate::limits::PORT_BLOCK`], so that a log need only tell of blocks
    /// (RFC 6888 REQ-14).
    pub port_blocks: bool,
    /// What happens to a SYN that nobody asked for.
    pub unsolicited: Unsolicited,
}

/// What the sender of a SYN is told that no container has asked for, 6 s later (RFC 5382 REQ-4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unsolicited {
    /// ICMP port unreachable, unless a container has opened the same connection meanwhile.
    #[default]
    Icmp,
    /// Nothing.
    Silent,
}

/// A permission, as an engine needs it.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    /// Its identity.
    pub id: ConnectorId,
    /// The VPC that it joins.
    pub uplink: UplinkId,
    /// Destinations that may be reached. The longest prefix over all attached connectors decides.
    pub destinations: Vec<IpNet>,
    /// Which sessions to and from these destinations may begin: none for all of them, else what the first rule that matches says, and
    /// no session that none matches.
    pub rules: Vec<Rule>,
    /// How fast all containers together may send and receive, and open sessions. Clones share.
    pub limits: RateLimits,
    /// External addresses that containers may appear as; `None` for all that the uplink does not reserve. A container appears as
    /// always the same one of them.
    pub external: Option<Vec<IpAddr>>,
    /// `false`: the VPC sees the container's own address and port (RFC 6888 REQ-6), and has a route to it.
    pub translation: bool,
    /// Which sessions have an external endpoint together.
    pub mapping: MappingMode,
    /// Which of the destinations may send to a mapping that a container has made.
    pub filtering: Filtering,
    /// The same for UDP (RFC 7857 §6).
    pub udp_filtering: Filtering,
    /// Which packets keep a UDP session alive.
    pub udp_refresh: UdpRefresh,
    /// External ports that all containers together may have. Clones share.
    pub quota: PortQuota,
    /// External ports that each container may have.
    pub quota_per_attachment: Option<u32>,
    /// What the ends of a live TCP session are told when the permission ends.
    pub on_detach: OnDetach,
    /// What the VPC can call in a container.
    pub publications: Vec<Publication>,
}

/// Mapping behaviour (RFC 4787 §4.1): which sessions of an internal endpoint have one external endpoint together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MappingMode {
    /// EIM: all of them.
    #[default]
    EndpointIndependent,
    /// ADM: those with one remote address.
    AddressDependent,
    /// APDM: each has its own. An external port serves as many remote endpoints as there are (RFC 7857 §3), so that
    /// capacity is per remote endpoint; filtering cannot be but address-and-port-dependent.
    AddressAndPortDependent,
}

/// Filtering behaviour (RFC 4787 §5, RFC 5382 REQ-3): who may send to a mapping, besides those remote endpoints that it has
/// sessions with. Nobody outside of the connector's destinations may, whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Filtering {
    /// EIF: anybody.
    EndpointIndependent,
    /// ADF: any port of an address that it has a session with.
    #[default]
    AddressDependent,
    /// APDF: nobody else.
    AddressAndPortDependent,
}

/// Which packets keep a UDP session alive (RFC 4787 REQ-6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UdpRefresh {
    /// The container's: an open port is its wish alone.
    #[default]
    Outbound,
    /// The remote's as well.
    Both,
}

/// What the ends of a live TCP session are told when it ends by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDetach {
    /// Both get a RST.
    #[default]
    Reset,
    /// Nothing.
    Silent,
}

/// An external endpoint that leads to a container's port, whoever of the connector's destinations calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Publication {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// One of the uplink's external addresses, and any port.
    pub external: SocketAddr,
    /// The container's port.
    pub internal_port: u16,
}

/// How many external ports a connector's containers may have together, and have. Clones count together, over all workers.
#[derive(Clone, Debug)]
pub struct PortQuota(Arc<Quota>);

#[derive(Debug)]
struct Quota {
    limit: AtomicU32,
    used: AtomicU32,
}

/// A port that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct PortTicket(PortQuota);

/// Tells a quota from all others, for as long as somebody has it or a ticket of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QuotaId(usize);

impl PortTicket {
    pub(crate) fn quota(&self) -> QuotaId {
        self.0.id()
    }
}

impl PortQuota {
    /// A quota of `limit` ports; `None` for no limit.
    pub fn new(limit: Option<u32>) -> Self {
        let limit = AtomicU32::new(limit.unwrap_or(u32::MAX));
        Self(Arc::new(Quota { limit, used: AtomicU32::new(0) }))
    }

    /// Another limit, for all clones. Ports beyond it stay in use, and no further ones are had until they are fewer.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.0.limit.store(limit.unwrap_or(u32::MAX), Relaxed);
    }

    /// Ports in use.
    pub fn used(&self) -> u32 {
        self.0.used.load(Relaxed)
    }

    pub(crate) fn id(&self) -> QuotaId {
        QuotaId(Arc::as_ptr(&self.0).addr())
    }

    /// Whether one more port may be had now.
    pub(crate) fn has_room(&self) -> bool {
        self.used() < self.0.limit.load(Relaxed)
    }

    /// Counts one port more; `None` if that is one too many.
    pub(crate) fn take(&self) -> Option<PortTicket> {
        let limit = self.0.limit.load(Relaxed);
        let within = |used| (used < limit).then_some(used + 1);
        self.0.used.fetch_update(Relaxed, Relaxed, within).ok().map(|_| PortTicket(self.clone()))
    }
}

impl Drop for PortTicket {
    fn drop(&mut self) {
        self.0.0.used.fetch_sub(1, Relaxed);
    }
}

impl ConnectorConfig {
    /// A permission with the default policy.
    pub fn new(id: ConnectorId, uplink: UplinkId, destinations: Vec<IpNet>) -> Self {
        Self {
            id,
            uplink,
            destinations,
            rules: Vec::new(),
            limits: RateLimits::default(),
            external: None,
            translation: true,
            mapping: MappingMode::default(),
            filtering: Filtering::default(),
            udp_filtering: Filtering::default(),
            udp_refresh: UdpRefresh::default(),
            quota: PortQuota::new(None),
            quota_per_attachment: None,
            on_detach: OnDetach::default(),
            publications: Vec::new(),
        }
    }

    /// Which of a container's addresses the VPC sees, if translation is off: those that it can answer to.
    pub(crate) fn shows(&self, address: IpAddr) -> bool {
        let same_version = |destination: &IpNet| destination.addr().is_ipv4() == address.is_ipv4();
        !self.translation && self.destinations.iter().any(same_version)
    }

    /// The filtering of a protocol. ICMP queries have no port that could be filtered by, so this does not concern them.
    pub(crate) const fn filtering_of(&self, protocol: Protocol) -> Filtering {
        match (self.mapping, protocol) {
            (MappingMode::AddressAndPortDependent, _) => Filtering::AddressAndPortDependent,
            (_, Protocol::Udp) => self.udp_filtering,
            (_, Protocol::Tcp | Protocol::Icmp) => self.filtering,
        }
    }
}

impl AttachmentConfig {
    /// Its addressing of the same IP version as `like`.
    pub(crate) fn addressing(&self, like: IpAddr) -> Option<Addressing> {
        self.addresses.iter().copied().find(|a| a.address.is_ipv4() == like.is_ipv4())
    }
}

/// What a command did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Sessions that the command ended.
    pub sessions_ended: usize,
}

/// Why a command was refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The engine does not know this container; it may have just disappeared.
    #[error("no such attachment")]
    UnknownAttachment(AttachmentId),
    /// The engine does not know this VPC's link; it may have just disappeared.
    #[error("no such uplink")]
    UnknownUplink(UplinkId),
    /// The connector is not attached to this container.
    #[error("the connector is not attached")]
    NotAttached(AttachmentId, ConnectorId),
    /// Another attached connector has this very prefix, so that no longest prefix decides.
    #[error("destination {prefix} is claimed by two connectors of one container")]
    DestinationTie {
        /// The prefix that both have.
        prefix: IpNet,
        /// The connector that has it already.
        other: ConnectorId,
    },
    /// Another publication or a live mapping has the external endpoint, or the address is none of the uplink's.
    #[error("{protocol} {external} is taken, or no external endpoint of this VPC")]
    PublicationTaken {
        /// Its protocol.
        protocol: Protocol,
        /// The endpoint.
        external: SocketAddr,
    },
    /// The connector names an external address that is none of the uplink's.
    #[error("{0} is no external address of this VPC")]
    NotExternalAddress(IpAddr),
    /// The container has no address of the publication's IP version.
    #[error("the container has no address that {0} could lead to")]
    PublicationUnreachable(SocketAddr),
    /// Translation is off, and another container of that VPC has the same address.
    #[error("another container without translation has the address {0} in this VPC")]
    AddressTaken(IpAddr),
    /// Translation is off, and nobody may route the container's address (RFC 3927 §7, RFC 4291 §2.5.6).
    #[error("{0} is not routable, so that the VPC cannot see it")]
    AddressNotRoutable(IpAddr),
    /// Translation is off, and the container has an address that is an external one of the VPC.
    #[error("{0} is an external address of this VPC")]
    AddressIsExternal(IpAddr),
    /// The policy cannot work.
    #[error("port blocks and address-and-port-dependent mapping exclude each other")]
    BlocksWithSharedPorts,
    /// No port is left to make mappings from.
    #[error("no port is left to make mappings from")]
    NoPorts,
    /// The table that the command would add to is full, see [`crate::limits`].
    #[error("the table of {what} is full at {limit}")]
    TableFull {
        /// Which table.
        what: &'static str,
        /// Its bound.
        limit: usize,
    },
}
