//! From a container to a VPC: spoofing checks, session, rewrite. How sessions are made is in `admission`.

use std::net::{IpAddr, SocketAddr};

use super::admission::Admission;
use super::links::{Attached, Hop};
use super::{Engine, MacPair, Refusal};
use crate::neighbor::Held;
use crate::packet::{Embedded, Packet, Transport, Tuple};
use crate::rate::Load;
use crate::session::tcp::{self, Direction, Segment};
use crate::translate::{self, Changes, Side};
use crate::wire::{Carried, Ethernet, Family};
use crate::{AttachmentId, Instant, Link, MacAddr, Protocol, Reason, UplinkId, Verdict, route, session};

/// Where an outbound packet leaves, whether its session exists or not.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) uplink: UplinkId,
    pub(super) hop: Hop,
}

/// By which session a packet leaves.
enum Passage {
    Known(usize, Way),
    New(Admission),
}

/// Where a packet goes once it is translated.
#[derive(Clone, Copy)]
enum Exit {
    /// Out of the uplink, to the next hop.
    Out(MacPair),
    /// To an external address, so back inside, as if the VPC had sent it to us (hairpinning).
    Back(MacPair),
}

impl Passage {
    fn connector<'e>(&self, engine: &'e Engine) -> Option<&'e Attached> {
        match self {
            Self::Known(key, _) => Some(engine.connector_of(*key)),
            Self::New(admission) => engine.connector_by(&admission.owner),
        }
    }

    const fn way(&self) -> Way {
        match self {
            Self::Known(_, way) => *way,
            Self::New(admission) => Way { uplink: admission.owner.uplink, hop: admission.hop },
        }
    }
}

impl Engine {
    /// Decides on a frame of a container.
    pub(super) fn outbound(
        &mut self,
        now: Instant,
        id: AttachmentId,
        frame: &mut [u8],
    ) -> Result<Verdict, Refusal> {
        let config = &self.attachments.get(&id).ok_or(Reason::UnknownLink)?.config;
        let (ethernet, carried) = Ethernet::parse(frame)?;
        if ethernet.source != config.mac {
            return Err(Reason::SourceMacSpoofed.into());
        }
        let Carried::Ip(family) = carried else { return self.outbound_arp(id, frame) };
        let for_us = ethernet.destination == config.gateway_mac;
        let Some(packet) = Packet::parse(frame, family)? else {
            return if for_us {
                self.take_fragment(now, Link::Attachment(id), frame)
            } else {
                Err(Reason::NotForGateway.into())
            };
        };
        match packet.transport {
            Transport::NeighborDiscovery => return self.outbound_discovery(id, &packet, frame),
            Transport::ListenerDiscovery => return Ok(Verdict::Respond),
            _ if !for_us => return Err(Reason::NotForGateway.into()),
            _ => {}
        }
        let addressing = config.addressing(packet.source);
        if addressing.is_some_and(|a| packet.destination == a.gateway) {
            return self.answer_as_gateway(id, &packet, frame);
        }
        if addressing.is_none_or(|a| packet.source != a.address) {
            return Err(Reason::SourceSpoofed.into());
        }
        if route::is_forbidden(packet.destination) {
            return Err(Reason::DestinationForbidden.into());
        }
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        match (packet.transport, packet.tuple()) {
            (Transport::IcmpError(embedded), _) => self.outbound_error(now, id, frame, &packet, &embedded),
            (_, Some(tuple)) => self.outbound_flow(now, id, frame, &packet, tuple),
            (_, None) => Err(Reason::ProtocolUnsupported.into()),
        }
    }

    /// Sends what was held for a neighbor that has been resolved.
    pub(super) fn outbound_held(&mut self, now: Instant, held: Held) {
        let mut frame = held.frame.into_vec();
        self.whole = held.whole;
        self.settle(now, Link::Attachment(held.attachment), &mut frame);
        self.whole = None;
    }

    /// A packet of a session, or one that would like to open one.
    fn outbound_flow(
        &mut self,
        now: Instant,
        id: AttachmentId,
        frame: &mut [u8],
        packet: &Packet,
        tuple: Tuple,
    ) -> Result<Verdict, Refusal> {
        let passage = match self.find_inside(id, &tuple) {
            Some(key) => Passage::Known(key, self.way_of(key)),
            None => Passage::New(check_opens(packet).and_then(|()| self.admit(now, id, tuple))?),
        };
        if let (Passage::Known(key, _), Transport::EchoReply { .. }) = (&passage, packet.transport) {
            // Only who was asked answers; and with the query id 0 this looks like the request of a translated session.
            if self.sessions.entry(*key).is_translated() {
                return Err(Reason::IcmpTypeUnsupported.into());
            }
        }
        let way = passage.way();
        let Some(exit) = self.exit(now, way, id, packet, frame)? else { return Ok(Verdict::Hold) };
        let opens = matches!(passage, Passage::New(_));
        let limits = &passage.connector(self).ok_or(Reason::NoConnector)?.config.limits;
        limits.take(now, &Load::of(packet, Direction::Outbound, opens))?;
        let key = match passage {
            Passage::Known(key, _) => key,
            Passage::New(admission) => self.open_session(now, id, tuple, admission)?,
        };
        self.touch(now, key, Direction::Outbound, Segment::of(frame, packet).as_ref());
        self.remember_exit(key, way, exit);
        let to = self.translated_source(key);
        let mss_limit = self.mss_limit(packet, id, way.uplink);
        let ip_id = self.fresh_ip_id(way.uplink, packet);
        self.leave(now, way.uplink, frame, exit, |frame, macs| {
            translate::packet(
                frame,
                packet,
                tuple.protocol,
                Side::Source,
                to,
                &Changes { macs, mss_limit, ip_id },
            );
        })
    }

    /// How a packet leaves, if it fits the link; `None` after it has been kept because the next hop's MAC address is not known.
    fn exit(
        &mut self,
        now: Instant,
        way: Way,
        id: AttachmentId,
        packet: &Packet,
        frame: &[u8],
    ) -> Result<Option<Exit>, Refusal> {
        let uplink = self.uplinks.get(&way.uplink).ok_or(Reason::EgressDown)?;
        let macs = (uplink.config.mac, uplink.config.mac);
        self.check_fits(packet, uplink.config.mtu)?;
        if way.hop.back {
            return Ok(Some(Exit::Back(macs)));
        }
        Ok(self.resolve(now, way, id, frame)?.map(Exit::Out))
    }

    /// Remembers where a session's packets leave, for those that come next. What is metered takes the long way each time.
    fn remember_exit(&mut self, key: usize, way: Way, exit: Exit) {
        if self.connector_of(key).config.limits.is_metered() {
            return;
        }
        let neighbors = self.uplinks.get(&way.uplink).map(|uplink| &uplink.neighbors);
        let exit = match exit {
            Exit::Back(_) => session::Exit::Back,
            Exit::Out(_) => session::Exit::to(neighbors.and_then(|neighbors| neighbors.place(way.hop.next))),
        };
        self.sessions.set_exit(key, way.hop.epoch, exit);
    }

    /// Sends a translated packet out of its uplink, or back inside if that is where it belongs (RFC 4787 REQ-9).
    fn leave(
        &mut self,
        now: Instant,
        uplink: UplinkId,
        frame: &mut [u8],
        exit: Exit,
        translate: impl FnOnce(&mut [u8], MacPair),
    ) -> Result<Verdict, Refusal> {
        match exit {
            Exit::Out(macs) => {
                translate(frame, macs);
                Ok(Verdict::Forward(Link::Uplink(uplink)))
            }
            Exit::Back(macs) => {
                // What does not come in again has to be left as it was.
                let mut turned = frame.to_vec();
                translate(&mut turned, macs);
                let verdict = self.inbound(now, uplink, &mut turned)?;
                frame.copy_from_slice(&turned);
                Ok(verdict)
            }
        }
    }

    /// An ICMP error of a container about a packet that it received (RFC 5508 REQ-5).
    fn outbound_error(
        &mut self,
        now: Instant,
        id: AttachmentId,
        frame: &mut [u8],
        packet: &Packet,
        embedded: &Embedded,
    ) -> Result<Verdict, Refusal> {
        let key = self.find_inside(id, &embedded.tuple.reversed()).ok_or(Reason::IcmpErrorUnrelated)?;
        if packet.destination != embedded.tuple.source.ip() {
            return Err(Reason::IcmpErrorUnrelated.into());
        }
        let way = self.way_of(key);
        let Some(exit) = self.exit(now, way, id, packet, frame)? else { return Ok(Verdict::Hold) };
        let limits = &self.connector_of(key).config.limits;
        limits.take(now, &Load::of(packet, Direction::Outbound, false))?;
        let to = self.translated_source(key);
        let ip_id = self.fresh_ip_id(way.uplink, packet);
        self.leave(now, way.uplink, frame, exit, |frame, macs| {
            let changes = Changes { macs, mss_limit: None, ip_id };
            translate::icmp_error(frame, packet, embedded, Side::Source, to, &changes);
        })
    }

    /// Where a session's packets leave now: what turned back inside when it began may have gone.
    pub(super) fn way_of(&self, key: usize) -> Way {
        let entry = self.sessions.entry(key);
        let destination = self.sessions.remote(entry).ip();
        let uplink = self.uplinks.at(entry.uplink());
        Way { uplink: uplink.config.id, hop: uplink.hop_now(destination) }
    }

    /// What the VPC sees instead of the source of a session's packets; `None` if it sees the container's own endpoint.
    fn translated_source(&self, key: usize) -> Option<SocketAddr> {
        let entry = self.sessions.entry(key);
        entry.is_translated().then(|| self.mappings[entry.mapping()].external)
    }

    /// The gateway's own address answers ping.
    fn answer_as_gateway(
        &mut self,
        id: AttachmentId,
        packet: &Packet,
        frame: &[u8],
    ) -> Result<Verdict, Refusal> {
        let config = &self.attachments[&id].config;
        let own = config.addressing(packet.source).is_some_and(|a| a.address == packet.source);
        let on_link = matches!(packet.source, IpAddr::V6(source) if source.is_unicast_link_local());
        if !own && !on_link {
            return Err(Reason::SourceSpoofed.into());
        }
        let Transport::EchoRequest { .. } = packet.transport else {
            return Err(Reason::GatewayAddress.into());
        };
        let macs: (MacAddr, MacAddr) = (config.mac, config.gateway_mac);
        let mut reply = frame.to_vec();
        translate::echo_reply(&mut reply, packet, macs);
        // A ping that came in fragments is answered in fragments.
        self.send_fitting(Link::Attachment(id), reply);
        Ok(Verdict::Respond)
    }

    /// An identification that no other packet of the external address to the same host has had lately (RFC 6864 §5.3.1);
    /// `None` where it does not matter, because nobody may fragment the packet.
    fn fresh_ip_id(&mut self, uplink: UplinkId, packet: &Packet) -> Option<u16> {
        // RFC 6864 §4.1: what is fragmented already is not atomic, whatever its DF says.
        if packet.family == Family::V6 || (packet.dont_fragment && self.whole.is_none()) {
            return None;
        }
        Some(self.next_ip_id(uplink, packet.destination, packet.segments() as u16))
    }

    /// The first of as many identifications as there are segments.
    pub(super) fn next_ip_id(&mut self, uplink: UplinkId, destination: IpAddr, segments: u16) -> u16 {
        let index = self.hasher.hash_one((uplink, destination)) as usize % self.ip_ids.len();
        let next = self.ip_ids[index];
        self.ip_ids[index] = next.wrapping_add(segments);
        // Workers share external addresses, but not the counters: each has its part of the numbers.
        let part = u16::MAX / self.slot.count();
        self.slot.index() * part + next % part
    }
}

/// Whether a packet without a session may open one.
pub(super) const fn check_opens(packet: &Packet) -> Result<(), Reason> {
    match packet.transport {
        Transport::Tcp(segment) if !tcp::opens(segment.flags) => Err(Reason::TcpNotSyn),
        Transport::EchoReply { .. } => Err(Reason::IcmpTypeUnsupported),
        _ => Ok(()),
    }
}

/// The internal endpoint's side of a probe.
pub(super) fn probe_tuple(protocol: Protocol, source: SocketAddr, remote: SocketAddr) -> Tuple {
    let port = if protocol == Protocol::Icmp { 0 } else { remote.port() };
    Tuple { protocol, source, destination: SocketAddr::new(remote.ip(), port) }
}
