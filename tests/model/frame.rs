//! Frames, written into a reused buffer and read again. Nothing here knows the engine's code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gateway_core::{MacAddr, Protocol, VNET_LEN};

/// TCP flags.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;
}

/// Where the IP header starts.
pub(crate) const IP: usize = VNET_LEN + 14;
const ETHER_TYPE: usize = IP - 2;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// What is behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Udp {
        payload: u16,
    },
    /// The id is the port of the side that asks.
    EchoRequest,
    EchoReply,
    Tcp {
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
        payload: u16,
    },
}

/// A frame as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A packet of a session.
    Packet { protocol: Protocol, source: SocketAddr, destination: SocketAddr, flags: u8 },
    /// An ICMP error to an address, about a packet from one endpoint to another.
    Error { kind: u8, code: u8, to: IpAddr, about: (Protocol, SocketAddr, SocketAddr) },
    /// A fragment but the first.
    LaterFragment,
    /// Somebody asks for the second address; the first one gets the answer.
    WhoHas(IpAddr, IpAddr),
    /// Announcements and advertisements.
    Other,
}

impl Body {
    const fn number(self, v4: bool) -> u8 {
        match self {
            Self::Udp { .. } => 17,
            Self::Tcp { .. } => 6,
            Self::EchoRequest | Self::EchoReply if v4 => 1,
            Self::EchoRequest | Self::EchoReply => 58,
        }
    }
}

/// Writes a packet with right checksums.
pub(crate) fn write(
    frame: &mut Vec<u8>,
    macs: (MacAddr, MacAddr),
    source: SocketAddr,
    destination: SocketAddr,
    body: Body,
) {
    let v4 = source.is_ipv4();
    let length = match body {
        Body::Udp { payload } => 8 + usize::from(payload),
        Body::Tcp { payload, .. } => 20 + usize::from(payload),
        Body::EchoRequest | Body::EchoReply => 12,
    };
    let at = begin(frame, macs, (source.ip(), destination.ip()), body.number(v4), length);
    let (from, to) = (source.port(), destination.port());
    let checksum = match body {
        Body::Udp { .. } => {
            put(frame, at, &[from, to, length as u16]);
            6
        }
        Body::Tcp { flags, sequence, acknowledgment, .. } => {
            put(frame, at, &[from, to]);
            frame[at + 4..at + 8].copy_from_slice(&sequence.to_be_bytes());
            frame[at + 8..at + 12].copy_from_slice(&acknowledgment.to_be_bytes());
            put(frame, at + 12, &[0x5000 | u16::from(flags), WINDOW]);
            16
        }
        Body::EchoRequest | Body::EchoReply => {
            frame[at] = match (body, v4) {
                (Body::EchoRequest, true) => 8,
                (Body::EchoRequest, false) => 128,
                (_, true) => 0,
                (_, false) => 129,
            };
            put(frame, at + 4, &[if body == Body::EchoRequest { from } else { to }]);
            2
        }
    };
    finish(frame, at, checksum);
}

/// What every TCP segment says of its sender's window.
pub(crate) const WINDOW: u16 = 65_535;

/// Writes an ICMP error, host unreachable, about the packet in `about`.
pub(crate) fn write_error(
    frame: &mut Vec<u8>,
    macs: (MacAddr, MacAddr),
    source: IpAddr,
    destination: IpAddr,
    about: &[u8],
) {
    let v4 = source.is_ipv4();
    let quoted = &about[IP..];
    let at = begin(frame, macs, (source, destination), if v4 { 1 } else { 58 }, 8 + quoted.len());
    put(frame, at, &[if v4 { 0x0301 } else { 0x0103 }]);
    frame[at + 8..].copy_from_slice(quoted);
    finish(frame, at, 2);
}

/// Cuts the packet of a frame into two fragments, the first with `first` bytes of payload.
pub(crate) fn fragments(frame: &[u8], first: usize, id: u32) -> [Vec<u8>; 2] {
    let v4 = frame[IP] >> 4 == 4;
    let at = if v4 { IP + 20 } else { IP + 40 };
    let piece = |from: usize, to: usize, more: bool| {
        let mut piece = frame[..at].to_vec();
        if v4 {
            put(&mut piece, IP + 4, &[id as u16, (u16::from(more) << 13) | (from / 8) as u16]);
        } else {
            let next = std::mem::replace(&mut piece[IP + 6], 44);
            piece.extend([next, 0]);
            piece.extend((from as u16 | u16::from(more)).to_be_bytes());
            piece.extend(id.to_be_bytes());
        }
        piece.extend(&frame[at + from..at + to]);
        let length = piece.len() - IP;
        if v4 {
            put(&mut piece, IP + 2, &[length as u16]);
            put(&mut piece, IP + 10, &[0]);
            let checksum = !sum(&piece[IP..IP + 20], 0);
            put(&mut piece, IP + 10, &[checksum]);
        } else {
            put(&mut piece, IP + 4, &[(length - 40) as u16]);
        }
        piece
    };
    [piece(0, first, true), piece(first, frame.len() - at, false)]
}

/// The answer to a request for a neighbor.
pub(crate) fn answer(asker: IpAddr, target: IpAddr, macs: (MacAddr, MacAddr)) -> Vec<u8> {
    let mut frame = Vec::new();
    match (asker, target) {
        (IpAddr::V4(asker), IpAddr::V4(target)) => {
            frame.resize(IP + 28, 0);
            ethernet(&mut frame, macs, ARP);
            put(&mut frame, IP, &[1, IPV4, 0x0604, 2]);
            frame[IP + 8..IP + 14].copy_from_slice(&macs.1.0);
            frame[IP + 14..IP + 18].copy_from_slice(&target.octets());
            frame[IP + 18..IP + 24].copy_from_slice(&macs.0.0);
            frame[IP + 24..IP + 28].copy_from_slice(&asker.octets());
        }
        (IpAddr::V6(_), IpAddr::V6(address)) => {
            let at = begin(&mut frame, macs, (target, asker), 58, 32);
            frame[IP + 7] = 255;
            frame[at] = 136;
            frame[at + 4] = 0x60;
            frame[at + 8..at + 24].copy_from_slice(&address.octets());
            frame[at + 24..at + 26].copy_from_slice(&[2, 1]);
            frame[at + 26..at + 32].copy_from_slice(&macs.1.0);
            finish(&mut frame, at, 2);
        }
        _ => unreachable!("one IP version"),
    }
    frame
}

/// Reads a frame of the engine's. Panics if it is malformed or a checksum is wrong.
pub(crate) fn read(frame: &[u8]) -> Read {
    match word(frame, ETHER_TYPE) {
        ARP => {
            let v4 = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).expect("four"));
            let (sender, target) = (v4(IP + 14), v4(IP + 24));
            let asks = word(frame, IP + 6) == 1 && sender != target;
            if asks { Read::WhoHas(sender, target) } else { Read::Other }
        }
        IPV4 | IPV6 => read_ip(frame),
        other => panic!("the engine made a frame of type {other:#x}"),
    }
}

fn read_ip(frame: &[u8]) -> Read {
    let (number, at, source, destination) = ip_header(frame, IP);
    let v4 = source.is_ipv4();
    let mut fragment = v4 && word(frame, IP + 6) & 0x3fff != 0;
    let mut later = v4 && word(frame, IP + 6) & 0x1fff != 0;
    let (number, at) = if number == 44 {
        fragment = true;
        later = word(frame, at + 2) & 0xfff8 != 0;
        (frame[at], at + 8)
    } else {
        (number, at)
    };
    if later {
        return Read::LaterFragment;
    }
    if !fragment {
        let pseudo =
            if number == 1 { 0 } else { pseudo_header(source, destination, number, frame.len() - at) };
        assert_eq!(sum(&frame[at..], pseudo), 0xffff, "wrong checksum in {:02x?}", &frame[IP..]);
    }
    match (number, frame[at]) {
        (1, 3 | 11 | 12) | (58, 1..=4) => {
            let inner = at + 8;
            let (number, at_inner, from, to) = ip_header(frame, inner);
            // About a fragment that waited in vain, the engine's own.
            endpoints(frame, number, at_inner, from, to).map_or(Read::Other, |about| Read::Error {
                kind: frame[at],
                code: frame[at + 1],
                to: destination,
                about,
            })
        }
        (58, 135) => {
            let octets = <[u8; 16]>::try_from(&frame[at + 8..at + 24]).expect("sixteen");
            Read::WhoHas(source, IpAddr::from(octets))
        }
        _ => match endpoints(frame, number, at, source, destination) {
            Some((protocol, source, destination)) => {
                let flags = if protocol == Protocol::Tcp { frame[at + 13] } else { 0 };
                Read::Packet { protocol, source, destination, flags }
            }
            None => Read::Other,
        },
    }
}

fn ip_header(frame: &[u8], ip: usize) -> (u8, usize, IpAddr, IpAddr) {
    if frame[ip] >> 4 == 4 {
        assert_eq!(sum(&frame[ip..ip + 20], 0), 0xffff, "wrong IPv4 checksum");
        let at = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[ip + at..ip + at + 4]).expect("four"));
        (frame[ip + 9], ip + 20, at(12).into(), at(16).into())
    } else {
        let at =
            |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[ip + at..ip + at + 16]).expect("sixteen"));
        (frame[ip + 6], ip + 40, at(8).into(), at(24).into())
    }
}

fn endpoints(
    frame: &[u8],
    number: u8,
    at: usize,
    source: IpAddr,
    destination: IpAddr,
) -> Option<(Protocol, SocketAddr, SocketAddr)> {
    let (protocol, from, to) = match (number, frame[at]) {
        (6, _) => (Protocol::Tcp, word(frame, at), word(frame, at + 2)),
        (17, _) => (Protocol::Udp, word(frame, at), word(frame, at + 2)),
        (1, 8) | (58, 128) => (Protocol::Icmp, word(frame, at + 4), 0),
        (1, 0) | (58, 129) => (Protocol::Icmp, 0, word(frame, at + 4)),
        _ => return None,
    };
    Some((protocol, SocketAddr::new(source, from), SocketAddr::new(destination, to)))
}

/// Begins a frame with `length` zero bytes behind the IP header; returns where they are.
fn begin(
    frame: &mut Vec<u8>,
    macs: (MacAddr, MacAddr),
    addresses: (IpAddr, IpAddr),
    number: u8,
    length: usize,
) -> usize {
    frame.clear();
    match addresses {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.resize(IP + 20 + length, 0);
            ethernet(frame, macs, IPV4);
            put(frame, IP, &[0x4500, (20 + length) as u16, 0, 0, 0x4000 | u16::from(number)]);
            frame[IP + 12..IP + 16].copy_from_slice(&from.octets());
            frame[IP + 16..IP + 20].copy_from_slice(&to.octets());
            let checksum = !sum(&frame[IP..IP + 20], 0);
            put(frame, IP + 10, &[checksum]);
            IP + 20
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.resize(IP + 40 + length, 0);
            ethernet(frame, macs, IPV6);
            put(frame, IP, &[0x6000, 0, length as u16, u16::from(number) << 8 | 64]);
            frame[IP + 8..IP + 24].copy_from_slice(&from.octets());
            frame[IP + 24..IP + 40].copy_from_slice(&to.octets());
            IP + 40
        }
        _ => unreachable!("one IP version"),
    }
}

/// Fills in the transport checksum.
fn finish(frame: &mut [u8], at: usize, checksum: usize) {
    let (number, _, source, destination) = ip_header(frame, IP);
    let pseudo = if number == 1 { 0 } else { pseudo_header(source, destination, number, frame.len() - at) };
    let value = !sum(&frame[at..], pseudo);
    put(frame, at + checksum, &[if value == 0 && number == 17 { 0xffff } else { value }]);
}

fn ethernet(frame: &mut [u8], macs: (MacAddr, MacAddr), ether_type: u16) {
    frame[VNET_LEN..VNET_LEN + 6].copy_from_slice(&macs.0.0);
    frame[VNET_LEN + 6..VNET_LEN + 12].copy_from_slice(&macs.1.0);
    put(frame, ETHER_TYPE, &[ether_type]);
}

fn put(frame: &mut [u8], at: usize, words: &[u16]) {
    for (i, word) in words.iter().enumerate() {
        frame[at + 2 * i..at + 2 * i + 2].copy_from_slice(&word.to_be_bytes());
    }
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

fn pseudo_header(source: IpAddr, destination: IpAddr, number: u8, length: usize) -> u32 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(a) => sum(&a.octets(), 0),
        IpAddr::V6(a) => sum(&a.octets(), 0),
    };
    u32::from(address(source)) + u32::from(address(destination)) + u32::from(number) + length as u32
}

/// The one's complement sum.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let (words, rest) = bytes.as_chunks::<2>();
    let mut total = words.iter().fold(start, |total, word| total + u32::from(u16::from_be_bytes(*word)));
    if let [last] = rest {
        total += u32::from(*last) << 8;
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}
