//! The network of the benches: containers, VPCs with external addresses, a router in each VPC that is resolved, and behind
//! it as many remotes as there are addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use gateway_core::{
    AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId, Engine,
    Instant, Link, MacAddr, PortSet, Transmit, Unsolicited, UplinkConfig, UplinkId, VNET_LEN, Verdict,
    WorkerSlot,
};

use crate::frame::{Ends, Shape};

/// Containers of every engine. None may have all sessions of the largest table (`SESSIONS_PER_ATTACHMENT`).
pub const CONTAINERS: usize = 128;

/// VPCs of every engine. No uplink may have external addresses for all containers (`EXTERNAL_ADDRESSES_PER_UPLINK`).
pub const UPLINKS: usize = 4;

/// Containers of one VPC; each has an external address of its own, so that there are ports for every size of table.
pub const PER_UPLINK: usize = CONTAINERS / UPLINKS;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// All that the benches' containers and VPCs have, for one IP version.
#[derive(Clone, Copy, Debug)]
pub struct Network(pub Family);

impl Network {
    /// An engine with all containers and VPCs, in which every VPC's router is resolved and nobody has a session.
    pub fn engine(self, seed: [u8; 32]) -> Engine {
        let mut engine = Engine::new(WorkerSlot::ONLY, seed);
        for uplink in 0..UPLINKS {
            self.apply(&mut engine, Command::AddUplink(self.uplink_config(uplink)));
        }
        for container in 0..CONTAINERS {
            self.add_container(&mut engine, container);
        }
        for uplink in 0..UPLINKS {
            self.resolve(&mut engine, uplink);
        }
        assert_eq!(engine.session_count(), 0, "what resolved the routers is gone");
        engine
    }

    /// Does what the shell and the VPCs would: every question for a router's MAC address is answered.
    pub fn serve(self, engine: &mut Engine, now: Instant) {
        while let Some(transmit) = engine.poll_transmit() {
            if let Transmit::Frame { to: Link::Uplink(id), .. } = transmit {
                let mut answer = self.answer(id.0 as usize - 1);
                engine.handle_packet(now, Link::Uplink(id), &mut answer);
            }
        }
        while engine.poll_event().is_some() {}
    }

    /// A container's link.
    pub const fn container(container: usize) -> Link {
        Link::Attachment(AttachmentId(container as u32 + 1))
    }

    /// A VPC's link.
    pub const fn uplink(uplink: usize) -> Link {
        Link::Uplink(UplinkId(uplink as u32 + 1))
    }

    /// The VPC that a container is connected to.
    pub const fn uplink_of(container: usize) -> usize {
        container / PER_UPLINK
    }

    /// What every container has as its own address.
    pub const fn inside(self) -> IpAddr {
        self.address(Ipv4Addr::new(169, 254, 1, 2), 0xfe00_0001_0002)
    }

    /// What a container's packets have as their source outside. Pairing goes by the attachment's number.
    pub const fn external(self, container: usize) -> IpAddr {
        self.external_at(Self::uplink_of(container), (container + 1) % PER_UPLINK)
    }

    /// One of the remotes behind the routers.
    pub const fn remote(self, number: u32) -> IpAddr {
        let [_, b, c, d] = number.to_be_bytes();
        self.address(Ipv4Addr::new(20, b, c, d), 0x2_0000_0000 | number as u64)
    }

    /// Destination and source MAC address of a container's frame.
    pub const fn macs_inside(container: usize) -> (MacAddr, MacAddr) {
        (GATEWAY_MAC, mac(0x10, container))
    }

    /// Destination and source MAC address of a frame from a VPC's router.
    pub const fn macs_outside(uplink: usize) -> (MacAddr, MacAddr) {
        (mac(0x20, uplink), mac(0x30, uplink))
    }

    const fn external_at(self, uplink: usize, place: usize) -> IpAddr {
        let host = place as u8 + 10;
        self.address(
            Ipv4Addr::new(10, 100 + uplink as u8, 0, host),
            0x1_0000 * (uplink as u64 + 1) + host as u64,
        )
    }

    const fn router(self, uplink: usize) -> IpAddr {
        self.external_at(uplink, usize::MAX & 0xef)
    }

    /// The address of this version; the last 64 bits of IPv6 are `host`.
    const fn address(self, v4: Ipv4Addr, host: u64) -> IpAddr {
        match self.0 {
            Family::V4 => IpAddr::V4(v4),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(PREFIX | host as u128)),
        }
    }

    fn uplink_config(self, uplink: usize) -> UplinkConfig {
        let external = (0..PER_UPLINK).map(|place| self.external_at(uplink, place)).collect();
        let on_link = match self.0 {
            Family::V4 => format!("10.{}.0.0/16", 100 + uplink),
            Family::V6 => format!("{}/112", self.external_at(uplink, 0)),
        };
        UplinkConfig {
            id: UplinkId(uplink as u32 + 1),
            mac: Self::macs_outside(uplink).0,
            mtu: MTU,
            on_link: vec![on_link.parse().expect("a prefix")],
            next_hops: vec![self.router(uplink)],
            space: AddressSpace::new(external, PortSet::default(), 1),
            reserved: Vec::new(),
            port_blocks: false,
            unsolicited: Unsolicited::default(),
        }
    }

    fn add_container(self, engine: &mut Engine, container: usize) {
        let Link::Attachment(id) = Self::container(container) else { unreachable!("a container's link") };
        let (gateway_mac, mac) = Self::macs_inside(container);
        let gateway = self.address(Ipv4Addr::new(169, 254, 1, 1), 1);
        let gateway = if gateway.is_ipv6() { "fe80::1".parse().expect("an address") } else { gateway };
        let addresses = vec![Addressing { address: self.inside(), gateway }];
        self.apply(
            engine,
            Command::AddAttachment(AttachmentConfig { id, addresses, mac, gateway_mac, mtu: MTU }),
        );
        let uplink = Self::uplink_of(container);
        let everywhere = match self.0 {
            Family::V4 => "0.0.0.0/0",
            Family::V6 => "::/0",
        };
        let destinations = vec![everywhere.parse().expect("a prefix")];
        let connector =
            ConnectorConfig::new(ConnectorId(uplink as u32 + 1), UplinkId(uplink as u32 + 1), destinations);
        self.apply(engine, Command::Attach { attachment: id, connector });
    }

    fn apply(self, engine: &mut Engine, command: Command) {
        engine.apply(Instant::ZERO, command).expect("the configuration is good");
        self.serve(engine, Instant::ZERO);
    }

    /// One packet of a container that comes and goes waits for the router's MAC address until it answers.
    fn resolve(self, engine: &mut Engine, uplink: usize) {
        let container = CONTAINERS + uplink;
        let Link::Attachment(id) = Self::container(container) else { unreachable!("a container's link") };
        let (gateway_mac, mac) = Self::macs_inside(container);
        let gateway = self.address(Ipv4Addr::new(169, 254, 1, 1), 1);
        let addresses = vec![Addressing { address: self.inside(), gateway }];
        self.apply(
            engine,
            Command::AddAttachment(AttachmentConfig { id, addresses, mac, gateway_mac, mtu: MTU }),
        );
        let destinations = vec!["0.0.0.0/0".parse().expect("a prefix"), "::/0".parse().expect("a prefix")];
        let connector = ConnectorConfig::new(ConnectorId(99), UplinkId(uplink as u32 + 1), destinations);
        self.apply(engine, Command::Attach { attachment: id, connector });
        let shape = Shape::udp(self.0, 80);
        let mut frame = shape.frame();
        let ends = Ends {
            macs: Self::macs_inside(container),
            source: (self.inside(), 1).into(),
            destination: (self.remote(1), 1).into(),
        };
        shape.write(ends, &mut frame);
        let held = engine.handle_packet(Instant::ZERO, Self::container(container), &mut frame);
        assert_eq!(held, Verdict::Hold, "the router is not known");
        self.serve(engine, Instant::ZERO);
        self.apply(engine, Command::RemoveAttachment(id));
    }

    /// The router of a VPC says which MAC address it has.
    fn answer(self, uplink: usize) -> Vec<u8> {
        let (ours, routers) = Self::macs_outside(uplink);
        let mut frame = vec![0; VNET_LEN];
        let builder = PacketBuilder::ethernet2(routers.0, ours.0);
        let written = match (self.router(uplink), self.external_at(uplink, 0)) {
            (IpAddr::V4(router), IpAddr::V4(external)) => {
                let answer = ArpPacket::new(
                    ArpHardwareId::ETHERNET,
                    EtherType::IPV4,
                    ArpOperation::REPLY,
                    &routers.0,
                    &router.octets(),
                    &ours.0,
                    &external.octets(),
                );
                builder.arp(answer.expect("addresses have their lengths")).write(&mut frame)
            }
            (IpAddr::V6(router), IpAddr::V6(external)) => {
                // RFC 4861 §4.4: type 136, solicited and override; option 2 is the target's link-layer address.
                let target = [&router.octets()[..], &[2, 1], &routers.0].concat();
                builder
                    .ipv6(router.octets(), external.octets(), 255)
                    .icmpv6_raw(136, 0, [0x60, 0, 0, 0])
                    .write(&mut frame, &target)
            }
            _ => unreachable!("a network has one IP version"),
        };
        written.expect("a vector takes every frame");
        frame
    }
}

const fn mac(kind: u8, number: usize) -> MacAddr {
    let [high, low] = (number as u16).to_be_bytes();
    MacAddr([2, 0, 0, kind, high, low])
}

const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const MTU: u16 = 1500;
/// Of every address but those of the gateway itself.
const PREFIX: u128 = 0xfd00_0000_0000_0001 << 64;
/// Ports and hash keys of the engines are the same in every run, so that runs can be compared.
pub const SEED: [u8; 32] = [7; 32];
