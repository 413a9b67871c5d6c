//! ARP and Neighbor Discovery, as hosts speak it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use gateway_core::{MacAddr, VNET_LEN};

use crate::packet::{Carries, Packet};

/// A host's MAC address and one of its addresses.
pub(crate) type Host = (MacAddr, IpAddr);

/// `from` says to `to`, who asked, where it is.
pub(crate) fn answer(from: Host, to: Host) -> Vec<u8> {
    match (from.1, to.1) {
        (IpAddr::V4(_), IpAddr::V4(_)) => arp(2, from, to, to.0),
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            // Solicited, override; target link-layer address.
            nd(136, [0x60, 0, 0, 0], (from.0, source), (to.0, destination), Some(source), Some(2))
        }
        both => panic!("two versions of IP: {both:?}"),
    }
}

/// `from` asks everybody for `target`.
pub(crate) fn question(from: Host, target: IpAddr) -> Vec<u8> {
    match (from.1, target) {
        (IpAddr::V4(_), IpAddr::V4(_)) => arp(1, from, (MacAddr([0; 6]), target), MacAddr::BROADCAST),
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let [.., a, b, c] = target.octets();
            let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
            let to = (MacAddr([0x33, 0x33, 0xff, a, b, c]), group);
            // Source link-layer address.
            nd(135, [0; 4], (from.0, source), to, Some(target), (!source.is_unspecified()).then_some(1))
        }
        both => panic!("two versions of IP: {both:?}"),
    }
}

/// `from` asks for routers.
pub(crate) fn router_question(from: (MacAddr, Ipv6Addr)) -> Vec<u8> {
    let all = (MacAddr([0x33, 0x33, 0, 0, 0, 2]), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2));
    nd(133, [0; 4], from, all, None, (!from.1.is_unspecified()).then_some(1))
}

fn arp(operation: u8, from: Host, to: Host, destination: MacAddr) -> Vec<u8> {
    let mut frame = vec![0; VNET_LEN];
    frame.extend(destination.0);
    frame.extend(from.0.0);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, operation]);
    for (mac, address) in [from, to] {
        frame.extend(mac.0);
        if let IpAddr::V4(address) = address {
            frame.extend(address.octets());
        }
    }
    frame
}

/// A message with a link-layer address option of type `option`.
fn nd(
    kind: u8,
    rest: [u8; 4],
    from: (MacAddr, Ipv6Addr),
    to: (MacAddr, Ipv6Addr),
    target: Option<Ipv6Addr>,
    option: Option<u8>,
) -> Vec<u8> {
    let mut payload: Vec<u8> = target.into_iter().flat_map(|target| target.octets()).collect();
    if let Some(option) = option {
        payload.extend([option, 1]);
        payload.extend(from.0.0);
    }
    let at = |address: Ipv6Addr| SocketAddr::new(address.into(), 0);
    let carries = Carries::Icmp { kind, code: 0, rest };
    let mut packet = Packet::new((to.0, from.0), at(from.1), at(to.1), carries).with_payload(payload);
    packet.ttl = 255;
    packet.frame()
}
