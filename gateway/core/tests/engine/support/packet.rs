//! A packet as a value: what tests send, and what they compare with what came out.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header,
    PacketBuilder, PacketHeaders, TcpHeader, TransportHeader,
};
use gateway_core::{AttachmentId, MacAddr, UplinkId, VNET_LEN};

use super::tcp::{By, Numbers};
use super::{
    ACK, CONTAINER, CONTAINER_V6, FIN, IP, RST, SYN, checksum, container_mac, endpoint, gateway_mac,
    host_mac, uplink_mac,
};

/// One packet in its Ethernet frame, IPv4 or IPv6 as its addresses are. An echo's id is the port of the side that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source_mac: MacAddr,
    pub(crate) destination_mac: MacAddr,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// Always so with IPv6.
    pub(crate) dont_fragment: bool,
    pub(crate) carries: Carries,
    /// Of TCP.
    pub(crate) numbers: Numbers,
    pub(crate) payload: Vec<u8>,
}

/// What is behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// With these flags.
    Tcp(u8),
    Udp,
    EchoRequest,
    EchoReply,
    /// Any other ICMP message of the addresses' version; `rest` is what stands behind the checksum.
    Icmp {
        kind: u8,
        code: u8,
        rest: u32,
    },
    /// Another IP protocol, all payload.
    Other(u8),
}

impl Packet {
    /// From a container to `remote`.
    pub(crate) fn outbound(id: AttachmentId, carries: Carries, port: u16, remote: SocketAddr) -> Self {
        Self {
            source_mac: container_mac(id),
            destination_mac: gateway_mac(id),
            source: if remote.is_ipv4() { endpoint(CONTAINER, port) } else { endpoint(CONTAINER_V6, port) },
            destination: remote,
            ttl: 64,
            dont_fragment: true,
            carries,
            numbers: first_numbers(By::Container, carries),
            payload: b"out".to_vec(),
        }
    }

    /// From `remote` in a VPC to an external endpoint.
    pub(crate) fn inbound(id: UplinkId, carries: Carries, remote: SocketAddr, external: SocketAddr) -> Self {
        Self {
            source_mac: host_mac(id, remote.ip()),
            destination_mac: uplink_mac(id),
            source: remote,
            destination: external,
            ttl: 60,
            dont_fragment: true,
            carries,
            numbers: first_numbers(By::Remote, carries),
            payload: b"in".to_vec(),
        }
    }

    pub(crate) fn with_payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    pub(crate) fn with_ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    pub(crate) fn without_dont_fragment(mut self) -> Self {
        self.dont_fragment = false;
        self
    }

    /// The frame, with an empty vnet header and right checksums.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let step = PacketBuilder::ethernet2(self.source_mac.0, self.destination_mac.0).ip(self.ip_header());
        let mut frame = vec![0; VNET_LEN];
        let (from, to) = (self.source.port(), self.destination.port());
        let is_v4 = self.source.is_ipv4();
        let written = match self.carries {
            Carries::Tcp(flags) => {
                step.tcp_header(tcp(from, to, flags, self.numbers)).write(&mut frame, &self.payload)
            }
            Carries::Udp => step.udp(from, to).write(&mut frame, &self.payload),
            Carries::EchoRequest if is_v4 => {
                step.icmpv4_echo_request(from, 7).write(&mut frame, &self.payload)
            }
            Carries::EchoRequest => step.icmpv6_echo_request(from, 7).write(&mut frame, &self.payload),
            Carries::EchoReply if is_v4 => step.icmpv4_echo_reply(to, 7).write(&mut frame, &self.payload),
            Carries::EchoReply => step.icmpv6_echo_reply(to, 7).write(&mut frame, &self.payload),
            Carries::Icmp { kind, code, rest } => {
                let rest = rest.to_be_bytes();
                if is_v4 {
                    step.icmpv4_raw(kind, code, rest).write(&mut frame, &self.payload)
                } else {
                    step.icmpv6_raw(kind, code, rest).write(&mut frame, &self.payload)
                }
            }
            Carries::Other(number) => step.write(&mut frame, IpNumber(number), &self.payload),
        };
        written.expect("the packet can be written");
        frame
    }

    fn ip_header(&self) -> IpHeaders {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                let mut header =
                    Ipv4Header::new(0, self.ttl, IpNumber(0), source, destination).expect("empty so far");
                header.dont_fragment = self.dont_fragment;
                header.identification = 0x1234;
                IpHeaders::Ipv4(header, Ipv4Extensions::default())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                let header = Ipv6Header { hop_limit: self.ttl, source, destination, ..Ipv6Header::default() };
                IpHeaders::Ipv6(header, Ipv6Extensions::default())
            }
            both => panic!("two versions of IP: {both:?}"),
        }
    }

    /// The packet in a frame, whose checksums must be right.
    pub(crate) fn read(frame: &[u8]) -> Self {
        assert_eq!(checksum::wrong(frame), None, "wrong checksum in {frame:02x?}");
        let headers = PacketHeaders::from_ethernet_slice(&frame[VNET_LEN..]).expect("the frame parses");
        let ethernet = headers.link.expect("has Ethernet").ethernet2().expect("is Ethernet");
        let net = headers.net.expect("has IP");
        let (source, destination, ttl, dont_fragment, number, is_fragment) =
            if let Some((ip, _)) = net.ipv4_ref() {
                let addresses = (IpAddr::from(ip.source), IpAddr::from(ip.destination));
                let is_fragment = ip.more_fragments || ip.fragment_offset != IpFragOffset::ZERO;
                (addresses.0, addresses.1, ip.time_to_live, ip.dont_fragment, ip.protocol.0, is_fragment)
            } else {
                let (ip, extensions) = net.ipv6_ref().expect("has IPv6");
                let number = extensions.next_header(ip.next_header).expect("extensions are in order").0;
                let addresses = (IpAddr::from(ip.source), IpAddr::from(ip.destination));
                (addresses.0, addresses.1, ip.hop_limit, true, number, extensions.fragment.is_some())
            };
        assert!(!is_fragment, "a fragment is no packet: {frame:02x?}");
        assert!(matches!(ethernet.ether_type, EtherType::IPV4 | EtherType::IPV6));
        let payload = headers.payload.slice().to_vec();
        let bytes = &frame[checksum::Transport::of(frame).expect("a whole packet").start..];
        let (carries, numbers, from, to) = transport(headers.transport, number, bytes);
        Self {
            source_mac: MacAddr(ethernet.source),
            destination_mac: MacAddr(ethernet.destination),
            source: endpoint(source, from),
            destination: endpoint(destination, to),
            ttl,
            dont_fragment,
            carries,
            numbers,
            payload,
        }
    }

    /// The first `length` bytes of the IP packet, as an ICMP error embeds them.
    pub(crate) fn embedded(&self, length: usize) -> Vec<u8> {
        let frame = self.frame();
        frame[IP..frame.len().min(IP + length)].to_vec()
    }

    /// The ICMP error that a host or router at `by` sends about this packet, which it received.
    pub(crate) fn error_by(&self, by: impl Into<IpAddr>, kind: u8, code: u8, length: usize) -> Self {
        let by = by.into();
        Self {
            source_mac: self.destination_mac,
            destination_mac: self.source_mac,
            source: endpoint(by, 0),
            destination: endpoint(self.source.ip(), 0),
            ttl: 64,
            dont_fragment: by.is_ipv6(),
            carries: Carries::Icmp { kind, code, rest: 0 },
            numbers: Numbers::default(),
            payload: self.embedded(length),
        }
    }
}

fn first_numbers(by: By, carries: Carries) -> Numbers {
    if let Carries::Tcp(flags) = carries { Numbers::first(by, flags) } else { Numbers::default() }
}

fn tcp(source: u16, destination: u16, flags: u8, numbers: Numbers) -> TcpHeader {
    let mut header = TcpHeader::new(source, destination, numbers.sequence, 1000);
    header.acknowledgment_number = numbers.acknowledgment;
    header.fin = flags & FIN != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & RST != 0;
    header.ack = flags & ACK != 0;
    header
}

/// What a packet carries, and its ports. `bytes` are its transport header and what follows.
fn transport(header: Option<TransportHeader>, number: u8, bytes: &[u8]) -> (Carries, Numbers, u16, u16) {
    use etherparse::{Icmpv4Type as V4, Icmpv6Type as V6};
    let none = Numbers::default();
    let other = || {
        let rest = u32::from_be_bytes(bytes[4..8].try_into().expect("four bytes"));
        Carries::Icmp { kind: bytes[0], code: bytes[1], rest }
    };
    match header {
        Some(TransportHeader::Tcp(h)) => {
            let bits = [(h.fin, FIN), (h.syn, SYN), (h.rst, RST), (h.ack, ACK)];
            let flags = bits.into_iter().filter(|&(set, _)| set).map(|(_, bit)| bit).sum();
            let numbers = Numbers { sequence: h.sequence_number, acknowledgment: h.acknowledgment_number };
            (Carries::Tcp(flags), numbers, h.source_port, h.destination_port)
        }
        Some(TransportHeader::Udp(h)) => (Carries::Udp, none, h.source_port, h.destination_port),
        Some(TransportHeader::Icmpv4(h)) => match h.icmp_type {
            V4::EchoRequest(echo) => (Carries::EchoRequest, none, echo.id, 0),
            V4::EchoReply(echo) => (Carries::EchoReply, none, 0, echo.id),
            _ => (other(), none, 0, 0),
        },
        Some(TransportHeader::Icmpv6(h)) => match h.icmp_type {
            V6::EchoRequest(echo) => (Carries::EchoRequest, none, echo.id, 0),
            V6::EchoReply(echo) => (Carries::EchoReply, none, 0, echo.id),
            _ => (other(), none, 0, 0),
        },
        _ => (Carries::Other(number), none, 0, 0),
    }
}
