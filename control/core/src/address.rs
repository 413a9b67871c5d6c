//! IPv4 addresses of hosts.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{Code, Problem};

/// Ranges whose addresses are no host's that a VPC could route to. RFC 6890, RFC 5771.
const NO_DESTINATION: [Ipv4Net; 5] = [
    Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4),
];

const LINK_LOCAL: Ipv4Net = NO_DESTINATION[2];

/// The range that keeps `prefix` from being routed into a VPC, if there is one.
pub(crate) fn unroutable_part(prefix: Ipv4Net) -> Option<Ipv4Net> {
    NO_DESTINATION.into_iter().find(|range| range.contains(&prefix) || prefix.contains(range))
}

/// Reads an address, blaming `field`.
pub(crate) fn parse(field: &str, text: &str) -> Result<Ipv4Addr, Problem> {
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is not an IPv4 address; write it as four numbers, such as 10.1.0.10");
        Problem::new(Code::InvalidAddress, detail).at(field)
    })
}

/// Reads the address of a host that a VPC can reach, blaming `field`.
pub(crate) fn parse_routable(field: &str, text: &str) -> Result<Ipv4Addr, Problem> {
    let address = parse(field, text)?;
    match unroutable_part(address.into()) {
        None => Ok(address),
        Some(range) => Err(not_a_host(field, address, range)),
    }
}

/// Reads the address of a host on a container's link, which may be link-local (RFC 3927), blaming `field`.
pub(crate) fn parse_on_link(field: &str, text: &str) -> Result<Ipv4Addr, Problem> {
    let address = parse(field, text)?;
    match unroutable_part(address.into()).filter(|&range| range != LINK_LOCAL) {
        None => Ok(address),
        Some(range) => Err(not_a_host(field, address, range)),
    }
}

/// Whether `address` is the first or last of `prefix` and so no host's. Prefixes of 31 and 32 bits have hosts only (RFC 3021).
pub(crate) fn is_edge(address: Ipv4Addr, prefix: Ipv4Net) -> bool {
    prefix.prefix_len() < 31 && (address == prefix.network() || address == prefix.broadcast())
}

/// Refuses the first and last address of `prefix`, blaming `field`.
pub(crate) fn refuse_edge(field: &str, address: Ipv4Addr, prefix: Ipv4Net) -> Result<(), Problem> {
    if !is_edge(address, prefix) {
        return Ok(());
    }
    let detail =
        format!("{address} is the network or broadcast address of {}; use one between them", prefix.trunc());
    Err(Problem::new(Code::InvalidAddress, detail).at(field))
}

fn not_a_host(field: &str, address: Ipv4Addr, range: Ipv4Net) -> Problem {
    let detail = format!("{address} lies in {range}, which holds no addresses of hosts; use another address");
    Problem::new(Code::InvalidAddress, detail).at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_address_is_refused() {
        assert_eq!(parse("a", "10.1.0.10"), Ok(Ipv4Addr::new(10, 1, 0, 10)));
        for bad in ["", "10.1.0", "10.1.0.256", "10.1.0.10/32", " 10.1.0.10", "::1", "localhost", "010.1.0.1"]
        {
            let problem = parse("next_hop", bad).unwrap_err();
            assert_eq!(
                (problem.code(), problem.field()),
                (Code::InvalidAddress, Some("next_hop")),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn special_ranges_hold_no_hosts_up_to_their_edges() {
        let table = [
            ("0.255.255.255", false, false),
            ("1.0.0.0", true, true),
            ("126.255.255.255", true, true),
            ("127.0.0.1", false, false),
            ("128.0.0.0", true, true),
            ("169.253.255.255", true, true),
            ("169.254.0.0", false, true),
            ("169.254.255.255", false, true),
            ("169.255.0.0", true, true),
            ("223.255.255.255", true, true),
            ("224.0.0.0", false, false),
            ("255.255.255.255", false, false),
        ];
        for (text, routable, on_link) in table {
            assert_eq!(parse_routable("a", text).is_ok(), routable, "{text}");
            assert_eq!(parse_on_link("a", text).is_ok(), on_link, "{text}");
        }
    }

    #[test]
    fn edges_of_small_prefixes_are_hosts() {
        for (address, prefix, edge) in [
            ("10.1.0.0", "10.1.0.0/24", true),
            ("10.1.0.1", "10.1.0.0/24", false),
            ("10.1.0.255", "10.1.0.0/24", true),
            ("10.1.0.3", "10.1.0.0/30", true),
            ("10.1.0.0", "10.1.0.0/31", false),
            ("10.1.0.1", "10.1.0.0/31", false),
            ("10.1.0.0", "10.1.0.0/32", false),
        ] {
            assert_eq!(
                is_edge(address.parse().unwrap(), prefix.parse().unwrap()),
                edge,
                "{address} in {prefix}"
            );
        }
    }
}
