//! What the gateway itself says: ARP, and ICMP errors about packets that it dropped.

use std::net::Ipv4Addr;
use std::time::Duration;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};

use crate::checksum::checksum;
use crate::limits::{ICMP_ERROR_BURST, ICMP_ERROR_BYTES, ICMP_ERRORS_PER_SECOND};
use crate::packet::{Packet, Transport};
use crate::vnet::new_frame;
use crate::wire::{IPV4, IPV4_LEN, TRANSPORT, checksum_at, ether_type, icmp_type, protocol, put_u16, u16_at};
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

/// Bytes of a frame that carries ARP, vnet header included, padding not.
pub const ARP_FRAME_LEN: usize = IPV4 + ARP_LEN;

impl Arp {
    /// Parses the message of a frame that carries ARP.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Reason> {
        let message = ArpPacket::new_checked(&frame[IPV4..]).map_err(|_| Reason::ArpInvalid)?;
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
        repr.emit(&mut ArpPacket::new_unchecked(&mut frame[IPV4..]));
        frame
    }
}

/// An ICMP error's type, code and the word behind its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    kind: u8,
    code: u8,
    rest: u16,
}

impl IcmpError {
    /// What the sender of a dropped packet is told, if anything. `mtu` is that of the link that it did not fit.
    pub(crate) fn about(reason: Reason, transport: Option<&Transport>, mtu: u16) -> Option<Self> {
        // RFC 1122 §3.2.2: never an error about an error.
        if matches!(transport, Some(Transport::IcmpError(_))) {
            return None;
        }
        let unreachable = |code| Some(Self { kind: icmp_type::UNREACHABLE, code, rest: 0 });
        match reason {
            Reason::TtlExpired => Some(Self { kind: icmp_type::TIME_EXCEEDED, code: 0, rest: 0 }),
            Reason::NoNextHop => unreachable(0),
            Reason::NextHopUnreachable => unreachable(1),
            Reason::ProtocolUnsupported => unreachable(2),
            Reason::GatewayAddress => unreachable(3),
            // RFC 1191 §4: the MTU of the next hop is in the low half of the unused word.
            Reason::PacketTooBig => Some(Self { kind: icmp_type::UNREACHABLE, code: 4, rest: mtu }),
            // RFC 5508 REQ-8: no mapping can be made, or policy forbids it.
            Reason::NoConnector
            | Reason::NoRoute
            | Reason::DestinationForbidden
            | Reason::PortsExhausted
            | Reason::SessionsExhausted
            | Reason::QuotaReached => unreachable(13),
            _ => None,
        }
    }

    /// The error as a frame from `from` to the sender of `original`, an IPv4 frame, at `to`. `packet` is what was
    /// parsed of it, as far as that went.
    pub(crate) fn frame(
        self,
        original: &[u8],
        packet: Option<&Packet>,
        from: (MacAddr, Ipv4Addr),
        to: (MacAddr, Ipv4Addr),
    ) -> Vec<u8> {
        // The header has been checked before anything that leads here; padding of the frame is not quoted.
        let packet_len = usize::from(u16_at(original, IPV4 + 2)).min(original.len() - IPV4);
        let quoted = &original[IPV4..IPV4 + packet_len.min(ICMP_ERROR_BYTES - IPV4_LEN - 8)];
        let total_len = IPV4_LEN + 8 + quoted.len();
        let mut frame = new_frame(total_len, to.0, from.0, ether_type::IPV4);
        frame[IPV4] = 0x45;
        // RFC 1812 §4.3.2.5: precedence 6, internetwork control.
        frame[IPV4 + 1] = 0xc0;
        put_u16(&mut frame, IPV4 + 2, total_len as u16);
        frame[IPV4 + 8] = 64;
        frame[IPV4 + 9] = protocol::ICMP;
        frame[IPV4 + 12..IPV4 + 16].copy_from_slice(&from.1.octets());
        frame[IPV4 + 16..IPV4 + 20].copy_from_slice(&to.1.octets());
        let header = checksum(&frame[IPV4..TRANSPORT]);
        put_u16(&mut frame, IPV4 + 10, header);
        frame[TRANSPORT] = self.kind;
        frame[TRANSPORT + 1] = self.code;
        put_u16(&mut frame, TRANSPORT + 6, self.rest);
        frame[TRANSPORT + 8..].copy_from_slice(quoted);
        if let Some((at, value)) = packet.and_then(|p| p.completed_checksum(original)) {
            let at = TRANSPORT + 8 + at - IPV4;
            frame.get_mut(at..at + 2).into_iter().for_each(|field| put_u16(field, 0, value));
        }
        let message = checksum(&frame[TRANSPORT..]);
        put_u16(&mut frame, TRANSPORT + checksum_at::ICMP, message);
        frame
    }
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
