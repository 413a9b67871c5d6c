//! The packet that an ICMP error is about.

use std::net::SocketAddr;

use super::Tuple;
use super::chain::Header;
use crate::checksum::checksum;
use crate::wire::{Family, IPV4_LEN, IPV6_LEN, addresses, icmp_type, icmpv6_type, protocol, u16_at};
use crate::{Protocol, Reason};

/// The start of a packet, as its sender sent it (or the gateway did).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Embedded {
    pub(crate) tuple: Tuple,
    /// Where its IP header starts in the frame.
    pub(crate) ip: usize,
    /// Where its transport header starts in the frame.
    pub(crate) transport: usize,
    /// Where the embedded packet ends in the frame; padding and extensions (RFC 4884) can follow.
    pub(crate) end: usize,
}

impl Embedded {
    /// Parses the packet between `start` and `end` of the frame: its whole IP header and at least 8 bytes of
    /// its transport header (RFC 792, RFC 4443 §2.4). Its length field may say more than is there.
    pub(super) fn parse(frame: &[u8], family: Family, start: usize, end: usize) -> Result<Self, Reason> {
        let ip = &frame[start..end];
        let (number, header_len, claimed) = match family {
            Family::V4 => ipv4(ip),
            Family::V6 => ipv6(ip),
        }
        .ok_or(Reason::IcmpErrorUnrelated)?;
        let bytes = ip.get(header_len..).filter(|b| b.len() >= 8).ok_or(Reason::IcmpErrorUnrelated)?;
        let ports = (u16_at(bytes, 0), u16_at(bytes, 2));
        let id = u16_at(bytes, 4);
        let (protocol, (from, to)) = match (number, bytes[0]) {
            (protocol::TCP, _) => (Protocol::Tcp, ports),
            (protocol::UDP, _) => (Protocol::Udp, ports),
            (protocol::ICMP, icmp_type::ECHO_REQUEST) | (protocol::ICMPV6, icmpv6_type::ECHO_REQUEST) => {
                (Protocol::Icmp, (id, 0))
            }
            (protocol::ICMP, icmp_type::ECHO_REPLY) | (protocol::ICMPV6, icmpv6_type::ECHO_REPLY) => {
                (Protocol::Icmp, (0, id))
            }
            _ => return Err(Reason::IcmpErrorUnrelated),
        };
        // The other family's ICMP has no business here.
        if protocol == Protocol::Icmp && number != family.icmp() {
            return Err(Reason::IcmpErrorUnrelated);
        }
        let (source, destination) = addresses(ip, family);
        let tuple = Tuple {
            protocol,
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
        };
        Ok(Self { tuple, ip: start, transport: start + header_len, end: end.min(start + claimed) })
    }
}

/// Protocol, bytes of header and claimed length. RFC 5508 REQ-3b: the header's checksum counts; fragments after the
/// first carry no ports.
fn ipv4(ip: &[u8]) -> Option<(u8, usize, usize)> {
    let header_len = usize::from(ip.first()? & 0x0f) * 4;
    let sound = ip.len() >= IPV4_LEN && ip[0] >> 4 == 4 && (IPV4_LEN..=ip.len()).contains(&header_len);
    (sound && checksum(&ip[..header_len]) == 0 && u16_at(ip, 6).trailing_zeros() >= 13)
        .then(|| (ip[9], header_len, usize::from(u16_at(ip, 2))))
}

/// The same for IPv6, where a Fragment header tells.
fn ipv6(ip: &[u8]) -> Option<(u8, usize, usize)> {
    if ip.len() < IPV6_LEN || ip[0] >> 4 != 6 {
        return None;
    }
    let last = Header::first(ip).last(ip);
    let later = |at: usize| ip.get(at + 2..at + 4).is_none_or(|word| u16_at(word, 0) & 0xfff8 != 0);
    if last.number == protocol::FRAGMENT && later(last.start) {
        return None;
    }
    let upper = Header::upper_layer(ip);
    Some((upper.number, upper.start, IPV6_LEN + usize::from(u16_at(ip, 4))))
}
