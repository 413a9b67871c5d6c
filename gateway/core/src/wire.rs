//! Where header fields stand in a frame, and checked reads of them.
//!
//! A frame is what a TAP or packet socket with a vnet header reads and writes:
//!
//! ```text
//! 0          10              24
//! | vnet hdr | Ethernet hdr  | IPv4 or IPv6 hdr | TCP, UDP or ICMP ...
//! ```
//!
//! Offsets are from the start of the frame. Where the transport header starts is the packet's to say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{MacAddr, Reason};

/// Bytes of vnet header in front of a frame (`struct virtio_net_hdr`, include/uapi/linux/virtio_net.h).
pub const VNET_LEN: usize = 10;

/// Bytes of Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;

/// Bytes of IPv4 header without options.
pub(crate) const IPV4_LEN: usize = 20;

/// Bytes of IPv6 header without extension headers.
pub(crate) const IPV6_LEN: usize = 40;

/// Bytes of TCP header without options.
pub(crate) const TCP_LEN: usize = 20;

/// Bytes of UDP header.
pub(crate) const UDP_LEN: usize = 8;

/// Where the IP header starts.
pub(crate) const IP: usize = VNET_LEN + ETHERNET_LEN;

/// Largest frame: 64 KiB behind an IPv6 header, which does not count itself.
pub const FRAME_MAX: usize = IP + IPV6_LEN + 65_535;

/// TTL or hop limit of packets that the gateway itself makes. IANA's recommended default (RFC 1700).
pub(crate) const OWN_TTL: u8 = 64;

/// Where the Ethernet header starts, and its fields.
pub(crate) const ETHERNET: usize = VNET_LEN;

/// IP protocol numbers (IANA).
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
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

/// ICMPv6 types (RFC 4443 §2.1, RFC 2710, RFC 3810).
pub(crate) mod icmpv6_type {
    pub(crate) const UNREACHABLE: u8 = 1;
    pub(crate) const PACKET_TOO_BIG: u8 = 2;
    pub(crate) const TIME_EXCEEDED: u8 = 3;
    pub(crate) const PARAMETER_PROBLEM: u8 = 4;
    pub(crate) const ECHO_REQUEST: u8 = 128;
    pub(crate) const ECHO_REPLY: u8 = 129;
    pub(crate) const MULTICAST_LISTENER_QUERY: u8 = 130;
    pub(crate) const MULTICAST_LISTENER_DONE: u8 = 132;
    pub(crate) const MULTICAST_LISTENER_REPORT_2: u8 = 143;
}

/// TCP flags (RFC 9293 §3.1).
pub(crate) mod tcp_flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
    pub(crate) const CWR: u8 = 0x80;
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
    Ip(Family),
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bytes of IP header without options and extension headers.
    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::V4 => IPV4_LEN,
            Self::V6 => IPV6_LEN,
        }
    }

    /// The protocol number of its ICMP.
    pub(crate) const fn icmp(self) -> u8 {
        match self {
            Self::V4 => protocol::ICMP,
            Self::V6 => protocol::ICMPV6,
        }
    }

    pub(crate) const fn ether_type(self) -> u16 {
        match self {
            Self::V4 => ether_type::IPV4,
            Self::V6 => ether_type::IPV6,
        }
    }
}

impl Ethernet {
    /// Reads the header; anything but ARP and IP is a reason to drop.
    pub(crate) fn parse(frame: &[u8]) -> Result<(Self, Carried), Reason> {
        let header = frame.get(ETHERNET..IP).ok_or(Reason::FrameTruncated)?;
        let mac = |at: usize| MacAddr(array(header, at));
        let carried = match u16_at(header, 12) {
            ether_type::IPV4 => Carried::Ip(Family::V4),
            ether_type::IPV6 => Carried::Ip(Family::V6),
            ether_type::ARP => Carried::Arp,
            ether_type::VLAN | ether_type::VLAN_SERVICE => return Err(Reason::VlanTagged),
            _ => return Err(Reason::EtherTypeUnsupported),
        };
        Ok((Self { destination: mac(0), source: mac(6) }, carried))
    }

    /// Writes the two addresses of a frame.
    #[inline(always)]
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
#[inline(always)]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

/// The word at `at` in the machine's own byte order: good enough for checksums (RFC 1071 §2 (B)).
#[inline(always)]
pub(crate) fn native_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(array(bytes, at))
}

/// Writes one.
#[inline(always)]
pub(crate) fn put_native(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

/// The big-endian double word at `at`, which the caller has checked to be inside.
#[inline(always)]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

/// The IPv4 address at `at`, which the caller has checked to be inside.
pub(crate) fn ipv4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(bytes, at))
}

/// The IPv6 address at `at`, which the caller has checked to be inside.
pub(crate) fn ipv6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    Ipv6Addr::from(array::<16>(bytes, at))
}

/// Source and destination of the IP header at the start of `ip`, which the caller has checked to be whole.
pub(crate) fn addresses(ip: &[u8], family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (ipv4_at(ip, 12).into(), ipv4_at(ip, 16).into()),
        Family::V6 => (ipv6_at(ip, 8).into(), ipv6_at(ip, 24).into()),
    }
}

/// Writes an address.
pub(crate) fn put_address(bytes: &mut [u8], at: usize, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes[at..at + 4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes[at..at + 16].copy_from_slice(&address.octets()),
    }
}

/// Writes a big-endian word.
#[inline(always)]
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Writes a big-endian double word.
pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

#[inline(always)]
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
