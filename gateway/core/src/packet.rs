//! One parse of an IPv4 packet: everything that the engine needs to know, bounded and checked.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::checksum::{checksum, sum};
use crate::vnet::Vnet;
use crate::wire::{
    IPV4, IPV4_LEN, TRANSPORT, VNET_LEN, address_at, checksum_at, icmp_type, protocol, u16_at,
};
use crate::{PacketSummary, Protocol, Reason};

/// Two endpoints as one packet carries them. For ICMP queries the id stands on the side of the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
}

/// An accepted IPv4 packet at [`IPV4`] of its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    /// Bytes from the IPv4 header on, padding of short Ethernet frames not counted.
    pub(crate) total_len: usize,
    /// Bytes from the IPv4 header to the end of the frame: what a device sends.
    carried_len: usize,
    pub(crate) vnet: Vnet,
    pub(crate) transport: Transport,
}

/// The header behind the IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp { source: u16, destination: u16, flags: u8, header_len: u8 },
    Udp { source: u16, destination: u16 },
    EchoRequest { id: u16 },
    EchoReply { id: u16 },
    IcmpError(Embedded),
}

/// The packet that an ICMP error is about: the start of it, as its sender sent it (or the gateway did).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Embedded {
    pub(crate) tuple: Tuple,
    /// Where its IPv4 header starts in the frame.
    pub(crate) ipv4: usize,
    /// Where its transport header starts in the frame.
    pub(crate) transport: usize,
    /// Where the embedded packet ends in the frame; padding and extensions (RFC 4884) can follow.
    pub(crate) end: usize,
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
            Self::Tcp { header_len, .. } => (*header_len).into(),
            _ => 8,
        }
    }
}

impl Packet {
    /// Parses a frame that carries IPv4, vnet header included.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Reason> {
        let vnet = Vnet::parse(frame)?;
        let ip = frame.get(IPV4..).filter(|ip| ip.len() >= IPV4_LEN).ok_or(Reason::Ipv4HeaderInvalid)?;
        let total_len = ipv4_length(ip)?;
        let fragment = u16_at(ip, 6);
        if fragment & 0x3fff != 0 {
            return Err(Reason::Fragment);
        }
        let length = total_len - IPV4_LEN;
        let transport = parse_transport(frame, ip[9], length, vnet)?;
        vnet.check(&transport, length)?;
        Ok(Self {
            source: address_at(ip, 12),
            destination: address_at(ip, 16),
            ttl: ip[8],
            dont_fragment: fragment & 0x4000 != 0,
            total_len,
            carried_len: ip.len(),
            vnet,
            transport,
        })
    }

    /// The session key that the packet carries; `None` for ICMP errors.
    pub(crate) fn tuple(&self) -> Option<Tuple> {
        let (protocol, source, destination) = match self.transport {
            Transport::Tcp { source, destination, .. } => (Protocol::Tcp, source, destination),
            Transport::Udp { source, destination } => (Protocol::Udp, source, destination),
            Transport::EchoRequest { id } => (Protocol::Icmp, id, 0),
            Transport::EchoReply { id } => (Protocol::Icmp, 0, id),
            Transport::IcmpError(_) => return None,
        };
        Some(Tuple {
            protocol,
            source: SocketAddrV4::new(self.source, source),
            destination: SocketAddrV4::new(self.destination, destination),
        })
    }

    /// TCP flags, none for other protocols.
    pub(crate) const fn tcp_flags(&self) -> u8 {
        match self.transport {
            Transport::Tcp { flags, .. } => flags,
            _ => 0,
        }
    }

    /// Where in the frame a partial checksum stands, and what it is when completed; `None` if it is complete.
    pub(crate) fn completed_checksum(&self, frame: &[u8]) -> Option<(usize, u16)> {
        if !self.vnet.partial_checksum {
            return None;
        }
        let complete = checksum(&frame[TRANSPORT..IPV4 + self.total_len]);
        match self.transport {
            Transport::Tcp { .. } => Some((TRANSPORT + checksum_at::TCP, complete)),
            // RFC 768: a checksum that comes out as zero is sent as all ones.
            Transport::Udp { .. } if complete == 0 => Some((TRANSPORT + checksum_at::UDP, 0xffff)),
            Transport::Udp { .. } => Some((TRANSPORT + checksum_at::UDP, complete)),
            _ => None,
        }
    }

    /// Bytes of the largest IPv4 packet that this becomes on the wire, after segmentation.
    pub(crate) fn largest_on_wire(&self) -> usize {
        let headers = IPV4_LEN + self.transport.header_len();
        self.vnet
            .segment_payload()
            .map_or(self.carried_len, |payload| self.carried_len.min(headers + payload))
    }
}

/// Checks version, lengths, options and checksum; returns the total length, at most what came in.
fn ipv4_length(ip: &[u8]) -> Result<usize, Reason> {
    let header_len = usize::from(ip[0] & 0x0f) * 4;
    let total_len = usize::from(u16_at(ip, 2));
    if ip[0] >> 4 != 4 || header_len < IPV4_LEN || total_len < header_len || total_len > ip.len() {
        return Err(Reason::Ipv4HeaderInvalid);
    }
    if checksum(&ip[..header_len]) != 0 {
        return Err(Reason::Ipv4ChecksumWrong);
    }
    if header_len > IPV4_LEN { Err(Reason::Ipv4Options) } else { Ok(total_len) }
}

/// Parses `length` bytes at [`TRANSPORT`]; the caller has checked that they are there.
fn parse_transport(frame: &[u8], number: u8, length: usize, vnet: Vnet) -> Result<Transport, Reason> {
    let bytes = &frame[TRANSPORT..TRANSPORT + length];
    match number {
        protocol::TCP => {
            let header_len = bytes.get(12).map_or(0, |offset| offset >> 4) * 4;
            if length < 20 || header_len < 20 || usize::from(header_len) > length {
                return Err(Reason::TransportInvalid);
            }
            Ok(Transport::Tcp {
                source: u16_at(bytes, 0),
                destination: u16_at(bytes, 2),
                flags: bytes[13],
                header_len,
            })
        }
        protocol::UDP => {
            if length < 8 {
                return Err(Reason::TransportInvalid);
            }
            // A UDP super-packet's length field covers all of it, as a single datagram's does.
            let covered = usize::from(u16_at(bytes, 4));
            if covered < 8 || covered > length || (vnet.is_super_packet() && covered != length) {
                return Err(Reason::TransportInvalid);
            }
            Ok(Transport::Udp { source: u16_at(bytes, 0), destination: u16_at(bytes, 2) })
        }
        protocol::ICMP => parse_icmp(frame, length),
        _ => Err(Reason::ProtocolUnsupported),
    }
}

fn parse_icmp(frame: &[u8], length: usize) -> Result<Transport, Reason> {
    let bytes = &frame[TRANSPORT..TRANSPORT + length];
    if length < 8 {
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
            let end = match usize::from(bytes[5]) * 4 {
                0 => length,
                quoted => length.min(8 + quoted),
            };
            Embedded::parse(frame, TRANSPORT + 8, TRANSPORT + end).map(Transport::IcmpError)
        }
        _ => Err(Reason::IcmpTypeUnsupported),
    }
}

impl Embedded {
    /// Parses the packet between `start` and `end` of the frame: its whole IPv4 header and at least 8 bytes of
    /// its transport header (RFC 792). Its length field may say more than is there.
    fn parse(frame: &[u8], start: usize, end: usize) -> Result<Self, Reason> {
        let ip = &frame[start..end];
        let header_len = usize::from(ip.first().map_or(0, |b| b & 0x0f)) * 4;
        if ip.len() < IPV4_LEN || ip[0] >> 4 != 4 || header_len < IPV4_LEN || ip.len() < header_len + 8 {
            return Err(Reason::IcmpErrorUnrelated);
        }
        // RFC 5508 REQ-3b: the embedded header's checksum counts; fragments after the first carry no ports.
        if checksum(&ip[..header_len]) != 0 || u16_at(ip, 6) & 0x1fff != 0 {
            return Err(Reason::IcmpErrorUnrelated);
        }
        let bytes = &ip[header_len..];
        let ports = (u16_at(bytes, 0), u16_at(bytes, 2));
        let (protocol, (source, destination)) = match (ip[9], bytes[0]) {
            (protocol::TCP, _) => (Protocol::Tcp, ports),
            (protocol::UDP, _) => (Protocol::Udp, ports),
            (protocol::ICMP, icmp_type::ECHO_REQUEST) => (Protocol::Icmp, (u16_at(bytes, 4), 0)),
            (protocol::ICMP, icmp_type::ECHO_REPLY) => (Protocol::Icmp, (0, u16_at(bytes, 4))),
            _ => return Err(Reason::IcmpErrorUnrelated),
        };
        let tuple = Tuple {
            protocol,
            source: SocketAddrV4::new(address_at(ip, 12), source),
            destination: SocketAddrV4::new(address_at(ip, 16), destination),
        };
        let end = end.min(start + usize::from(u16_at(ip, 2)));
        Ok(Self { tuple, ipv4: start, transport: start + header_len, end })
    }
}

impl PacketSummary {
    /// Reads what can be read of any bytes, for people; decides nothing.
    pub(crate) fn read(frame: &[u8]) -> Self {
        let mut summary = Self { length: frame.len().saturating_sub(VNET_LEN), ..Self::default() };
        let is_ipv4 =
            frame.get(IPV4 - 2..IPV4).is_some_and(|t| u16_at(t, 0) == crate::wire::ether_type::IPV4);
        let Some(ip) = frame.get(IPV4..).filter(|ip| is_ipv4 && ip.len() >= IPV4_LEN) else {
            return summary;
        };
        let transport = ip.get(usize::from(ip[0] & 0x0f) * 4..).filter(|t| t.len() >= 8);
        let (source, destination) = match (ip[9], transport) {
            (protocol::TCP | protocol::UDP, Some(t)) => (u16_at(t, 0), u16_at(t, 2)),
            (protocol::ICMP, Some(t)) if t[0] == icmp_type::ECHO_REQUEST => (u16_at(t, 4), 0),
            _ => (0, 0),
        };
        summary.protocol = Some(ip[9]);
        summary.source = Some(SocketAddrV4::new(address_at(ip, 12), source));
        summary.destination = Some(SocketAddrV4::new(address_at(ip, 16), destination));
        summary
    }
}
