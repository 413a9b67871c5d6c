//! The vnet header: checksum and segmentation work that the sender left to somebody later.
//!
//! Layout and meaning: `struct virtio_net_hdr` in include/uapi/linux/virtio_net.h, used by TUN/TAP
//! (`IFF_VNET_HDR`) and packet sockets (`PACKET_VNET_HDR`), in the machine's own byte order:
//!
//! ```text
//! 0       1          2         4          6            8             10
//! | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
//! ```
//!
//! It comes from a container, so it is hostile input: everything is bounded before it is believed, and
//! only what is understood goes on.

use crate::packet::Transport;
use crate::wire::{ETHERNET, ETHERNET_LEN, Family, IP, VNET_LEN, checksum_at};
use crate::{MacAddr, Reason};

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
pub(crate) const GSO_TCPV4: u8 = 1;
pub(crate) const GSO_TCPV6: u8 = 4;
pub(crate) const GSO_UDP_L4: u8 = 5;
pub(crate) const GSO_ECN: u8 = 0x80;

/// Most segments of a UDP super-packet. Linux `UDP_MAX_SEGMENTS`, include/linux/udp.h.
const UDP_SEGMENTS_MAX: usize = 128;

/// A vnet header that is consistent in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vnet {
    /// The transport checksum field holds only the pseudo-header's sum; somebody later completes it.
    pub(crate) partial_checksum: bool,
    pub(crate) gso_type: u8,
    pub(crate) gso_size: u16,
    pub(crate) csum_start: u16,
    pub(crate) csum_offset: u16,
}

impl Vnet {
    /// Reads the header at the start of `frame`.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Reason> {
        let header = frame.first_chunk::<VNET_LEN>().ok_or(Reason::FrameTruncated)?;
        let [flags, gso_type, ..] = *header;
        let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let vnet = Self {
            partial_checksum: flags & NEEDS_CSUM != 0,
            gso_type,
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        };
        let known_flags = flags & !(NEEDS_CSUM | DATA_VALID) == 0;
        let known_gso = match gso_type & !GSO_ECN {
            GSO_NONE => gso_type == GSO_NONE,
            // GRO makes super-packets of segments as small as they come.
            GSO_TCPV4 | GSO_TCPV6 => vnet.partial_checksum && vnet.gso_size > 0,
            GSO_UDP_L4 => gso_type == GSO_UDP_L4 && vnet.partial_checksum && vnet.gso_size > 0,
            _ => false,
        };
        if known_flags && known_gso { Ok(vnet) } else { Err(Reason::VnetHeaderInvalid) }
    }

    /// Checks the header against the packet that follows it, whose transport header starts at `at` of the frame and ends
    /// the packet `length` bytes later.
    pub(crate) fn check(
        self,
        family: Family,
        transport: &Transport,
        at: usize,
        length: usize,
    ) -> Result<(), Reason> {
        let (gso, checksum_at) = match (transport, family) {
            (Transport::Tcp { .. }, Family::V4) => (GSO_TCPV4, checksum_at::TCP),
            (Transport::Tcp { .. }, Family::V6) => (GSO_TCPV6, checksum_at::TCP),
            (Transport::Udp { .. }, _) => (GSO_UDP_L4, checksum_at::UDP),
            _ => return if self.partial_checksum { Err(Reason::VnetHeaderInvalid) } else { Ok(()) },
        };
        let payload = length.saturating_sub(transport.header_len());
        if self.is_of(gso, at - ETHERNET, checksum_at, payload) {
            Ok(())
        } else {
            Err(Reason::VnetHeaderInvalid)
        }
    }

    /// Whether the header can be that of a packet with this kind of segmentation, whose transport header starts at `start` of the
    /// Ethernet frame and has its checksum at `checksum_at`, with `payload` bytes behind it.
    #[inline]
    pub(crate) fn is_of(self, gso: u8, start: usize, checksum_at: usize, payload: usize) -> bool {
        let checksum_matches = !self.partial_checksum
            || (usize::from(self.csum_start) == start && usize::from(self.csum_offset) == checksum_at);
        let gso_matches = !self.is_super_packet()
            || (self.gso_type & !GSO_ECN == gso
                && (gso != GSO_UDP_L4 || payload <= UDP_SEGMENTS_MAX * usize::from(self.gso_size)));
        checksum_matches && gso_matches
    }

    /// Whether the frame stands for several segments.
    pub(crate) const fn is_super_packet(self) -> bool {
        self.gso_type != GSO_NONE
    }

    /// Payload of each segment but the last, in bytes, if the frame stands for several.
    pub(crate) fn segment_payload(self) -> Option<usize> {
        self.is_super_packet().then_some(self.gso_size.into())
    }

    /// Writes the header for a packet whose lengths have not changed. `hdr_len` is computed anew, because
    /// the one that came in is a hint and can be wrong.
    pub(crate) fn emit(self, frame: &mut [u8], transport: &Transport, at: usize) {
        let headers = at - ETHERNET + transport.header_len();
        let (hdr_len, gso_size) =
            if self.is_super_packet() { (headers as u16, self.gso_size) } else { (0, 0) };
        let (start, offset) =
            if self.partial_checksum { (self.csum_start, self.csum_offset) } else { (0, 0) };
        frame[0] = if self.partial_checksum { NEEDS_CSUM } else { 0 };
        frame[1] = self.gso_type;
        for (at, word) in [(2, hdr_len), (4, gso_size), (6, start), (8, offset)] {
            frame[at..at + 2].copy_from_slice(&word.to_ne_bytes());
        }
    }
}

/// Whether a frame asks for nothing: it has a complete checksum, and is one packet.
#[inline]
pub(crate) fn is_plain(frame: &[u8]) -> bool {
    matches!(frame, [0 | DATA_VALID, GSO_NONE, ..])
}

/// Writes the header of a frame that asks for nothing, or, if `super_len` says how long the headers behind the vnet header are, keeps what a
/// super-packet asks for.
#[inline(always)]
pub(crate) fn renew(frame: &mut [u8], partial_checksum: bool, super_len: Option<u16>) {
    let Some(header) = frame.first_chunk_mut::<VNET_LEN>() else { return };
    if !partial_checksum {
        *header = [0; VNET_LEN];
        return;
    }
    header[0] = NEEDS_CSUM;
    let hdr_len = super_len.unwrap_or(0).to_ne_bytes();
    (header[2], header[3]) = (hdr_len[0], hdr_len[1]);
    if super_len.is_none() {
        (header[4], header[5]) = (0, 0);
    }
}

/// Whether a frame that was accepted stands for several segments.
pub(crate) fn is_super_packet(frame: &[u8]) -> bool {
    frame.get(1).is_some_and(|&gso_type| gso_type != GSO_NONE)
}

/// Bytes of IP packet of the largest segment that a frame becomes on the wire. The frame has been emitted by the gateway.
pub(crate) fn largest_segment(frame: &[u8]) -> usize {
    let whole = frame.len() - IP;
    if !is_super_packet(frame) {
        return whole;
    }
    let word = |at: usize| usize::from(u16::from_ne_bytes([frame[at], frame[at + 1]]));
    whole.min(word(2) + word(4) - ETHERNET_LEN)
}

/// A new frame of `length` bytes of IP packet or ARP message, all zero behind the Ethernet header.
pub(crate) fn new_frame(length: usize, destination: MacAddr, source: MacAddr, ether_type: u16) -> Vec<u8> {
    let mut frame = vec![0; IP + length];
    crate::wire::Ethernet::emit(&mut frame, destination, source, ether_type);
    frame
}
