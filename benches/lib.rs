//! Shared pieces of the benches: an engine with one container and one VPC, and frames of that container.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::PacketBuilder;
use gateway_core::{
    AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId, Engine,
    Instant, Link, MacAddr, PortSet, Unsolicited, UplinkConfig, UplinkId, VNET_LEN, Verdict, WorkerSlot,
};

/// The container's link.
pub const INSIDE: Link = Link::Attachment(ATTACHMENT);
/// The VPC's link.
pub const OUTSIDE: Link = Link::Uplink(UPLINK);
/// A server in the VPC, whose MAC address is known.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);

const ATTACHMENT: AttachmentId = AttachmentId(1);
const UPLINK: UplinkId = UplinkId(1);
const CONNECTOR: ConnectorId = ConnectorId(1);
const CONTAINER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);
const CONTAINER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const UPLINK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 4]);
const ETHERNET_LEN: usize = 14;

/// An engine with a container that may reach a VPC, in which [`SERVER`] is resolved.
pub fn engine() -> Engine {
    let mut engine = Engine::new(WorkerSlot::ONLY, [7; 32]);
    let prefix = "10.1.0.0/16".parse().expect("a prefix");
    let uplink = UplinkConfig {
        id: UPLINK,
        mac: UPLINK_MAC,
        mtu: 1500,
        on_link: vec![prefix],
        next_hops: Vec::new(),
        space: AddressSpace::new(vec![EXTERNAL.into()], PortSet::default(), 1),
        port_blocks: false,
        unsolicited: Unsolicited::default(),
    };
    let attachment = AttachmentConfig {
        id: ATTACHMENT,
        addresses: vec![Addressing {
            address: CONTAINER.into(),
            gateway: Ipv4Addr::new(169, 254, 1, 1).into(),
        }],
        mac: CONTAINER_MAC,
        gateway_mac: GATEWAY_MAC,
        mtu: 1500,
    };
    let connector = ConnectorConfig::new(CONNECTOR, UPLINK, vec![prefix]);
    for command in [
        Command::AddUplink(uplink),
        Command::AddAttachment(attachment),
        Command::Attach { attachment: ATTACHMENT, connector },
    ] {
        engine.apply(Instant::ZERO, command).expect("the configuration is good");
    }
    resolve_server(&mut engine);
    engine
}

/// One packet waits for the server's MAC address until it answers.
fn resolve_server(engine: &mut Engine) {
    assert_eq!(engine.handle_packet(Instant::ZERO, INSIDE, &mut udp(1, 1, 18)), Verdict::Hold);
    let answer = etherparse::ArpPacket::new(
        etherparse::ArpHardwareId::ETHERNET,
        etherparse::EtherType::IPV4,
        etherparse::ArpOperation::REPLY,
        &SERVER_MAC.0,
        &SERVER.octets(),
        &UPLINK_MAC.0,
        &EXTERNAL.octets(),
    );
    let mut frame = vec![0; VNET_LEN];
    PacketBuilder::ethernet2(SERVER_MAC.0, UPLINK_MAC.0)
        .arp(answer.expect("addresses have their lengths"))
        .write(&mut frame)
        .expect("a vector takes every frame");
    assert_eq!(engine.handle_packet(Instant::ZERO, OUTSIDE, &mut frame), Verdict::Respond);
    while engine.poll_transmit().is_some() {}
}

/// A UDP frame of the container to [`SERVER`], with `payload` bytes.
pub fn udp(source: u16, destination: u16, payload: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CONTAINER_MAC.0, GATEWAY_MAC.0)
        .ipv4(CONTAINER.octets(), SERVER.octets(), 64)
        .udp(source, destination);
    let mut frame = vec![0; VNET_LEN];
    builder.write(&mut frame, &vec![0xa5; payload]).expect("a vector takes every frame");
    frame
}

/// A UDP frame of 64 bytes on the wire.
pub fn small_frame() -> Vec<u8> {
    let frame = udp(4000, 53, 64 - ETHERNET_LEN - 28);
    assert_eq!(frame.len(), VNET_LEN + 64);
    frame
}

/// A TCP super-packet of 64 KiB of the container to [`SERVER`], with a partial checksum; its SYN opens the session.
pub fn super_packet() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CONTAINER_MAC.0, GATEWAY_MAC.0)
        .ipv4(CONTAINER.octets(), SERVER.octets(), 64)
        .tcp(4000, 80, 1, 65_535)
        .syn();
    let mut frame = vec![0; VNET_LEN];
    builder.write(&mut frame, &vec![0xa5; 65_535 - 40]).expect("a vector takes every frame");
    // NEEDS_CSUM, GSO_TCPV4, then hdr_len, gso_size, csum_start, csum_offset.
    (frame[0], frame[1]) = (1, 1);
    frame[2..VNET_LEN].copy_from_slice([54, 1448, 34, 16].map(u16::to_ne_bytes).as_flattened());
    frame
}

/// The source endpoint of a frame.
pub fn source(frame: &[u8]) -> SocketAddrV4 {
    let ip = &frame[VNET_LEN + ETHERNET_LEN..];
    let address = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    SocketAddrV4::new(address, u16::from_be_bytes([ip[20], ip[21]]))
}

/// Whether a frame came out as the VPC may see it.
pub fn is_translated(frame: &[u8]) -> bool {
    *source(frame).ip() == EXTERNAL
}
