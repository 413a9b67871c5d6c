//! One parse of an IP packet: everything that the engine needs to know, bounded and checked.

pub(crate) mod chain;
mod embedded;
pub(crate) mod glance;
mod ip;

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

pub(crate) use embedded::Embedded;

use self::ip::Header;
use crate::checksum::{checksum, pseudo_header, sum};
use crate::vnet::Vnet;
use crate::wire::{
    Family, IP, IPV4_LEN, IPV6_LEN, VNET_LEN, addresses, checksum_at, ether_type, icmp_type, icmpv6_type,
    protocol, u16_at, u32_at,
};
use crate::{PacketSummary, Protocol, Reason};

/// Two endpoints as one packet carries them. For ICMP queries the id stands on the side of the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// An accepted packet at [`IP`] of its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) family: Family,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// Nobody on the way may fragment it; always so with IPv6.
    pub(crate) dont_fragment: bool,
    /// Where the transport header starts in the frame.
    pub(crate) at: usize,
    /// Where the packet ends in the frame; padding of short Ethernet frames can follow.
    pub(crate) end: usize,
    /// Bytes from the IP header to the end of the frame: what a device sends.
    carried_len: usize,
    pub(crate) vnet: Vnet,
    pub(crate) transport: Transport,
}

/// The header behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp(Tcp),
    Udp {
        source: u16,
        destination: u16,
    },
    EchoRequest {
        id: u16,
    },
    EchoReply {
        id: u16,
    },
    IcmpError(Embedded),
    /// Neighbor Discovery (RFC 4861): for the link's own use, parsed elsewhere.
    NeighborDiscovery,
    /// Multicast listener discovery (RFC 3810): for the link's own use, and of no interest.
    ListenerDiscovery,
}

/// A TCP header, as far as it matters here (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) flags: u8,
    pub(crate) header_len: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    /// As it stands there, not scaled.
    pub(crate) window: u16,
}

/// As few words as there are: what is derived would hash each octet by itself.
impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (source, destination) = (self.source, self.destination);
        let ports = u64::from(source.port()) << 16 | u64::from(destination.port());
        let rest = (self.protocol as u64) << 32 | ports;
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                state.write_u64(u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits()));
            }
            (source, destination) => {
                state.write_u128(bits(source));
                state.write_u128(bits(destination));
            }
        }
        state.write_u64(rest);
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Tuple {
    /// The same conversation seen from the other end.
    pub(crate) const fn reversed(self) -> Self {
        Self { protocol: self.protocol, source: self.destination, destination: self.source }
    }
}

impl Transport {
    /// Bytes of transport header that stand in front of the payload.
    pub(crate) fn header_len(&self) -> usize {
        match self {
            Self::Tcp(tcp) => tcp.header_len.into(),
            _ => 8,
        }
    }
}

impl Packet {
    /// Parses a frame that carries IP, vnet header included. `None`: the packet is a fragment.
    pub(crate) fn parse(frame: &[u8], family: Family) -> Result<Option<Self>, Reason> {
        let vnet = Vnet::parse(frame)?;
        let ip = frame.get(IP..).unwrap_or_default();
        let Some(header) = Header::parse(ip, family)? else { return Ok(None) };
        let (at, end) = (IP + header.transport, IP + header.end);
        let mut packet = Self {
            family,
            source: header.source,
            destination: header.destination,
            ttl: header.ttl,
            dont_fragment: header.dont_fragment,
            at,
            end,
            carried_len: ip.len(),
            vnet,
            transport: Transport::ListenerDiscovery,
        };
        packet.transport = packet.parse_transport(frame, header.protocol)?;
        vnet.check(family, &packet.transport, at, end - at)?;
        Ok(Some(packet))
    }

    /// The session key that the packet carries; `None` for what belongs to no session.
    pub(crate) fn tuple(&self) -> Option<Tuple> {
        let (protocol, source, destination) = match self.transport {
            Transport::Tcp(Tcp { source, destination, .. }) => (Protocol::Tcp, source, destination),
            Transport::Udp { source, destination } => (Protocol::Udp, source, destination),
            Transport::EchoRequest { id } => (Protocol::Icmp, id, 0),
            Transport::EchoReply { id } => (Protocol::Icmp, 0, id),
            _ => return None,
        };
        Some(Tuple {
            protocol,
            source: SocketAddr::new(self.source, source),
            destination: SocketAddr::new(self.destination, destination),
        })
    }

    /// The TCP header, of a TCP packet.
    pub(crate) const fn tcp(&self) -> Option<&Tcp> {
        if let Transport::Tcp(tcp) = &self.transport { Some(tcp) } else { None }
    }

    /// Bytes of payload behind the transport header.
    pub(crate) fn payload_len(&self) -> usize {
        self.end - self.at - self.transport.header_len()
    }

    /// Where in the frame a partial checksum stands, and what it is when completed; `None` if it is complete.
    pub(crate) fn completed_checksum(&self, frame: &[u8]) -> Option<(usize, u16)> {
        if !self.vnet.partial_checksum {
            return None;
        }
        let complete = checksum(&frame[self.at..self.end]);
        match self.transport {
            Transport::Tcp(_) => Some((self.at + checksum_at::TCP, complete)),
            // RFC 768: a checksum that comes out as zero is sent as all ones.
            Transport::Udp { .. } if complete == 0 => Some((self.at + checksum_at::UDP, 0xffff)),
            Transport::Udp { .. } => Some((self.at + checksum_at::UDP, complete)),
            _ => None,
        }
    }

    /// Bytes of the largest IP packet that this becomes on the wire, after segmentation.
    pub(crate) fn largest_on_wire(&self) -> usize {
        let headers = self.at - IP + self.transport.header_len();
        self.vnet
            .segment_payload()
            .map_or(self.carried_len, |payload| self.carried_len.min(headers + payload))
    }

    /// How many packets this becomes on the wire.
    pub(crate) fn segments(&self) -> usize {
        self.vnet.segment_payload().map_or(1, |payload| self.payload_len().div_ceil(payload).max(1))
    }

    /// Bytes of IP that this is on the wire: each segment has headers of its own.
    pub(crate) fn bytes_on_wire(&self) -> usize {
        let headers = self.at - IP + self.transport.header_len();
        self.end - IP + (self.segments() - 1) * headers
    }

    /// Parses the header at `at`; the bytes up to `end` are there.
    fn parse_transport(&self, frame: &[u8], number: u8) -> Result<Transport, Reason> {
        let bytes = &frame[self.at..self.end];
        match (number, self.family) {
            (protocol::TCP, _) => parse_tcp(bytes),
            (protocol::UDP, _) => self.parse_udp(bytes),
            (protocol::ICMP, Family::V4) => self.parse_icmp(frame, bytes),
            (protocol::ICMPV6, Family::V6) => self.parse_icmpv6(frame, bytes),
            _ => Err(Reason::ProtocolUnsupported),
        }
    }

    fn parse_udp(&self, bytes: &[u8]) -> Result<Transport, Reason> {
        if bytes.len() < 8 {
            return Err(Reason::TransportInvalid);
        }
        // A UDP super-packet's length field covers all of it, as a single datagram's does.
        let covered = usize::from(u16_at(bytes, 4));
        let super_packet = self.vnet.is_super_packet();
        if covered < 8 || covered > bytes.len() || (super_packet && covered != bytes.len()) {
            return Err(Reason::TransportInvalid);
        }
        // RFC 8200 §8.1: over IPv6 a datagram has a checksum.
        if self.family == Family::V6 && !self.vnet.partial_checksum && u16_at(bytes, checksum_at::UDP) == 0 {
            return Err(Reason::TransportInvalid);
        }
        Ok(Transport::Udp { source: u16_at(bytes, 0), destination: u16_at(bytes, 2) })
    }

    fn parse_icmp(&self, frame: &[u8], bytes: &[u8]) -> Result<Transport, Reason> {
        if bytes.len() < 8 {
            return Err(Reason::TransportInvalid);
        }
        match bytes[0] {
            icmp_type::ECHO_REQUEST => Ok(Transport::EchoRequest { id: u16_at(bytes, 4) }),
            icmp_type::ECHO_REPLY => Ok(Transport::EchoReply { id: u16_at(bytes, 4) }),
            icmp_type::UNREACHABLE | icmp_type::TIME_EXCEEDED | icmp_type::PARAMETER_PROBLEM => {
                // RFC 5508 REQ-3a: an error with a wrong checksum is dropped.
                if sum(bytes, 0) != 0xffff {
                    return Err(Reason::IcmpChecksumWrong);
                }
                // RFC 4884 §4: the quoted packet's length in words; 0 where its sender knows no extensions.
                self.parse_error(frame, usize::from(bytes[5]) * 4)
            }
            _ => Err(Reason::IcmpTypeUnsupported),
        }
    }

    fn parse_icmpv6(&self, frame: &[u8], bytes: &[u8]) -> Result<Transport, Reason> {
        use icmpv6_type as kind;
        if bytes.len() < 8 {
            return Err(Reason::TransportInvalid);
        }
        match bytes[0] {
            kind::ECHO_REQUEST => Ok(Transport::EchoRequest { id: u16_at(bytes, 4) }),
            kind::ECHO_REPLY => Ok(Transport::EchoReply { id: u16_at(bytes, 4) }),
            kind::UNREACHABLE | kind::PACKET_TOO_BIG | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM => {
                let pseudo = pseudo_header(self.source, self.destination, protocol::ICMPV6, bytes.len());
                if sum(bytes, pseudo) != 0xffff {
                    return Err(Reason::IcmpChecksumWrong);
                }
                // RFC 4884 §4.4, §4.5: 64-bit words, for unreachable and time exceeded only.
                let extensible = matches!(bytes[0], kind::UNREACHABLE | kind::TIME_EXCEEDED);
                self.parse_error(frame, if extensible { usize::from(bytes[4]) * 8 } else { 0 })
            }
            kind::MULTICAST_LISTENER_QUERY..=kind::MULTICAST_LISTENER_DONE
            | kind::MULTICAST_LISTENER_REPORT_2 => Ok(Transport::ListenerDiscovery),
            kind if crate::nd::Nd::is_type(kind) => Ok(Transport::NeighborDiscovery),
            _ => Err(Reason::IcmpTypeUnsupported),
        }
    }

    /// The packet behind an ICMP error's header, `quoted` bytes long if that is not 0.
    fn parse_error(&self, frame: &[u8], quoted: usize) -> Result<Transport, Reason> {
        let start = self.at + 8;
        let end = if quoted == 0 { self.end } else { self.end.min(start + quoted) };
        Embedded::parse(frame, self.family, start, end).map(Transport::IcmpError)
    }
}

fn parse_tcp(bytes: &[u8]) -> Result<Transport, Reason> {
    let header_len = bytes.get(12).map_or(0, |offset| offset >> 4) * 4;
    if header_len < 20 || usize::from(header_len) > bytes.len() {
        return Err(Reason::TransportInvalid);
    }
    Ok(Transport::Tcp(Tcp {
        source: u16_at(bytes, 0),
        destination: u16_at(bytes, 2),
        flags: bytes[13],
        header_len,
        sequence: u32_at(bytes, 4),
        acknowledgment: u32_at(bytes, 8),
        window: u16_at(bytes, 14),
    }))
}

impl PacketSummary {
    /// Reads what can be read of any bytes, for people; decides nothing.
    pub(crate) fn read(frame: &[u8]) -> Self {
        let mut summary = Self { length: frame.len().saturating_sub(VNET_LEN), ..Self::default() };
        let Some(ip) = frame.get(IP..) else { return summary };
        let (family, header_len, number) = match (u16_at(frame, IP - 2), ip.len()) {
            (ether_type::IPV4, IPV4_LEN..) => (Family::V4, usize::from(ip[0] & 0x0f) * 4, ip[9]),
            (ether_type::IPV6, IPV6_LEN..) => {
                let upper = chain::Header::upper_layer(ip);
                (Family::V6, upper.start, upper.number)
            }
            _ => return summary,
        };
        let ports = match (number, ip.get(header_len..).filter(|t| t.len() >= 8)) {
            (protocol::TCP | protocol::UDP, Some(t)) => (u16_at(t, 0), u16_at(t, 2)),
            (protocol::ICMP, Some(t)) if t[0] == icmp_type::ECHO_REQUEST => (u16_at(t, 4), 0),
            (protocol::ICMPV6, Some(t)) if t[0] == icmpv6_type::ECHO_REQUEST => (u16_at(t, 4), 0),
            _ => (0, 0),
        };
        let (source, destination) = addresses(ip, family);
        summary.protocol = Some(number);
        summary.source = Some(SocketAddr::new(source, ports.0));
        summary.destination = Some(SocketAddr::new(destination, ports.1));
        summary
    }
}
