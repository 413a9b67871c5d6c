//! A packet as a value: what tests send, and what they compare with what came out.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, PacketBuilder, PacketHeaders, TcpHeader, TransportHeader,
};
use gateway_core::{AttachmentId, MacAddr, UplinkId, VNET_LEN};

use super::{
    ACK, CONTAINER, FIN, IPV4, RST, SYN, checksum, container_mac, endpoint, gateway_mac, host_mac, uplink_mac,
};

/// One IPv4 packet in its Ethernet frame. An echo's id is the port of the side that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source_mac: MacAddr,
    pub(crate) destination_mac: MacAddr,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) carries: Carries,
    pub(crate) payload: Vec<u8>,
}

/// What is behind the IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// With these flags.
    Tcp(u8),
    Udp,
    EchoRequest,
    EchoReply,
    /// Any other ICMP message; `rest` is the word at its end, after the checksum and two zero bytes.
    Icmp {
        kind: u8,
        code: u8,
        rest: u16,
    },
    /// Another IP protocol, all payload.
    Other(u8),
}

impl Packet {
    /// From a container to `remote`.
    pub(crate) fn outbound(id: AttachmentId, carries: Carries, port: u16, remote: SocketAddrV4) -> Self {
        Self {
            source_mac: container_mac(id),
            destination_mac: gateway_mac(id),
            source: endpoint(CONTAINER, port),
            destination: remote,
            ttl: 64,
            dont_fragment: true,
            carries,
            payload: b"out".to_vec(),
        }
    }

    /// From `remote` in a VPC to an external endpoint.
    pub(crate) fn inbound(
        id: UplinkId,
        carries: Carries,
        remote: SocketAddrV4,
        external: SocketAddrV4,
    ) -> Self {
        Self {
            source_mac: host_mac(id, *remote.ip()),
            destination_mac: uplink_mac(id),
            source: remote,
            destination: external,
            ttl: 60,
            dont_fragment: true,
            carries,
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
        let [source, destination] = [self.source, self.destination].map(|e| e.ip().octets());
        let mut ip = Ipv4Header::new(0, self.ttl, IpNumber(0), source, destination).expect("empty so far");
        ip.dont_fragment = self.dont_fragment;
        ip.identification = 0x1234;
        let step = PacketBuilder::ethernet2(self.source_mac.0, self.destination_mac.0)
            .ip(IpHeaders::Ipv4(ip, Ipv4Extensions::default()));
        let mut frame = vec![0; VNET_LEN];
        let (from, to) = (self.source.port(), self.destination.port());
        let written = match self.carries {
            Carries::Tcp(flags) => step.tcp_header(tcp(from, to, flags)).write(&mut frame, &self.payload),
            Carries::Udp => step.udp(from, to).write(&mut frame, &self.payload),
            Carries::EchoRequest => step.icmpv4_echo_request(from, 7).write(&mut frame, &self.payload),
            Carries::EchoReply => step.icmpv4_echo_reply(to, 7).write(&mut frame, &self.payload),
            Carries::Icmp { kind, code, rest } => {
                let [high, low] = rest.to_be_bytes();
                step.icmpv4_raw(kind, code, [0, 0, high, low]).write(&mut frame, &self.payload)
            }
            Carries::Other(number) => step.write(&mut frame, IpNumber(number), &self.payload),
        };
        written.expect("the packet can be written");
        frame
    }

    /// The packet in a frame, whose checksums must be right.
    pub(crate) fn read(frame: &[u8]) -> Self {
        assert_eq!(checksum::wrong(frame), None, "wrong checksum in {frame:02x?}");
        let headers = PacketHeaders::from_ethernet_slice(&frame[VNET_LEN..]).expect("the frame parses");
        let ethernet = headers.link.expect("has Ethernet").ethernet2().expect("is Ethernet");
        let (ip, _) = headers.net.as_ref().and_then(|n| n.ipv4_ref()).expect("has IPv4");
        let payload = headers.payload.slice().to_vec();
        let (carries, from, to, payload) = transport(headers.transport, ip, payload);
        Self {
            source_mac: MacAddr(ethernet.source),
            destination_mac: MacAddr(ethernet.destination),
            source: endpoint(ip.source.into(), from),
            destination: endpoint(ip.destination.into(), to),
            ttl: ip.time_to_live,
            dont_fragment: ip.dont_fragment,
            carries,
            payload,
        }
    }

    /// The first `length` bytes of the IPv4 packet, as an ICMP error embeds them.
    pub(crate) fn embedded(&self, length: usize) -> Vec<u8> {
        let frame = self.frame();
        frame[IPV4..frame.len().min(IPV4 + length)].to_vec()
    }

    /// The ICMP error that a host or router at `by` sends about this packet, which it received.
    pub(crate) fn error_by(&self, by: Ipv4Addr, kind: u8, code: u8, length: usize) -> Self {
        Self {
            source_mac: self.destination_mac,
            destination_mac: self.source_mac,
            source: endpoint(by, 0),
            destination: endpoint(*self.source.ip(), 0),
            ttl: 64,
            dont_fragment: false,
            carries: Carries::Icmp { kind, code, rest: 0 },
            payload: self.embedded(length),
        }
    }
}

fn tcp(source: u16, destination: u16, flags: u8) -> TcpHeader {
    let mut header = TcpHeader::new(source, destination, 0x0102_0304, 1000);
    header.fin = flags & FIN != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & RST != 0;
    header.ack = flags & ACK != 0;
    header
}

fn transport(
    header: Option<TransportHeader>,
    ip: &Ipv4Header,
    payload: Vec<u8>,
) -> (Carries, u16, u16, Vec<u8>) {
    use etherparse::Icmpv4Type as T;
    match header {
        Some(TransportHeader::Tcp(h)) => {
            let bits = [(h.fin, FIN), (h.syn, SYN), (h.rst, RST), (h.ack, ACK)];
            let flags = bits.into_iter().filter(|&(set, _)| set).map(|(_, bit)| bit).sum();
            (Carries::Tcp(flags), h.source_port, h.destination_port, payload)
        }
        Some(TransportHeader::Udp(h)) => (Carries::Udp, h.source_port, h.destination_port, payload),
        Some(TransportHeader::Icmpv4(h)) => match h.icmp_type {
            T::EchoRequest(echo) => (Carries::EchoRequest, echo.id, 0, payload),
            T::EchoReply(echo) => (Carries::EchoReply, 0, echo.id, payload),
            _ => {
                let bytes = h.to_bytes();
                let (kind, code, rest) = (bytes[0], bytes[1], checksum::word(&bytes, 6));
                (Carries::Icmp { kind, code, rest }, 0, 0, payload)
            }
        },
        _ => (Carries::Other(ip.protocol.0), 0, 0, payload),
    }
}
