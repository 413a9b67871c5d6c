//! Connectors: named permissions that join containers to a VPC.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::DESTINATIONS;
use crate::{Code, ConnectorId, Filtering, Name, Problem, cidr};

/// A requested connector.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewConnector {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(example = "orders-db")]
    pub name: String,
    /// The VPC that it leads to.
    #[schema(example = "orders")]
    pub vpc: String,
    /// Prefixes that may be reached, 1 to 64; the VPC's cidr unless given. `0.0.0.0/0` is everything routable.
    pub destinations: Option<Vec<String>>,
    /// Who there may send to what a container has opened: `endpoint_independent`, `address_dependent` (the default) or
    /// `address_and_port_dependent`.
    #[schema(example = "address_dependent")]
    pub filtering: Option<String>,
}

/// A valid connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorSpec {
    /// Its name.
    pub name: Name,
    /// The VPC that it leads to.
    pub vpc: Name,
    /// Prefixes that may be reached, all different; `None` for the VPC's cidr.
    pub destinations: Option<Vec<Ipv4Net>>,
    /// Who there may send to a mapping.
    pub filtering: Filtering,
}

/// A connector as a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// Its identity.
    pub id: ConnectorId,
    /// Its name.
    pub name: Name,
    /// The VPC that it leads to.
    pub vpc: Name,
    /// Prefixes that may be reached.
    pub destinations: Vec<Ipv4Net>,
    /// Who there may send to a mapping.
    pub filtering: Filtering,
    /// Containers that it is attached to, or being attached to.
    pub containers: BTreeSet<Name>,
}

/// A connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectorView {
    /// Its name.
    pub name: String,
    /// The VPC that it leads to.
    pub vpc: String,
    /// Prefixes that may be reached.
    pub destinations: Vec<String>,
    /// Who there may send to what a container has opened.
    pub filtering: Filtering,
    /// Containers that it is attached to.
    pub containers: Vec<String>,
}

impl NewConnector {
    /// Checks everything that can be checked without looking at other resources.
    pub fn validate(self) -> Result<ConnectorSpec, Problem> {
        let name = Name::parse("name", self.name)?;
        let vpc = Name::parse("vpc", self.vpc)?;
        let destinations = self.destinations.map(|texts| parse_destinations(&texts)).transpose()?;
        let filtering = self.filtering.map(|text| Filtering::parse("filtering", &text)).transpose()?;
        Ok(ConnectorSpec { name, vpc, destinations, filtering: filtering.unwrap_or_default() })
    }
}

fn parse_destinations(texts: &[String]) -> Result<Vec<Ipv4Net>, Problem> {
    if !(1..=DESTINATIONS).contains(&texts.len()) {
        let detail = format!("a connector has 1 to {DESTINATIONS} destinations, not {}", texts.len());
        return Err(Problem::new(Code::InvalidCidr, detail).at("destinations"));
    }
    let mut destinations = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let field = format!("destinations[{i}]");
        let destination = cidr::parse_routable(&field, text)?;
        if destinations.contains(&destination) {
            return Err(cidr::invalid(
                &field,
                format!("{destination} is listed twice; list each prefix once"),
            ));
        }
        destinations.push(destination);
    }
    Ok(destinations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(destinations: Option<Vec<String>>) -> NewConnector {
        NewConnector { name: "orders-db".into(), vpc: "orders".into(), destinations, filtering: None }
    }

    #[test]
    fn destinations_are_bounded_and_different() {
        let list = |n: u8| Some((0..n).map(|i| format!("10.{i}.0.0/16")).collect());
        assert_eq!(connector(None).validate().unwrap().destinations, None);
        assert!(connector(list(1)).validate().is_ok());
        assert_eq!(connector(list(64)).validate().unwrap().destinations.unwrap().len(), 64);
        let twice = Some(vec!["10.0.0.0/8".into(), "10.0.0.0/8".into()]);
        for (destinations, field) in [
            (list(0), "destinations"),
            (list(65), "destinations"),
            (twice, "destinations[1]"),
            (Some(vec!["0.0.0.0/0".into(), "127.0.0.0/8".into()]), "destinations[1]"),
        ] {
            let problem = connector(destinations).validate().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidCidr, Some(field)));
        }
    }

    #[test]
    fn both_names_are_checked() {
        let bad_name = NewConnector { name: String::new(), ..connector(None) };
        let bad_vpc = NewConnector { vpc: "a b".into(), ..connector(None) };
        for (connector, field) in [(bad_name, "name"), (bad_vpc, "vpc")] {
            let problem = connector.validate().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidName, Some(field)));
        }
    }
}
