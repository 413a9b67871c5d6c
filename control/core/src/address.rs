//! Addresses of hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::family::Family;
use crate::{Code, Problem};

/// Ranges whose addresses are no host's that a VPC could route to. RFC 6890, RFC 5771; RFC 4291 §2.4.
const NO_DESTINATION: [IpNet; 10] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    LINK_LOCAL_V4,
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    // IPv4-mapped: RFC 4291 §2.5.5.2.
    IpNet::V6(Ipv6Net::new_assert(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96)),
    LINK_LOCAL_V6,
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)),
];

/// RFC 3927.
const LINK_LOCAL_V4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16));

/// RFC 4291 §2.5.6.
const LINK_LOCAL_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10));

/// The range that keeps `prefix` from being routed into a VPC, if there is one.
pub(crate) fn unroutable_part(prefix: IpNet) -> Option<IpNet> {
    NO_DESTINATION.into_iter().find(|range| range.contains(&prefix) || prefix.contains(range))
}

/// Reads an address of either family, blaming `field`.
pub(crate) fn parse(field: &str, text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        let (v4, v6) = (Family::V4.address(), Family::V6.address());
        invalid(field, format!("{text:?} is not an IP address; write one such as {v4} or {v6}"))
    })
}

/// Reads an IPv4 address, blaming `field`.
pub(crate) fn parse_v4(field: &str, text: &str) -> Result<Ipv4Addr, Problem> {
    text.parse().map_err(|_| not_of(Family::V4, field, text))
}

/// Reads an IPv6 address, blaming `field`.
pub(crate) fn parse_v6(field: &str, text: &str) -> Result<Ipv6Addr, Problem> {
    text.parse().map_err(|_| not_of(Family::V6, field, text))
}

/// Reads an address of one family, blaming `field`.
pub(crate) fn parse_of(family: Family, field: &str, text: &str) -> Result<IpAddr, Problem> {
    match family {
        Family::V4 => parse_v4(field, text).map(IpAddr::V4),
        Family::V6 => parse_v6(field, text).map(IpAddr::V6),
    }
}

fn not_of(family: Family, field: &str, text: &str) -> Problem {
    let example = family.address();
    invalid(field, format!("{text:?} is not an {family} address; write one such as {example}"))
}

/// Refuses an address that no host can have which a VPC could reach, blaming `field`.
pub(crate) fn refuse_unroutable(field: &str, address: IpAddr) -> Result<(), Problem> {
    match unroutable_part(address.into()) {
        None => Ok(()),
        Some(range) => Err(not_a_host(field, address, range)),
    }
}

/// Reads the IPv4 address of a host on a container's link, which may be link-local, blaming `field`.
pub(crate) fn parse_on_link(field: &str, text: &str) -> Result<Ipv4Addr, Problem> {
    let address = parse_v4(field, text)?;
    match unroutable_part(IpAddr::from(address).into()).filter(|&range| range != LINK_LOCAL_V4) {
        None => Ok(address),
        Some(range) => Err(not_a_host(field, address.into(), range)),
    }
}

/// Whether `address` is the first or last of an IPv4 prefix and so no host's, or the first of an IPv6 prefix and so any
/// router's (RFC 4291 §2.6.1). The smallest prefixes have hosts only (RFC 3021, RFC 6164).
pub(crate) fn is_edge(address: IpAddr, prefix: IpNet) -> bool {
    if prefix.max_prefix_len() - prefix.prefix_len() < 2 {
        return false;
    }
    address == prefix.network() || (address.is_ipv4() && address == prefix.broadcast())
}

/// Refuses the first and last address of `prefix`, blaming `field`.
pub(crate) fn refuse_edge(field: &str, address: IpAddr, prefix: IpNet) -> Result<(), Problem> {
    if !is_edge(address, prefix) {
        return Ok(());
    }
    let prefix = prefix.trunc();
    Err(invalid(
        field,
        match Family::of(address) {
            Family::V4 => {
                format!("{address} is the network or broadcast address of {prefix}; use one between them")
            }
            Family::V6 => format!("{address} is the address of all routers of {prefix}; use one after it"),
        },
    ))
}

fn not_a_host(field: &str, address: IpAddr, range: IpNet) -> Problem {
    invalid(
        field,
        format!("{address} lies in {range}, which holds no addresses of hosts; use another address"),
    )
}

pub(crate) fn invalid(field: &str, detail: String) -> Problem {
    Problem::new(Code::InvalidAddress, detail).at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_address_is_refused() {
        assert_eq!(parse("a", "10.1.0.10"), Ok(IpAddr::from([10, 1, 0, 10])));
        assert_eq!(parse("a", "fd00::10"), Ok(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x10])));
        for bad in [
            "",
            "10.1.0",
            "10.1.0.256",
            "10.1.0.10/32",
            " 10.1.0.10",
            "localhost",
            "010.1.0.1",
            "fd00:",
            "fd00::1::2",
            "fd00::1/128",
            "[fd00::1]",
            "fe80::1%eth0",
        ] {
            let problem = parse("next_hop", bad).unwrap_err();
            assert_eq!(
                (problem.code(), problem.field()),
                (Code::InvalidAddress, Some("next_hop")),
                "{bad:?}"
            );
        }
        for (family, other) in [(Family::V4, "fd00::10"), (Family::V6, "10.1.0.10")] {
            let problem = parse_of(family, "a", other).unwrap_err();
            assert!(problem.detail().contains(family.address()), "{}", problem.detail());
        }
    }

    #[test]
    fn special_ranges_hold_no_hosts_up_to_their_edges() {
        let table = [
            ("0.255.255.255", false),
            ("1.0.0.0", true),
            ("126.255.255.255", true),
            ("127.0.0.1", false),
            ("128.0.0.0", true),
            ("169.253.255.255", true),
            ("169.254.0.0", false),
            ("169.254.255.255", false),
            ("169.255.0.0", true),
            ("223.255.255.255", true),
            ("224.0.0.0", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::2", true),
            ("::fffe:ffff:ffff", true),
            ("::ffff:10.1.0.1", false),
            ("::1:0:0:0", true),
            ("fd00::1", true),
            ("2001:db8::1", true),
            ("fe7f:ffff::", true),
            ("fe80::", false),
            ("febf:ffff::1", false),
            ("fec0::", true),
            ("feff:ffff::", true),
            ("ff00::", false),
            ("ff02::1", false),
        ];
        for (text, routable) in table {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(refuse_unroutable("a", address).is_ok(), routable, "{text}");
            if address.is_ipv4() {
                let on_link = routable || address.to_string().starts_with("169.254.");
                assert_eq!(parse_on_link("a", text).is_ok(), on_link, "{text}");
            }
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
            ("fd00::", "fd00::/64", true),
            ("fd00::1", "fd00::/64", false),
            ("fd00::ffff:ffff:ffff:ffff", "fd00::/64", false),
            ("fd00::", "fd00::/126", true),
            ("fd00::", "fd00::/127", false),
            ("fd00::", "fd00::/128", false),
        ] {
            assert_eq!(
                is_edge(address.parse().unwrap(), prefix.parse().unwrap()),
                edge,
                "{address} in {prefix}"
            );
        }
    }
}
