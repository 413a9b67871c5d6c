//! What the gateway itself says: ARP, and ICMP errors about packets that it dropped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};

use crate::checksum::{checksum, pseudo_header, sum};
use crate::limits::{ICMP_ERROR_BURST, ICMP_ERROR_BYTES, ICMP_ERRORS_PER_SECOND, ICMPV6_ERROR_BYTES};
use crate::packet::chain::Header;
use crate::packet::{Packet, Transport};
use crate::translate::put_icmp_checksum;
use crate::vnet::new_frame;
use crate::wire::{
    Family, IP, IPV4_LEN, IPV6_LEN, OWN_TTL, TCP_LEN, checksum_at, ether_type, icmp_type, icmpv6_type,
    protocol, put_address, put_u16, put_u32, u16_at,
};
use crate::{Instant, MacAddr, Reason};

/// An ARP message between Ethernet and IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) is_request: bool,
    pub(crate) sender_mac: MacAddr,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target: Ipv4Addr,
}

const ARP_LEN: usize = 28;

impl Arp {
    /// Parses the message of a frame that carries ARP.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Reason> {
        let message = ArpPacket::new_checked(&frame[IP..]).map_err(|_| Reason::ArpInvalid)?;
        let repr = ArpRepr::parse(&message).map_err(|_| Reason::ArpInvalid)?;
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        } = repr
        else {
            return Err(Reason::ArpInvalid);
        };
        let sender_mac = MacAddr(source_hardware_addr.0);
        let known = matches!(operation, ArpOperation::Request | ArpOperation::Reply);
        if !known || !sender_mac.is_unicast() {
            return Err(Reason::ArpInvalid);
        }
        let is_request = operation == ArpOperation::Request;
        Ok(Self { is_request, sender_mac, sender: source_protocol_addr, target: target_protocol_addr })
    }

    /// A frame that tells everybody on the link where `address` is (RFC 5227 §2.3).
    pub(crate) fn announcement(address: Ipv4Addr, our_mac: MacAddr) -> Vec<u8> {
        Self::request(address, our_mac, address)
    }

    /// A frame that asks everybody on the link for `target`.
    pub(crate) fn request(target: Ipv4Addr, our_mac: MacAddr, our_address: Ipv4Addr) -> Vec<u8> {
        Self::frame(
            ArpOperation::Request,
            (our_mac, our_address),
            (MacAddr([0; 6]), target),
            MacAddr::BROADCAST,
        )
    }

    /// A frame that answers this request: its target is at `our_mac`.
    pub(crate) fn reply(&self, our_mac: MacAddr) -> Vec<u8> {
        let (to, from) = ((self.sender_mac, self.sender), (our_mac, self.target));
        Self::frame(ArpOperation::Reply, from, to, self.sender_mac)
    }

    fn frame(
        operation: ArpOperation,
        from: (MacAddr, Ipv4Addr),
        to: (MacAddr, Ipv4Addr),
        destination: MacAddr,
    ) -> Vec<u8> {
        let mut frame = new_frame(ARP_LEN, destination, from.0, ether_type::ARP);
        let repr = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress(from.0.0),
            source_protocol_addr: from.1,
            target_hardware_addr: EthernetAddress(to.0.0),
            target_protocol_addr: to.1,
        };
        repr.emit(&mut ArpPacket::new_unchecked(&mut frame[IP..]));
        frame
    }
}

/// An ICMP error, whichever version says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpError {
    TtlExpired,
    ReassemblyExpired,
    NoRoute,
    HostUnreachable,
    ProtocolUnreachable,
    PortUnreachable,
    /// The MTU of the link that it did not fit. Bytes.
    TooBig(u16),
    Prohibited,
}

impl IcmpError {
    /// What the sender of a dropped packet is told, if anything. `mtu` is that of the link that it did not fit.
    pub(crate) fn about(reason: Reason, transport: Option<&Transport>, mtu: u16) -> Option<Self> {
        // RFC 1122 §3.2.2, RFC 4443 §2.4: never an error about an error, nor about what a link says to itself.
        if matches!(
            transport,
            Some(Transport::IcmpError(_) | Transport::NeighborDiscovery | Transport::ListenerDiscovery)
        ) {
            return None;
        }
        match reason {
            Reason::TtlExpired => Some(Self::TtlExpired),
            Reason::FragmentTimeout => Some(Self::ReassemblyExpired),
            Reason::NoNextHop => Some(Self::NoRoute),
            Reason::NextHopUnreachable => Some(Self::HostUnreachable),
            Reason::ProtocolUnsupported => Some(Self::ProtocolUnreachable),
            Reason::GatewayAddress => Some(Self::PortUnreachable),
            Reason::PacketTooBig => Some(Self::TooBig(mtu)),
            // RFC 5508 REQ-8: no mapping can be made, or policy forbids it.
            Reason::NoConnector
            | Reason::NoRoute
            | Reason::PolicyDenied
            | Reason::DestinationForbidden
            | Reason::NoExternalAddress
            | Reason::PortsExhausted
            | Reason::SessionsExhausted
            | Reason::QuotaReached => Some(Self::Prohibited),
            // RFC 1812 §4.3.3.3: nobody is told of congestion; who is limited by rate finds out by the loss, and tries again.
            _ => None,
        }
    }

    /// Type, code and the 32-bit word behind the checksum (RFC 792, RFC 1191 §4; RFC 4443 §3).
    fn header(self, family: Family, original: &[u8]) -> (u8, u8, u32) {
        use {icmp_type as v4, icmpv6_type as v6};
        match (family, self) {
            (Family::V4, Self::TtlExpired) => (v4::TIME_EXCEEDED, 0, 0),
            (Family::V4, Self::ReassemblyExpired) => (v4::TIME_EXCEEDED, 1, 0),
            (Family::V4, Self::NoRoute) => (v4::UNREACHABLE, 0, 0),
            (Family::V4, Self::HostUnreachable) => (v4::UNREACHABLE, 1, 0),
            (Family::V4, Self::ProtocolUnreachable) => (v4::UNREACHABLE, 2, 0),
            (Family::V4, Self::PortUnreachable) => (v4::UNREACHABLE, 3, 0),
            (Family::V4, Self::TooBig(mtu)) => (v4::UNREACHABLE, 4, mtu.into()),
            (Family::V4, Self::Prohibited) => (v4::UNREACHABLE, 13, 0),
            (Family::V6, Self::TtlExpired) => (v6::TIME_EXCEEDED, 0, 0),
            (Family::V6, Self::ReassemblyExpired) => (v6::TIME_EXCEEDED, 1, 0),
            (Family::V6, Self::NoRoute) => (v6::UNREACHABLE, 0, 0),
            (Family::V6, Self::Prohibited) => (v6::UNREACHABLE, 1, 0),
            (Family::V6, Self::HostUnreachable) => (v6::UNREACHABLE, 3, 0),
            (Family::V6, Self::PortUnreachable) => (v6::UNREACHABLE, 4, 0),
            (Family::V6, Self::TooBig(mtu)) => (v6::PACKET_TOO_BIG, 0, mtu.into()),
            // Unrecognized next header, and where it stands.
            (Family::V6, Self::ProtocolUnreachable) => {
                (v6::PARAMETER_PROBLEM, 1, Header::upper_layer(&original[IP..]).number_at as u32)
            }
        }
    }

    /// The error as a frame from `from` to the sender of `original`, a frame with a whole IP header, at `to`. `packet` is what
    /// was parsed of it, as far as that went.
    pub(crate) fn frame(
        self,
        original: &[u8],
        packet: Option<&Packet>,
        from: (MacAddr, IpAddr),
        to: (MacAddr, IpAddr),
    ) -> Vec<u8> {
        let family = Family::of(from.1);
        let quoted = quotable(original, family);
        let at = IP + family.header_len();
        let mut frame = new_frame(family.header_len() + 8 + quoted.len(), to.0, from.0, family.ether_type());
        put_header(&mut frame, family.icmp(), from.1, to.1);
        let (kind, code, rest) = self.header(family, original);
        frame[at] = kind;
        frame[at + 1] = code;
        put_u32(&mut frame, at + 4, rest);
        frame[at + 8..].copy_from_slice(quoted);
        if let Some((field, value)) = packet.and_then(|p| p.completed_checksum(original)) {
            let field = at + 8 + field - IP;
            frame.get_mut(field..field + 2).into_iter().for_each(|field| put_u16(field, 0, value));
        }
        let end = frame.len();
        put_icmp_checksum(&mut frame, family, at, end);
        frame
    }
}

/// Whether a packet that was not parsed, such as a fragment, is an ICMP error by all that can be seen of it.
pub(crate) fn is_icmp_error(ip: &[u8], family: Family) -> bool {
    let (number, at) = match family {
        Family::V4 => (ip[9], usize::from(ip[0] & 0x0f) * 4),
        Family::V6 => {
            let upper = Header::upper_layer(ip);
            (upper.number, upper.start)
        }
    };
    let Some(&kind) = ip.get(at).filter(|_| number == family.icmp()) else { return false };
    match family {
        Family::V4 => !matches!(kind, icmp_type::ECHO_REQUEST | icmp_type::ECHO_REPLY),
        // RFC 4443 §2.1.
        Family::V6 => kind < icmpv6_type::ECHO_REQUEST,
    }
}

/// As much of a packet as an error may carry: RFC 1812 §4.3.2.3, RFC 4443 §2.4. Padding of the frame is not quoted.
fn quotable(original: &[u8], family: Family) -> &[u8] {
    let ip = &original[IP..];
    let (length, limit) = match family {
        Family::V4 => (usize::from(u16_at(ip, 2)), ICMP_ERROR_BYTES),
        Family::V6 => (IPV6_LEN + usize::from(u16_at(ip, 4)), ICMPV6_ERROR_BYTES),
    };
    &ip[..length.min(ip.len()).min(limit - family.header_len() - 8)]
}

/// The IP header of a packet that fills `frame`, as the gateway sends it itself.
pub(crate) fn put_header(frame: &mut [u8], protocol: u8, from: IpAddr, to: IpAddr) {
    let length = frame.len() - IP;
    let ip = &mut frame[IP..];
    match from {
        IpAddr::V4(_) => {
            ip[0] = 0x45;
            if protocol == protocol::ICMP {
                // RFC 1812 §4.3.2.5: precedence 6, internetwork control.
                ip[1] = 0xc0;
            }
            put_u16(ip, 2, length as u16);
            ip[8] = OWN_TTL;
            ip[9] = protocol;
            put_address(ip, 12, from);
            put_address(ip, 16, to);
            let checksum = checksum(&ip[..IPV4_LEN]);
            put_u16(ip, 10, checksum);
        }
        IpAddr::V6(_) => {
            ip[0] = 0x60;
            put_u16(ip, 4, (length - IPV6_LEN) as u16);
            ip[6] = protocol;
            ip[7] = OWN_TTL;
            put_address(ip, 8, from);
            put_address(ip, 24, to);
        }
    }
}

/// Changes that header to one of somebody else. Don't Fragment is IPv4's.
pub(crate) fn alter_header(frame: &mut [u8], ttl: u8, dont_fragment: bool) {
    let ip = &mut frame[IP..];
    if ip[0] >> 4 == 6 {
        ip[7] = ttl;
        return;
    }
    (ip[1], ip[8]) = (0, ttl);
    put_u16(ip, 6, if dont_fragment { 0x4000 } else { 0 });
    put_u16(ip, 10, 0);
    let checksum = checksum(&ip[..IPV4_LEN]);
    put_u16(ip, 10, checksum);
}

/// A TCP segment without payload, from one endpoint to another: sequence and acknowledgment number, flags.
pub(crate) fn reset(
    mac: (MacAddr, MacAddr),
    from: SocketAddr,
    to: SocketAddr,
    numbers: (u32, u32),
    flags: u8,
) -> Vec<u8> {
    let family = Family::of(from.ip());
    let at = IP + family.header_len();
    let mut frame = new_frame(family.header_len() + TCP_LEN, mac.0, mac.1, family.ether_type());
    put_header(&mut frame, protocol::TCP, from.ip(), to.ip());
    let tcp = &mut frame[at..];
    put_u16(tcp, 0, from.port());
    put_u16(tcp, 2, to.port());
    put_u32(tcp, 4, numbers.0);
    put_u32(tcp, 8, numbers.1);
    tcp[12] = (TCP_LEN as u8 / 4) << 4;
    tcp[13] = flags;
    let pseudo = pseudo_header(from.ip(), to.ip(), protocol::TCP, TCP_LEN);
    let checksum = !sum(tcp, pseudo);
    put_u16(tcp, checksum_at::TCP, checksum);
    frame
}

/// A token bucket for the ICMP errors of one link (RFC 1812 §4.3.2.8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorBudget {
    tokens: u32,
    refilled: Instant,
}

impl ErrorBudget {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { tokens: ICMP_ERROR_BURST, refilled: now }
    }

    /// Takes one token; `false` if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        const EACH: Duration = Duration::from_nanos(1_000_000_000 / ICMP_ERRORS_PER_SECOND as u64);
        let earned = u32::try_from(now.since(self.refilled).as_nanos() / EACH.as_nanos()).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(ICMP_ERROR_BURST);
        // The time that has not yet earned a token goes on counting.
        self.refilled = self.refilled + EACH.saturating_mul(earned);
        let granted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        granted
    }
}
