//! Connectors: named permissions that join containers to a VPC.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::DESTINATIONS;
use crate::{
    Code, ConnectorId, Filtering, Mapping, Name, NewPublication, OnDetach, Policy, Problem, Publication,
    PublicationSpec, PublicationView, UdpRefresh, cidr,
};

/// A requested connector.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewConnector {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(example = "orders-db")]
    pub name: String,
    /// The VPC that it leads to.
    #[schema(example = "orders")]
    pub vpc: String,
    /// Prefixes that may be reached, 1 to 64; all of the VPC's own unless given. `0.0.0.0/0` and `::/0` are everything routable of
    /// their family.
    pub destinations: Option<Vec<String>>,
    /// Which packets of a container's endpoint have their external endpoint in common: all (`endpoint_independent`, the default),
    /// those to one address (`address_dependent`), those to one endpoint (`address_and_port_dependent`; not in a VPC with
    /// `port_blocks`).
    #[schema(example = "endpoint_independent")]
    pub mapping: Option<String>,
    /// Who there may send to what a container has opened: `endpoint_independent`, `address_dependent` (the default) or
    /// `address_and_port_dependent` (the only one with that mapping).
    #[schema(example = "address_dependent")]
    pub filtering: Option<String>,
    /// The same for UDP, if it shall differ.
    pub udp_filtering: Option<String>,
    /// Which packets keep a UDP session alive: the container's (`outbound`, the default), or the remote's too (`both`).
    #[schema(example = "outbound")]
    pub udp_refresh: Option<String>,
    /// Whether the VPC sees an external address in place of the container's; it does unless given. Without translation there is no
    /// mapping, quota or publication.
    pub translation: Option<bool>,
    /// Most external ports of all containers together; of sessions with the mapping `address_and_port_dependent`, whose ports serve
    /// many.
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub port_quota: Option<i64>,
    /// The same of each container.
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub port_quota_per_container: Option<i64>,
    /// What the ends of a live TCP session hear of a detach: a RST each (`reset`, the default), or nothing (`silent`).
    #[schema(example = "reset")]
    pub on_detach: Option<String>,
    /// External endpoints that lead to the container, at most 64. Only the connector's destinations may call them. They come into
    /// force when the connector is attached, which it can be to one container only if it has any.
    pub publications: Option<Vec<NewPublication>>,
}

/// A valid connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorSpec {
    /// Its name.
    pub name: Name,
    /// The VPC that it leads to.
    pub vpc: Name,
    /// Prefixes that may be reached, all different; `None` for all of the VPC's own.
    pub destinations: Option<Vec<IpNet>>,
    /// What it says about sessions.
    pub policy: Policy,
    /// External endpoints that lead to the container; none without translation.
    pub publications: Vec<PublicationSpec>,
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
    pub destinations: Vec<IpNet>,
    /// What it says about sessions.
    pub policy: Policy,
    /// External endpoints that lead to the container, all different; none without translation.
    pub publications: Vec<Publication>,
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
    /// Whether the VPC sees an external address in place of the container's.
    pub translation: bool,
    /// Which packets have their external endpoint in common; absent without translation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// Who there may send to what a container has opened.
    pub filtering: Filtering,
    /// The same for UDP, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_filtering: Option<Filtering>,
    /// Which packets keep a UDP session alive.
    pub udp_refresh: UdpRefresh,
    /// External ports that its containers have now, or sessions where ports serve many; absent without translation. Publications do
    /// not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports_used: Option<u32>,
    /// Most external ports of all containers together, if there is a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_quota: Option<u32>,
    /// Most external ports of each container, if there is a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_quota_per_container: Option<u32>,
    /// What the ends of a live TCP session hear of a detach.
    pub on_detach: OnDetach,
    /// External endpoints that lead to the container.
    pub publications: Vec<PublicationView>,
    /// Containers that it is attached to.
    pub containers: Vec<String>,
}

impl NewConnector {
    /// Checks everything that can be checked without looking at other resources.
    pub fn validate(self) -> Result<ConnectorSpec, Problem> {
        let policy = Policy::parse(&self);
        let name = Name::parse("name", self.name)?;
        let vpc = Name::parse("vpc", self.vpc)?;
        let destinations = self.destinations.as_deref().map(parse_destinations).transpose()?;
        let policy = policy?;
        let publications = PublicationSpec::parse_all(self.publications.unwrap_or_default())?;
        Ok(ConnectorSpec { name, vpc, destinations, policy, publications })
    }
}

impl Connector {
    /// What clients see, of whom `containers` have it, and `ports_used` external ports.
    pub(crate) fn view(&self, containers: Vec<String>, ports_used: u32) -> ConnectorView {
        let (policy, translation) = (&self.policy, self.policy.translation.as_ref());
        ConnectorView {
            name: self.name.to_string(),
            vpc: self.vpc.to_string(),
            destinations: self.destinations.iter().map(IpNet::to_string).collect(),
            translation: translation.is_some(),
            mapping: translation.map(|t| t.mapping),
            filtering: policy.filtering,
            udp_filtering: policy.udp_filtering,
            udp_refresh: policy.udp_refresh,
            ports_used: translation.map(|_| ports_used),
            port_quota: translation.and_then(|t| t.port_quota),
            port_quota_per_container: translation.and_then(|t| t.port_quota_per_container),
            on_detach: policy.on_detach,
            publications: self.publications.iter().map(Publication::view).collect(),
            containers,
        }
    }
}

fn parse_destinations(texts: &[String]) -> Result<Vec<IpNet>, Problem> {
    if !(1..=DESTINATIONS).contains(&texts.len()) {
        let detail = format!("a connector has 1 to {DESTINATIONS} destinations, not {}", texts.len());
        return Err(Problem::new(Code::InvalidCidr, detail).at("destinations"));
    }
    let mut destinations = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let field = format!("destinations[{i}]");
        let destination = cidr::parse(&field, text)?;
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
        NewConnector {
            name: "orders-db".into(),
            vpc: "orders".into(),
            destinations,
            ..NewConnector::default()
        }
    }

    #[test]
    fn destinations_are_bounded_and_different() {
        let list = |n: u8| Some((0..n).map(|i| format!("10.{i}.0.0/16")).collect());
        assert_eq!(connector(None).validate().unwrap().destinations, None);
        assert!(connector(list(1)).validate().is_ok());
        assert_eq!(connector(list(64)).validate().unwrap().destinations.unwrap().len(), 64);
        let both_families = Some(vec!["10.0.0.0/8".into(), "::/0".into()]);
        assert!(connector(both_families).validate().is_ok());
        let twice = Some(vec!["10.0.0.0/8".into(), "10.0.0.0/8".into()]);
        for (destinations, field) in [
            (list(0), "destinations"),
            (list(65), "destinations"),
            (twice, "destinations[1]"),
            (Some(vec!["0.0.0.0/0".into(), "127.0.0.0/8".into()]), "destinations[1]"),
            (Some(vec!["::/0".into(), "fe80::/10".into()]), "destinations[1]"),
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
