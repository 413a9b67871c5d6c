//! Checksums by full recomputation, with code of the tests' own.

use super::{IP, TRANSPORT};

/// The folded one's complement sum of `bytes` (RFC 1071).
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    let mut total: u64 = words.sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// Where the transport header of a whole packet starts and where the packet ends, and its protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    pub(crate) protocol: u8,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Transport {
    /// That of a frame which parses; `None` for a fragment.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let ip = &frame[IP..];
        if ip[0] >> 4 == 4 {
            let (start, end) = (IP + usize::from(ip[0] & 0x0f) * 4, IP + usize::from(word(ip, 2)));
            // In front of More Fragments and the offset are two bits more.
            let is_whole = word(ip, 6) << 2 == 0;
            return is_whole.then_some(Self { protocol: ip[9], start, end });
        }
        let end = IP + 40 + usize::from(word(ip, 4));
        let (mut protocol, mut start) = (ip[6], IP + 40);
        // Hop-by-hop options, routing, destination options.
        while matches!(protocol, 0 | 43 | 60) {
            (protocol, start) = (frame[start], start + (usize::from(frame[start + 1]) + 1) * 8);
        }
        (protocol != 44).then_some(Self { protocol, start, end })
    }
}

/// The sum of the pseudo-header of the packet in `frame`, for `length` bytes of transport.
pub(crate) fn pseudo_header(frame: &[u8], length: usize) -> u16 {
    let ip = &frame[IP..];
    let addresses = if ip[0] >> 4 == 4 { &ip[12..20] } else { &ip[8..40] };
    let protocol = Transport::of(frame).expect("a whole packet").protocol;
    let mut header = addresses.to_vec();
    header.extend([0, protocol]);
    header.extend((length as u16).to_be_bytes());
    sum(&header)
}

/// Which checksum of a frame is wrong, if one is. The frame parses and has no IPv4 options. Of a fragment, only the
/// header's checksum can be told.
pub(crate) fn wrong(frame: &[u8]) -> Option<&'static str> {
    if frame[IP] >> 4 == 4 && sum(&frame[IP..TRANSPORT]) != 0xffff {
        return Some("IPv4 header");
    }
    let Transport { protocol, start, end } = Transport::of(frame)?;
    let (transport, partial) = (&frame[start..end], frame[0] & 1 != 0);
    match protocol {
        6 => covered_by_pseudo_header(frame, transport, 16, partial).then_some("TCP"),
        17 if !partial && word(transport, 6) == 0 => (frame[IP] >> 4 == 6).then_some("UDP, none"),
        17 => {
            let covered = &transport[..usize::from(word(transport, 4))];
            covered_by_pseudo_header(frame, covered, 6, partial).then_some("UDP")
        }
        1 => (sum(transport) != 0xffff).then_some("ICMP"),
        58 => covered_by_pseudo_header(frame, transport, 2, false).then_some("ICMPv6"),
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
    let header = IP..IP + usize::from(frame[IP] & 0x0f) * 4;
    frame[IP + 10..IP + 12].fill(0);
    let checksum = !sum(&frame[header]);
    frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
}

/// Sets the ICMP checksum right after a test has changed the message, which goes up to the end of the frame.
pub(crate) fn fix_icmp(frame: &mut [u8]) {
    frame[TRANSPORT + 2..TRANSPORT + 4].fill(0);
    let checksum = !sum(&frame[TRANSPORT..]);
    frame[TRANSPORT + 2..TRANSPORT + 4].copy_from_slice(&checksum.to_be_bytes());
}

/// The same for an ICMPv6 message.
pub(crate) fn fix_icmpv6(frame: &mut [u8]) {
    let Transport { start, end, .. } = Transport::of(frame).expect("a whole packet");
    frame[start + 2..start + 4].fill(0);
    let pseudo = pseudo_header(frame, end - start);
    let checksum = !sum(&[&pseudo.to_be_bytes(), &frame[start..end]].concat());
    frame[start + 2..start + 4].copy_from_slice(&checksum.to_be_bytes());
}
