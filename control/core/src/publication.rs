//! Publications: external endpoints that lead to a container whether or not it has sent anything.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::PUBLICATIONS;
use crate::{Code, Problem, Protocol, Refusal, VpcSpec, address, ports};

/// A requested publication.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewPublication {
    /// `tcp` or `udp`.
    #[schema(example = "tcp")]
    pub protocol: String,
    /// An external address of the VPC; its first IPv4 one unless given, or its first if it has none of IPv4.
    #[schema(example = "10.1.0.10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_address: Option<String>,
    /// The port that the VPC sees; it need not be one of the VPC's `ports`.
    #[schema(value_type = u16, minimum = 1, example = 80)]
    pub external_port: i64,
    /// The container's port; the same unless given.
    #[schema(value_type = Option<u16>, minimum = 1, example = 8080)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port: Option<i64>,
}

/// A valid publication, of a VPC that was not looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicationSpec {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address that the VPC sees, if it matters.
    pub external_address: Option<IpAddr>,
    /// The port that the VPC sees.
    pub external_port: u16,
    /// The container's port.
    pub container_port: u16,
}

/// An external endpoint that leads to the container that the connector is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// What the VPC sees; the address is one of its external addresses.
    pub external: SocketAddr,
    /// The container's port.
    pub container_port: u16,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PublicationView {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address that the VPC sees.
    pub external_address: String,
    /// The port that the VPC sees.
    pub external_port: u16,
    /// The container's port.
    pub container_port: u16,
}

impl PublicationSpec {
    /// Checks requested publications, blaming `publications`.
    pub(crate) fn parse_all(requested: Vec<NewPublication>) -> Result<Vec<Self>, Problem> {
        if requested.len() > PUBLICATIONS {
            let detail =
                format!("a connector has at most {PUBLICATIONS} publications, not {}", requested.len());
            return Err(Problem::new(Code::InvalidPolicy, detail).at("publications"));
        }
        let parse = |(i, new)| Self::parse(&format!("publications[{i}]"), new);
        requested.into_iter().enumerate().map(parse).collect()
    }

    fn parse(field: &str, new: NewPublication) -> Result<Self, Problem> {
        let below = |name: &str| format!("{field}.{name}");
        let Some(protocol @ (Protocol::Tcp | Protocol::Udp)) = Protocol::from_name(&new.protocol) else {
            let detail = format!("`{}` cannot be published; use one of tcp, udp", new.protocol);
            return Err(Problem::new(Code::InvalidPolicy, detail).at(below("protocol")));
        };
        let external_address =
            new.external_address.map(|text| address::parse(&below("external_address"), &text));
        let external_port = ports::parse_port(&below("external_port"), new.external_port)?;
        let container_port = new.container_port.map(|port| ports::parse_port(&below("container_port"), port));
        Ok(Self {
            protocol,
            external_address: external_address.transpose()?,
            external_port,
            container_port: container_port.transpose()?.unwrap_or(external_port),
        })
    }
}

impl Publication {
    /// Fits publications into the VPC: their addresses are external ones, their endpoints all different.
    pub(crate) fn fit_all(specs: &[PublicationSpec], vpc: &VpcSpec) -> Result<Vec<Self>, Refusal> {
        let mut fitted: Vec<Self> = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let publication = Self::fit(index, *spec, vpc)?;
            let Self { protocol, external, .. } = publication;
            if fitted.iter().any(|other| (other.protocol, other.external) == (protocol, external)) {
                return Err(Refusal::PublishedTwice { index, protocol, external });
            }
            fitted.push(publication);
        }
        Ok(fitted)
    }

    fn fit(index: usize, spec: PublicationSpec, vpc: &VpcSpec) -> Result<Self, Refusal> {
        let external = &vpc.external_addresses;
        let address = match spec.external_address {
            None => *external.iter().find(|address| address.is_ipv4()).unwrap_or(&external[0]),
            Some(address) if vpc.is_external(address) => address,
            Some(address) => return Err(Refusal::NotExternal { index, address, vpc: vpc.name.clone() }),
        };
        let external = SocketAddr::new(address, spec.external_port);
        Ok(Self { protocol: spec.protocol, external, container_port: spec.container_port })
    }

    pub(crate) fn view(&self) -> PublicationView {
        PublicationView {
            protocol: self.protocol,
            external_address: self.external.ip().to_string(),
            external_port: self.external.port(),
            container_port: self.container_port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(external_port: i64) -> NewPublication {
        NewPublication { protocol: "tcp".into(), external_port, ..NewPublication::default() }
    }

    #[test]
    fn the_containers_port_is_the_external_one_unless_given() {
        let parse = |new| PublicationSpec::parse_all(vec![new]).unwrap()[0];
        assert_eq!(parse(tcp(80)).container_port, 80);
        let mapped = parse(NewPublication { container_port: Some(8_080), ..tcp(80) });
        assert_eq!((mapped.external_port, mapped.container_port), (80, 8_080));
    }

    #[test]
    fn wrong_fields_are_named_with_their_code() {
        for (new, code, field) in [
            (NewPublication { protocol: "icmp".into(), ..tcp(1) }, Code::InvalidPolicy, "protocol"),
            (NewPublication { protocol: "TCP".into(), ..tcp(1) }, Code::InvalidPolicy, "protocol"),
            (
                NewPublication { external_address: Some("here".into()), ..tcp(1) },
                Code::InvalidAddress,
                "external_address",
            ),
            (tcp(0), Code::InvalidPorts, "external_port"),
            (tcp(65_536), Code::InvalidPorts, "external_port"),
            (NewPublication { container_port: Some(0), ..tcp(1) }, Code::InvalidPorts, "container_port"),
            (NewPublication { container_port: Some(65_536), ..tcp(1) }, Code::InvalidPorts, "container_port"),
        ] {
            let problem = PublicationSpec::parse_all(vec![tcp(1), new]).unwrap_err();
            let field = format!("publications[1].{field}");
            assert_eq!((problem.code(), problem.field()), (code, Some(&*field)));
        }
    }

    #[test]
    fn publications_are_bounded() {
        let list = |n: i64| PublicationSpec::parse_all((1..=n).map(tcp).collect());
        assert_eq!(list(64).unwrap().len(), 64);
        let problem = list(65).unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some("publications")));
    }
}
