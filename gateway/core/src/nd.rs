//! IPv6 Neighbor Discovery (RFC 4861): its messages, parsed and built.
//!
//! A message stands right behind the IPv6 header, whole: in Neighbor Discovery there are neither fragments
//! (RFC 6980 §5) nor, with us, extension headers.
//!
//! ```text
//! 0          10              24              64
//! | vnet hdr | Ethernet hdr  | IPv6 hdr      | type | code | checksum | body | options ...
//! ```

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::MacAddr;
use crate::checksum::sum;
use crate::vnet::new_frame;
use crate::wire::{ETHERNET, ETHERNET_LEN, checksum_at, ether_type, put_u16, u16_at};

/// A message that another node has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nd {
    /// Asks who has `target`. The unspecified `source` wants `target` for itself (RFC 4862 §5.4).
    Solicitation { source: Ipv6Addr, target: Ipv6Addr, source_mac: Option<MacAddr> },
    /// Says where `target` is.
    Advertisement { target: Ipv6Addr, target_mac: Option<MacAddr>, solicited: bool, overrides: bool },
    /// Asks for routers.
    RouterSolicitation { source: Ipv6Addr, source_mac: Option<MacAddr> },
    /// Router advertisements and redirects: heard and not used.
    Other,
}

/// The message breaks a rule of RFC 4861 §6.1 or §7.1 and is to be discarded silently. Of a redirect, which is not
/// used, only what all messages have in common, its length and its source are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

/// What we are on the link of an advertisement. Hosts forget a router that calls itself a host (RFC 4861 §7.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Host,
    Router,
}

/// Bytes of a frame with the largest message that every worker needs to see, vnet header included, padding not. Such a
/// message fits every link (RFC 8200 §5); its checksum covers all of it.
pub const SHARED_FRAME_MAX: usize = IPV6 + 1280;

impl Nd {
    /// Whether an ICMPv6 type is one of Neighbor Discovery.
    pub(crate) const fn is_type(kind: u8) -> bool {
        matches!(kind, kind::ROUTER_SOLICITATION..=kind::REDIRECT)
    }

    /// Parses the message of a frame. What stands behind the IPv6 packet is ignored.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Invalid> {
        let Message { source, destination, bytes } = Message::parse(frame)?;
        let anonymous = source.is_unspecified();
        match bytes[0] {
            kind::ROUTER_SOLICITATION => {
                let source_mac = link_layer_option(bytes, 8, option::SOURCE_LINK_LAYER)?;
                valid(!anonymous || source_mac.is_none())?;
                Ok(Self::RouterSolicitation { source, source_mac })
            }
            kind::SOLICITATION => {
                let target = target(bytes)?;
                let source_mac = link_layer_option(bytes, 24, option::SOURCE_LINK_LAYER)?;
                valid(!anonymous || (source_mac.is_none() && is_solicited_node(destination)))?;
                Ok(Self::Solicitation { source, target, source_mac })
            }
            kind::ADVERTISEMENT => {
                let target = target(bytes)?;
                let target_mac = link_layer_option(bytes, 24, option::TARGET_LINK_LAYER)?;
                let (solicited, overrides) =
                    (bytes[4] & flag::SOLICITED != 0, bytes[4] & flag::OVERRIDE != 0);
                valid(!(solicited && destination.is_multicast()))?;
                Ok(Self::Advertisement { target, target_mac, solicited, overrides })
            }
            kind @ (kind::ROUTER_ADVERTISEMENT | kind::REDIRECT) => {
                let options = if kind == kind::REDIRECT { 40 } else { 16 };
                link_layer_option(bytes, options, option::SOURCE_LINK_LAYER)?;
                valid(source.is_unicast_link_local())?;
                Ok(Self::Other)
            }
            _ => Err(Invalid),
        }
    }
}

/// A frame that asks the link where `target` is.
pub(crate) fn solicitation(target: Ipv6Addr, our_mac: MacAddr, our_address: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let body = [&[0; 4], &target.octets()[..], &link_layer(option::SOURCE_LINK_LAYER, our_mac)].concat();
    build(kind::SOLICITATION, (our_mac, our_address), (multicast_mac(group), group), &body)
}

/// A frame that answers a solicitation from `to`: its target is at `our_mac`. If `to` is the unspecified address,
/// all nodes are told (RFC 4861 §7.2.4).
pub(crate) fn advertisement(
    target: Ipv6Addr,
    our_mac: MacAddr,
    to: (MacAddr, Ipv6Addr),
    role: Role,
) -> Vec<u8> {
    let role = if role == Role::Router { flag::ROUTER } else { 0 };
    let solicited = if to.1.is_unspecified() { 0 } else { flag::SOLICITED };
    let flags = [role | solicited | flag::OVERRIDE, 0, 0, 0];
    let body = [&flags, &target.octets()[..], &link_layer(option::TARGET_LINK_LAYER, our_mac)].concat();
    build(kind::ADVERTISEMENT, (our_mac, target), known_or_all(to), &body)
}

/// A frame that tells all nodes on the link where `address` is now (RFC 4861 §7.2.6).
pub(crate) fn announcement(address: Ipv6Addr, our_mac: MacAddr, role: Role) -> Vec<u8> {
    advertisement(address, our_mac, (our_mac, Ipv6Addr::UNSPECIFIED), role)
}

/// A frame that makes us, at the link-local address `gateway`, a default router for `lifetime`, of which the wire
/// holds at most 65,535 seconds. It names no prefix and no DHCPv6. If `to` is the unspecified address, all nodes are
/// told (RFC 4861 §6.2.6).
pub(crate) fn router_advertisement(
    gateway: Ipv6Addr,
    our_mac: MacAddr,
    to: (MacAddr, Ipv6Addr),
    mtu: u16,
    lifetime: Duration,
) -> Vec<u8> {
    let lifetime = u16::try_from(lifetime.as_secs()).unwrap_or(u16::MAX).to_be_bytes();
    let mtu = mtu.to_be_bytes();
    let body = [
        &[CURRENT_HOP_LIMIT, 0, lifetime[0], lifetime[1]],
        // Reachable time and retransmission timer: not ours to say.
        &[0; 8][..],
        &link_layer(option::SOURCE_LINK_LAYER, our_mac),
        &[option::MTU, 1, 0, 0, 0, 0, mtu[0], mtu[1]],
    ];
    build(kind::ROUTER_ADVERTISEMENT, (our_mac, gateway), known_or_all(to), &body.concat())
}

/// The group that a node with `address` listens to (RFC 4291 §2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_bits(SOLICITED_NODE | u128::from(u32::from_be_bytes([0, a, b, c])))
}

/// The link-local address that goes with a MAC address (RFC 4291 §2.5.6, appendix A).
pub(crate) fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [first, b, c, rest @ ..] = mac.0;
    let upper = u32::from_be_bytes([first ^ 2, b, c, 0xff]);
    let lower = u32::from_be_bytes([0xfe, rest[0], rest[1], rest[2]]);
    let interface = u64::from(upper) << 32 | u64::from(lower);
    Ipv6Addr::from_bits(0xfe80_u128 << 112 | u128::from(interface))
}

/// The MAC address of a group (RFC 2464 §7).
pub(crate) fn multicast_mac(address: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = address.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

/// What all messages have in common, checked.
struct Message<'a> {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    /// From the type on; at least eight.
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    fn parse(frame: &'a [u8]) -> Result<Self, Invalid> {
        let header = frame.get(IPV6..MESSAGE).ok_or(Invalid)?;
        let (source, destination) = (address_at(header, 8)?, address_at(header, 24)?);
        let length = usize::from(u16_at(header, 4));
        valid(header[0] >> 4 == 6 && header[6] == ICMPV6 && header[7] == HOP_LIMIT)?;
        valid((8..=SHARED_FRAME_MAX - MESSAGE).contains(&length) && !source.is_multicast())?;
        let bytes = frame.get(MESSAGE..MESSAGE + length).ok_or(Invalid)?;
        valid(bytes[1] == 0 && sum_with_pseudo_header(header, bytes) == 0xffff)?;
        Ok(Self { source, destination, bytes })
    }
}

/// The MAC address in the first option of type `wanted`, where options begin at `start`. All of them are walked,
/// unknown ones skipped.
fn link_layer_option(message: &[u8], start: usize, wanted: u8) -> Result<Option<MacAddr>, Invalid> {
    let mut rest = message.get(start..).ok_or(Invalid)?;
    let mut found = None;
    while !rest.is_empty() {
        let [kind, eights, ..] = *rest else { return Err(Invalid) };
        valid(eights > 0)?;
        let (option, behind) = rest.split_at_checked(usize::from(eights) * 8).ok_or(Invalid)?;
        if kind == wanted && found.is_none() {
            // RFC 2464 §6: on Ethernet the option is eight bytes.
            let [_, _, mac @ ..] = *<&[u8; 8]>::try_from(option).map_err(|_| Invalid)?;
            valid(MacAddr(mac).is_unicast())?;
            found = Some(MacAddr(mac));
        }
        rest = behind;
    }
    Ok(found)
}

/// The target of a neighbor solicitation or advertisement.
fn target(message: &[u8]) -> Result<Ipv6Addr, Invalid> {
    let target = address_at(message, 8)?;
    valid(!target.is_multicast())?;
    Ok(target)
}

/// The message of `kind` as a frame; `body` is what follows its checksum.
fn build(kind: u8, from: (MacAddr, Ipv6Addr), to: (MacAddr, Ipv6Addr), body: &[u8]) -> Vec<u8> {
    let length = 4 + body.len();
    let mut frame = new_frame(MESSAGE - IPV6 + length, to.0, from.0, ether_type::IPV6);
    let (header, message) = frame[IPV6..].split_at_mut(MESSAGE - IPV6);
    header[0] = 0x60;
    put_u16(header, 4, length as u16);
    header[6] = ICMPV6;
    header[7] = HOP_LIMIT;
    header[8..24].copy_from_slice(&from.1.octets());
    header[24..].copy_from_slice(&to.1.octets());
    message[0] = kind;
    message[4..].copy_from_slice(body);
    let checksum = !sum_with_pseudo_header(header, message);
    put_u16(message, checksum_at::ICMP, checksum);
    frame
}

/// The folded sum of a message and its pseudo-header (RFC 8200 §8.1).
fn sum_with_pseudo_header(header: &[u8], message: &[u8]) -> u16 {
    let addresses = sum(&header[8..], message.len() as u32 + u32::from(ICMPV6));
    sum(message, addresses.into())
}

fn link_layer(kind: u8, mac: MacAddr) -> [u8; 8] {
    let mut option = [kind, 1, 0, 0, 0, 0, 0, 0];
    option[2..].copy_from_slice(&mac.0);
    option
}

/// Who gets an answer to a sender that may not have an address yet.
fn known_or_all(to: (MacAddr, Ipv6Addr)) -> (MacAddr, Ipv6Addr) {
    if to.1.is_unspecified() { (multicast_mac(ALL_NODES), ALL_NODES) } else { to }
}

fn is_solicited_node(address: Ipv6Addr) -> bool {
    address == solicited_node(address)
}

fn address_at(bytes: &[u8], at: usize) -> Result<Ipv6Addr, Invalid> {
    let octets = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>).ok_or(Invalid)?;
    Ok(Ipv6Addr::from(*octets))
}

const fn valid(rule_holds: bool) -> Result<(), Invalid> {
    if rule_holds { Ok(()) } else { Err(Invalid) }
}

/// Where the IPv6 header starts.
const IPV6: usize = ETHERNET + ETHERNET_LEN;

/// Where the message starts.
const MESSAGE: usize = IPV6 + 40;

/// IP protocol number of ICMPv6 (IANA).
const ICMPV6: u8 = 58;

/// A message with less has been forwarded, so it is not from this link (RFC 4861 §3.1).
const HOP_LIMIT: u8 = 255;

/// What hosts are told to send with (RFC 4861 §6.2.1: the number that IANA assigns).
const CURRENT_HOP_LIMIT: u8 = 64;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// `ff02::1:ff00:0/104`.
const SOLICITED_NODE: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;

/// ICMPv6 types (RFC 4861 §4).
mod kind {
    pub(super) const ROUTER_SOLICITATION: u8 = 133;
    pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(super) const SOLICITATION: u8 = 135;
    pub(super) const ADVERTISEMENT: u8 = 136;
    pub(super) const REDIRECT: u8 = 137;
}

/// Option types (RFC 4861 §4.6).
mod option {
    pub(super) const SOURCE_LINK_LAYER: u8 = 1;
    pub(super) const TARGET_LINK_LAYER: u8 = 2;
    pub(super) const MTU: u8 = 5;
}

/// Flags of a neighbor advertisement (RFC 4861 §4.4).
mod flag {
    pub(super) const ROUTER: u8 = 0x80;
    pub(super) const SOLICITED: u8 = 0x40;
    pub(super) const OVERRIDE: u8 = 0x20;
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::VNET_LEN;

    const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x1234, 0x5678);
    const ANY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
    const LIFETIME: Duration = Duration::from_secs(1800);

    /// Where options of neighbor messages begin.
    const OPTIONS: usize = MESSAGE + 24;

    fn router_solicitation() -> Vec<u8> {
        let body = [&[0; 4], &link_layer(option::SOURCE_LINK_LAYER, OURS)[..]].concat();
        build(kind::ROUTER_SOLICITATION, (OURS, GATEWAY), (THEIRS, HOST), &body)
    }

    fn redirect() -> Vec<u8> {
        build(kind::REDIRECT, (OURS, GATEWAY), (THEIRS, HOST), &[0; 36])
    }

    fn every_message() -> [Vec<u8>; 8] {
        [
            solicitation(HOST, OURS, GATEWAY),
            advertisement(HOST, OURS, (THEIRS, GATEWAY), Role::Host),
            advertisement(HOST, OURS, (THEIRS, ANY), Role::Router),
            announcement(HOST, OURS, Role::Router),
            router_advertisement(GATEWAY, OURS, (THEIRS, HOST), 1400, LIFETIME),
            router_advertisement(GATEWAY, OURS, (THEIRS, ANY), 65_535, Duration::MAX),
            router_solicitation(),
            redirect(),
        ]
    }

    /// The frame with some bytes replaced, its IPv6 length and checksum made right again.
    fn changed(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
        frame.resize(frame.len().max(at + bytes.len()), 0);
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        sealed(frame)
    }

    fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
        frame.truncate(length);
        sealed(frame)
    }

    fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
        let length = frame.len() - MESSAGE;
        put_u16(&mut frame, IPV6 + 4, length as u16);
        put_u16(&mut frame, MESSAGE + checksum_at::ICMP, 0);
        let (header, message) = frame[IPV6..].split_at(MESSAGE - IPV6);
        let checksum = !sum_with_pseudo_header(header, message);
        put_u16(&mut frame, MESSAGE + checksum_at::ICMP, checksum);
        frame
    }

    fn addresses(frame: &[u8]) -> (MacAddr, Ipv6Addr) {
        let mac = *frame[ETHERNET..].first_chunk().unwrap();
        (MacAddr(mac), address_at(frame, IPV6 + 24).unwrap())
    }

    #[test]
    fn what_is_built_is_parsed_again_and_goes_to_whom_it_should() {
        let frame = solicitation(HOST, OURS, GATEWAY);
        let expected = Nd::Solicitation { source: GATEWAY, target: HOST, source_mac: Some(OURS) };
        assert_eq!(Nd::parse(&frame), Ok(expected));
        let group = "ff02::1:ff34:5678".parse().unwrap();
        assert_eq!(addresses(&frame), (MacAddr([0x33, 0x33, 0xff, 0x34, 0x56, 0x78]), group));

        let heard = |solicited| {
            Ok(Nd::Advertisement { target: HOST, target_mac: Some(OURS), solicited, overrides: true })
        };
        let frame = advertisement(HOST, OURS, (THEIRS, GATEWAY), Role::Host);
        assert_eq!((Nd::parse(&frame), addresses(&frame)), (heard(true), (THEIRS, GATEWAY)));
        let everybody = (MacAddr([0x33, 0x33, 0, 0, 0, 1]), ALL_NODES);
        let frame = advertisement(HOST, OURS, (THEIRS, ANY), Role::Host);
        assert_eq!((Nd::parse(&frame), addresses(&frame)), (heard(false), everybody));
        let frame = announcement(HOST, OURS, Role::Host);
        assert_eq!((Nd::parse(&frame), addresses(&frame)), (heard(false), everybody));

        let frame = router_advertisement(GATEWAY, OURS, (THEIRS, HOST), 1400, LIFETIME);
        assert_eq!((Nd::parse(&frame), addresses(&frame)), (Ok(Nd::Other), (THEIRS, HOST)));
        let frame = router_advertisement(GATEWAY, OURS, (THEIRS, ANY), 1400, LIFETIME);
        assert_eq!((Nd::parse(&frame), addresses(&frame)), (Ok(Nd::Other), everybody));
        let expected = Nd::RouterSolicitation { source: GATEWAY, source_mac: Some(OURS) };
        assert_eq!(Nd::parse(&router_solicitation()), Ok(expected));
        assert_eq!(Nd::parse(&redirect()), Ok(Nd::Other));
    }

    #[test]
    fn only_a_router_says_that_it_is_one() {
        for (role, flags) in [(Role::Host, 0x60), (Role::Router, 0xe0)] {
            assert_eq!(advertisement(HOST, OURS, (THEIRS, GATEWAY), role)[MESSAGE + 4], flags);
            assert_eq!(announcement(HOST, OURS, role)[MESSAGE + 4], flags & !0x40);
        }
    }

    #[test]
    fn a_router_advertisement_names_lifetime_and_mtu_but_no_prefix() {
        let frame = router_advertisement(GATEWAY, OURS, (THEIRS, HOST), 1400, LIFETIME);
        let expected = [
            &[64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[1, 1, 2, 0, 0, 0, 0, 1],
            &[5, 1, 0, 0, 0, 0, 0x05, 0x78],
        ];
        assert_eq!(frame[MESSAGE + 4..], expected.concat());
        let frame = router_advertisement(GATEWAY, OURS, (THEIRS, HOST), 1400, Duration::MAX);
        assert_eq!(frame[MESSAGE + 6..MESSAGE + 8], [0xff, 0xff], "too long a lifetime is the longest");
    }

    #[test]
    fn what_linux_sends_is_understood() {
        // From Linux 6: duplicate address detection with a nonce, address resolution, router solicitation.
        let cases: [(&[u8], _); 3] = [
            (
                b"\x33\x33\xff\x00\x00\x01\x02\0\0\0\0\x01\x86\xdd\x60\0\0\0\0\x20\x3a\xff\
                  \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\x02\0\0\0\0\0\0\0\0\0\x01\xff\0\0\x01\
                  \x87\0\x86\x8e\0\0\0\0\xfe\x80\0\0\0\0\0\0\0\0\0\xff\xfe\0\0\x01\
                  \x0e\x01\x25\x55\x3e\xd6\x84\x62",
                Nd::Solicitation {
                    source: ANY,
                    target: "fe80::ff:fe00:1".parse().unwrap(),
                    source_mac: None,
                },
            ),
            (
                b"\x33\x33\xff\0\0\x09\x02\0\0\0\0\x01\x86\xdd\x60\0\0\0\0\x20\x3a\xff\
                  \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xff\x02\0\0\0\0\0\0\0\0\0\x01\xff\0\0\x09\
                  \x87\0\x1c\x18\0\0\0\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x01\x01\x02\0\0\0\0\x01",
                Nd::Solicitation {
                    source: "2001:db8::2".parse().unwrap(),
                    target: "2001:db8::9".parse().unwrap(),
                    source_mac: Some(OURS),
                },
            ),
            (
                b"\x33\x33\0\0\0\x02\x02\0\0\0\0\x01\x86\xdd\x60\0\0\0\0\x10\x3a\xff\
                  \xfe\x80\0\0\0\0\0\0\0\0\0\xff\xfe\0\0\x01\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\
                  \x85\0\x7b\x2c\0\0\0\0\x01\x01\x02\0\0\0\0\x01",
                Nd::RouterSolicitation { source: "fe80::ff:fe00:1".parse().unwrap(), source_mac: Some(OURS) },
            ),
        ];
        for (frame, expected) in cases {
            let mut frame = [&[0; VNET_LEN], frame].concat();
            assert_eq!(Nd::parse(&frame), Ok(expected));
            frame.extend([0xaa; 7]);
            assert_eq!(Nd::parse(&frame), Ok(expected), "padding is not part of the message");
        }
    }

    #[test]
    fn each_rule_of_rfc_4861_broken_alone_is_refused() {
        let ns = || solicitation(HOST, OURS, GATEWAY);
        let na = || advertisement(HOST, OURS, (THEIRS, GATEWAY), Role::Host);
        let ra = || router_advertisement(GATEWAY, OURS, (THEIRS, HOST), 1400, LIFETIME);
        // §7.1.1: a valid solicitation of a node without an address, to be broken below.
        let dad = || changed(cut(ns(), OPTIONS), IPV6 + 8, &ANY.octets());
        assert!(matches!(Nd::parse(&dad()), Ok(Nd::Solicitation { source_mac: None, .. })));
        let (any, group, host) = (ANY.octets(), ALL_NODES.octets(), HOST.octets());
        let cases = [
            ("an anonymous solicitation to all nodes", changed(dad(), IPV6 + 24, &group)),
            ("an anonymous solicitation to one node", changed(dad(), IPV6 + 24, &host)),
            ("an anonymous solicitation with a MAC address", changed(ns(), IPV6 + 8, &any)),
            ("an anonymous router solicitation with one", changed(router_solicitation(), IPV6 + 8, &any)),
            ("a multicast target, solicited", changed(ns(), MESSAGE + 8, &group)),
            ("a multicast target, advertised", changed(na(), MESSAGE + 8, &group)),
            ("a solicited advertisement to a group", changed(na(), IPV6 + 24, &group)),
            ("a router advertisement not from a link-local address", changed(ra(), IPV6 + 8, &host)),
            ("a redirect not from a link-local address", changed(redirect(), IPV6 + 8, &host)),
            ("a short solicitation", cut(ns(), OPTIONS - 1)),
            ("a short advertisement", cut(na(), OPTIONS - 8)),
            ("a short router solicitation", cut(router_solicitation(), MESSAGE + 7)),
            ("a short router advertisement", cut(ra(), MESSAGE + 15)),
            ("a short redirect", cut(redirect(), MESSAGE + 39)),
            ("a MAC address of a group", changed(ns(), OPTIONS + 2, &[1])),
            (
                "a MAC address of fourteen bytes",
                changed(ns(), OPTIONS, &[1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ),
            ("another ICMPv6 type", changed(ns(), MESSAGE, &[138])),
        ];
        for (rule, frame) in cases {
            assert_eq!(Nd::parse(&frame), Err(Invalid), "{rule}");
        }
    }

    #[test]
    fn rules_of_all_messages_broken_alone_are_refused() {
        for frame in every_message() {
            let broken = |at: usize, bytes: &[u8]| changed(frame.clone(), at, bytes);
            let end = frame.len();
            let mut wrong_sum = frame.clone();
            wrong_sum[MESSAGE + 2] ^= 1;
            let mut too_long = frame.clone();
            put_u16(&mut too_long, IPV6 + 4, (end - MESSAGE + 1) as u16);
            let cases = [
                ("forwarded", broken(IPV6 + 7, &[254])),
                ("not IPv6", broken(IPV6, &[0x40])),
                ("not ICMPv6", broken(IPV6 + 6, &[0])),
                ("a code", broken(MESSAGE + 1, &[1])),
                ("from a group", broken(IPV6 + 8, &ALL_NODES.octets())),
                ("an option of no length", broken(end, &[200, 0, 0, 0, 0, 0, 0, 0])),
                ("an option longer than the message", broken(end, &[200, 2, 0, 0, 0, 0, 0, 0])),
                ("half an option header", broken(end, &[200])),
                ("a wrong checksum", wrong_sum),
                ("a length beyond the frame", too_long),
                (
                    "a larger message than is looked at",
                    broken(end, &options_up_to(end, SHARED_FRAME_MAX + 8)),
                ),
            ];
            for (rule, broken) in cases {
                assert_eq!(Nd::parse(&broken), Err(Invalid), "{rule}: {frame:x?}");
            }
            let largest = broken(end, &options_up_to(end, SHARED_FRAME_MAX));
            assert_eq!(Nd::parse(&largest), Nd::parse(&frame), "unknown options are skipped");
            assert!(Nd::parse(&frame).is_ok());
        }
    }

    /// Unknown options that make a frame of `from` bytes one of `to`.
    fn options_up_to(from: usize, to: usize) -> Vec<u8> {
        [200, 1, 0, 0, 0, 0, 0, 0].repeat((to - from) / 8)
    }

    #[test]
    fn the_first_of_several_mac_addresses_counts() {
        let second = link_layer(option::SOURCE_LINK_LAYER, THEIRS);
        let frame = solicitation(HOST, OURS, GATEWAY);
        let end = frame.len();
        let expected = Nd::Solicitation { source: GATEWAY, target: HOST, source_mac: Some(OURS) };
        assert_eq!(Nd::parse(&changed(frame, end, &second)), Ok(expected));
    }

    #[test]
    fn another_implementation_finds_the_frames_right() {
        for frame in every_message() {
            assert_eq!(frame[..VNET_LEN], [0; VNET_LEN]);
            let packet = SlicedPacket::from_ethernet(&frame[VNET_LEN..]).unwrap();
            let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(message))) =
                (packet.net, packet.transport)
            else {
                panic!("not ICMPv6: {frame:x?}");
            };
            let header = ip.header();
            assert!(message.is_checksum_valid(header.source(), header.destination()));
            assert_eq!((header.hop_limit(), message.code_u8()), (255, 0));
            assert!(Nd::is_type(message.type_u8()));
            assert_eq!(message.slice().len(), frame.len() - MESSAGE);
        }
    }

    #[test]
    fn five_icmpv6_types_are_neighbor_discovery() {
        let types: Vec<u8> = (0..=255).filter(|&kind| Nd::is_type(kind)).collect();
        assert_eq!(types, [133, 134, 135, 136, 137]);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Nd::parse(&bytes);
        }

        #[test]
        fn random_messages_with_right_headers_never_panic(
            which in 0..8_usize,
            at in 0..60_usize,
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            keep: prop::sample::Index,
        ) {
            let frame = changed(every_message()[which].clone(), MESSAGE + 4 + at, &bytes);
            let length = MESSAGE + 4 + keep.index(frame.len() - MESSAGE - 3);
            let _ = Nd::parse(&cut(frame, length));
        }

        #[test]
        fn a_solicitation_of_any_address_reaches_its_listeners(bits: u128) {
            let target = Ipv6Addr::from_bits(bits);
            let group = solicited_node(target);
            prop_assert!(is_solicited_node(group));
            prop_assert_eq!(group.octets()[13..].to_vec(), target.octets()[13..].to_vec());
            let parsed = Nd::parse(&solicitation(target, OURS, GATEWAY));
            prop_assert_eq!(parsed.is_ok(), !target.is_multicast());
        }
    }
}
