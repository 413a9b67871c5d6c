//! What the control plane tells an engine, as plain values: no handle, no callback, no borrowed data.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use crate::{AttachmentId, ConnectorId, MacAddr, UplinkId};

/// One change of an engine's configuration. It is applied whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A VPC's link exists.
    AddUplink(UplinkConfig),
    /// A VPC's link is gone: every session through it ends, every connector to it is detached.
    RemoveUplink(UplinkId),
    /// A container's link exists. It reaches nothing yet but the gateway's own answers.
    AddAttachment(AttachmentConfig),
    /// A container's link is gone: every session of it ends.
    RemoveAttachment(AttachmentId),
    /// The container may use the connector.
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
    /// The one address that the container may send from. Any number of containers may have the same.
    pub address: Ipv4Addr,
    /// The address that the gateway answers ARP and echo for on this link.
    pub gateway: Ipv4Addr,
    /// The container's interface.
    pub mac: MacAddr,
    /// The gateway's end.
    pub gateway_mac: MacAddr,
    /// Largest IPv4 packet on the link, in bytes, without the Ethernet header.
    pub mtu: u16,
}

/// A VPC's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkConfig {
    /// Its identity.
    pub id: UplinkId,
    /// The gateway's end: source of every frame that leaves, answer to ARP for the external addresses.
    pub mac: MacAddr,
    /// Largest IPv4 packet on the link, in bytes, without the Ethernet header.
    pub mtu: u16,
    /// Addresses in this prefix are resolved by ARP on the link.
    pub on_link: Ipv4Net,
    /// The router for everything else, if there is one.
    pub next_hop: Option<Ipv4Addr>,
    /// Addresses that containers appear as. At least one.
    pub external: Vec<Ipv4Addr>,
    /// External ports (and ICMP query ids) that mappings are made from.
    pub ports: RangeInclusive<u16>,
}

/// A permission, as an engine needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorConfig {
    /// Its identity.
    pub id: ConnectorId,
    /// The VPC that it joins.
    pub uplink: UplinkId,
    /// Destinations that may be reached. The longest prefix over all attached connectors decides.
    pub destinations: Vec<Ipv4Net>,
    /// Which of these may send to a mapping that a container has made.
    pub filtering: Filtering,
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
        prefix: Ipv4Net,
        /// The connector that has it already.
        other: ConnectorId,
    },
    /// The port range is too small to give every worker a block of it, see [`crate::limits::PORT_BLOCK`].
    #[error("the ports are fewer than {workers} workers can share")]
    PortsTooFew {
        /// How many workers share them.
        workers: u16,
    },
    /// The table that the command would add to is full, see [`crate::limits`].
    #[error("the table of {what} is full at {limit}")]
    TableFull {
        /// Which table.
        what: &'static str,
        /// Its bound.
        limit: usize,
    },
}
