//! From a container to a VPC: spoofing checks, session, rewrite. How sessions are made is in `admission`.

use std::net::{IpAddr, SocketAddr};

use super::admission::Admission;
use super::arrival::Arrival;
use super::fragments::check_fits;
use super::links::{Attached, Hop};
use super::{Engine, MacPair, Refusal};
use crate::neighbor::{Held, Lookup};
use crate::packet::{Embedded, Packet, Transport, Tuple};
use crate::rate::Load;
use crate::session::tcp::{self, Direction, Segment};
use crate::translate::{self, Changes, Side};
use crate::wire::{Carried, Ethernet, Family};
use crate::{AttachmentConfig, AttachmentId, Instant, Link, Reason, UplinkId, Verdict, route, session};

/// Where an outbound packet leaves, whether its session exists or not.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) uplink: UplinkId,
    pub(super) hop: Hop,
}

/// By which session a packet leaves.
pub(super) enum Passage {
    Known(usize, Way),
    New(Admission),
}

/// Where a packet goes once it is translated.
#[derive(Clone, Copy)]
pub(super) enum Exit {
    /// Out of the uplink, to the next hop, which is the neighbor at this place.
    Out(MacPair, u16),
    /// To an external address, so back inside, as if the VPC had sent it to us (hairpinning).
    Back(MacPair),
    /// It waits for the next hop, which has been asked for.
    Wait,
    /// The next hop is to be asked for, and whether the packet can wait for the answer.
    Ask(Result<(), Reason>),
}

impl Passage {
    pub(super) fn connector<'e>(&self, engine: &'e Engine) -> Option<&'e Attached> {
        match self {
            Self::Known(key, _) => Some(engine.connector_of(*key)),
            Self::New(admission) => engine.connector_by(&admission.owner),
        }
    }

    pub(super) const fn way(&self) -> Way {
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
        let link = Link::Attachment(id);
        match self.read_outbound(id, frame, self.whole)? {
            Arrival::ForUs { answer, told } => Ok(self.attend(now, link, answer, told)),
            Arrival::Fragment => self.take_fragment(now, link, frame),
            Arrival::Error(packet, embedded) => self.outbound_error(now, id, frame, &packet, &embedded),
            Arrival::Flow(packet, tuple) => self.outbound_flow(now, id, frame, &packet, tuple),
        }
    }

    /// What a container's frame is for, if it may send it. `whole` is that of a datagram that was put together.
    pub(super) fn read_outbound(
        &self,
        id: AttachmentId,
        frame: &[u8],
        whole: Option<u16>,
    ) -> Result<Arrival, Reason> {
        let config = &self.attachments.get(&id).ok_or(Reason::UnknownLink)?.config;
        let (ethernet, carried) = Ethernet::parse(frame)?;
        if ethernet.source != config.mac {
            return Err(Reason::SourceMacSpoofed);
        }
        let Carried::Ip(family) = carried else { return Self::read_outbound_arp(config, frame) };
        let for_us = ethernet.destination == config.gateway_mac;
        let Some(packet) = Packet::parse(frame, family)? else {
            return if for_us { Ok(Arrival::Fragment) } else { Err(Reason::NotForGateway) };
        };
        match packet.transport {
            Transport::NeighborDiscovery => {
                return Self::read_outbound_discovery(config, &packet, frame, whole);
            }
            Transport::ListenerDiscovery => return Ok(Arrival::answered(None)),
            _ if !for_us => return Err(Reason::NotForGateway),
            _ => {}
        }
        let addressing = config.addressing(packet.source);
        if addressing.is_some_and(|a| packet.destination == a.gateway) {
            return read_ping(config, &packet, frame);
        }
        if addressing.is_none_or(|a| packet.source != a.address) {
            return Err(Reason::SourceSpoofed);
        }
        if route::is_forbidden(packet.destination) {
            return Err(Reason::DestinationForbidden);
        }
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired);
        }
        match (packet.transport, packet.tuple()) {
            (Transport::IcmpError(embedded), _) => Ok(Arrival::Error(packet, embedded)),
            (_, Some(tuple)) => Ok(Arrival::Flow(packet, tuple)),
            (_, None) => Err(Reason::ProtocolUnsupported),
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
        let passage = self.passage(now, id, packet, tuple)?;
        let way = passage.way();
        let exit = match self.exit(way, id, packet, frame.len(), self.whole)? {
            Exit::Wait => return self.keep(way, id, frame),
            Exit::Ask(room) => return self.ask_and_keep(now, way, id, frame, room),
            exit => exit,
        };
        let sessions = u64::from(matches!(passage, Passage::New(_)));
        let limits = &passage.connector(self).ok_or(Reason::NoConnector)?.config.limits;
        limits.take(now, &Load::of(packet, Direction::Outbound, sessions))?;
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

    /// By which session a packet of a container leaves, if it may.
    pub(super) fn passage(
        &self,
        now: Instant,
        id: AttachmentId,
        packet: &Packet,
        tuple: Tuple,
    ) -> Result<Passage, Reason> {
        let Some(key) = self.find_inside(id, &tuple) else {
            return check_opens(packet).and_then(|()| self.admit(now, id, tuple)).map(Passage::New);
        };
        // Only who was asked answers; and with the query id 0 this looks like the request of a translated session.
        if matches!(packet.transport, Transport::EchoReply { .. }) && self.sessions.entry(key).is_translated()
        {
            return Err(Reason::IcmpTypeUnsupported);
        }
        Ok(Passage::Known(key, self.way_of(key)))
    }

    /// How a packet in a frame of so many bytes leaves, if it fits the link.
    pub(super) fn exit(
        &self,
        way: Way,
        id: AttachmentId,
        packet: &Packet,
        bytes: usize,
        whole: Option<u16>,
    ) -> Result<Exit, Refusal> {
        let uplink = self.uplinks.get(&way.uplink).ok_or(Reason::EgressDown)?;
        let mac = uplink.config.mac;
        check_fits(packet, whole, uplink.config.mtu)?;
        if way.hop.back {
            return Ok(Exit::Back((mac, mac)));
        }
        let (next, neighbors) = (way.hop.next, &uplink.neighbors);
        match neighbors.peek(next) {
            Lookup::Resolved { mac: next, place } => Ok(Exit::Out((next, mac), place)),
            Lookup::Failed => Err(Reason::NextHopUnreachable.into()),
            Lookup::Pending => {
                neighbors.check_held(next, id, bytes)?;
                Ok(Exit::Wait)
            }
            Lookup::Unknown => {
                neighbors.check_unresolved(id)?;
                Ok(Exit::Ask(neighbors.check_bytes(id, bytes)))
            }
        }
    }

    /// Remembers where a session's packets leave, for those that come next. What is metered takes the long way each time.
    fn remember_exit(&mut self, key: usize, way: Way, exit: Exit) {
        if self.connector_of(key).config.limits.is_metered() {
            return;
        }
        let exit = match exit {
            Exit::Back(_) => session::Exit::Back,
            Exit::Out(_, place) => session::Exit::Neighbor(place),
            Exit::Wait | Exit::Ask(_) => session::Exit::Unresolved,
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
            Exit::Out(macs, place) => {
                // It is in use.
                self.uplinks.get_mut(&uplink).and_then(|uplink| uplink.neighbors.resolve_at(place));
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
            Exit::Wait | Exit::Ask(_) => unreachable!("what waits does not leave"),
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
        let key = self.related(id, packet, embedded)?;
        let way = self.way_of(key);
        let exit = match self.exit(way, id, packet, frame.len(), self.whole)? {
            Exit::Wait => return self.keep(way, id, frame),
            Exit::Ask(room) => return self.ask_and_keep(now, way, id, frame, room),
            exit => exit,
        };
        let limits = &self.connector_of(key).config.limits;
        limits.take(now, &Load::of(packet, Direction::Outbound, 0))?;
        let to = self.translated_source(key);
        let ip_id = self.fresh_ip_id(way.uplink, packet);
        self.leave(now, way.uplink, frame, exit, |frame, macs| {
            let changes = Changes { macs, mss_limit: None, ip_id };
            translate::icmp_error(frame, packet, embedded, Side::Source, to, &changes);
        })
    }

    /// The session that a container's ICMP error is about.
    pub(super) fn related(
        &self,
        id: AttachmentId,
        packet: &Packet,
        embedded: &Embedded,
    ) -> Result<usize, Reason> {
        let key = self.find_inside(id, &embedded.tuple.reversed()).ok_or(Reason::IcmpErrorUnrelated)?;
        if packet.destination != embedded.tuple.source.ip() {
            return Err(Reason::IcmpErrorUnrelated);
        }
        Ok(key)
    }

    /// Where a session's packets leave now: what turned back inside when it began may have gone.
    pub(super) fn way_of(&self, key: usize) -> Way {
        let entry = self.sessions.entry(key);
        let destination = self.sessions.remote(entry).ip();
        let uplink = self.uplinks.at(entry.uplink());
        Way { uplink: uplink.config.id, hop: uplink.hop_now(destination) }
    }

    /// What the VPC sees instead of the source of a session's packets; `None` if it sees the container's own endpoint.
    pub(super) fn translated_source(&self, key: usize) -> Option<SocketAddr> {
        let entry = self.sessions.entry(key);
        entry.is_translated().then(|| self.mappings[entry.mapping()].external)
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

/// The gateway's own address answers ping.
fn read_ping(config: &AttachmentConfig, packet: &Packet, frame: &[u8]) -> Result<Arrival, Reason> {
    let own = config.addressing(packet.source).is_some_and(|a| a.address == packet.source);
    let on_link = matches!(packet.source, IpAddr::V6(source) if source.is_unicast_link_local());
    if !own && !on_link {
        return Err(Reason::SourceSpoofed);
    }
    let Transport::EchoRequest { .. } = packet.transport else { return Err(Reason::GatewayAddress) };
    let mut reply = frame.to_vec();
    translate::echo_reply(&mut reply, packet, (config.mac, config.gateway_mac));
    Ok(Arrival::answered(Some(reply)))
}
