//! The IP packet of a frame, and the chain of headers in front of an IPv6 packet's upper layer.

use super::ip::ipv4_length;
use crate::Reason;
use crate::limits::EXTENSION_HEADERS;
use crate::wire::{ETHERNET, Family, IP, IPV4_LEN, IPV6_LEN, TCP_LEN, ether_type, protocol, u16_at};

/// Bytes of IPv6 Fragment header (RFC 8200 §4.5).
pub(crate) const FRAGMENT_LEN: usize = 8;

/// Where in the IPv6 header the number of the header behind it stands.
const NEXT_HEADER_AT: usize = 6;

/// The IP packet of `frame`, from its header on, padding of short Ethernet frames cut off. Lengths are checked, and
/// an IPv4 header's checksum; an IPv4 packet has no options.
pub(crate) fn packet_of(frame: &[u8]) -> Result<(Family, &[u8]), Reason> {
    let ip = frame.get(IP..).ok_or(Reason::FrameTruncated)?;
    match u16_at(frame, ETHERNET + 12) {
        ether_type::IPV4 if ip.len() < IPV4_LEN => Err(Reason::IpHeaderInvalid),
        ether_type::IPV4 => Ok((Family::V4, &ip[..ipv4_length(ip)?])),
        ether_type::IPV6 if ip.len() < IPV6_LEN || ip[0] >> 4 != 6 => Err(Reason::IpHeaderInvalid),
        ether_type::IPV6 => {
            let end = IPV6_LEN + usize::from(u16_at(ip, 4));
            ip.get(..end).map(|packet| (Family::V6, packet)).ok_or(Reason::IpHeaderInvalid)
        }
        _ => Err(Reason::EtherTypeUnsupported),
    }
}

/// A header of an IPv6 packet's chain, or the upper-layer header at its end. Offsets are from the IPv6 header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What it is.
    pub(crate) number: u8,
    /// Where its number stands, in the header in front of it.
    pub(crate) number_at: usize,
    /// Where it starts: not behind the end of the packet.
    pub(crate) start: usize,
}

impl Header {
    /// The header behind the IPv6 header.
    pub(crate) fn first(packet: &[u8]) -> Self {
        Self { number: packet[NEXT_HEADER_AT], number_at: NEXT_HEADER_AT, start: IPV6_LEN }
    }

    /// The header behind the Fragment header that starts at `start`, which the caller has checked to be inside.
    pub(crate) fn behind_fragment(packet: &[u8], start: usize) -> Self {
        Self { number: packet[start], number_at: start, start: start + FRAGMENT_LEN }
    }

    /// The header behind this one; `None` if this one cannot be walked over, or is truncated.
    pub(crate) fn next(self, packet: &[u8]) -> Option<Self> {
        let walkable = match self.number {
            // RFC 8200 §4.1: only directly behind the IPv6 header.
            protocol::HOP_BY_HOP => self.start == IPV6_LEN,
            number => matches!(number, protocol::ROUTING | protocol::DESTINATION_OPTIONS),
        };
        let &[number, words, _, segments_left] =
            packet.get(self.start..).filter(|_| walkable)?.first_chunk()?;
        // RFC 8200 §4.4, RFC 5095: this is not the packet's destination yet, and the checksum covers another one.
        if self.number == protocol::ROUTING && segments_left != 0 {
            return None;
        }
        let start = self.start + (usize::from(words) + 1) * 8;
        (start <= packet.len()).then_some(Self { number, number_at: self.start, start })
    }

    /// The end of the chain: a Fragment header, the upper-layer header, or what cannot be walked over.
    pub(crate) fn last(self, packet: &[u8]) -> Self {
        let mut header = self;
        for _ in 0..EXTENSION_HEADERS {
            match header.next(packet) {
                Some(next) => header = next,
                None => break,
            }
        }
        header
    }

    /// Where the part of a whole packet begins that fragments share out: behind the headers that are looked at on
    /// the way, which are the hop-by-hop options and all up to a routing header (RFC 8200 §4.5).
    pub(crate) fn fragmentable(packet: &[u8]) -> Self {
        let (mut header, mut part) = (Self::first(packet), Self::first(packet));
        for _ in 0..EXTENSION_HEADERS {
            let Some(next) = header.next(packet) else { break };
            if header.number != protocol::DESTINATION_OPTIONS {
                part = next;
            }
            header = next;
        }
        part
    }

    /// The upper-layer header, whatever is in front of it: behind the end of the packet, if that is too short.
    pub(crate) fn upper_layer(packet: &[u8]) -> Self {
        let last = Self::first(packet).last(packet);
        match last.number {
            protocol::FRAGMENT if packet.len() >= last.start + FRAGMENT_LEN => {
                Self::behind_fragment(packet, last.start).last(packet)
            }
            _ => last,
        }
    }

    /// Whether it is one of those that stand in front of the upper layer's.
    pub(crate) const fn is_extension(self) -> bool {
        matches!(
            self.number,
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS
        )
    }

    /// Whether the chain from here on ends in this packet, with an upper-layer header that can be read (RFC 7112
    /// §5).
    pub(crate) fn leads_to_upper_layer(self, packet: &[u8]) -> bool {
        let last = self.last(packet);
        !last.is_extension() && holds_transport(last.number, &packet[last.start..])
    }
}

/// Whether `bytes` hold a transport header, without its options; always so of one that is not known.
pub(crate) fn holds_transport(number: u8, bytes: &[u8]) -> bool {
    let least = match number {
        protocol::TCP => TCP_LEN,
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 => 8,
        _ => 0,
    };
    bytes.len() >= least
}
