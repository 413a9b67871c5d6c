//! Packets to be explained.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Code, Problem, address, ports};

/// A translated transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo, and that of ICMPv6.
    Icmp,
}

/// What would happen to this packet?
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewProbe {
    /// The container that sends it.
    #[schema(example = "c1")]
    pub container: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it goes.
    #[schema(example = "10.1.0.1")]
    pub destination: String,
    /// Its destination port; required for TCP and UDP, meaningless for ICMP.
    #[schema(value_type = Option<u16>, minimum = 1)]
    pub port: Option<i64>,
    /// Its source port or ICMP query id; one that no session uses unless given.
    #[schema(value_type = Option<u16>)]
    pub source_port: Option<i64>,
}

/// A valid probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// The container that sends it.
    pub container: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its destination; port 0 for ICMP.
    pub remote: SocketAddr,
    /// Its source port or query id, if it matters.
    pub source_port: Option<u16>,
}

impl NewProbe {
    /// Checks everything that can be checked without looking at other resources. Any destination can be asked about.
    pub fn validate(self) -> Result<ProbeSpec, Problem> {
        let destination = address::parse("destination", &self.destination)?;
        let port = match (self.protocol, self.port) {
            (Protocol::Icmp, None) => 0,
            (Protocol::Icmp, Some(_)) => {
                return Err(
                    Problem::new(Code::InvalidPorts, "ICMP has no ports; leave this field out").at("port")
                );
            }
            (_, Some(port)) => ports::parse_port("port", port)?,
            (_, None) => {
                return Err(
                    Problem::new(Code::MissingField, "TCP and UDP need a destination port").at("port")
                );
            }
        };
        let source_port = self.source_port.map(|p| parse_source(self.protocol, p)).transpose()?;
        let remote = SocketAddr::new(destination, port);
        Ok(ProbeSpec { container: self.container, protocol: self.protocol, remote, source_port })
    }
}

fn parse_source(protocol: Protocol, port: i64) -> Result<u16, Problem> {
    match protocol {
        // Query id 0 is as good as any.
        Protocol::Icmp if port == 0 => Ok(0),
        _ => ports::parse_port("source_port", port),
    }
}

impl Protocol {
    /// The glossary's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }

    /// Reads the glossary's name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "icmp" => Some(Self::Icmp),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(protocol: Protocol, port: Option<i64>) -> NewProbe {
        NewProbe { container: "c1".into(), protocol, destination: "10.1.0.1".into(), port, source_port: None }
    }

    #[test]
    fn ports_are_asked_for_where_the_protocol_has_them() {
        assert_eq!(probe(Protocol::Tcp, Some(80)).validate().unwrap().remote, "10.1.0.1:80".parse().unwrap());
        assert_eq!(probe(Protocol::Icmp, None).validate().unwrap().remote, "10.1.0.1:0".parse().unwrap());
        let v6 = NewProbe { destination: "fd00::1".into(), ..probe(Protocol::Udp, Some(53)) };
        assert_eq!(v6.validate().unwrap().remote, "[fd00::1]:53".parse().unwrap());
        let source = |protocol, p| NewProbe { source_port: Some(p), ..probe(protocol, Some(80)) };
        assert!(NewProbe { port: None, ..source(Protocol::Icmp, 0) }.validate().is_ok());
        for (probe, code, field) in [
            (probe(Protocol::Tcp, None), Code::MissingField, "port"),
            (probe(Protocol::Udp, None), Code::MissingField, "port"),
            (probe(Protocol::Udp, Some(0)), Code::InvalidPorts, "port"),
            (probe(Protocol::Tcp, Some(65_536)), Code::InvalidPorts, "port"),
            (probe(Protocol::Icmp, Some(80)), Code::InvalidPorts, "port"),
            (source(Protocol::Tcp, 0), Code::InvalidPorts, "source_port"),
            (
                NewProbe { destination: "x".into(), ..probe(Protocol::Tcp, Some(80)) },
                Code::InvalidAddress,
                "destination",
            ),
        ] {
            let problem = probe.validate().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (code, Some(field)));
        }
    }
}
