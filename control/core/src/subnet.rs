//! What a VPC has of one address family.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::family::Family;
use crate::{Code, Problem, address, cidr};

/// What a VPC has of one address family. All of it is of that family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The VPC's addresses.
    pub cidr: IpNet,
    /// The prefix whose addresses are neighbors, resolved by ARP or neighbor discovery.
    pub on_link: IpNet,
    /// The router for everything else, if there is one.
    pub next_hop: Option<IpAddr>,
}

/// What a request has for one address family.
pub(crate) struct NewSubnet {
    pub(crate) cidr: Option<String>,
    pub(crate) on_link: Option<String>,
    pub(crate) next_hop: Option<String>,
}

impl NewSubnet {
    /// Checks it and fills in what was left out; `None` if the VPC has nothing of the family.
    pub(crate) fn validate(self, family: Family) -> Result<Option<Subnet>, Problem> {
        let Some(cidr) = self.cidr else {
            refuse_without_cidr(family, "on_link", Code::InvalidCidr, self.on_link.is_some())?;
            refuse_without_cidr(family, "next_hop", Code::InvalidAddress, self.next_hop.is_some())?;
            return Ok(None);
        };
        let cidr = cidr::parse_of(family, &family.field("cidr"), &cidr)?;
        let on_link = match self.on_link {
            Some(text) => cidr::parse_of(family, &family.field("on_link"), &text)?,
            None => cidr,
        };
        let next_hop = self.next_hop.map(|text| parse_next_hop(family, &text, on_link)).transpose()?;
        Ok(Some(Subnet { cidr, on_link, next_hop }))
    }
}

fn refuse_without_cidr(family: Family, name: &str, code: Code, given: bool) -> Result<(), Problem> {
    if !given {
        return Ok(());
    }
    let detail = format!("the VPC has no {family} addresses; give {} too", family.field("cidr"));
    Err(Problem::new(code, detail).at(family.field(name)))
}

fn parse_next_hop(family: Family, text: &str, on_link: IpNet) -> Result<IpAddr, Problem> {
    let field = &family.field("next_hop");
    let next_hop = address::parse_of(family, field, text)?;
    // Routers of IPv6 are known by such addresses (RFC 4861 §6.1.2), and each link has them whatever else is on it.
    if matches!(next_hop, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return Ok(next_hop);
    }
    address::refuse_unroutable(field, next_hop)?;
    address::refuse_edge(field, next_hop, on_link)?;
    if on_link.contains(&next_hop) {
        return Ok(next_hop);
    }
    let detail = format!(
        "{next_hop} is not inside {} {on_link}, so that it cannot be found; choose a router on the link",
        family.field("on_link")
    );
    Err(address::invalid(field, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(
        family: Family,
        cidr: &str,
        on_link: Option<&str>,
        next_hop: Option<&str>,
    ) -> Result<Subnet, Problem> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let new = NewSubnet { cidr: Some(cidr.into()), on_link: text(on_link), next_hop: text(next_hop) };
        new.validate(family).map(|subnet| subnet.expect("it has a cidr"))
    }

    #[test]
    fn a_next_hop_is_on_the_link() {
        for (family, cidr, on_link, next_hop) in [
            (Family::V4, "10.1.0.0/16", None, "10.1.0.1"),
            (Family::V4, "10.0.0.0/8", Some("10.2.0.0/16"), "10.2.0.1"),
            (Family::V4, "10.0.0.0/8", Some("192.0.2.0/31"), "192.0.2.0"),
            (Family::V6, "fd00::/48", None, "fd00::1"),
            (Family::V6, "fd00::/48", Some("fd00:0:0:1::/64"), "fd00:0:0:1::1"),
            (Family::V6, "fd00::/48", None, "fe80::1"),
        ] {
            let subnet = subnet(family, cidr, on_link, Some(next_hop)).unwrap();
            assert_eq!(subnet.next_hop.unwrap().to_string(), next_hop);
            assert_eq!(subnet.on_link.to_string(), on_link.unwrap_or(cidr));
        }
        for (family, cidr, on_link, next_hop) in [
            (Family::V4, "10.1.0.0/16", None, "10.2.0.1"),
            (Family::V4, "10.1.0.0/16", None, "10.1.0.0"),
            (Family::V4, "10.1.0.0/16", None, "169.254.0.1"),
            (Family::V4, "10.1.0.0/16", None, "fd00::1"),
            (Family::V4, "10.0.0.0/8", Some("10.2.0.0/16"), "10.1.0.1"),
            (Family::V6, "fd00::/64", None, "fd01::1"),
            (Family::V6, "fd00::/64", None, "fd00::"),
            (Family::V6, "fd00::/64", None, "ff02::2"),
            (Family::V6, "fd00::/64", None, "10.1.0.1"),
        ] {
            let problem = subnet(family, cidr, on_link, Some(next_hop)).unwrap_err();
            let field = family.field("next_hop");
            assert_eq!(
                (problem.code(), problem.field()),
                (Code::InvalidAddress, Some(&*field)),
                "{next_hop}"
            );
        }
    }

    #[test]
    fn nothing_is_said_of_a_family_that_the_vpc_does_not_have() {
        let new = |on_link: Option<&str>, next_hop: Option<&str>| NewSubnet {
            cidr: None,
            on_link: on_link.map(Into::into),
            next_hop: next_hop.map(Into::into),
        };
        assert_eq!(new(None, None).validate(Family::V6), Ok(None));
        for (new, code, field) in [
            (new(Some("fd00::/64"), None), Code::InvalidCidr, "on_link6"),
            (new(None, Some("fd00::1")), Code::InvalidAddress, "next_hop6"),
        ] {
            let problem = new.validate(Family::V6).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (code, Some(field)));
            assert!(problem.detail().contains("cidr6"), "{}", problem.detail());
        }
    }
}
