//! Packets and frames by hand, right ones and wrong ones.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpFragOffset, IpNumber, Ipv4Header,
    Ipv6Header, TcpHeader, UdpHeader,
};

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const VLAN: u16 = 0x8100;
pub(super) const IPV6: u16 = 0x86dd;

/// A MAC address.
pub(super) type Mac = [u8; 6];

/// A frame.
pub(super) fn frame(to: Mac, from: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to, &from, &ether_type.to_be_bytes()[..], payload].concat()
}

/// An IPv4 packet, which nobody may fragment.
pub(super) fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(from, to, protocol, payload, |_| {})
}

/// The same with something else in its header, whose checksum is right all the same.
pub(super) fn ipv4_with(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
    change: impl FnOnce(&mut Ipv4Header),
) -> Vec<u8> {
    let (length, protocol) = (payload.len() as u16, IpNumber(protocol));
    let mut header = Ipv4Header::new(length, 64, protocol, from.octets(), to.octets()).unwrap();
    header.dont_fragment = true;
    change(&mut header);
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes(), payload].concat()
}

/// A fragment of UDP: where it begins, in eights, and whether more follow.
pub(super) fn fragment(
    from: Ipv4Addr,
    to: Ipv4Addr,
    id: u16,
    (offset, more): (u16, bool),
    payload: &[u8],
) -> Vec<u8> {
    ipv4_with(from, to, UDP, payload, |header| {
        header.identification = id;
        header.dont_fragment = false;
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
    })
}

/// A UDP packet.
pub(super) fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let around = Ipv4Header::new(0, 64, IpNumber::UDP, from.ip().octets(), to.ip().octets()).unwrap();
    let header = UdpHeader::with_ipv4_checksum(from.port(), to.port(), &around, payload).unwrap();
    ipv4(*from.ip(), *to.ip(), UDP, &[&header.to_bytes()[..], payload].concat())
}

/// A TCP segment without payload.
pub(super) fn tcp(from: SocketAddrV4, to: SocketAddrV4, flag: impl FnOnce(&mut TcpHeader)) -> Vec<u8> {
    let mut header = TcpHeader::new(from.port(), to.port(), 1, 1000);
    flag(&mut header);
    header.checksum = header.calc_checksum_ipv4_raw(from.ip().octets(), to.ip().octets(), &[]).unwrap();
    ipv4(*from.ip(), *to.ip(), TCP, &header.to_bytes())
}

/// An echo request.
pub(super) fn ping(from: Ipv4Addr, to: Ipv4Addr, id: u16) -> Vec<u8> {
    icmp(from, to, Icmpv4Type::EchoRequest(IcmpEchoHeader { id, seq: 1 }), b"")
}

/// Any ICMP message.
pub(super) fn icmp(from: Ipv4Addr, to: Ipv4Addr, kind: Icmpv4Type, payload: &[u8]) -> Vec<u8> {
    let header = Icmpv4Header::with_checksum(kind, payload);
    ipv4(from, to, ICMP, &[&header.to_bytes()[..], payload].concat())
}

/// An IPv6 packet.
pub(super) fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next_header: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: payload.len() as u16,
        next_header: IpNumber(next_header),
        hop_limit,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    [&header.to_bytes(), payload].concat()
}

/// A UDP packet by IPv6.
pub(super) fn udp6(from: Ipv6Addr, to: Ipv6Addr, port: u16) -> Vec<u8> {
    let around = Ipv6Header { source: from.octets(), destination: to.octets(), ..Ipv6Header::default() };
    let header = UdpHeader::with_ipv6_checksum(4000, port, &around, b"x").unwrap();
    ipv6(from, to, UDP, 64, &[&header.to_bytes()[..], b"x"].concat())
}

/// A neighbor solicitation, which is right if its hop limit is 255 (RFC 4861 §7.1.1).
pub(super) fn solicitation(from: Ipv6Addr, target: Ipv6Addr, hop_limit: u8) -> Vec<u8> {
    let kind = Icmpv6Type::Unknown { type_u8: 135, code_u8: 0, bytes5to8: [0; 4] };
    let header = Icmpv6Header::with_checksum(kind, from.octets(), target.octets(), &target.octets()).unwrap();
    ipv6(from, target, ICMPV6, hop_limit, &[&header.to_bytes()[..], &target.octets()].concat())
}

/// An ARP request (RFC 826).
pub(super) fn arp_request(sender: Ipv4Addr, mac: Mac, target: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    [&head[..], &mac, &sender.octets(), &[0; 6], &target.octets()].concat()
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const ICMPV6: u8 = 58;
