//! Frames to put in, a rig to put them through, and one reading of what comes out.

pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod fragments;
pub(crate) mod nd;
pub(crate) mod packet;
pub(crate) mod rig;
pub(crate) mod tcp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use gateway_core::{AttachmentId, ConnectorId, Instant, Link, MacAddr, UplinkId, VNET_LEN};

/// Two containers of VPC A, one of VPC B, one of none. All have the addresses [`CONTAINER`] and [`CONTAINER_V6`].
pub(crate) const C1: AttachmentId = AttachmentId(1);
pub(crate) const C2: AttachmentId = AttachmentId(2);
pub(crate) const C3: AttachmentId = AttachmentId(3);
pub(crate) const C4: AttachmentId = AttachmentId(4);

/// Two VPCs with the same prefixes, external addresses and servers.
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

/// The same in IPv6.
pub(crate) const CONTAINER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0xc, 0, 0, 0, 2);
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const EXTERNAL_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x10);
pub(crate) const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);
pub(crate) const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x20);
pub(crate) const OTHER_SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x21);
pub(crate) const NOBODY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x99);
pub(crate) const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

pub(crate) const ETHERNET: usize = VNET_LEN;
/// Where the IP header starts, and the transport headers behind it.
pub(crate) const IP: usize = ETHERNET + 14;
pub(crate) const TRANSPORT: usize = IP + 20;
pub(crate) const TRANSPORT_V6: usize = IP + 40;

pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const FIN: u8 = 0x01;
pub(crate) const ACK: u8 = 0x10;

pub(crate) fn endpoint(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
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

/// The interface of a host in a VPC. A host with two addresses has two.
pub(crate) fn host_mac(uplink: UplinkId, address: impl Into<IpAddr>) -> MacAddr {
    match address.into() {
        IpAddr::V4(address) => {
            let [_, _, c, d] = address.octets();
            MacAddr([2, 0xee, uplink.0 as u8, 0, c, d])
        }
        IpAddr::V6(address) => {
            let [.., c, d] = address.octets();
            MacAddr([2, 0xee, uplink.0 as u8, 6, c, d])
        }
    }
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
