//! Checksums by full recomputation, with code of the fuzzer's own.

use crate::layout::{ICMP, ICMPV6, IP, Layout, TCP, UDP, put_u16, u16_at};

/// The folded one's complement sum of `bytes` (RFC 1071).
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    let mut total: u64 = words.sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// How far the checksums of a frame are off: that of an IPv4 header, and that of the transport header. Zero for those
/// that are right, that say that there is none, and of parts of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Errors {
    pub(crate) ip: u16,
    pub(crate) transport: u16,
}

impl Errors {
    pub(crate) fn of(frame: &[u8]) -> Self {
        let Some(layout) = Layout::of(frame) else { return Self::default() };
        let ip = if layout.is_v4 { sum(&frame[IP..layout.start]) % 0xffff } else { 0 };
        Self { ip, transport: transport_error(frame, &layout) }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// The part of a whole packet that the transport checksum covers, where its field is in it, and the sum of the
/// pseudo-header; `None` if nothing can be said.
fn covered(frame: &[u8], layout: &Layout) -> Option<(std::ops::Range<usize>, usize, u16)> {
    let Layout { is_v4, protocol, start, end, part: None, .. } = *layout else { return None };
    let bytes = &frame[start..end];
    let (field, length) = match (protocol, is_v4) {
        (TCP, _) if bytes.len() >= 20 => (16, bytes.len()),
        (UDP, _) if bytes.len() >= 8 => (6, usize::from(u16_at(bytes, 4))),
        (ICMP, true) | (ICMPV6, false) if bytes.len() >= 4 => (2, bytes.len()),
        _ => return None,
    };
    if length < field + 2 || length > bytes.len() {
        return None;
    }
    let mut pseudo = if is_v4 { frame[IP + 12..IP + 20].to_vec() } else { frame[IP + 8..IP + 40].to_vec() };
    pseudo.extend([0, protocol]);
    pseudo.extend((length as u16).to_be_bytes());
    let pseudo = if protocol == ICMP { 0 } else { sum(&pseudo) };
    Some((start..start + length, field, pseudo))
}

fn transport_error(frame: &[u8], layout: &Layout) -> u16 {
    let Some((range, field, pseudo)) = covered(frame, layout) else { return 0 };
    let bytes = &frame[range];
    let value = u16_at(bytes, field);
    // 0 and 0xffff are the same number in one's complement.
    if is_partial(frame, layout.protocol) {
        return ((u32::from(value) + u32::from(!pseudo)) % 0xffff) as u16;
    }
    if layout.protocol == UDP && value == 0 {
        // IPv6 wants one.
        return u16::from(!layout.is_v4);
    }
    sum(&[&pseudo.to_be_bytes(), bytes].concat()) % 0xffff
}

/// Makes all checksums of a frame right, as far as it can be read. Partial ones stay partial.
pub(crate) fn fix(frame: &mut [u8]) {
    let Some(layout) = Layout::of(frame) else { return };
    if layout.is_v4 {
        fix_ipv4(&mut frame[IP..layout.start]);
    }
    let Some((range, field, pseudo)) = covered(frame, &layout) else { return };
    let field = range.start + field;
    if is_partial(frame, layout.protocol) {
        return put_u16(frame, field, pseudo);
    }
    put_u16(frame, field, 0);
    let checksum = !sum(&[&pseudo.to_be_bytes(), &frame[range]].concat());
    let checksum = if checksum == 0 && layout.protocol == UDP { 0xffff } else { checksum };
    put_u16(frame, field, checksum);
}

/// Makes the checksum of an IPv4 header right.
pub(crate) fn fix_ipv4(header: &mut [u8]) {
    put_u16(header, 10, 0);
    let checksum = !sum(header);
    put_u16(header, 10, checksum);
}

/// Whether the vnet header leaves the checksum to somebody later. ICMP has none that could be.
fn is_partial(frame: &[u8], protocol: u8) -> bool {
    frame[0] & 1 != 0 && matches!(protocol, TCP | UDP)
}
