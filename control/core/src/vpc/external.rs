//! A VPC's external addresses: what containers appear as.

use std::net::IpAddr;

use crate::family::Family;
use crate::limits::EXTERNAL_ADDRESSES;
use crate::subnet::Subnet;
use crate::{Code, Faults, Problem, address};

/// What external addresses have to go together with.
pub(super) struct Surroundings<'a> {
    pub(super) ipv4: Option<&'a Subnet>,
    pub(super) ipv6: Option<&'a Subnet>,
    /// Addresses of the VPC that somebody else has, and who that is.
    pub(super) taken: Vec<(IpAddr, &'static str)>,
}

/// External addresses of a VPC: those for all connectors, and those for connectors that name them.
pub(super) struct External {
    pub(super) pool: Vec<IpAddr>,
    pub(super) reserved: Vec<IpAddr>,
}

impl External {
    pub(super) fn parse(
        pool: &[String],
        reserved: &[String],
        around: &Surroundings<'_>,
    ) -> Result<Self, Problem> {
        let count = pool.len() + reserved.len();
        if pool.is_empty() || count > EXTERNAL_ADDRESSES {
            let detail = format!("a VPC has 1 to {EXTERNAL_ADDRESSES} external addresses, not {count}");
            return Err(Problem::new(Code::InvalidAddress, detail).at("external_addresses"));
        }
        let mut faults = Faults::default();
        let mut seen = Vec::with_capacity(count);
        let mut parse = |name: &str, texts: &[String]| {
            let parsed = texts.iter().enumerate().filter_map(|(i, text)| {
                let external = faults.take(around.parse(&format!("{name}[{i}]"), text, &seen))?;
                seen.push(external);
                Some(external)
            });
            parsed.collect()
        };
        let (pool, reserved) = (parse("external_addresses", pool), parse("reserved_addresses", reserved));
        faults.end(Some(Self { pool, reserved }))
    }
}

impl Surroundings<'_> {
    fn parse(&self, field: &str, text: &str, seen: &[IpAddr]) -> Result<IpAddr, Problem> {
        let external = address::parse(field, text)?;
        address::refuse_unroutable(field, external)?;
        self.refuse_outside(field, external)?;
        if seen.contains(&external) {
            let detail = format!("{external} is listed twice; list each address once");
            return Err(Problem::new(Code::DuplicateAddress, detail).at(field));
        }
        if let Some((_, role)) = self.taken.iter().find(|(taken, _)| *taken == external) {
            let detail =
                format!("{external} is the {role}; an external address belongs to the gateway alone");
            return Err(address::invalid(field, detail));
        }
        Ok(external)
    }

    fn refuse_outside(&self, field: &str, external: IpAddr) -> Result<(), Problem> {
        let name = Family::of(external).field("cidr");
        let subnet = if external.is_ipv4() { self.ipv4 } else { self.ipv6 };
        let detail = match subnet {
            Some(Subnet { cidr, .. }) if cidr.contains(&external) => {
                return address::refuse_edge(field, external, *cidr);
            }
            Some(Subnet { cidr, .. }) => {
                format!(
                    "{external} is not inside the VPC's {name} {cidr}; choose an unused address of the VPC"
                )
            }
            None => format!("{external} is outside of the VPC, which has no {name}"),
        };
        Err(Problem::new(Code::AddressOutsideVpc, detail).at(field))
    }
}
