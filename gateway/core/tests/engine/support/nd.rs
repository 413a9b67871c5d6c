//! Neighbor Discovery, built and read as ICMPv6 messages (RFC 4861 §4).

use std::net::{IpAddr, Ipv6Addr};

use gateway_core::{MacAddr, UplinkId};

use super::packet::{Carries, Packet};
use super::tcp::Numbers;
use super::{EXTERNAL_V6, endpoint, host_mac, uplink_mac};

pub(crate) const ROUTER_SOLICITATION: u8 = 133;
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;

pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A neighbor solicitation or advertisement, and its Ethernet and IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nd {
    pub(crate) source: (MacAddr, Ipv6Addr),
    pub(crate) destination: (MacAddr, Ipv6Addr),
    pub(crate) kind: u8,
    /// The first byte behind the checksum.
    pub(crate) flags: u8,
    pub(crate) target: Ipv6Addr,
    /// The link-layer address option.
    pub(crate) mac: Option<MacAddr>,
}

impl Nd {
    /// `source` asks for `target`.
    pub(crate) fn solicitation(source: (MacAddr, Ipv6Addr), target: Ipv6Addr) -> Self {
        let group = solicited_node(target);
        let destination = (multicast_mac(group), group);
        Self { source, destination, kind: SOLICITATION, flags: 0, target, mac: Some(source.0) }
    }

    /// `source` says where it is, to the one who asked.
    pub(crate) fn advertisement(source: (MacAddr, Ipv6Addr), asker: (MacAddr, Ipv6Addr)) -> Self {
        // Solicited, override.
        let flags = 0x60;
        let mac = Some(source.0);
        Self { source, destination: asker, kind: ADVERTISEMENT, flags, target: source.1, mac }
    }

    /// What the gateway asks on a VPC's link.
    pub(crate) fn gateway_asks(uplink: UplinkId, target: Ipv6Addr) -> Self {
        Self::solicitation((uplink_mac(uplink), EXTERNAL_V6), target)
    }

    /// What a host of a VPC answers to it.
    pub(crate) fn host_answers(uplink: UplinkId, address: Ipv6Addr) -> Self {
        Self::advertisement((host_mac(uplink, address), address), (uplink_mac(uplink), EXTERNAL_V6))
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        self.packet().frame()
    }

    /// As a packet, for tests that change something of it.
    pub(crate) fn packet(&self) -> Packet {
        let mut payload = self.target.octets().to_vec();
        if let Some(mac) = self.mac {
            payload.extend([if self.kind == SOLICITATION { 1 } else { 2 }, 1]);
            payload.extend(mac.0);
        }
        let carries = Carries::Icmp { kind: self.kind, code: 0, rest: u32::from(self.flags) << 24 };
        Packet { carries, ..message(self.source, self.destination, self.kind) }.with_payload(payload)
    }

    pub(crate) fn read(frame: &[u8]) -> Self {
        let packet = Packet::read(frame);
        let (Carries::Icmp { kind, code: 0, rest }, 255) = (packet.carries, packet.ttl) else {
            panic!("not Neighbor Discovery: {packet:?}");
        };
        assert!(matches!(kind, SOLICITATION | ADVERTISEMENT), "{packet:?}");
        let target: [u8; 16] = packet.payload[..16].try_into().expect("has a target");
        let mac = match packet.payload[16..] {
            [] => None,
            [1 | 2, 1, ref mac @ ..] => Some(MacAddr(mac.try_into().expect("one option"))),
            ref other => panic!("not one option: {other:02x?}"),
        };
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source.ip(), packet.destination.ip())
        else {
            panic!("not IPv6: {packet:?}");
        };
        Self {
            source: (packet.source_mac, source),
            destination: (packet.destination_mac, destination),
            kind,
            flags: (rest >> 24) as u8,
            target: target.into(),
            mac,
        }
    }
}

/// The first eight bytes of a message of Neighbor Discovery, zero but for `kind` and checksum.
pub(crate) fn message(source: (MacAddr, Ipv6Addr), destination: (MacAddr, Ipv6Addr), kind: u8) -> Packet {
    Packet {
        source_mac: source.0,
        destination_mac: destination.0,
        source: endpoint(source.1, 0),
        destination: endpoint(destination.1, 0),
        ttl: 255,
        dont_fragment: true,
        carries: Carries::Icmp { kind, code: 0, rest: 0 },
        numbers: Numbers::default(),
        payload: vec![],
    }
}

/// The group that a node with `address` listens to (RFC 4291 §2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The MAC address of a group (RFC 2464 §7).
pub(crate) fn multicast_mac(address: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = address.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}
