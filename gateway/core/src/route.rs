//! Which connector a destination belongs to, and which destinations belong to none.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::UplinkConfig;
use crate::wire::Family;

/// Of connectors with their destinations, the one with the longest prefix that contains `destination`, and that prefix.
pub(crate) fn longest_prefix<'a, T: Copy>(
    connectors: impl IntoIterator<Item = (T, &'a [IpNet])>,
    destination: IpAddr,
) -> Option<(T, IpNet)> {
    let mut longest: Option<(T, IpNet)> = None;
    for (connector, prefixes) in connectors {
        for &prefix in prefixes {
            let shorter = |(_, other): (_, IpNet)| other.prefix_len() <= prefix.prefix_len();
            if longest.is_none_or(shorter) && prefix.contains(&destination) {
                longest = Some((connector, prefix));
            }
        }
    }
    longest
}

/// Addresses that no connector can name: this host, loopback, link-local (with every metadata service on it),
/// multicast, reserved (RFC 6890).
pub(crate) fn is_forbidden(destination: IpAddr) -> bool {
    let link_local = match destination {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    link_local || !is_host(destination)
}

/// Whether a host on a network can have `address`: not this host, loopback, multicast, reserved (RFC 1812 §5.3.7, RFC 4291 §2.5).
pub(crate) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !matches!(address.octets()[0], 0 | 127 | 224..),
        // An IPv4 address in an IPv6 one would be checked as neither.
        IpAddr::V6(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.to_ipv4_mapped().is_some())
        }
    }
}

/// Whose MAC address a frame to `destination` carries: the destination on the link, the router otherwise.
pub(crate) fn next_hop(uplink: &UplinkConfig, destination: IpAddr) -> Option<IpAddr> {
    if uplink.on_link.iter().any(|prefix| prefix.contains(&destination)) {
        return Some(destination);
    }
    uplink.next_hops.iter().copied().find(|&hop| Family::of(hop) == Family::of(destination))
}

/// Whether `address` is a network or broadcast address of the uplink's IPv4 prefixes; /31 and /32 have none (RFC 3021).
pub(crate) fn is_network_or_broadcast(uplink: &UplinkConfig, address: IpAddr) -> bool {
    uplink.on_link.iter().any(|prefix| match prefix {
        IpNet::V4(net) => net.prefix_len() < 31 && (address == net.network() || address == net.broadcast()),
        IpNet::V6(_) => false,
    })
}
