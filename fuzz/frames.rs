//! Good frames of a container and of a server in its VPC.

use std::net::Ipv4Addr;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder, PacketBuilderStep};
use gateway_core::{MacAddr, VNET_LEN};

/// The only external port, of every protocol, so that inbound seeds can name it.
pub const EXTERNAL_PORT: u16 = 2048;
/// The port of every session's container end.
pub const INTERNAL_PORT: u16 = 4000;
/// The port of every session's remote end.
pub const REMOTE_PORT: u16 = 80;

/// The container's address.
pub const CONTAINER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
/// The gateway's address on the container's link.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// What the VPC sees instead of [`CONTAINER`].
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);
/// The remote end of every session.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);

pub(crate) const CONTAINER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const UPLINK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
pub(crate) const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 4]);

/// The beginning of a packet from the container to [`SERVER`].
pub fn out() -> PacketBuilderStep<etherparse::IpHeaders> {
    out_to(SERVER)
}

/// The beginning of a packet from the container.
pub fn out_to(destination: Ipv4Addr) -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2(CONTAINER_MAC.0, GATEWAY_MAC.0).ipv4(
        CONTAINER.octets(),
        destination.octets(),
        64,
    )
}

/// The beginning of a packet from [`SERVER`] to the external address.
pub fn back() -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2(SERVER_MAC.0, UPLINK_MAC.0).ipv4(SERVER.octets(), EXTERNAL.octets(), 64)
}

/// What can be behind an IPv4 header here.
pub trait Finish {
    /// Writes the packet behind what is in `frame`.
    fn finish(self, frame: &mut Vec<u8>, payload: &[u8]);
}

macro_rules! finish {
    ($($header:ty),+) => {$(
        impl Finish for PacketBuilderStep<$header> {
            fn finish(self, frame: &mut Vec<u8>, payload: &[u8]) {
                self.write(frame, payload).expect("a vector takes every frame");
            }
        }
    )+};
}

finish!(etherparse::TcpHeader, etherparse::UdpHeader, etherparse::Icmpv4Header);

/// The frame of a packet with little payload.
pub fn frame(packet: impl Finish) -> Vec<u8> {
    frame_with(packet, b"payload")
}

/// The frame of a packet.
pub fn frame_with(packet: impl Finish, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; VNET_LEN];
    packet.finish(&mut frame, payload);
    frame
}

/// The server's ARP reply to the gateway.
pub fn server_answers() -> Vec<u8> {
    arp(ArpOperation::REPLY, (SERVER_MAC, SERVER), (UPLINK_MAC, EXTERNAL))
}

/// The container's ARP request for the gateway.
pub fn container_asks() -> Vec<u8> {
    arp(ArpOperation::REQUEST, (CONTAINER_MAC, CONTAINER), (GATEWAY_MAC, GATEWAY))
}

fn arp(operation: ArpOperation, from: (MacAddr, Ipv4Addr), to: (MacAddr, Ipv4Addr)) -> Vec<u8> {
    let (sender, target) = (from.1.octets(), to.1.octets());
    let (ethernet, ipv4) = (ArpHardwareId::ETHERNET, EtherType::IPV4);
    let message = ArpPacket::new(ethernet, ipv4, operation, &from.0.0, &sender, &to.0.0, &target);
    let mut frame = vec![0; VNET_LEN];
    PacketBuilder::ethernet2(from.0.0, to.0.0)
        .arp(message.expect("addresses have their lengths"))
        .write(&mut frame)
        .expect("a vector takes every frame");
    frame
}
