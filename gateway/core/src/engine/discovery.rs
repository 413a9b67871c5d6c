//! Who is where on a link: ARP and Neighbor Discovery, asked and answered; routers made known to containers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::arrival::Arrival;
use super::links::Uplink;
use super::outbound::Way;
use super::{Engine, Refusal};
use crate::limits::{ROUTER_ADVERTISEMENT, ROUTER_LIFETIME};
use crate::nd::{self, Nd, Role};
use crate::neighbor::{self, Held};
use crate::packet::Packet;
use crate::respond::Arp;
use crate::wire::{Carried, Ethernet, Family, IP, addresses};
use crate::{AttachmentConfig, AttachmentId, Instant, Link, MacAddr, Reason, UplinkId, Verdict};

impl Engine {
    /// Keeps a frame until its neighbor, which has been asked for, answers.
    pub(super) fn keep(&mut self, way: Way, id: AttachmentId, frame: &[u8]) -> Result<Verdict, Refusal> {
        let whole = self.whole;
        let uplink = self.uplinks.get_mut(&way.uplink).ok_or(Reason::EgressDown)?;
        uplink.neighbors.hold(way.hop.next, id, frame, whole)?;
        Ok(Verdict::Hold)
    }

    /// Asks for a neighbor, even if the frame cannot wait for the answer because there is no `room`.
    pub(super) fn ask_and_keep(
        &mut self,
        now: Instant,
        way: Way,
        id: AttachmentId,
        frame: &[u8],
        room: Result<(), Reason>,
    ) -> Result<Verdict, Refusal> {
        let uplink = self.uplinks.get_mut(&way.uplink).ok_or(Reason::EgressDown)?;
        uplink.neighbors.begin(now, way.hop.next, id)?;
        let kept = room.map_err(Refusal::from).and_then(|()| self.keep(way, id, frame));
        self.ask(way.uplink, way.hop.next);
        self.arm(way.uplink);
        kept
    }

    /// Asks again for neighbors of `uplink`, and gives up on those that stay silent.
    pub(super) fn serve_neighbors(&mut self, now: Instant, uplink: UplinkId) {
        while let Some(due) = self.uplinks.get_mut(&uplink).and_then(|u| u.neighbors.next_due(now)) {
            match due {
                neighbor::Due::Ask(address) => self.ask(uplink, address),
                neighbor::Due::GaveUp(held) => {
                    for Held { attachment, frame, .. } in held {
                        let refusal = Reason::NextHopUnreachable.into();
                        self.refuse(now, Link::Attachment(attachment), &frame, refusal);
                    }
                }
                neighbor::Due::Forgotten => {
                    // Its place can be another one's.
                    if let Some(u) = self.uplinks.get(&uplink) {
                        u.config.space.begin_epoch();
                    }
                }
            }
        }
        self.arm(uplink);
    }

    /// Asks everybody on an uplink for a neighbor.
    fn ask(&mut self, uplink: UplinkId, address: IpAddr) {
        let Some(u) = self.uplinks.get(&uplink) else { return };
        let mac = u.config.mac;
        let ours = u.external().iter().copied().find(|e| e.is_ipv4() == address.is_ipv4());
        let request = match (address, ours) {
            (IpAddr::V4(target), Some(IpAddr::V4(ours))) => Arp::request(target, mac, ours),
            // Without an address of this IP version: as a probe (RFC 5227 §2.1.1), or with the link's own one.
            (IpAddr::V4(target), _) => Arp::request(target, mac, Ipv4Addr::UNSPECIFIED),
            (IpAddr::V6(target), Some(IpAddr::V6(ours))) => nd::solicitation(target, mac, ours),
            (IpAddr::V6(target), _) => nd::solicitation(target, mac, nd::link_local(mac)),
        };
        self.transmit(Link::Uplink(uplink), request);
    }

    /// Brings the timer queue in line with the neighbors of `uplink`.
    fn arm(&mut self, uplink: UplinkId) {
        let Some(u) = self.uplinks.get_mut(&uplink) else { return };
        let next = u.neighbors.poll_timeout();
        if let Some(at) = std::mem::replace(&mut u.armed, next) {
            self.neighbor_timers.remove(&(at, uplink));
        }
        if let Some(at) = next {
            self.neighbor_timers.insert((at, uplink));
        }
    }

    /// ARP of a container: answered for the gateway's address, if the container speaks for itself (RFC 5227 probes too).
    pub(super) fn read_outbound_arp(config: &AttachmentConfig, frame: &[u8]) -> Result<Arrival, Reason> {
        let arp = Arp::parse(frame)?;
        let addressing = config.addresses.iter().find(|a| a.gateway == arp.target);
        let own = arp.sender.is_unspecified() || config.addresses.iter().any(|a| a.address == arp.sender);
        if arp.sender_mac != config.mac || !own {
            return Err(Reason::ArpInvalid);
        }
        if !arp.is_request || addressing.is_none() {
            return Err(Reason::ArpNotForGateway);
        }
        Ok(Arrival::answered(Some(arp.reply(config.gateway_mac))))
    }

    /// Neighbor Discovery of a container: solicitations for the gateway are answered, and so are those for routers.
    pub(super) fn read_outbound_discovery(
        config: &AttachmentConfig,
        packet: &Packet,
        frame: &[u8],
        whole: Option<u16>,
    ) -> Result<Arrival, Reason> {
        let message = discovery_message(frame, whole)?;
        let own = match packet.source {
            IpAddr::V6(source) => {
                source.is_unspecified()
                    || source.is_unicast_link_local()
                    || config.addresses.iter().any(|a| a.address == packet.source)
            }
            IpAddr::V4(_) => false,
        };
        let gateway = gateway_of(config.addresses.iter().map(|a| a.gateway));
        let (Some(gateway), true) = (gateway, own) else { return Err(Reason::NdInvalid) };
        Ok(Arrival::answered(match message {
            // Duplicate address detection: the container is alone on its link, and the gateway's own address is taken.
            Nd::Solicitation { source, target, .. } if target == gateway => {
                Some(nd::advertisement(target, config.gateway_mac, (config.mac, source), Role::Router))
            }
            Nd::Solicitation { source, .. } if !source.is_unspecified() => {
                return Err(Reason::NdNotForGateway);
            }
            Nd::RouterSolicitation { .. } => {
                Some(router_advertisement(config.gateway_mac, gateway, config.mtu))
            }
            Nd::Solicitation { .. } | Nd::Advertisement { .. } | Nd::Other => None,
        }))
    }

    /// Tells a container of its router, and when to do it again.
    pub(super) fn advertise(&mut self, now: Instant, id: AttachmentId) {
        let Some(attachment) = self.attachments.get_mut(&id) else { return };
        let config = &attachment.config;
        let Some(gateway) = gateway_of(config.addresses.iter().map(|a| a.gateway)) else { return };
        let frame = router_advertisement(config.gateway_mac, gateway, config.mtu);
        let next = now + ROUTER_ADVERTISEMENT;
        attachment.advertise = Some(next);
        self.advertisements.insert((next, id));
        self.transmit(Link::Attachment(id), frame);
    }

    /// ARP of the VPC: requests for the external addresses are answered, answers are learned from, by every worker.
    pub(super) fn read_inbound_arp(uplink: &Uplink, frame: &[u8]) -> Result<Arrival, Reason> {
        let arp = Arp::parse(frame)?;
        let for_us = uplink.is_external(arp.target.into());
        // RFC 5227 §1.1: an announcement has its sender as its target; an answer to a probe has nobody.
        let answers_probe = !arp.is_request && arp.target.is_unspecified();
        if !for_us && !answers_probe && arp.target != arp.sender {
            return Err(Reason::ArpNotForGateway);
        }
        let answer = (for_us && arp.is_request).then(|| arp.reply(uplink.config.mac));
        Ok(Arrival::ForUs { answer, told: Some((arp.sender.into(), arp.sender_mac)) })
    }

    /// Neighbor Discovery of the VPC: the same.
    pub(super) fn read_inbound_discovery(
        uplink: &Uplink,
        packet: &Packet,
        frame: &[u8],
        whole: Option<u16>,
    ) -> Result<Arrival, Reason> {
        let message = discovery_message(frame, whole)?;
        let mut answer = None;
        if let Nd::Solicitation { source, target, source_mac } = message {
            if !uplink.is_external(target.into()) && target != nd::link_local(uplink.config.mac) {
                return Err(Reason::NdNotForGateway);
            }
            let sender = source_mac.unwrap_or(Ethernet::parse(frame)?.0.source);
            answer = Some(nd::advertisement(target, uplink.config.mac, (sender, source), Role::Host));
        }
        Ok(Arrival::ForUs { answer, told: told_by(&message, packet.source) })
    }

    /// A frame that another worker has answered: only what it tells matters.
    pub(super) fn overhear(&mut self, now: Instant, from: UplinkId, frame: &[u8]) {
        let told = match Ethernet::parse(frame) {
            Ok((_, Carried::Arp)) => {
                Arp::parse(frame).ok().map(|arp| (IpAddr::V4(arp.sender), arp.sender_mac))
            }
            // A message that parses has a whole IPv6 header.
            Ok((_, Carried::Ip(Family::V6))) => Nd::parse(frame)
                .ok()
                .and_then(|message| told_by(&message, addresses(&frame[IP..], Family::V6).0)),
            _ => None,
        };
        if let Some((address, mac)) = told {
            self.learn_neighbor(now, from, address, mac);
        }
    }

    /// Learns where an address is, and sends what waited for it.
    pub(super) fn learn_neighbor(&mut self, now: Instant, id: UplinkId, address: IpAddr, mac: MacAddr) {
        let Some(uplink) = self.uplinks.get_mut(&id) else { return };
        if uplink.is_external(address) {
            return;
        }
        let released = uplink.neighbors.learn(now, address, mac);
        self.arm(id);
        for held in released {
            self.outbound_held(now, held);
        }
    }
}

/// RFC 6980 §5: what came in fragments is no Neighbor Discovery.
fn discovery_message(frame: &[u8], whole: Option<u16>) -> Result<Nd, Reason> {
    if whole.is_some() {
        return Err(Reason::NdInvalid);
    }
    Nd::parse(frame).map_err(|_| Reason::NdInvalid)
}

/// Who says where they are.
fn told_by(message: &Nd, source: IpAddr) -> Option<(IpAddr, MacAddr)> {
    match *message {
        Nd::Solicitation { source_mac: Some(mac), .. } => Some((source, mac)),
        Nd::Advertisement { target, target_mac: Some(mac), .. } => Some((target.into(), mac)),
        _ => None,
    }
}

/// The IPv6 one of a container's gateways.
pub(super) fn gateway_of(mut gateways: impl Iterator<Item = IpAddr>) -> Option<Ipv6Addr> {
    gateways.find_map(|gateway| if let IpAddr::V6(gateway) = gateway { Some(gateway) } else { None })
}

/// To all nodes of a container's link (RFC 4861 §6.2.6 lets a solicited one be that).
fn router_advertisement(mac: MacAddr, gateway: Ipv6Addr, mtu: u16) -> Vec<u8> {
    nd::router_advertisement(gateway, mac, (mac, Ipv6Addr::UNSPECIFIED), mtu, ROUTER_LIFETIME)
}
