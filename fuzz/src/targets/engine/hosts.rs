//! Hosts in the VPCs, and what everybody on a link says about addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway_core::{Link, MacAddr, UplinkId};

use super::traffic::SEEN;
use super::world::{GATEWAY, GATEWAY_V6, World, container_mac, uplink_mac};
use crate::input::Input;
use crate::layout::{IP, Layout};
use crate::neighbors::{answer, question, router_question};
use crate::targets::mutate;

impl World {
    /// Remembers what was sent, and lets hosts answer what they are asked.
    pub(super) fn saw(&mut self, out: Vec<(Link, Vec<u8>)>) {
        let mut unseen = out;
        while let Some((to, frame)) = unseen.pop() {
            if let (Link::Uplink(id), Some(target), true) = (to, asked(&frame), self.hosts_answer)
                && target != NOBODY
                && target != NOBODY_V6
            {
                unseen.extend(self.host_answers(id, target));
            }
            if self.seen.len() == SEEN {
                self.seen.remove(0);
            }
            self.seen.push((to, frame));
        }
    }

    /// ARP or Neighbor Discovery, right or changed.
    pub(super) fn send_neighbor(&mut self, input: &mut Input<'_>) {
        let (bits, place) = (input.byte(), usize::from(input.byte()));
        let is_v4 = bits & 1 != 0;
        let (uplink, attachment) = (self.uplink(input), self.attachment(input));
        let host = remotes(is_v4)[place % remotes(is_v4).len()];
        let like = |address: &&IpAddr| address.is_ipv4() == is_v4;
        let (from, mut frame) = match (bits >> 1 & 3, uplink, attachment) {
            (0 | 1, Some((config, id)), _) => {
                let Some(&external) = config.space.external().iter().find(like) else { return };
                let host = (host_mac(host), host);
                let frame = match bits >> 1 & 3 {
                    0 => answer(host, (uplink_mac(id), external)),
                    _ => question(host, external),
                };
                (Link::Uplink(id), frame)
            }
            (2, _, Some((config, id))) => {
                let own = config.addresses.iter().map(|a| a.address).find(|a| a.is_ipv4() == is_v4);
                let gateway: IpAddr = if is_v4 { GATEWAY.into() } else { GATEWAY_V6.into() };
                let Some(own) = own else { return };
                (Link::Attachment(id), question((container_mac(id), own), gateway))
            }
            (3, _, Some((_, id))) => {
                let own = if is_v4 { Ipv6Addr::UNSPECIFIED } else { "fe80::2".parse().expect("an address") };
                (Link::Attachment(id), router_question((container_mac(id), own)))
            }
            _ => return,
        };
        if bits & 0x40 != 0 {
            let count = 2 * (1 + input.below(3));
            mutate(&mut Input::new(input.bytes(count)), &mut frame[IP..]);
            crate::checksum::fix(&mut frame);
        }
        let outcome = self.net.send(usize::from(bits >> 7), from, &frame);
        self.saw(outcome.out);
    }

    fn host_answers(&mut self, id: UplinkId, target: IpAddr) -> Vec<(Link, Vec<u8>)> {
        let external = self.uplinks.get(&id).map(|config| config.space.external().to_vec());
        let like = |address: &IpAddr| address.is_ipv4() == target.is_ipv4();
        let Some(asker) = external.into_iter().flatten().find(like) else { return Vec::new() };
        let frame = answer((host_mac(target), target), (uplink_mac(id), asker));
        self.net.send(0, Link::Uplink(id), &frame).out
    }
}

/// Whom a frame asks for.
fn asked(frame: &[u8]) -> Option<IpAddr> {
    if frame[IP - 2..IP] == [0x08, 0x06] {
        let message = &frame[IP..];
        let target = Ipv4Addr::from(*message[24..].first_chunk::<4>()?);
        // An announcement asks nobody.
        return (message[7] == 1 && message[14..18] != message[24..28]).then(|| target.into());
    }
    let layout = Layout::of(frame)?;
    let message = &frame[layout.start..layout.end];
    let asks = layout.protocol == 58 && message.len() >= 24 && message[0] == 135;
    asks.then(|| Ipv6Addr::from(*message[8..].first_chunk::<16>().expect("a target")).into())
}

/// The interface of a host.
pub(super) fn host_mac(address: IpAddr) -> MacAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            MacAddr([2, 0xee, a, b, c, d])
        }
        IpAddr::V6(address) => {
            let [.., b, c, d] = address.octets();
            MacAddr([2, 0xee, 6, b, c, d])
        }
    }
}

/// One of many others on the same link.
pub(super) fn neighbor_of(address: IpAddr, index: u16) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::from(Ipv4Addr::from_bits(address.to_bits() + 256 + u32::from(index))),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + 256 + u128::from(index)).into(),
    }
}

/// Hosts on the link and behind the router, nobody, and addresses that are not for a VPC.
pub(super) fn remotes(is_v4: bool) -> [IpAddr; 8] {
    if is_v4 {
        let broadcast = Ipv4Addr::new(10, 1, 255, 255);
        let metadata = Ipv4Addr::new(169, 254, 169, 254);
        let group = Ipv4Addr::new(224, 0, 0, 1);
        let [server, other, far] = [[10, 1, 0, 20], [10, 1, 0, 21], [198, 51, 100, 7]].map(IpAddr::from);
        [server, server, other, far, NOBODY, broadcast.into(), metadata.into(), group.into()]
    } else {
        let address = |text: &str| IpAddr::V6(text.parse().expect("an address"));
        let [server, other, far] = ["fd00:1::20", "fd00:1::21", "2001:db8::7"].map(address);
        let [group, mapped, gateway] = ["ff02::1", "::ffff:10.1.0.20", "fe80::1"].map(address);
        [server, server, other, far, NOBODY_V6, group, mapped, gateway]
    }
}

/// These do not answer.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 99));
const NOBODY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x99));
