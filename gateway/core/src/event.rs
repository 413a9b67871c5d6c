//! What an engine tells without being asked.

use std::net::IpAddr;

use crate::{AttachmentId, Protocol, UplinkId};

/// Something that a log wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A block of ports has come to a container (RFC 6888 REQ-14): all of them are its own until the block is given back.
    BlockTaken(PortBlock),
    /// None of its ports is used or rests any more.
    BlockGivenBack(PortBlock),
}

/// [`crate::limits::PORT_BLOCK`] ports of one external address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortBlock {
    /// Whose.
    pub attachment: AttachmentId,
    /// The VPC's link.
    pub uplink: UplinkId,
    /// The address.
    pub external: IpAddr,
    /// Ports of which space.
    pub protocol: Protocol,
    /// First port.
    pub first: u16,
}
