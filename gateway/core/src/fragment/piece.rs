//! One fragment as it came in, parsed and checked on its own.

use std::net::IpAddr;

use crate::Reason;
use crate::packet::chain::{FRAGMENT_LEN, Header, holds_transport, packet_of};
use crate::vnet::Vnet;
use crate::wire::{Family, IP, IPV4_LEN, IPV6_LEN, VNET_LEN, addresses, protocol, u16_at, u32_at};

/// What the fragments of one datagram have in common (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DatagramId {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    id: u32,
    /// IPv4's protocol; IPv6's fragments may differ in it, and it is 0.
    protocol: u8,
}

/// A fragment. Only what is true of it alone has been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) datagram: DatagramId,
    pub(super) family: Family,
    /// Where in the datagram's payload this one's stands. Bytes.
    pub(super) offset: usize,
    /// Whether others follow.
    pub(super) more: bool,
    /// IPv4's Don't Fragment.
    pub(super) df: bool,
    /// The two bits of RFC 3168 §5.
    pub(super) ecn: u8,
    /// Up to the end of the packet.
    frame: &'a [u8],
    /// Where in the frame the headers end that each fragment repeats; IPv6's Fragment header comes behind.
    headers: usize,
}

impl<'a> Fragment<'a> {
    /// Parses a frame that carries a fragment, vnet header included. An IPv4 packet that is none is one that is
    /// its own whole.
    pub(super) fn parse(frame: &'a [u8]) -> Result<Self, Reason> {
        let vnet = Vnet::parse(frame)?;
        // Who makes fragments has no checksum and no segments left to make (Linux `ip_do_fragment`).
        if vnet.partial_checksum || vnet.is_super_packet() {
            return Err(Reason::VnetHeaderInvalid);
        }
        let (family, packet) = packet_of(frame)?;
        let frame = &frame[..IP + packet.len()];
        let (source, destination) = addresses(packet, family);
        let fragment = match family {
            Family::V4 => {
                let word = u16_at(packet, 6);
                Self {
                    datagram: DatagramId {
                        source,
                        destination,
                        id: u16_at(packet, 4).into(),
                        protocol: packet[9],
                    },
                    family,
                    offset: usize::from(word & 0x1fff) * 8,
                    more: word & 0x2000 != 0,
                    df: word & 0x4000 != 0,
                    ecn: packet[1] & 3,
                    frame,
                    headers: IP + IPV4_LEN,
                }
            }
            Family::V6 => {
                let start = Header::first(packet).last(packet);
                if start.number != protocol::FRAGMENT || packet.len() < start.start + FRAGMENT_LEN {
                    return Err(Reason::FragmentInvalid);
                }
                let word = u16_at(packet, start.start + 2);
                let id = u32_at(packet, start.start + 4);
                Self {
                    datagram: DatagramId { source, destination, id, protocol: 0 },
                    family,
                    offset: usize::from(word & 0xfff8),
                    more: word & 1 != 0,
                    df: false,
                    ecn: packet[1] >> 4 & 3,
                    frame,
                    headers: IP + start.start,
                }
            }
        };
        if fragment.is_valid(packet) { Ok(fragment) } else { Err(Reason::FragmentInvalid) }
    }

    fn is_valid(&self, packet: &[u8]) -> bool {
        let length = self.payload().len();
        // A last fragment of nothing is of no use, and nobody sends it.
        if length == 0 || (self.more && !length.is_multiple_of(8)) {
            return false;
        }
        self.length_field(self.offset + length).is_ok()
            && match (self.family, self.offset) {
                (Family::V4, 0) => !self.more || holds_transport(packet[9], self.payload()),
                // RFC 3128: it would replace the flags of a TCP header.
                (Family::V4, 8) => packet[9] != protocol::TCP,
                (Family::V6, 0) => {
                    Header::behind_fragment(packet, self.headers - IP).leads_to_upper_layer(packet)
                }
                _ => true,
            }
    }

    /// Whether it is the first and the last one: IPv6's *atomic* fragments (RFC 6946).
    pub(super) const fn is_whole(&self) -> bool {
        self.offset == 0 && !self.more
    }

    /// This part of the datagram's payload.
    pub(super) fn payload(&self) -> &'a [u8] {
        &self.frame[self.payload_at()..]
    }

    /// Where the payload starts in the frame.
    pub(super) const fn payload_at(&self) -> usize {
        match self.family {
            Family::V4 => self.headers,
            Family::V6 => self.headers + FRAGMENT_LEN,
        }
    }

    /// The frame up to the end of the packet.
    pub(super) const fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Bytes of IP packet.
    pub(super) const fn ip_len(&self) -> usize {
        self.frame.len() - IP
    }

    /// What the length field of the whole datagram says if its payload has `length` bytes, and its headers are
    /// this fragment's.
    pub(super) fn length_field(&self, length: usize) -> Result<u16, Reason> {
        let counted = match self.family {
            Family::V4 => IPV4_LEN,
            Family::V6 => self.headers - IP - IPV6_LEN,
        };
        u16::try_from(counted + length).map_err(|_| Reason::FragmentInvalid)
    }

    /// Begins a whole datagram's frame: the headers of this first fragment as if there had been no fragments,
    /// without lengths, flags and checksum. The vnet header is all zero. There is room for `length` bytes of
    /// payload.
    pub(super) fn unfragmented_headers(&self, length: usize) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.headers + length);
        frame.extend_from_slice(&[0; VNET_LEN]);
        frame.extend_from_slice(&self.frame[VNET_LEN..self.headers]);
        if self.family == Family::V6 {
            // The number of the header behind the Fragment header takes the place of that header's own.
            let number_at = Header::first(&self.frame[IP..]).last(&self.frame[IP..]).number_at;
            frame[IP + number_at] = self.frame[self.headers];
        }
        frame
    }
}
