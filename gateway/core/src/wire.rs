//! Where header fields stand in a frame, and checked reads of them.
//!
//! A frame is what a TAP or packet socket with a vnet header reads and writes:
//!
//! ```text
//! 0          10              24                44
//! | vnet hdr | Ethernet hdr  | IPv4 hdr        | TCP, UDP or ICMP ...
//! ```
//!
//! Offsets are from the start of the frame. IPv4 options are not translated, so the transport header has one place.

use std::net::Ipv4Addr;

use crate::{MacAddr, Reason};

/// Bytes of vnet header in front of a frame (`struct virtio_net_hdr`, include/uapi/linux/virtio_net.h).
pub const VNET_LEN: usize = 10;

/// Bytes of Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;

/// Bytes of IPv4 header without options.
pub(crate) const IPV4_LEN: usize = 20;

/// Bytes of TCP header without options.
pub(crate) const TCP_LEN: usize = 20;

/// Where the IPv4 header starts.
pub(crate) const IPV4: usize = VNET_LEN + ETHERNET_LEN;

/// Where the transport header starts.
pub(crate) const TRANSPORT: usize = IPV4 + IPV4_LEN;

/// Largest frame: a 64 KiB super-packet with its headers.
pub const FRAME_MAX: usize = IPV4 + 65_535;

/// Where the Ethernet header starts, and its fields.
pub(crate) const ETHERNET: usize = VNET_LEN;

/// IP protocol numbers (IANA).
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
}

/// Offsets of checksum fields in their transport header.
pub(crate) mod checksum_at {
    pub(crate) const ICMP: usize = 2;
    pub(crate) const UDP: usize = 6;
    pub(crate) const TCP: usize = 16;
}

/// ICMP types (RFC 792).
pub(crate) mod icmp_type {
    pub(crate) const ECHO_REPLY: u8 = 0;
    pub(crate) const UNREACHABLE: u8 = 3;
    pub(crate) const ECHO_REQUEST: u8 = 8;
    pub(crate) const TIME_EXCEEDED: u8 = 11;
    pub(crate) const PARAMETER_PROBLEM: u8 = 12;
}

/// TCP flags (RFC 9293 §3.1).
pub(crate) mod tcp_flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;
}

/// EtherTypes (IANA).
pub(crate) mod ether_type {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const VLAN_SERVICE: u16 = 0x88a8;
    pub(crate) const IPV6: u16 = 0x86dd;
}

/// The Ethernet header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ethernet {
    pub(crate) destination: MacAddr,
    pub(crate) source: MacAddr,
}

/// What an Ethernet frame carries, as far as the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    Arp,
    Ipv4,
}

impl Ethernet {
    /// Reads the header; anything but ARP and IPv4 is a reason to drop.
    pub(crate) fn parse(frame: &[u8]) -> Result<(Self, Carried), Reason> {
        let header = frame.get(ETHERNET..IPV4).ok_or(Reason::FrameTruncated)?;
        let mac = |at: usize| MacAddr(array(header, at));
        let carried = match u16_at(header, 12) {
            ether_type::IPV4 => Carried::Ipv4,
            ether_type::ARP => Carried::Arp,
            ether_type::IPV6 => return Err(Reason::Ipv6Unsupported),
            ether_type::VLAN | ether_type::VLAN_SERVICE => return Err(Reason::VlanTagged),
            _ => return Err(Reason::EtherTypeUnsupported),
        };
        Ok((Self { destination: mac(0), source: mac(6) }, carried))
    }

    /// Writes the two addresses of a frame.
    pub(crate) fn address(frame: &mut [u8], destination: MacAddr, source: MacAddr) {
        frame[ETHERNET..ETHERNET + 6].copy_from_slice(&destination.0);
        frame[ETHERNET + 6..ETHERNET + 12].copy_from_slice(&source.0);
    }

    /// Writes the whole header.
    pub(crate) fn emit(frame: &mut [u8], destination: MacAddr, source: MacAddr, ether_type: u16) {
        Self::address(frame, destination, source);
        put_u16(frame, ETHERNET + 12, ether_type);
    }
}

/// The big-endian word at `at`, which the caller has checked to be inside.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

/// The address at `at`, which the caller has checked to be inside.
pub(crate) fn address_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(bytes, at))
}

/// Writes a big-endian word.
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
