//! Checksums by full recomputation, with code of the tests' own.

use super::{IPV4, TRANSPORT};

/// The folded one's complement sum of `bytes` (RFC 1071).
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    let mut total: u64 = words.sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The sum of the pseudo-header of the IPv4 packet in `frame`, for `length` bytes of transport.
pub(crate) fn pseudo_header(frame: &[u8], length: usize) -> u16 {
    let ip = &frame[IPV4..];
    let mut header = ip[12..20].to_vec();
    header.extend([0, ip[9]]);
    header.extend((length as u16).to_be_bytes());
    sum(&header)
}

/// Which checksum of an IPv4 frame is wrong, if one is. The frame parses and has no IPv4 options.
pub(crate) fn wrong(frame: &[u8]) -> Option<&'static str> {
    let ip = &frame[IPV4..];
    let transport = &ip[20..usize::from(word(ip, 2))];
    if sum(&ip[..20]) != 0xffff {
        return Some("IPv4 header");
    }
    let partial = frame[0] & 1 != 0;
    match ip[9] {
        6 => covered_by_pseudo_header(frame, transport, 16, partial).then_some("TCP"),
        17 if !partial && word(transport, 6) == 0 => None,
        17 => {
            let covered = &transport[..usize::from(word(transport, 4))];
            covered_by_pseudo_header(frame, covered, 6, partial).then_some("UDP")
        }
        1 => (sum(transport) != 0xffff).then_some("ICMP"),
        _ => None,
    }
}

fn covered_by_pseudo_header(frame: &[u8], transport: &[u8], field: usize, partial: bool) -> bool {
    let pseudo = pseudo_header(frame, transport.len());
    if partial {
        // 0 and 0xffff are the same number in one's complement.
        return word(transport, field) % 0xffff != pseudo % 0xffff;
    }
    sum(&[&pseudo.to_be_bytes(), transport].concat()) != 0xffff
}

/// The big-endian word at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Sets the IPv4 header checksum right after a test has changed the header.
pub(crate) fn fix_ipv4(frame: &mut [u8]) {
    let header = IPV4..IPV4 + usize::from(frame[IPV4] & 0x0f) * 4;
    frame[IPV4 + 10..IPV4 + 12].fill(0);
    let checksum = !sum(&frame[header]);
    frame[IPV4 + 10..IPV4 + 12].copy_from_slice(&checksum.to_be_bytes());
}

/// Sets the ICMP checksum right after a test has changed the message, which goes up to the end of the frame.
pub(crate) fn fix_icmp(frame: &mut [u8]) {
    frame[TRANSPORT + 2..TRANSPORT + 4].fill(0);
    let checksum = !sum(&frame[TRANSPORT..]);
    frame[TRANSPORT + 2..TRANSPORT + 4].copy_from_slice(&checksum.to_be_bytes());
}
