//! Frames that differ in their endpoints only, and how to give one its endpoints without touching its payload.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use etherparse::checksum::Sum16BitWords;
use gateway_core::{MacAddr, VNET_LEN};

use crate::network::Family;

/// A kind of frame: everything but who sends it to whom.
#[derive(Clone, Debug)]
pub struct Shape {
    /// A whole frame, with endpoints of nobody.
    frame: Vec<u8>,
    family: Family,
    /// Where the transport header and its checksum are.
    transport: usize,
    checksum: usize,
    /// Bytes of headers, vnet header included.
    headers: usize,
    /// Of the IP header, without addresses.
    ip_sum: Sum16BitWords,
    /// Of pseudo-header, transport header and payload, as far as the checksum covers them, without addresses and ports.
    transport_sum: Sum16BitWords,
    /// Somebody later completes the checksum.
    partial: bool,
}

/// Who sends a frame to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Destination and source of the frame.
    pub macs: (MacAddr, MacAddr),
    /// Source of the packet.
    pub source: SocketAddr,
    /// Destination of the packet.
    pub destination: SocketAddr,
}

/// Which TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The container opens.
    Syn,
    /// The remote takes it.
    SynAck,
    /// Data of the container, so many bytes; none is the third part of the handshake.
    Data(usize),
    /// Data of the remote.
    Reply(usize),
}

impl Shape {
    /// A UDP frame of so many bytes on the wire, checksum complete.
    pub fn udp(family: Family, length: usize) -> Self {
        let mut frame = vec![0; VNET_LEN];
        let payload = length - ETHERNET_LEN - ip_len(family) - 8;
        let written = ip(family).udp(1, 1).write(&mut frame, &vec![PAYLOAD; payload]);
        written.expect("a vector takes every frame");
        Self::of(frame, family, UDP, 8, false)
    }

    /// A TCP frame, checksum complete.
    pub fn tcp(family: Family, segment: Segment) -> Self {
        let mut frame = vec![0; VNET_LEN];
        let (builder, payload) = match segment {
            Segment::Syn => (ip(family).tcp(1, 1, 1000, WINDOW).syn(), 0),
            Segment::SynAck => (ip(family).tcp(1, 1, 5000, WINDOW).syn().ack(1001), 0),
            Segment::Data(payload) => (ip(family).tcp(1, 1, 1001, WINDOW).ack(5001), payload),
            Segment::Reply(payload) => (ip(family).tcp(1, 1, 5001, WINDOW).ack(1001), payload),
        };
        builder.write(&mut frame, &vec![PAYLOAD; payload]).expect("a vector takes every frame");
        Self::of(frame, family, TCP, 20, false)
    }

    /// A TCP super-packet of 64 KiB, checksum partial, as a TAP gives it.
    pub fn super_packet(segment: impl Fn(usize) -> Segment) -> Self {
        let mut frame = Self::tcp(Family::V4, segment(65_535 - 40)).frame;
        // NEEDS_CSUM, GSO_TCPV4, then hdr_len, gso_size, csum_start, csum_offset.
        (frame[0], frame[1]) = (1, 1);
        frame[2..VNET_LEN].copy_from_slice([54, 1448, 34, 16].map(u16::to_ne_bytes).as_flattened());
        Self::of(frame, Family::V4, TCP, 20, true)
    }

    /// Bytes of the smallest UDP frame.
    pub const fn udp_min(family: Family) -> usize {
        ETHERNET_LEN + ip_len(family) + 8
    }

    /// Bytes of the smallest TCP frame.
    pub const fn tcp_min(family: Family) -> usize {
        ETHERNET_LEN + ip_len(family) + 20
    }

    /// A frame with endpoints of nobody.
    pub fn frame(&self) -> Vec<u8> {
        self.frame.clone()
    }

    /// Bytes on the wire.
    pub const fn on_wire(&self) -> usize {
        self.frame.len() - VNET_LEN
    }

    /// Gives `frame`, which was one of this kind before it was translated, all its headers anew.
    pub fn write(&self, ends: Ends, frame: &mut [u8]) {
        frame[..self.headers].copy_from_slice(&self.frame[..self.headers]);
        frame[VNET_LEN..VNET_LEN + 6].copy_from_slice(&ends.macs.0.0);
        frame[VNET_LEN + 6..VNET_LEN + 12].copy_from_slice(&ends.macs.1.0);
        let (source, destination) = (ends.source, ends.destination);
        // Adding makes a new sum; these stay as they are.
        let (mut ip_sum, mut transport_sum) = (self.ip_sum.clone(), self.transport_sum.clone());
        let sums = match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                frame[IP + 12..IP + 16].copy_from_slice(&source);
                frame[IP + 16..IP + 20].copy_from_slice(&destination);
                let sum = ip_sum.add_4bytes(source).add_4bytes(destination).ones_complement();
                frame[IP + 10..IP + 12].copy_from_slice(&sum.to_ne_bytes());
                transport_sum.add_4bytes(source).add_4bytes(destination)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                frame[IP + 8..IP + 24].copy_from_slice(&source);
                frame[IP + 24..IP + 40].copy_from_slice(&destination);
                transport_sum.add_16bytes(source).add_16bytes(destination)
            }
            _ => unreachable!("both ends have the same IP version"),
        };
        let (from, to) = (source.port().to_be_bytes(), destination.port().to_be_bytes());
        frame[self.transport..self.transport + 2].copy_from_slice(&from);
        frame[self.transport + 2..self.transport + 4].copy_from_slice(&to);
        let sum = if self.partial {
            !sums.ones_complement()
        } else {
            sums.add_2bytes(from).add_2bytes(to).to_ones_complement_with_no_zero()
        };
        frame[self.checksum..self.checksum + 2].copy_from_slice(&sum.to_ne_bytes());
    }

    fn of(mut frame: Vec<u8>, family: Family, protocol: u8, header: usize, partial: bool) -> Self {
        let transport = IP + ip_len(family);
        let checksum = transport + if protocol == UDP { 6 } else { 16 };
        let (addresses, ip_checksum) = match family {
            Family::V4 => (IP + 12..IP + 20, Some(IP + 10..IP + 12)),
            Family::V6 => (IP + 8..IP + 40, None),
        };
        for unset in
            [Some(addresses), ip_checksum, Some(transport..transport + 4), Some(checksum..checksum + 2)]
        {
            frame[unset.unwrap_or(0..0)].fill(0);
        }
        let length = (frame.len() - transport) as u32;
        let pseudo = Sum16BitWords::new().add_2bytes([0, protocol]).add_2bytes((length as u16).to_be_bytes());
        let transport_sum = if partial { pseudo } else { pseudo.add_slice(&frame[transport..]) };
        let ip_sum = Sum16BitWords::new().add_slice(&frame[IP..transport]);
        Self {
            family,
            transport,
            checksum,
            headers: transport + header,
            ip_sum,
            transport_sum,
            partial,
            frame,
        }
    }

    /// The IP version of the frames.
    pub const fn family(&self) -> Family {
        self.family
    }
}

/// The source endpoint of a frame.
pub fn source(frame: &[u8]) -> SocketAddr {
    endpoint(frame, [12, 8], 0)
}

/// The destination endpoint of a frame.
pub fn destination(frame: &[u8]) -> SocketAddr {
    endpoint(frame, [16, 24], 2)
}

/// Whether every complete checksum of a frame is right.
pub fn has_right_checksums(frame: &[u8]) -> bool {
    let headers = etherparse::PacketHeaders::from_ethernet_slice(&frame[VNET_LEN..]).expect("a packet");
    let ip = match headers.net.as_ref().expect("an IP packet") {
        etherparse::NetHeaders::Ipv4(ip, _) => ip.header_checksum == ip.calc_header_checksum(),
        _ => true,
    };
    let net = headers.net.as_ref().expect("an IP packet");
    let transport = match headers.transport.expect("a transport header") {
        _ if frame[0] & 1 != 0 => true,
        etherparse::TransportHeader::Udp(udp) => {
            let computed = match net {
                etherparse::NetHeaders::Ipv4(ip, _) => udp.calc_checksum_ipv4(ip, headers.payload.slice()),
                etherparse::NetHeaders::Ipv6(ip, _) => udp.calc_checksum_ipv6(ip, headers.payload.slice()),
                etherparse::NetHeaders::Arp(_) => unreachable!("ARP has no transport header"),
            };
            computed == Ok(udp.checksum)
        }
        etherparse::TransportHeader::Tcp(tcp) => {
            let computed = match net {
                etherparse::NetHeaders::Ipv4(ip, _) => tcp.calc_checksum_ipv4(ip, headers.payload.slice()),
                etherparse::NetHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(ip, headers.payload.slice()),
                etherparse::NetHeaders::Arp(_) => unreachable!("ARP has no transport header"),
            };
            computed == Ok(tcp.checksum)
        }
        _ => false,
    };
    ip && transport
}

/// `addresses` are the offsets in IPv4 and IPv6, `port` that in the transport header.
fn endpoint(frame: &[u8], addresses: [usize; 2], port: usize) -> SocketAddr {
    let is_v4 = frame[IP] >> 4 == 4;
    let (address, transport): (IpAddr, usize) = if is_v4 {
        let octets: [u8; 4] = *frame[IP + addresses[0]..].first_chunk().expect("an IPv4 header");
        (octets.into(), IP + ip_len(Family::V4))
    } else {
        let octets: [u8; 16] = *frame[IP + addresses[1]..].first_chunk().expect("an IPv6 header");
        (octets.into(), IP + ip_len(Family::V6))
    };
    let at = transport + port;
    SocketAddr::new(address, u16::from_be_bytes([frame[at], frame[at + 1]]))
}

fn ip(family: Family) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let builder = PacketBuilder::ethernet2([0; 6], [0; 6]);
    match family {
        Family::V4 => builder.ipv4([0; 4], [0; 4], 64),
        Family::V6 => builder.ipv6([0; 16], [0; 16], 64),
    }
}

const fn ip_len(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

const ETHERNET_LEN: usize = 14;
const IP: usize = VNET_LEN + ETHERNET_LEN;
const PAYLOAD: u8 = 0xa5;
const WINDOW: u16 = 65_535;
const UDP: u8 = 17;
const TCP: u8 = 6;
