//! Packets to be explained.

mod packet;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::PROBE_PAYLOAD;
use crate::{Code, Faults, Problem, address, ports};

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

/// A flag of a TCP segment (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TcpFlag {
    /// FIN.
    Fin,
    /// SYN.
    Syn,
    /// RST.
    Rst,
    /// PSH.
    Psh,
    /// ACK.
    Ack,
    /// URG.
    Urg,
}

/// What would happen to this packet? It is described, or given as it is in `packet` or `frame`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewProbe {
    /// The container that sends it; this or `vpc` is given.
    #[schema(example = "c1")]
    pub container: Option<String>,
    /// The VPC that it comes from; `source` is a remote there, and `destination` an external address.
    pub vpc: Option<String>,
    /// Its protocol; this or `ip_protocol` is given. ICMP is an echo request, or from a VPC an echo reply if only `port` is given.
    #[schema(example = "tcp")]
    pub protocol: Option<Protocol>,
    /// The number of any IP protocol, for a packet without a transport header.
    #[schema(value_type = Option<u8>)]
    pub ip_protocol: Option<i64>,
    /// Where it comes from; the container's own address unless given, and required from a VPC.
    pub source: Option<String>,
    /// Where it goes; required.
    #[schema(example = "10.1.0.1")]
    pub destination: Option<String>,
    /// Its destination port; required for TCP and UDP. Meaningless for a container's ICMP; from a VPC the query id of an echo reply.
    #[schema(value_type = Option<u16>, example = 80)]
    pub port: Option<i64>,
    /// Its source port or ICMP query id; one that no session uses unless given.
    #[schema(value_type = Option<u16>)]
    pub source_port: Option<i64>,
    /// TTL or hop limit; that of most hosts unless given.
    #[schema(value_type = Option<u8>)]
    pub ttl: Option<i64>,
    /// Whether nobody on the way may fragment it, as it is unless given; always so with IPv6.
    pub dont_fragment: Option<bool>,
    /// Flags of a TCP segment; only `syn` unless given.
    pub tcp_flags: Option<Vec<TcpFlag>>,
    /// Bytes behind the transport header; none unless given.
    #[schema(value_type = Option<u16>, maximum = 65_461)]
    pub payload_bytes: Option<i64>,
    /// A whole IP packet in hexadecimal digits, at most 9216 bytes, in place of everything that describes one.
    #[schema(pattern = "^([0-9a-fA-F]{2})+$", max_length = 18_432)]
    pub packet: Option<String>,
    /// A whole Ethernet frame, likewise.
    #[schema(pattern = "^([0-9a-fA-F]{2})+$", max_length = 18_432)]
    pub frame: Option<String>,
}

/// A valid probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// Who sends it.
    pub sender: Sender,
    /// What is sent.
    pub packet: ProbePacket,
}

/// Who sends a packet, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A container.
    Container(String),
    /// A host of a VPC.
    Vpc(String),
}

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbePacket {
    /// A packet of which only this matters.
    Described(Description),
    /// The bytes of an IP packet.
    Packet(Vec<u8>),
    /// The bytes of an Ethernet frame.
    Frame(Vec<u8>),
}

/// A packet that is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its protocol.
    pub protocol: IpProtocol,
    /// Where it comes from, of the same family as its destination; `None` for the container's own address.
    pub source: Option<IpAddr>,
    /// Its source port or query id, if it matters.
    pub source_port: Option<u16>,
    /// Its destination; port 0 where the protocol has none.
    pub destination: SocketAddr,
    /// TTL or hop limit, if it matters.
    pub ttl: Option<u8>,
    /// Whether nobody may fragment it, if it matters.
    pub dont_fragment: Option<bool>,
    /// The flags of a TCP segment, as they stand in its header, if they matter.
    pub tcp_flags: Option<u8>,
    /// Bytes behind the transport header.
    pub payload_bytes: u16,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpProtocol {
    /// A transport header of this protocol.
    Translated(Protocol),
    /// Nothing that is described, of the protocol of this number.
    Number(u8),
}

impl NewProbe {
    /// Checks everything that can be checked without looking at other resources. Any destination can be asked about.
    pub fn validate(self) -> Result<ProbeSpec, Problem> {
        let mut faults = Faults::default();
        let sender = faults.take(self.sender());
        let packet = if self.packet.is_some() || self.frame.is_some() {
            self.as_it_is(&mut faults)
        } else {
            self.described(&mut faults).map(ProbePacket::Described)
        };
        let spec = sender.zip(packet).map(|(sender, packet)| ProbeSpec { sender, packet });
        faults.end(spec)
    }

    fn sender(&self) -> Result<Sender, Problem> {
        match (&self.container, &self.vpc) {
            (Some(container), None) => Ok(Sender::Container(container.clone())),
            (None, Some(vpc)) => Ok(Sender::Vpc(vpc.clone())),
            (Some(_), Some(_)) => {
                Err(invalid("vpc", "a packet comes from a container or from a VPC, not from both"))
            }
            (None, None) => Err(missing("container", "the packet comes from a container or from a vpc")),
        }
    }

    /// The bytes that were given, and nothing beside them.
    fn as_it_is(&self, faults: &mut Faults) -> Option<ProbePacket> {
        let besides = [
            ("protocol", self.protocol.is_some()),
            ("ip_protocol", self.ip_protocol.is_some()),
            ("source", self.source.is_some()),
            ("destination", self.destination.is_some()),
            ("port", self.port.is_some()),
            ("source_port", self.source_port.is_some()),
            ("ttl", self.ttl.is_some()),
            ("dont_fragment", self.dont_fragment.is_some()),
            ("tcp_flags", self.tcp_flags.is_some()),
            ("payload_bytes", self.payload_bytes.is_some()),
            ("frame", self.packet.is_some() && self.frame.is_some()),
        ];
        for (field, _) in besides.into_iter().filter(|&(_, given)| given) {
            faults.note(invalid(field, "a packet that is given as it is says this itself; leave this out"));
        }
        let (packet, frame) = (self.packet.as_deref(), self.frame.as_deref());
        match (packet, frame) {
            (Some(digits), _) => faults.take(packet::bytes("packet", digits)).map(ProbePacket::Packet),
            (None, digits) => {
                faults.take(packet::bytes("frame", digits.unwrap_or_default())).map(ProbePacket::Frame)
            }
        }
    }

    fn described(&self, faults: &mut Faults) -> Option<Description> {
        let protocol = faults.take(self.ip_protocol());
        let destination = faults.take(match &self.destination {
            Some(text) => address::parse("destination", text),
            None => Err(missing("destination", "a packet goes somewhere; write its address")),
        });
        let source = faults.take(self.source_for(destination));
        // Without a protocol nothing can be said about its ports.
        let port = protocol.and_then(|protocol| faults.take(self.destination_port(protocol)));
        let source_port = protocol.and_then(|protocol| faults.take(self.source_port_of(protocol)));
        let ttl = faults.take(number("ttl", self.ttl, u8::MAX));
        if self.tcp_flags.is_some() && protocol.is_some_and(|p| p != IpProtocol::Translated(Protocol::Tcp)) {
            faults.note(invalid("tcp_flags", "only TCP has these flags; leave this field out"));
        }
        let flags = self.tcp_flags.as_deref();
        let flags = flags.map(|flags| flags.iter().fold(0, |all, flag| all | flag.bit()));
        let payload_bytes = faults.take(number("payload_bytes", self.payload_bytes, PROBE_PAYLOAD));
        Some(Description {
            protocol: protocol?,
            source: source?,
            source_port: source_port?,
            destination: SocketAddr::new(destination?, port?),
            ttl: ttl?,
            dont_fragment: self.dont_fragment,
            tcp_flags: flags,
            payload_bytes: payload_bytes?.unwrap_or_default(),
        })
    }

    fn ip_protocol(&self) -> Result<IpProtocol, Problem> {
        match (self.protocol, number("ip_protocol", self.ip_protocol, u8::MAX)?) {
            (Some(protocol), None) => Ok(IpProtocol::Translated(protocol)),
            (None, Some(number)) => Ok(IpProtocol::Number(number)),
            (Some(_), Some(_)) => Err(invalid("ip_protocol", "the protocol is named already; give only one")),
            (None, None) => {
                Err(missing("protocol", "a packet has a protocol: tcp, udp, icmp, or an ip_protocol"))
            }
        }
    }

    fn source_for(&self, destination: Option<IpAddr>) -> Result<Option<IpAddr>, Problem> {
        let Some(text) = &self.source else {
            let detail = "a packet from a VPC comes from one of its hosts; write its address";
            return if self.vpc.is_some() { Err(missing("source", detail)) } else { Ok(None) };
        };
        let source = address::parse("source", text)?;
        if destination.is_some_and(|destination| destination.is_ipv4() != source.is_ipv4()) {
            let detail = "source and destination are of one IP version";
            return Err(Problem::new(Code::InvalidAddress, detail).at("source"));
        }
        Ok(Some(source))
    }

    fn destination_port(&self, protocol: IpProtocol) -> Result<u16, Problem> {
        let of_vpc = self.vpc.is_some();
        match (protocol, self.port) {
            (IpProtocol::Translated(Protocol::Icmp), port) if of_vpc => match (port, self.source_port) {
                (Some(_), Some(_)) => {
                    Err(invalid("port", "an echo request has its query id in source_port; leave this out"))
                }
                (None, None) => Err(missing(
                    "port",
                    "an echo reply needs the query id that it is for, or give source_port",
                )),
                (port, _) => Ok(number("port", port, u16::MAX)?.unwrap_or_default()),
            },
            (IpProtocol::Translated(Protocol::Icmp) | IpProtocol::Number(_), None) => Ok(0),
            (IpProtocol::Translated(Protocol::Icmp), Some(_)) => Err(portless("port", "ICMP has no ports")),
            (IpProtocol::Number(_), Some(_)) => Err(portless("port", "only TCP and UDP have ports")),
            (IpProtocol::Translated(_), Some(port)) => ports::parse_port("port", port),
            (IpProtocol::Translated(_), None) => Err(missing("port", "TCP and UDP need a destination port")),
        }
    }

    fn source_port_of(&self, protocol: IpProtocol) -> Result<Option<u16>, Problem> {
        match (protocol, self.source_port) {
            (_, None) => Ok(None),
            // Query id 0 is as good as any.
            (IpProtocol::Translated(Protocol::Icmp), Some(0)) => Ok(Some(0)),
            (IpProtocol::Translated(_), Some(port)) => ports::parse_port("source_port", port).map(Some),
            (IpProtocol::Number(_), Some(_)) => Err(portless("source_port", "only TCP and UDP have ports")),
        }
    }
}

/// Checks a number from 0 to `most`, blaming `field`.
fn number<N>(field: &str, value: Option<i64>, most: N) -> Result<Option<N>, Problem>
where
    N: TryFrom<i64> + std::fmt::Display + Copy + PartialOrd,
{
    let Some(value) = value else { return Ok(None) };
    match N::try_from(value) {
        Ok(number) if number <= most => Ok(Some(number)),
        _ => Err(invalid(field, format!("{value} is not a number from 0 to {most}"))),
    }
}

fn portless(field: &str, what: &str) -> Problem {
    Problem::new(Code::InvalidPorts, format!("{what}; leave this field out")).at(field)
}

fn missing(field: &str, detail: &str) -> Problem {
    Problem::new(Code::MissingField, detail).at(field)
}

fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidPacket, detail).at(field)
}

impl TcpFlag {
    /// Its place in the header (RFC 9293 §3.1).
    const fn bit(self) -> u8 {
        match self {
            Self::Fin => 0x01,
            Self::Syn => 0x02,
            Self::Rst => 0x04,
            Self::Psh => 0x08,
            Self::Ack => 0x10,
            Self::Urg => 0x20,
        }
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
mod tests;
