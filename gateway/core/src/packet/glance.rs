//! TCP and UDP packets as they mostly are, seen without a detour: no options of IP, no extension headers, no fragments, no SYN,
//! no last hop.
//!
//! What is accepted here [`super::Packet::parse`] accepts as well, and says the same of. What is not may be good all the same, and is
//! looked at there.

use crate::checksum::Delta;
use crate::vnet::{GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Vnet, is_plain};
use crate::wire::{
    ETHERNET, IP, IPV4_LEN, IPV6_LEN, TCP_LEN, UDP_LEN, array, checksum_at, native_at, protocol, put_native,
    tcp_flag, u16_at,
};

/// An accepted packet, whose transport header is at [`Version::AT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    /// Source and destination port, one behind the other.
    pub(crate) ports: u32,
    /// Bytes of transport header and payload.
    pub(crate) length: u16,
    /// Payload of each segment of a super-packet; 0 for a single packet.
    pub(crate) segment: u16,
    pub(crate) is_tcp: bool,
    /// IPv4, and somebody on the way may fragment it.
    pub(crate) may_be_fragmented: bool,
    pub(crate) partial_checksum: bool,
}

/// What is different between the versions of IP.
pub(crate) trait Version {
    const IS_V6: bool;
    /// Where the transport header starts in the frame.
    const AT: usize;
    /// Where the addresses are in the frame.
    const SOURCE: usize;
    const DESTINATION: usize;
    /// The kind of segmentation of TCP.
    const GSO_TCP: u8;

    /// Looks at the IP header, behind which there are eight bytes at least. Returns the protocol, the length of what follows, and
    /// whether it may be fragmented.
    fn outer(frame: &[u8]) -> Option<(u8, usize, bool)>;

    /// The bits of the address at this place.
    fn address(frame: &[u8], at: usize) -> u128;

    /// One hop less, a new address at this place, and a checksum for both, of which `delta` is what the address changes.
    fn pass_on(frame: &mut [u8], at: usize, address: u128, delta: Delta);
}

/// IPv4.
pub(crate) enum V4 {}

/// IPv6.
pub(crate) enum V6 {}

impl Version for V4 {
    const IS_V6: bool = false;
    const AT: usize = IP + IPV4_LEN;
    const SOURCE: usize = IP + 12;
    const DESTINATION: usize = IP + 16;
    const GSO_TCP: u8 = GSO_TCPV4;

    #[inline(always)]
    fn outer(frame: &[u8]) -> Option<(u8, usize, bool)> {
        let ip = &frame.first_chunk::<{ IP + IPV4_LEN + UDP_LEN }>()?[IP..];
        let total = usize::from(u16_at(ip, 2));
        let fragment = u16_at(ip, 6);
        let plain = ip[0] == 0x45 && fragment & !DONT_FRAGMENT == 0 && ip[8] > 1;
        if !plain || total < IPV4_LEN + UDP_LEN || total > frame.len() - IP || !is_checksum_right(ip) {
            return None;
        }
        Some((ip[9], total - IPV4_LEN, fragment & DONT_FRAGMENT == 0))
    }

    #[inline(always)]
    fn address(frame: &[u8], at: usize) -> u128 {
        u32::from_be_bytes(array(frame, at)).into()
    }

    #[inline(always)]
    fn pass_on(frame: &mut [u8], at: usize, address: u128, delta: Delta) {
        // The TTL is the upper half of its word.
        let checksum = delta.and(Delta::word(0x0100, 0).native()).apply(native_at(frame, IP + 10));
        frame[IP + 8] -= 1;
        put_native(frame, IP + 10, checksum);
        frame[at..at + 4].copy_from_slice(&(address as u32).to_be_bytes());
    }
}

impl Version for V6 {
    const IS_V6: bool = true;
    const AT: usize = IP + IPV6_LEN;
    const SOURCE: usize = IP + 8;
    const DESTINATION: usize = IP + 24;
    const GSO_TCP: u8 = GSO_TCPV6;

    #[inline(always)]
    fn outer(frame: &[u8]) -> Option<(u8, usize, bool)> {
        let ip = &frame.first_chunk::<{ IP + IPV6_LEN + UDP_LEN }>()?[IP..];
        let length = usize::from(u16_at(ip, 4));
        let plain = ip[0] >> 4 == 6 && ip[7] > 1;
        if !plain || length < UDP_LEN || length > frame.len() - IP - IPV6_LEN {
            return None;
        }
        Some((ip[6], length, false))
    }

    #[inline(always)]
    fn address(frame: &[u8], at: usize) -> u128 {
        u128::from_be_bytes(array(frame, at))
    }

    #[inline(always)]
    fn pass_on(frame: &mut [u8], at: usize, address: u128, _: Delta) {
        frame[IP + 7] -= 1;
        frame[at..at + 16].copy_from_slice(&address.to_be_bytes());
    }
}

/// The flag beside which an unfragmented packet has none, nor an offset (RFC 791 §3.1).
const DONT_FRAGMENT: u16 = 0x4000;

/// What a frame carries, if it is long enough to say so; 0 otherwise.
#[inline(always)]
pub(crate) fn ether_type(frame: &[u8]) -> u16 {
    frame.get(IP - 2..IP).map_or(0, |bytes| u16_at(bytes, 0))
}

impl Glance {
    /// Looks at a frame that carries this version, vnet header included.
    #[inline(always)]
    pub(crate) fn of<V: Version>(frame: &[u8]) -> Option<Self> {
        let (number, length, may_be_fragmented) = V::outer(frame)?;
        let transport = &frame[V::AT..];
        let is_tcp = match number {
            protocol::UDP => false,
            protocol::TCP if is_simple_tcp(transport, length) => true,
            _ => return None,
        };
        let (partial_checksum, segment) =
            if is_plain(frame) { (false, 0) } else { read_vnet::<V>(frame, is_tcp, length)? };
        if !is_tcp {
            let covered = usize::from(u16_at(transport, 4));
            let whole = covered == length || covered < length && segment == 0;
            // RFC 8200 §8.1: over IPv6 a datagram has a checksum.
            let unchecked = V::IS_V6 && !partial_checksum && u16_at(transport, checksum_at::UDP) == 0;
            if covered < UDP_LEN || !whole || unchecked {
                return None;
            }
        }
        Some(Self {
            ports: u32::from_be_bytes(array(transport, 0)),
            length: length as u16,
            segment,
            is_tcp,
            may_be_fragmented,
            partial_checksum,
        })
    }

    #[inline(always)]
    pub(crate) const fn is_super_packet(&self) -> bool {
        self.segment != 0
    }

    /// Bytes of transport header.
    #[inline(always)]
    pub(crate) fn header_len<V: Version>(&self, frame: &[u8]) -> usize {
        header_len::<V>(frame, self.is_tcp)
    }

    /// Bytes of payload.
    #[inline(always)]
    pub(crate) fn payload<V: Version>(&self, frame: &[u8]) -> usize {
        usize::from(self.length) - self.header_len::<V>(frame)
    }

    /// Bytes of the largest IP packet that it becomes on the wire.
    #[inline(always)]
    pub(crate) fn on_wire<V: Version>(&self, frame: &[u8]) -> usize {
        let carried = frame.len() - IP;
        if !self.is_super_packet() {
            return carried;
        }
        carried.min(V::AT - IP + self.header_len::<V>(frame) + usize::from(self.segment))
    }

    /// How many packets this becomes on the wire.
    pub(crate) fn segments<V: Version>(&self, frame: &[u8]) -> u16 {
        let payload = self.payload::<V>(frame);
        if self.is_super_packet() { payload.div_ceil(self.segment.into()).max(1) as u16 } else { 1 }
    }
}

/// Reads a vnet header that asks for something: whether the checksum is partial, and the payload of segments.
#[inline(never)]
fn read_vnet<V: Version>(frame: &[u8], is_tcp: bool, length: usize) -> Option<(bool, u16)> {
    let vnet = Vnet::parse(frame).ok()?;
    let (gso, checksum) =
        if is_tcp { (V::GSO_TCP, checksum_at::TCP) } else { (GSO_UDP_L4, checksum_at::UDP) };
    let payload = length - header_len::<V>(frame, is_tcp);
    let good = vnet.is_of(gso, V::AT - ETHERNET, checksum, payload);
    good.then(|| (vnet.partial_checksum, vnet.segment_payload().unwrap_or(0) as u16))
}

#[inline(always)]
fn header_len<V: Version>(frame: &[u8], is_tcp: bool) -> usize {
    if is_tcp { usize::from(frame[V::AT + 12] >> 4) * 4 } else { UDP_LEN }
}

/// Whether this is a TCP header, with nothing in it that asks for more than other addresses.
#[inline(always)]
fn is_simple_tcp(transport: &[u8], length: usize) -> bool {
    transport.first_chunk::<TCP_LEN>().is_some_and(|header| {
        let header_len = usize::from(header[12] >> 4) * 4;
        header_len >= TCP_LEN && header_len <= length && header[13] & tcp_flag::SYN == 0
    })
}

/// The words of a right header add up to all ones, in whichever byte order.
#[inline(always)]
fn is_checksum_right(ip: &[u8]) -> bool {
    let word = |at: usize| u64::from(u32::from_ne_bytes(array(ip, at)));
    let sum = word(0) + word(4) + word(8) + word(12) + word(16);
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum >> 16) + (sum & 0xffff) == 0xffff
}

#[cfg(test)]
mod tests;
