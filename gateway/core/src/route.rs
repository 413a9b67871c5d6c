//! Which connector a destination belongs to, and which destinations belong to none.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{ConnectorConfig, UplinkConfig};

/// The connector with the longest prefix that contains `destination`, and that prefix.
pub(crate) fn longest_prefix(
    connectors: &[ConnectorConfig],
    destination: Ipv4Addr,
) -> Option<(&ConnectorConfig, Ipv4Net)> {
    connectors
        .iter()
        .flat_map(|connector| connector.destinations.iter().map(move |&prefix| (connector, prefix)))
        .filter(|(_, prefix)| prefix.contains(&destination))
        .max_by_key(|(_, prefix)| prefix.prefix_len())
}

/// Addresses that no connector can name: this host, loopback, link-local (with every metadata service on it),
/// multicast, reserved (RFC 6890).
pub(crate) fn is_forbidden(destination: Ipv4Addr) -> bool {
    !is_host(destination) || destination.is_link_local()
}

/// Whether a host on a network can have `address`: not this host, loopback, multicast, reserved (RFC 1812 §5.3.7).
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127 | 224..)
}

/// Whose MAC address a frame to `destination` carries: the destination on the link, the router otherwise.
pub(crate) fn next_hop(uplink: &UplinkConfig, destination: Ipv4Addr) -> Option<Ipv4Addr> {
    if uplink.on_link.contains(&destination) { Some(destination) } else { uplink.next_hop }
}

/// Whether `address` is the prefix's network or broadcast address; /31 and /32 have none (RFC 3021).
pub(crate) fn is_network_or_broadcast(prefix: Ipv4Net, address: Ipv4Addr) -> bool {
    prefix.prefix_len() < 31 && (address == prefix.network() || address == prefix.broadcast())
}
