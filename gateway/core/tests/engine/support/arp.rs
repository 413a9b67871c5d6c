//! ARP frames, built and read with etherparse.

use std::net::Ipv4Addr;

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, NetHeaders, PacketBuilder, PacketHeaders,
};
use gateway_core::{MacAddr, UplinkId, VNET_LEN};

use super::{EXTERNAL, host_mac, uplink_mac};

/// An ARP message and its Ethernet addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) source_mac: MacAddr,
    pub(crate) destination_mac: MacAddr,
    pub(crate) operation: ArpOperation,
    pub(crate) sender: (MacAddr, Ipv4Addr),
    pub(crate) target: (MacAddr, Ipv4Addr),
}

pub(crate) const NO_MAC: MacAddr = MacAddr([0; 6]);

impl Arp {
    /// `sender` asks everybody for `target`.
    pub(crate) fn request(sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Self {
        Self {
            source_mac: sender.0,
            destination_mac: MacAddr::BROADCAST,
            operation: ArpOperation::REQUEST,
            sender,
            target: (NO_MAC, target),
        }
    }

    /// `sender` answers the one who asked.
    pub(crate) fn reply(sender: (MacAddr, Ipv4Addr), asker: (MacAddr, Ipv4Addr)) -> Self {
        Self {
            source_mac: sender.0,
            destination_mac: asker.0,
            operation: ArpOperation::REPLY,
            sender,
            target: asker,
        }
    }

    /// What the gateway asks on a VPC's link.
    pub(crate) fn gateway_asks(uplink: UplinkId, target: Ipv4Addr) -> Self {
        Self::request((uplink_mac(uplink), EXTERNAL), target)
    }

    /// What a host of a VPC answers to it.
    pub(crate) fn host_answers(uplink: UplinkId, address: Ipv4Addr) -> Self {
        Self::reply((host_mac(uplink, address), address), (uplink_mac(uplink), EXTERNAL))
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let message = ArpPacket::new(
            ArpHardwareId::ETHERNET,
            EtherType::IPV4,
            self.operation,
            &self.sender.0.0,
            &self.sender.1.octets(),
            &self.target.0.0,
            &self.target.1.octets(),
        );
        let mut frame = vec![0; VNET_LEN];
        PacketBuilder::ethernet2(self.source_mac.0, self.destination_mac.0)
            .arp(message.expect("addresses have their lengths"))
            .write(&mut frame)
            .expect("a vector takes every frame");
        frame
    }

    pub(crate) fn read(frame: &[u8]) -> Self {
        let headers = PacketHeaders::from_ethernet_slice(&frame[VNET_LEN..]).expect("the frame parses");
        let ethernet = headers.link.expect("has Ethernet").ethernet2().expect("is Ethernet");
        let Some(NetHeaders::Arp(message)) = headers.net else { panic!("not ARP: {frame:02x?}") };
        let message = message.try_eth_ipv4().expect("is Ethernet and IPv4");
        Self {
            source_mac: MacAddr(ethernet.source),
            destination_mac: MacAddr(ethernet.destination),
            operation: message.operation,
            sender: (MacAddr(message.sender_mac), message.sender_ipv4.into()),
            target: (MacAddr(message.target_mac), message.target_ipv4.into()),
        }
    }
}
