//! Making packets fit: checksums completed, super-packets cut into segments, datagrams into fragments.
//!
//! The kernel does this for what it sends. It cannot where a device takes no super-packets, or a packet is larger
//! than a link. Frames that [`crate::packet::Packet::parse`] accepts are expected; anything else is refused with
//! a reason.

#[cfg(test)]
mod tests;

use crate::Reason;
use crate::checksum::{Delta, checksum};
use crate::limits::SEGMENTS_PER_SUPER_PACKET;
use crate::packet::chain::{FRAGMENT_LEN, Header, holds_transport, packet_of};
use crate::vnet::{self, Vnet};
use crate::wire::{
    ETHERNET, Family, IP, IPV4_LEN, IPV6_LEN, VNET_LEN, checksum_at, protocol, put_u16, put_u32, tcp_flag,
    u16_at, u32_at,
};

/// A TCP or UDP packet whose checksum field holds its pseudo-header's sum only. Offsets are from the start of the
/// frame.
struct Partial {
    family: Family,
    protocol: u8,
    /// Where the transport header starts.
    start: usize,
    /// Where the checksum field is.
    field: usize,
    /// Where the packet ends.
    end: usize,
}

/// How a super-packet is cut.
struct Cut {
    packet: Partial,
    /// Bytes of frame that every segment repeats.
    headers: usize,
    /// Payload of each segment but the last. Bytes.
    size: usize,
    count: usize,
}

/// Cuts a packet into pieces of at most `limit` bytes of IP packet: a super-packet into its segments, and what is
/// then too long into fragments, as [`segment`] and [`fragment`] do. Each segment has an id of its own, from `id` on:
/// a receiver would mix the fragments of two.
pub(crate) fn to_fit(
    frame: &[u8],
    limit: usize,
    id: u32,
    mut each: impl FnMut(Vec<u8>),
) -> Result<(), Reason> {
    let mut datagrams = Vec::new();
    if Vnet::parse(frame)?.is_super_packet() {
        segment(frame, |datagram| datagrams.push(datagram))?;
    } else {
        let mut datagram = frame.to_vec();
        complete_checksum(&mut datagram)?;
        datagrams.push(datagram);
    }
    let mut datagrams = (0..).zip(&datagrams);
    datagrams.try_for_each(|(index, datagram)| fragment(datagram, limit, id.wrapping_add(index), &mut each))
}

/// Completes a partial checksum in place; then the vnet header is all zero. A frame whose checksum is complete
/// only loses its vnet header. A super-packet is refused, as no segment of it could have that checksum.
pub(crate) fn complete_checksum(frame: &mut [u8]) -> Result<(), Reason> {
    let vnet = Vnet::parse(frame)?;
    if vnet.is_super_packet() {
        return Err(Reason::VnetHeaderInvalid);
    }
    if vnet.partial_checksum {
        let Partial { protocol, start, field, end, .. } = Partial::of(frame, vnet)?;
        let complete = complete(&frame[start..end], protocol);
        put_u16(frame, field, complete);
    }
    frame[..VNET_LEN].fill(0);
    Ok(())
}

/// Cuts a super-packet into the packets that it stands for, as Linux `tcp_gso_segment` and `__udp_gso_segment`
/// do. Their checksums are complete and their vnet headers all zero. Nothing is made of a frame that is refused.
pub(crate) fn segment(frame: &[u8], mut each: impl FnMut(Vec<u8>)) -> Result<(), Reason> {
    let vnet = Vnet::parse(frame)?;
    let packet = Partial::of(frame, vnet)?;
    let matches = match (vnet.gso_type & !vnet::GSO_ECN, packet.protocol) {
        (vnet::GSO_TCPV4, protocol::TCP) => packet.family == Family::V4,
        (vnet::GSO_TCPV6, protocol::TCP) => packet.family == Family::V6,
        (vnet::GSO_UDP_L4, protocol::UDP) => true,
        _ => false,
    };
    if !matches || vnet.gso_size == 0 {
        return Err(Reason::VnetHeaderInvalid);
    }
    let headers = packet.payload_at(frame)?;
    let size = usize::from(vnet.gso_size);
    let count = (packet.end - headers).div_ceil(size).max(1);
    if count > SEGMENTS_PER_SUPER_PACKET {
        return Err(Reason::VnetHeaderInvalid);
    }
    let cut = Cut { packet, headers, size, count };
    for index in 0..count {
        each(cut.segment(frame, index));
    }
    Ok(())
}

/// Cuts a datagram into fragments of at most `limit` bytes of IP packet; one that fits comes out as it is. `id`
/// tells the datagram from others (IPv4 has room for its lower half). Nothing is made of a frame that is refused.
///
/// The datagram is no fragment itself and its vnet header leaves nothing to do. Don't Fragment is not looked at;
/// IPv4 fragments keep it. [`Reason::PacketTooBig`]: the headers that the first fragment has to hold do not fit
/// `limit`; they do if the datagram was reassembled and `limit` is not below its [`Whole::largest`].
///
/// [`Whole::largest`]: crate::fragment::Whole::largest
pub(crate) fn fragment(
    frame: &[u8],
    limit: usize,
    id: u32,
    mut each: impl FnMut(Vec<u8>),
) -> Result<(), Reason> {
    let vnet = Vnet::parse(frame)?;
    if vnet.partial_checksum || vnet.is_super_packet() {
        return Err(Reason::VnetHeaderInvalid);
    }
    let (family, packet) = packet_of(frame)?;
    let (headers, payload) = match family {
        Family::V4 => ipv4_parts(packet, id)?,
        Family::V6 => ipv6_parts(packet, id)?,
    };
    if packet.len() <= limit {
        each(with_ethernet(frame, packet, &[]));
        return Ok(());
    }
    // All but the last have a multiple of 8 bytes.
    let size = limit.saturating_sub(headers.len()) & !7;
    let fits = match family {
        Family::V4 => holds_transport(packet[9], &payload[..size.min(payload.len())]),
        Family::V6 => {
            let part = Header::fragmentable(packet);
            part.leads_to_upper_layer(&packet[..packet.len().min(part.start + size)])
        }
    };
    if !fits || size == 0 {
        return Err(Reason::PacketTooBig);
    }
    for (index, piece) in payload.chunks(size).enumerate() {
        let offset = index * size;
        let more = offset + piece.len() < payload.len();
        let mut out = with_ethernet(frame, &headers, piece);
        set_length(&mut out, family);
        match family {
            Family::V4 => {
                let word = u16_at(&out, IP + 6) & 0x4000 | u16::from(more) << 13 | (offset / 8) as u16;
                put_u16(&mut out, IP + 6, word);
                set_header_checksum(&mut out);
            }
            Family::V6 => put_u16(&mut out, IP + headers.len() - 6, offset as u16 | u16::from(more)),
        }
        each(out);
    }
    Ok(())
}

/// The header of every fragment, without length, offset and checksum, and what is to be shared out.
fn ipv4_parts(packet: &[u8], id: u32) -> Result<(Vec<u8>, &[u8]), Reason> {
    if u16_at(packet, 6) & 0x3fff != 0 {
        return Err(Reason::FragmentInvalid);
    }
    let (header, payload) = packet.split_at(IPV4_LEN);
    let mut header = header.to_vec();
    put_u16(&mut header, 4, id as u16);
    Ok((header, payload))
}

/// As [`ipv4_parts`]: a Fragment header stands at the end (RFC 8200 §4.5).
fn ipv6_parts(packet: &[u8], id: u32) -> Result<(Vec<u8>, &[u8]), Reason> {
    let part = Header::fragmentable(packet);
    if part.last(packet).number == protocol::FRAGMENT {
        return Err(Reason::FragmentInvalid);
    }
    let (header, payload) = packet.split_at(part.start);
    let mut header = header.to_vec();
    header[part.number_at] = protocol::FRAGMENT;
    header.extend_from_slice(&[0; FRAGMENT_LEN]);
    header[part.start] = part.number;
    put_u32(&mut header, part.start + 4, id);
    Ok((header, payload))
}

impl Partial {
    /// Checks that the vnet header, which says that the checksum is partial, speaks of the packet's own transport header.
    fn of(frame: &[u8], vnet: Vnet) -> Result<Self, Reason> {
        let (family, packet) = packet_of(frame)?;
        let (protocol, at) = match family {
            Family::V4 if u16_at(packet, 6) & 0x3fff != 0 => return Err(Reason::FragmentInvalid),
            Family::V4 => (packet[9], IPV4_LEN),
            Family::V6 => {
                let last = Header::first(packet).last(packet);
                (last.number, last.start)
            }
        };
        let offset = match protocol {
            protocol::TCP => checksum_at::TCP,
            protocol::UDP => checksum_at::UDP,
            _ => return Err(Reason::VnetHeaderInvalid),
        };
        if !holds_transport(protocol, &packet[at..]) {
            return Err(Reason::TransportInvalid);
        }
        let start = IP + at;
        let speaks_of = (usize::from(vnet.csum_start), usize::from(vnet.csum_offset));
        if speaks_of != (start - ETHERNET, offset) {
            return Err(Reason::VnetHeaderInvalid);
        }
        Ok(Self { family, protocol, start, field: start + offset, end: IP + packet.len() })
    }

    /// Where the payload starts in the frame.
    fn payload_at(&self, frame: &[u8]) -> Result<usize, Reason> {
        let length = match self.protocol {
            protocol::TCP => usize::from(frame[self.start + 12] >> 4) * 4,
            _ => 8,
        };
        let least = if self.protocol == protocol::TCP { 20 } else { 8 };
        let at = self.start + length;
        if length < least || at > self.end { Err(Reason::TransportInvalid) } else { Ok(at) }
    }
}

impl Cut {
    /// Segment `index` of the super-packet.
    fn segment(&self, frame: &[u8], index: usize) -> Vec<u8> {
        let Partial { family, protocol, start, field, end } = self.packet;
        let from = self.headers + index * self.size;
        let payload = &frame[from..end.min(from + self.size)];
        let mut out = with_ethernet(frame, &frame[IP..self.headers], payload);
        set_length(&mut out, family);
        if family == Family::V4 {
            let id = u16_at(&out, IP + 4).wrapping_add(index as u16);
            put_u16(&mut out, IP + 4, id);
            set_header_checksum(&mut out);
        }
        let length = out.len() - start;
        if protocol == protocol::TCP {
            let sequence = u32_at(&out, start + 4).wrapping_add((index * self.size) as u32);
            put_u32(&mut out, start + 4, sequence);
            let flags = &mut out[start + 13];
            if index + 1 < self.count {
                *flags &= !(tcp_flag::FIN | tcp_flag::PSH);
            }
            if index > 0 {
                *flags &= !tcp_flag::CWR;
            }
        } else {
            put_u16(&mut out, start + 4, length as u16);
        }
        // The pseudo-header's sum is the super-packet's but for its length.
        let delta = Delta::word((end - start) as u16, length as u16);
        let pseudo_header = delta.apply_partial(u16_at(&out, field));
        put_u16(&mut out, field, pseudo_header);
        let complete = complete(&out[start..], protocol);
        put_u16(&mut out, field, complete);
        out
    }
}

/// The checksum of a transport header and payload whose checksum field holds the pseudo-header's sum.
fn complete(bytes: &[u8], number: u8) -> u16 {
    match checksum(bytes) {
        // RFC 768, RFC 8200 §8.1: a checksum that comes out as zero is sent as all ones.
        0 if number == protocol::UDP => 0xffff,
        complete => complete,
    }
}

/// A frame of `headers` and `payload` behind the Ethernet header of `frame`. The vnet header is all zero.
fn with_ethernet(frame: &[u8], headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(IP + headers.len() + payload.len());
    out.extend_from_slice(&[0; VNET_LEN]);
    for part in [&frame[ETHERNET..IP], headers, payload] {
        out.extend_from_slice(part);
    }
    out
}

/// Writes the IP header's length field. The packet is not longer than the one that it was cut out of.
fn set_length(frame: &mut [u8], family: Family) {
    let length = frame.len() - IP;
    match family {
        Family::V4 => put_u16(frame, IP + 2, length as u16),
        Family::V6 => put_u16(frame, IP + 4, (length - IPV6_LEN) as u16),
    }
}

/// Computes an IPv4 header's checksum anew.
fn set_header_checksum(frame: &mut [u8]) {
    put_u16(frame, IP + 10, 0);
    let header_checksum = checksum(&frame[IP..IP + IPV4_LEN]);
    put_u16(frame, IP + 10, header_checksum);
}
