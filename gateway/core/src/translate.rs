//! Rewriting a packet in place: one endpoint, the TTL and every checksum that covers them. Lengths never change.

use std::net::SocketAddrV4;

use crate::MacAddr;
use crate::checksum::Delta;
use crate::packet::{Embedded, Packet};
use crate::wire::{Ethernet, IPV4, TRANSPORT, address_at, checksum_at, icmp_type, protocol, put_u16, u16_at};

/// Which endpoint of a packet is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
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
    /// Offset of the address in an IPv4 header.
    const fn address(self) -> usize {
        match self {
            Self::Source => 12,
            Self::Destination => 16,
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
}

/// Where a transport header has its checksum and one side's port (or query id), and how the checksum is updated.
struct Layout {
    checksum: usize,
    port: usize,
    kind: Kind,
}

impl Layout {
    fn of(protocol: u8, side: Side) -> Self {
        match protocol {
            protocol::TCP => Self { checksum: checksum_at::TCP, port: side.port(), kind: Kind::Complete },
            protocol::UDP => {
                Self { checksum: checksum_at::UDP, port: side.port(), kind: Kind::CompleteOrNone }
            }
            _ => Self { checksum: checksum_at::ICMP, port: 4, kind: Kind::WithoutAddresses },
        }
    }
}

/// Rewrites a whole packet that `packet` describes: `side` becomes `to`, the TTL goes down by one, and the frame
/// gets its new Ethernet addresses and vnet header. A SYN announces an MSS of `mss_limit` at most.
pub(crate) fn packet(
    frame: &mut [u8],
    packet: &Packet,
    side: Side,
    to: SocketAddrV4,
    mac: (MacAddr, MacAddr),
    mss_limit: Option<u16>,
) {
    let Layout { checksum, port, kind } = Layout::of(frame[IPV4 + 9], side);
    let kind = if packet.vnet.partial_checksum { Kind::Partial } else { kind };
    let from = SocketAddrV4::new(address_at(frame, IPV4 + side.address()), u16_at(frame, TRANSPORT + port));
    update_transport_checksum(&mut frame[TRANSPORT + checksum..], kind, from, to);
    put_u16(frame, TRANSPORT + port, to.port());
    if let Some(limit) = mss_limit {
        clamp_mss(frame, packet, limit);
    }
    rewrite_outside(frame, packet, side, to, mac);
}

/// What is the same for every packet: address, TTL, Ethernet addresses, vnet header.
fn rewrite_outside(frame: &mut [u8], packet: &Packet, side: Side, to: SocketAddrV4, mac: (MacAddr, MacAddr)) {
    replace_address(frame, IPV4, side, to);
    decrement_ttl(frame);
    packet.vnet.emit(frame, &packet.transport);
    Ethernet::address(frame, mac.0, mac.1);
}

/// Lowers the maximum segment size that a SYN announces (RFC 9293 §3.7.1) to `limit`, so that no segment of the connection is
/// too large for either link, and path MTU discovery is not needed for what the gateway knows already.
fn clamp_mss(frame: &mut [u8], packet: &Packet, limit: u16) {
    let header = &mut frame[TRANSPORT..TRANSPORT + packet.transport.header_len()];
    let Some(at) = mss_option(header) else { return };
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

/// Where in a TCP header the value of its MSS option is. Malformed options end the search.
fn mss_option(header: &[u8]) -> Option<usize> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const MSS: u8 = 2;
    let mut at = 20;
    while let Some(&kind) = header.get(at) {
        let length = match kind {
            END => return None,
            NOTHING => 1,
            _ => usize::from(*header.get(at + 1)?),
        };
        if kind == MSS {
            return (length == 4 && at + 4 <= header.len()).then_some(at + 2);
        }
        if kind != NOTHING && length < 2 {
            return None;
        }
        at += length;
    }
    None
}

/// Rewrites an ICMP error: `side` of the outer packet and the other side of the embedded one become `to`.
pub(crate) fn icmp_error(
    frame: &mut [u8],
    packet: &Packet,
    embedded: &Embedded,
    side: Side,
    to: SocketAddrV4,
    mac: (MacAddr, MacAddr),
) {
    rewrite_embedded(frame, embedded, side.other(), to);
    let message = TRANSPORT..IPV4 + packet.total_len;
    put_u16(frame, TRANSPORT + checksum_at::ICMP, 0);
    let checksum = crate::checksum::checksum(&frame[message]);
    put_u16(frame, TRANSPORT + checksum_at::ICMP, checksum);
    rewrite_outside(frame, packet, side, to, mac);
}

/// Rewrites the packet inside an ICMP error. Its transport checksum is updated where it is among the embedded bytes;
/// it is never partial there.
fn rewrite_embedded(frame: &mut [u8], embedded: &Embedded, side: Side, to: SocketAddrV4) {
    let Layout { checksum, port, kind } = Layout::of(frame[embedded.ipv4 + 9], side);
    let (port, field) = (embedded.transport + port, embedded.transport + checksum);
    let from = SocketAddrV4::new(address_at(frame, embedded.ipv4 + side.address()), u16_at(frame, port));
    if field + 2 <= embedded.end {
        update_transport_checksum(&mut frame[field..], kind, from, to);
    }
    put_u16(frame, port, to.port());
    replace_address(frame, embedded.ipv4, side, to);
}

/// Updates the checksum field at the start of `field`.
fn update_transport_checksum(field: &mut [u8], kind: Kind, from: SocketAddrV4, to: SocketAddrV4) {
    let old = u16_at(field, 0);
    let new = match kind {
        Kind::Partial => Delta::address(from.ip().octets(), to.ip().octets()).apply_partial(old),
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

/// Replaces an address of the IPv4 header at `at`, and updates that header's checksum.
fn replace_address(frame: &mut [u8], at: usize, side: Side, to: SocketAddrV4) {
    let (address, new) = (at + side.address(), to.ip().octets());
    let delta = Delta::address(address_at(frame, address).octets(), new);
    let checksum = delta.apply(u16_at(frame, at + 10));
    put_u16(frame, at + 10, checksum);
    frame[address..address + 4].copy_from_slice(&new);
}

/// Takes one off the TTL of the outer header, which the caller has checked to be more than one.
fn decrement_ttl(frame: &mut [u8]) {
    let old = u16_at(frame, IPV4 + 8);
    let new = old - 0x0100;
    put_u16(frame, IPV4 + 8, new);
    let checksum = Delta::word(old, new).apply(u16_at(frame, IPV4 + 10));
    put_u16(frame, IPV4 + 10, checksum);
}

/// Turns an echo request for the gateway itself into its reply, in place.
pub(crate) fn echo_reply(frame: &mut [u8], packet: &Packet, mac: (MacAddr, MacAddr)) {
    let old = u16_at(frame, TRANSPORT);
    let new = u16::from(icmp_type::ECHO_REPLY) << 8 | old & 0xff;
    put_u16(frame, TRANSPORT, new);
    let checksum = Delta::word(old, new).apply(u16_at(frame, TRANSPORT + checksum_at::ICMP));
    put_u16(frame, TRANSPORT + checksum_at::ICMP, checksum);
    // Swapping the addresses leaves the header's sum as it is.
    frame[IPV4 + 12..IPV4 + 16].copy_from_slice(&packet.destination.octets());
    frame[IPV4 + 16..IPV4 + 20].copy_from_slice(&packet.source.octets());
    packet.vnet.emit(frame, &packet.transport);
    Ethernet::address(frame, mac.0, mac.1);
}
