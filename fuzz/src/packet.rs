//! A packet as a value, and its frame with right checksums.

use std::net::{IpAddr, SocketAddr};

use gateway_core::{MacAddr, VNET_LEN};

use crate::checksum::fix;
use crate::layout::{ETHERNET, ICMP, ICMPV6, Layout, TCP, UDP};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const CWR: u8 = 0x80;

/// One packet in its Ethernet frame, IPv4 or IPv6 as its addresses are.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Destination and source of the frame.
    pub(crate) macs: (MacAddr, MacAddr),
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) id: u16,
    /// Numbers of extension headers in front of the transport header, of IPv6.
    pub(crate) extensions: Vec<u8>,
    pub(crate) carries: Carries,
    pub(crate) payload: Vec<u8>,
}

/// What is behind the IP header.
#[derive(Clone, Debug)]
pub(crate) enum Carries {
    Tcp {
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
        /// Padded to whole words.
        options: Vec<u8>,
    },
    Udp,
    /// With the port of the side that asks as its id.
    EchoRequest,
    EchoReply,
    /// Any other message of the addresses' version; `rest` stands behind the checksum.
    Icmp {
        kind: u8,
        code: u8,
        rest: [u8; 4],
    },
    /// All payload.
    Other(u8),
}

impl Carries {
    /// A segment without options.
    pub(crate) const fn tcp(flags: u8, sequence: u32, acknowledgment: u32) -> Self {
        Self::Tcp { flags, sequence, acknowledgment, options: Vec::new() }
    }
}

impl Packet {
    pub(crate) fn new(
        macs: (MacAddr, MacAddr),
        source: SocketAddr,
        destination: SocketAddr,
        carries: Carries,
    ) -> Self {
        let (ttl, dont_fragment, id) = (64, true, 0x1234);
        let (extensions, payload) = (Vec::new(), b"payload".to_vec());
        Self { macs, source, destination, ttl, dont_fragment, id, extensions, carries, payload }
    }

    pub(crate) fn with_payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    pub(crate) const fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// The frame, with an empty vnet header and right checksums.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let (number, transport) = self.transport();
        let mut frame = vec![0; VNET_LEN];
        frame.extend(self.macs.0.0);
        frame.extend(self.macs.1.0);
        frame.extend(if self.is_v4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let fragment = u16::from(self.dont_fragment) << 14;
                frame.extend([0x45, 0]);
                for word in [20 + transport.len() as u16, self.id, fragment] {
                    frame.extend(word.to_be_bytes());
                }
                frame.extend([self.ttl, number, 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let chain = self.extension_headers(number);
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(((chain.len() + transport.len()) as u16).to_be_bytes());
                frame.extend([self.extensions.first().copied().unwrap_or(number), self.ttl]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                frame.extend(chain);
            }
            both => panic!("two versions of IP: {both:?}"),
        }
        frame.extend(transport);
        fix(&mut frame);
        frame
    }

    /// The frame as a super-packet of segments with `gso_size` bytes of payload each; just with a partial checksum if that is 0.
    pub(crate) fn offloaded(&self, gso_size: u16) -> Vec<u8> {
        let mut frame = self.frame();
        offload(&mut frame, u8::from(gso_size > 0), gso_size);
        fix(&mut frame);
        frame
    }

    /// The extension headers, each empty.
    fn extension_headers(&self, last: u8) -> Vec<u8> {
        let next = self.extensions.iter().skip(1).chain([&last]);
        // Padding of four bytes; of a routing header, no segments left.
        self.extensions.iter().zip(next).flat_map(|(_, &next)| [next, 0, 1, 0, 0, 0, 0, 0]).collect()
    }

    /// Protocol number, and transport header with payload, without a checksum.
    fn transport(&self) -> (u8, Vec<u8>) {
        let (from, to) = (self.source.port().to_be_bytes(), self.destination.port().to_be_bytes());
        let (icmp, request, reply) = if self.is_v4() { (ICMP, 8, 0) } else { (ICMPV6, 128, 129) };
        let echo = |kind: u8, id: [u8; 2]| (icmp, vec![kind, 0, 0, 0, id[0], id[1], 0, 7]);
        let (number, mut bytes) = match &self.carries {
            Carries::Tcp { flags, sequence, acknowledgment, options } => {
                let words = options.len().div_ceil(4);
                let mut bytes = [from, to].concat();
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(acknowledgment.to_be_bytes());
                bytes.extend([(5 + words as u8) << 4, *flags, 4, 0, 0, 0, 0, 0]);
                bytes.extend(options);
                bytes.resize(20 + words * 4, 0);
                (TCP, bytes)
            }
            Carries::Udp => {
                let length = (8 + self.payload.len()) as u16;
                (UDP, [from, to, length.to_be_bytes(), [0, 0]].concat())
            }
            Carries::EchoRequest => echo(request, from),
            Carries::EchoReply => echo(reply, to),
            Carries::Icmp { kind, code, rest } => {
                (icmp, vec![*kind, *code, 0, 0, rest[0], rest[1], rest[2], rest[3]])
            }
            Carries::Other(number) => (*number, Vec::new()),
        };
        bytes.extend(&self.payload);
        (number, bytes)
    }
}

/// Fills in the vnet header of a TCP or UDP packet. `segmentation` is 0 for none, 1 for the packet's kind, or that with
/// further bits.
pub(crate) fn offload(frame: &mut [u8], segmentation: u8, gso_size: u16) {
    let layout = Layout::of(frame).expect("a packet");
    let (kind, field) = match (layout.protocol, layout.is_v4) {
        (TCP, true) => (1, 16),
        (TCP, false) => (4, 16),
        _ => (5, 6),
    };
    let start = (layout.start - ETHERNET) as u16;
    let words = if segmentation == 0 {
        [0, 0, start, field]
    } else {
        [(layout.payload(frame) - ETHERNET) as u16, gso_size, start, field]
    };
    (frame[0], frame[1]) = (1, if segmentation == 0 { 0 } else { segmentation & !1 | kind });
    frame[2..VNET_LEN].copy_from_slice(words.map(u16::to_ne_bytes).as_flattened());
}
