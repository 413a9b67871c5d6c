//! Rewriting a packet in place: one endpoint, the TTL and every checksum that covers them. Lengths never change.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;

use crate::checksum::{Delta, Folded, checksum, pseudo_header, sum};
use crate::packet::glance::{Glance, Version};
use crate::packet::{Embedded, Packet};
use crate::wire::{
    ETHERNET, Ethernet, Family, IP, OWN_TTL, addresses, checksum_at, icmp_type, icmpv6_type, native_at,
    protocol, put_address, put_native, put_u16, u16_at,
};
use crate::{MacAddr, vnet};

/// Destination and source of a frame.
pub(crate) type MacPair = (MacAddr, MacAddr);

/// Which endpoint of a packet is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// What else changes on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes {
    /// Destination and source of the frame.
    pub(crate) macs: (MacAddr, MacAddr),
    /// The largest segment that a SYN may announce.
    pub(crate) mss_limit: Option<u16>,
    /// A new identification (RFC 6864), for IPv4.
    pub(crate) ip_id: Option<u16>,
}

/// How a checksum field is to be updated.
#[derive(Clone, Copy)]
enum Kind {
    /// Covers the pseudo-header: addresses and ports.
    Complete,
    /// The same, but 0 says that there is none (UDP, RFC 768): it stays, and a sum of 0 is written as all ones.
    CompleteOrNone,
    /// Covers no pseudo-header (ICMP): ports (query ids) only.
    WithoutAddresses,
    /// `CHECKSUM_PARTIAL`: holds the sum of the pseudo-header alone, so ports are not in it yet, and 0 is a sum like any
    /// other.
    Partial,
}

impl Side {
    /// Offset of the address in an IP header.
    const fn address(self, family: Family) -> usize {
        match (self, family) {
            (Self::Source, Family::V4) => 12,
            (Self::Destination, Family::V4) => 16,
            (Self::Source, Family::V6) => 8,
            (Self::Destination, Family::V6) => 24,
        }
    }

    /// Offset of the port in a TCP or UDP header.
    const fn port(self) -> usize {
        match self {
            Self::Source => 0,
            Self::Destination => 2,
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }

    /// This side of both.
    fn of<T>(self, (source, destination): (T, T)) -> T {
        match self {
            Self::Source => source,
            Self::Destination => destination,
        }
    }
}

/// Where a transport header has its checksum and one side's port (or query id), and how the checksum is updated.
struct Layout {
    checksum: usize,
    port: usize,
    kind: Kind,
}

impl Layout {
    fn of(protocol: crate::Protocol, family: Family, side: Side) -> Self {
        use crate::Protocol;
        let (checksum, port, kind) = match (protocol, family) {
            (Protocol::Tcp, _) => (checksum_at::TCP, side.port(), Kind::Complete),
            (Protocol::Udp, _) => (checksum_at::UDP, side.port(), Kind::CompleteOrNone),
            (Protocol::Icmp, Family::V4) => (checksum_at::ICMP, 4, Kind::WithoutAddresses),
            (Protocol::Icmp, Family::V6) => (checksum_at::ICMP, 4, Kind::Complete),
        };
        Self { checksum, port, kind }
    }
}

/// Rewrites a packet of a session: `side` becomes `to` (or stays as it is: `None`), the TTL goes down by one, and the frame gets its new Ethernet addresses
/// and vnet header.
pub(crate) fn packet(
    frame: &mut [u8],
    packet: &Packet,
    protocol: crate::Protocol,
    side: Side,
    to: Option<SocketAddr>,
    changes: &Changes,
) {
    if let Some(to) = to {
        let Layout { checksum, port, kind } = Layout::of(protocol, packet.family, side);
        let kind = if packet.vnet.partial_checksum { Kind::Partial } else { kind };
        let address = side.of((packet.source, packet.destination));
        let from = SocketAddr::new(address, u16_at(frame, packet.at + port));
        update_transport_checksum(&mut frame[packet.at + checksum..], kind, from, to);
        put_u16(frame, packet.at + port, to.port());
        replace_address(&mut frame[IP..], packet.family, side, to.ip());
    }
    if let Some(limit) = changes.mss_limit {
        clamp_mss(frame, packet, limit);
    }
    finish(frame, packet, changes);
}

/// How a packet of a session is rewritten whose changes are known beforehand.
#[derive(Clone, Copy)]
pub(crate) struct Rewrite {
    /// What this side's address, in bits, and port become.
    pub(crate) address: u128,
    pub(crate) port: u16,
    /// What that changes in checksums, see [`crate::session::Entry::deltas`].
    pub(crate) deltas: [Folded; 2],
    /// Destination and source of the frame.
    pub(crate) macs: MacPair,
}

/// Does to a packet of a session what [`packet()`] does, with one update of each checksum.
#[inline(always)]
pub(crate) fn known<V: Version>(frame: &mut [u8], glance: &Glance, side: Side, rewrite: &Rewrite) {
    let [endpoint, addresses] = rewrite.deltas;
    if glance.partial_checksum {
        let at = V::AT + if glance.is_tcp { checksum_at::TCP } else { checksum_at::UDP };
        put_native(frame, at, addresses.delta().apply_partial(native_at(frame, at)));
    } else if glance.is_tcp {
        let at = V::AT + checksum_at::TCP;
        put_native(frame, at, endpoint.delta().apply(native_at(frame, at)));
    } else {
        let at = V::AT + checksum_at::UDP;
        // RFC 768: 0 is no checksum, and a checksum that comes out as zero is sent as all ones.
        let new = match native_at(frame, at) {
            0 => 0,
            old => NonZero::new(endpoint.delta().apply(old)).map_or(0xffff, NonZero::get),
        };
        put_native(frame, at, new);
    }
    put_u16(frame, V::AT + side.port(), rewrite.port);
    let at = if side == Side::Source { V::SOURCE } else { V::DESTINATION };
    V::pass_on(frame, at, rewrite.address, addresses.delta());
    let headers = (V::AT - ETHERNET + glance.header_len::<V>(frame)) as u16;
    vnet::renew(frame, glance.partial_checksum, glance.is_super_packet().then_some(headers));
    Ethernet::address(frame, rewrite.macs.0, rewrite.macs.1);
}

/// What is the same for every packet: identification, TTL, Ethernet addresses, vnet header.
fn finish(frame: &mut [u8], packet: &Packet, changes: &Changes) {
    match packet.family {
        Family::V4 => {
            if let Some(id) = changes.ip_id {
                replace_ipv4_word(&mut frame[IP..], 4, id);
            }
            // The caller has checked the TTL to be more than one.
            let ttl = u16_at(frame, IP + 8) - 0x0100;
            replace_ipv4_word(&mut frame[IP..], 8, ttl);
        }
        Family::V6 => frame[IP + 7] -= 1,
    }
    packet.vnet.emit(frame, &packet.transport, packet.at);
    Ethernet::address(frame, changes.macs.0, changes.macs.1);
}

/// Lowers the maximum segment size that a SYN announces (RFC 9293 §3.7.1) to `limit`, so that no segment of the connection is
/// too large for either link, and path MTU discovery is not needed for what the gateway knows already.
fn clamp_mss(frame: &mut [u8], packet: &Packet, limit: u16) {
    let header = &mut frame[packet.at..packet.at + packet.transport.header_len()];
    let Some(at) = tcp_option(header, TCP_OPTION_MSS, 4) else { return };
    let old = u16_at(header, at);
    if old <= limit {
        return;
    }
    put_u16(header, at, limit);
    if packet.vnet.partial_checksum {
        return;
    }
    // A word that begins at an odd place stands in two words of the sum, the other way round.
    let delta =
        if at % 2 == 0 { Delta::word(old, limit) } else { Delta::word(old.swap_bytes(), limit.swap_bytes()) };
    let checksum = delta.apply(u16_at(header, checksum_at::TCP));
    put_u16(header, checksum_at::TCP, checksum);
}

const TCP_OPTION_MSS: u8 = 2;
/// Window scale (RFC 7323 §2.2).
pub(crate) const TCP_OPTION_SCALE: u8 = 3;

/// Where in a TCP header the value of an option is that has `length` bytes in all. Malformed options end the search.
pub(crate) fn tcp_option(header: &[u8], wanted: u8, length: usize) -> Option<usize> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    let mut at = 20;
    while let Some(&kind) = header.get(at) {
        let option_len = match kind {
            END => return None,
            NOTHING => 1,
            _ => usize::from(*header.get(at + 1)?),
        };
        if kind == wanted {
            return (option_len == length && at + length <= header.len()).then_some(at + 2);
        }
        if kind != NOTHING && option_len < 2 {
            return None;
        }
        at += option_len;
    }
    None
}

/// Rewrites an ICMP error: `side` of the outer packet and the other side of the embedded one become `to`.
pub(crate) fn icmp_error(
    frame: &mut [u8],
    packet: &Packet,
    embedded: &Embedded,
    side: Side,
    to: Option<SocketAddr>,
    changes: &Changes,
) {
    if let Some(to) = to {
        rewrite_embedded(frame, packet.family, embedded, side.other(), to);
        replace_address(&mut frame[IP..], packet.family, side, to.ip());
    }
    finish(frame, packet, changes);
    put_icmp_checksum(frame, packet.family, packet.at, packet.end);
}

/// Computes the checksum of the ICMP message between `at` and `end`. The IP header is final.
pub(crate) fn put_icmp_checksum(frame: &mut [u8], family: Family, at: usize, end: usize) {
    put_u16(frame, at + checksum_at::ICMP, 0);
    let checksum = match family {
        Family::V4 => checksum(&frame[at..end]),
        Family::V6 => {
            let (source, destination) = addresses(&frame[IP..], family);
            !sum(&frame[at..end], pseudo_header(source, destination, protocol::ICMPV6, end - at))
        }
    };
    put_u16(frame, at + checksum_at::ICMP, checksum);
}

/// Rewrites the packet inside an ICMP error. Its transport checksum is updated where it is among the embedded bytes;
/// it is never partial there.
fn rewrite_embedded(frame: &mut [u8], family: Family, embedded: &Embedded, side: Side, to: SocketAddr) {
    let Layout { checksum, port, kind } = Layout::of(embedded.tuple.protocol, family, side);
    let from = side.of((embedded.tuple.source, embedded.tuple.destination));
    let field = embedded.transport + checksum;
    if field + 2 <= embedded.end {
        let from = SocketAddr::new(from.ip(), u16_at(frame, embedded.transport + port));
        update_transport_checksum(&mut frame[field..], kind, from, to);
    }
    put_u16(frame, embedded.transport + port, to.port());
    replace_address(&mut frame[embedded.ip..], family, side, to.ip());
}

/// Updates the checksum field at the start of `field`.
fn update_transport_checksum(field: &mut [u8], kind: Kind, from: SocketAddr, to: SocketAddr) {
    let old = u16_at(field, 0);
    let new = match kind {
        Kind::Partial => Delta::address(from.ip(), to.ip()).apply_partial(old),
        Kind::CompleteOrNone if old == 0 => 0,
        Kind::CompleteOrNone => match Delta::endpoint(from, to).apply(old) {
            0 => 0xffff,
            new => new,
        },
        Kind::Complete => Delta::endpoint(from, to).apply(old),
        Kind::WithoutAddresses => Delta::word(from.port(), to.port()).apply(old),
    };
    put_u16(field, 0, new);
}

/// Replaces an address of the IP header at the start of `ip`, and updates that header's checksum, if it has one.
fn replace_address(ip: &mut [u8], family: Family, side: Side, to: IpAddr) {
    if family == Family::V4 {
        let from = side.of(addresses(ip, family));
        let checksum = Delta::address(from, to).apply(u16_at(ip, 10));
        put_u16(ip, 10, checksum);
    }
    put_address(ip, side.address(family), to);
}

/// Replaces a word of the IPv4 header at the start of `ip`, and updates that header's checksum.
pub(crate) fn replace_ipv4_word(ip: &mut [u8], at: usize, new: u16) {
    let checksum = Delta::word(u16_at(ip, at), new).apply(u16_at(ip, 10));
    put_u16(ip, 10, checksum);
    put_u16(ip, at, new);
}

/// Turns an echo request for the gateway itself into its reply, in place.
pub(crate) fn echo_reply(frame: &mut [u8], packet: &Packet, mac: (MacAddr, MacAddr)) {
    let kind = match packet.family {
        Family::V4 => icmp_type::ECHO_REPLY,
        Family::V6 => icmpv6_type::ECHO_REPLY,
    };
    let old = u16_at(frame, packet.at);
    let new = u16::from(kind) << 8 | old & 0xff;
    put_u16(frame, packet.at, new);
    let checksum = Delta::word(old, new).apply(u16_at(frame, packet.at + checksum_at::ICMP));
    put_u16(frame, packet.at + checksum_at::ICMP, checksum);
    // Swapping the addresses leaves the sums as they are.
    put_address(frame, IP + Side::Source.address(packet.family), packet.destination);
    put_address(frame, IP + Side::Destination.address(packet.family), packet.source);
    match packet.family {
        Family::V4 => {
            let ttl = u16::from(OWN_TTL) << 8 | u16_at(frame, IP + 8) & 0xff;
            replace_ipv4_word(&mut frame[IP..], 8, ttl);
        }
        Family::V6 => frame[IP + 7] = OWN_TTL,
    }
    packet.vnet.emit(frame, &packet.transport, packet.at);
    Ethernet::address(frame, mac.0, mac.1);
}
