//! Frames to put in, a rig to put them through, and one reading of what comes out.

pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod packet;
pub(crate) mod rig;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use gateway_core::{AttachmentId, ConnectorId, Instant, Link, MacAddr, UplinkId, VNET_LEN};

/// Two containers of VPC A, one of VPC B, one of none. All have the address [`CONTAINER`].
pub(crate) const C1: AttachmentId = AttachmentId(1);
pub(crate) const C2: AttachmentId = AttachmentId(2);
pub(crate) const C3: AttachmentId = AttachmentId(3);
pub(crate) const C4: AttachmentId = AttachmentId(4);

/// Two VPCs with the same prefix, external address and servers.
pub(crate) const VPC_A: UplinkId = UplinkId(1);
pub(crate) const VPC_B: UplinkId = UplinkId(2);
pub(crate) const TO_A: ConnectorId = ConnectorId(1);
pub(crate) const TO_B: ConnectorId = ConnectorId(2);

pub(crate) const CONTAINER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
pub(crate) const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);
pub(crate) const OTHER_SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 21);
/// Nobody has this address.
pub(crate) const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 99);
/// Behind the router of VPC A; VPC B has no router.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

pub(crate) const ETHERNET: usize = VNET_LEN;
pub(crate) const IPV4: usize = ETHERNET + 14;
pub(crate) const TRANSPORT: usize = IPV4 + 20;

pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const FIN: u8 = 0x01;
pub(crate) const ACK: u8 = 0x10;

pub(crate) const fn endpoint(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

pub(crate) const fn inside(id: AttachmentId) -> Link {
    Link::Attachment(id)
}

pub(crate) const fn outside(id: UplinkId) -> Link {
    Link::Uplink(id)
}

/// The container's interface.
pub(crate) const fn container_mac(id: AttachmentId) -> MacAddr {
    MacAddr([2, 0xcc, 0, 0, 0, id.0 as u8])
}

/// The gateway's end of a container's link.
pub(crate) const fn gateway_mac(id: AttachmentId) -> MacAddr {
    MacAddr([2, 0x99, 0, 0, 0, id.0 as u8])
}

/// The gateway's end of a VPC's link.
pub(crate) const fn uplink_mac(id: UplinkId) -> MacAddr {
    MacAddr([2, 0xaa, 0, 0, 0, id.0 as u8])
}

/// The interface of a host in a VPC.
pub(crate) const fn host_mac(uplink: UplinkId, address: Ipv4Addr) -> MacAddr {
    let [_, _, c, d] = address.octets();
    MacAddr([2, 0xee, uplink.0 as u8, 0, c, d])
}

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` seconds after the origin.
pub(crate) fn at(n: u64) -> Instant {
    Instant::ZERO + seconds(n)
}

/// The last instant before `time`.
pub(crate) fn just_before(time: Instant) -> Instant {
    Instant::from_nanos(time.as_nanos() - 1)
}
