//! Fragments, cut and put together by code of the tests' own (RFC 791 §3.2, RFC 8200 §4.5).

use gateway_core::MacAddr;

use super::checksum::{fix_ipv4, word};
use super::{ETHERNET, IP, TRANSPORT, TRANSPORT_V6};

/// A frame with this part of the packet of `frame` that follows its IP header, as a fragment of datagram `id`. The
/// packet has neither IPv4 options nor extension headers.
pub(crate) fn fragment(frame: &[u8], part: std::ops::Range<usize>, id: u32) -> Vec<u8> {
    if frame[IP] >> 4 == 4 { fragment_v4(frame, part, id as u16) } else { fragment_v6(frame, part, id) }
}

fn fragment_v4(frame: &[u8], part: std::ops::Range<usize>, id: u16) -> Vec<u8> {
    let more = u16::from(TRANSPORT + part.end < frame.len());
    let dont_fragment = word(frame, IP + 6) & 0x4000;
    let offset = dont_fragment | more << 13 | (part.start / 8) as u16;
    let mut out = frame[..TRANSPORT].to_vec();
    out.extend_from_slice(&frame[TRANSPORT + part.start..TRANSPORT + part.end]);
    let length = (out.len() - IP) as u16;
    for (at, word) in [(2, length), (4, id), (6, offset)] {
        out[IP + at..IP + at + 2].copy_from_slice(&word.to_be_bytes());
    }
    fix_ipv4(&mut out);
    out
}

fn fragment_v6(frame: &[u8], part: std::ops::Range<usize>, id: u32) -> Vec<u8> {
    let more = u16::from(TRANSPORT_V6 + part.end < frame.len());
    let mut out = frame[..TRANSPORT_V6].to_vec();
    out.extend([frame[IP + 6], 0]);
    out.extend((part.start as u16 | more).to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend_from_slice(&frame[TRANSPORT_V6 + part.start..TRANSPORT_V6 + part.end]);
    out[IP + 6] = 44;
    let length = (out.len() - TRANSPORT_V6) as u16;
    out[IP + 4..IP + 6].copy_from_slice(&length.to_be_bytes());
    out
}

/// The whole packet in fragments of `size` bytes of payload each, in order. `size` is a multiple of 8.
pub(crate) fn cut(frame: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    let headers = if frame[IP] >> 4 == 4 { TRANSPORT } else { TRANSPORT_V6 };
    let end = frame.len() - headers;
    (0..end).step_by(size).map(|start| fragment(frame, start..end.min(start + size), id)).collect()
}

/// A fragment, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) destination_mac: MacAddr,
    pub(crate) id: u32,
    pub(crate) offset: usize,
    pub(crate) more: bool,
    pub(crate) dont_fragment: bool,
    pub(crate) payload: Vec<u8>,
}

impl Piece {
    /// Reads a fragment; its vnet header leaves nothing to do.
    pub(crate) fn read(frame: &[u8]) -> Self {
        assert_eq!(frame[..ETHERNET], [0; ETHERNET], "a fragment's checksum is complete");
        let destination_mac = MacAddr(frame[ETHERNET..ETHERNET + 6].try_into().expect("six bytes"));
        let ip = &frame[IP..];
        if ip[0] >> 4 == 4 {
            assert_eq!(super::checksum::sum(&ip[..20]), 0xffff);
            let (flags, end) = (word(ip, 6), usize::from(word(ip, 2)));
            let offset = usize::from(flags & 0x1fff) * 8;
            let (more, dont_fragment) = (flags & 0x2000 != 0, flags & 0x4000 != 0);
            let payload = ip[20..end].to_vec();
            return Self { destination_mac, id: word(ip, 4).into(), offset, more, dont_fragment, payload };
        }
        assert_eq!(ip[6], 44, "has a Fragment header behind the IPv6 header");
        let header = &ip[40..48];
        let (offset, end) = (word(header, 2), 40 + usize::from(word(ip, 4)));
        let id = u32::from_be_bytes(header[4..8].try_into().expect("four bytes"));
        let (more, offset) = (offset & 1 != 0, usize::from(offset & 0xfff8));
        let payload = ip[48..end].to_vec();
        Self { destination_mac, id, offset, more, dont_fragment: true, payload }
    }
}

/// The frame of the packet that these fragments, in order, are of: nothing is missing, nothing overlaps.
pub(crate) fn join<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let frames: Vec<_> = frames.into_iter().collect();
    let pieces: Vec<_> = frames.iter().map(|frame| Piece::read(frame)).collect();
    let mut payload = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        assert_eq!(piece.offset, payload.len(), "fragment {index} is behind the one before");
        assert_eq!(piece.more, index + 1 < pieces.len(), "fragment {index} of {}", pieces.len());
        assert_eq!((piece.id, piece.dont_fragment), (pieces[0].id, pieces[0].dont_fragment));
        payload.extend_from_slice(&piece.payload);
    }
    let first = frames[0];
    let is_v4 = first[IP] >> 4 == 4;
    let mut out = first[..if is_v4 { TRANSPORT } else { TRANSPORT_V6 }].to_vec();
    if !is_v4 {
        out[IP + 6] = first[TRANSPORT_V6];
    }
    out.extend_from_slice(&payload);
    let (at, length) = if is_v4 { (IP + 2, out.len() - IP) } else { (IP + 4, out.len() - TRANSPORT_V6) };
    out[at..at + 2].copy_from_slice(&(length as u16).to_be_bytes());
    if is_v4 {
        out[IP + 6] &= 0x40;
        out[IP + 7] = 0;
        fix_ipv4(&mut out);
    }
    out
}
