//! Datagrams in fragments and streams in segments, cut and put together by code of the fuzzer's own (RFC 791 §3.2,
//! RFC 8200 §4.5, Linux `tcp_gso_segment` and `__udp_gso_segment`).

use std::ops::Range;

use crate::checksum::fix_ipv4;
use crate::layout::{FRAGMENT, IP, Layout, Part, TCP, put_u16, u16_at, u32_at};
use crate::packet::{CWR, FIN, PSH};

/// Where in a frame the part of the packet starts that fragments share out, and where the number of its first header is.
pub(crate) fn fragmentable(frame: &[u8]) -> (usize, usize) {
    if frame[IP] >> 4 == 4 {
        return (IP + 20, IP + 9);
    }
    // Behind hop-by-hop options and a routing header.
    let (mut at, mut number_at) = (IP + 40, IP + 6);
    while matches!(frame[number_at], 0 | 43) {
        (number_at, at) = (at, at + 8 + usize::from(frame[at + 1]) * 8);
    }
    (at, number_at)
}

/// A frame with a part of what can be shared out of the packet of `frame`, as a fragment of datagram `id`.
pub(crate) fn part(frame: &[u8], range: Range<usize>, id: u32) -> Vec<u8> {
    let (start, number_at) = fragmentable(frame);
    let end = Layout::of(frame).expect("a packet").end;
    let more = start + range.end < end;
    let mut out = frame[..start].to_vec();
    if frame[IP] >> 4 == 6 {
        out[number_at] = FRAGMENT;
        out.extend([frame[number_at], 0]);
        out.extend((range.start as u16 | u16::from(more)).to_be_bytes());
        out.extend(id.to_be_bytes());
    }
    out.extend_from_slice(&frame[start + range.start..start + range.end]);
    if frame[IP] >> 4 == 6 {
        let length = out.len() - IP - 40;
        put_u16(&mut out, IP + 4, length as u16);
    } else {
        let length = out.len() - IP;
        put_u16(&mut out, IP + 2, length as u16);
        put_u16(&mut out, IP + 4, id as u16);
        let word = u16_at(frame, IP + 6) & 0x4000 | u16::from(more) << 13 | (range.start / 8) as u16;
        put_u16(&mut out, IP + 6, word);
        fix_ipv4(&mut out[IP..IP + 20]);
    }
    out
}

/// The frame of the packet that these fragments are of, in any order: nothing is missing, nothing overlaps. A frame that is no
/// fragment is its own.
pub(crate) fn join(frames: &[&[u8]]) -> Option<Vec<u8>> {
    if let [whole] = frames
        && Layout::of(whole).is_some_and(|layout| layout.part.is_none())
    {
        return Some(whole.to_vec());
    }
    let mut pieces = Vec::new();
    for frame in frames {
        let layout = Layout::of(frame)?;
        pieces.push((layout.part?, &frame[layout.start..layout.end]));
    }
    pieces.sort_by_key(|(part, _)| part.offset);
    let mut payload = Vec::new();
    for (index, (Part { offset, more, id }, bytes)) in pieces.iter().enumerate() {
        let fits = *offset == payload.len() && *more == (index + 1 < pieces.len()) && *id == pieces[0].0.id;
        if !fits {
            return None;
        }
        payload.extend_from_slice(bytes);
    }
    let first = frames
        .iter()
        .find(|frame| Layout::of(frame).is_some_and(|l| l.part.is_some_and(|p| p.offset == 0)))?;
    let layout = Layout::of(first)?;
    let mut out =
        if layout.is_v4 { first[..layout.start].to_vec() } else { first[..layout.start - 8].to_vec() };
    let length = out.len() - IP + payload.len();
    if layout.is_v4 {
        put_u16(&mut out, IP + 2, length as u16);
        out[IP + 6] &= 0x40;
        out[IP + 7] = 0;
        fix_ipv4(&mut out[IP..IP + 20]);
    } else {
        let (_, number_at) = fragmentable(first);
        out[number_at] = layout.protocol;
        put_u16(&mut out, IP + 4, (length - 40) as u16);
    }
    out.extend(payload);
    Some(out)
}

/// What one packet of TCP or UDP carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Of TCP.
    pub(crate) sequence: u32,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

/// The packets that a frame stands for. The frame parses, and so does its vnet header.
pub(crate) fn segments(frame: &[u8]) -> Vec<Segment> {
    let layout = Layout::of(frame).expect("a packet");
    let (is_tcp, at) = (layout.protocol == TCP, layout.payload(frame));
    // A datagram can be shorter than its packet.
    let end = if is_tcp { layout.end } else { layout.start + usize::from(u16_at(frame, layout.start + 4)) };
    let payload = &frame[at..end];
    let gso_size = usize::from(u16::from_ne_bytes([frame[4], frame[5]]));
    let size = if frame[1] == 0 { payload.len().max(1) } else { gso_size };
    let count = payload.len().div_ceil(size).max(1);
    let (sequence, flags) =
        if is_tcp { (u32_at(frame, layout.start + 4), frame[layout.start + 13]) } else { (0, 0) };
    let segment = |index: usize| {
        let from = index * size;
        let not_last = if index + 1 < count { FIN | PSH } else { 0 };
        let not_first = if index > 0 { CWR } else { 0 };
        Segment {
            sequence: if is_tcp { sequence.wrapping_add(from as u32) } else { 0 },
            flags: flags & !not_last & !not_first,
            payload: payload[from..payload.len().min(from + size)].to_vec(),
        }
    };
    (0..count).map(segment).collect()
}
