//! From a VPC to a container: ownership of the external port, session, rewrite. Nothing in the VPC opens a session.

use super::{Engine, MacPair, Refusal, check_fits};
use crate::packet::{Embedded, Packet, Transport, Tuple};
use crate::respond::Arp;
use crate::session::tcp::Direction;
use crate::translate::{self, Side};
use crate::wire::{Carried, Ethernet};
use crate::{AttachmentId, Instant, Link, MacAddr, Reason, UplinkId, Verdict, route};

impl Engine {
    /// Decides on a frame of a VPC.
    pub(super) fn inbound(
        &mut self,
        now: Instant,
        id: UplinkId,
        frame: &mut [u8],
    ) -> Result<Verdict, Refusal> {
        let config = &self.uplinks.get(&id).ok_or(Reason::UnknownLink)?.config;
        let (ethernet, carried) = Ethernet::parse(frame)?;
        if ethernet.destination != config.mac && ethernet.destination != MacAddr::BROADCAST {
            return Err(Reason::NotForGateway.into());
        }
        if carried == Carried::Arp {
            return self.inbound_arp(now, id, frame);
        }
        let packet = Packet::parse(frame)?;
        if ethernet.destination == MacAddr::BROADCAST || !config.external.contains(&packet.destination) {
            return Err(Reason::NotExternalAddress.into());
        }
        if !route::is_host(packet.source) {
            return Err(Reason::SourceInvalid.into());
        }
        match (packet.transport, packet.tuple()) {
            (Transport::IcmpError(embedded), _) => self.inbound_error(id, frame, &packet, &embedded),
            // Only answers come in; and with the query id 0 a request would look like one.
            (Transport::EchoRequest { .. }, _) => Err(Reason::NoMapping.into()),
            (_, Some(tuple)) => self.inbound_flow(now, id, frame, &packet, tuple),
            (_, None) => Err(Reason::ProtocolUnsupported.into()),
        }
    }

    /// A packet for a session. Its external port says whose it is.
    fn inbound_flow(
        &mut self,
        now: Instant,
        id: UplinkId,
        frame: &mut [u8],
        packet: &Packet,
        tuple: Tuple,
    ) -> Result<Verdict, Refusal> {
        let port = tuple.destination.port();
        if !self.slot.owns(port) {
            return Ok(Verdict::HandOff(self.slot.owner_of(port)));
        }
        let Some(key) = self.sessions.inbound(id, tuple) else {
            return Err(self.why_not_inbound(id, tuple).into());
        };
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let (attachment, macs, mtu) = self.inside_of(key)?;
        check_fits(packet, mtu)?;
        self.sessions.touch(key, now, Direction::Inbound, packet.tcp_flags());
        let internal = self.sessions.session(key).inside.source;
        translate::packet(frame, packet, Side::Destination, internal, macs);
        Ok(Verdict::Forward(Link::Attachment(attachment)))
    }

    /// An ICMP error about a packet that a container sent (RFC 5508 REQ-4). Any router may have made it.
    fn inbound_error(
        &mut self,
        id: UplinkId,
        frame: &mut [u8],
        packet: &Packet,
        embedded: &Embedded,
    ) -> Result<Verdict, Refusal> {
        let external = embedded.tuple.source;
        if *external.ip() != packet.destination {
            return Err(Reason::IcmpErrorUnrelated.into());
        }
        if !self.slot.owns(external.port()) {
            return Ok(Verdict::HandOff(self.slot.owner_of(external.port())));
        }
        let key = self.sessions.inbound(id, embedded.tuple.reversed()).ok_or(Reason::IcmpErrorUnrelated)?;
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let (attachment, macs, mtu) = self.inside_of(key)?;
        check_fits(packet, mtu)?;
        let internal = self.sessions.session(key).inside.source;
        translate::icmp_error(frame, packet, embedded, Side::Destination, internal, macs);
        Ok(Verdict::Forward(Link::Attachment(attachment)))
    }

    /// The inside end of a session: whose it is, MAC addresses and MTU of the link.
    fn inside_of(&self, key: usize) -> Result<(AttachmentId, MacPair, u16), Reason> {
        let id = self.sessions.session(key).attachment;
        let config = &self.attachments.get(&id).ok_or(Reason::EgressDown)?.config;
        Ok((id, (config.mac, config.gateway_mac), config.mtu))
    }

    /// Whether the external endpoint is in use at all.
    fn why_not_inbound(&self, id: UplinkId, tuple: Tuple) -> Reason {
        let pool = self.uplinks.get(&id).and_then(|u| u.pool(*tuple.destination.ip(), tuple.protocol));
        let in_use = pool.is_some_and(|pool| pool.is_leased(tuple.destination.port()));
        if in_use { Reason::Filtered } else { Reason::NoMapping }
    }

    /// ARP of the VPC: requests for the external addresses are answered, answers are learned from, by every worker.
    fn inbound_arp(&mut self, now: Instant, id: UplinkId, frame: &[u8]) -> Result<Verdict, Refusal> {
        let arp = Arp::parse(frame)?;
        let config = &self.uplinks[&id].config;
        let for_us = config.external.contains(&arp.target);
        // RFC 5227 §1.1: an announcement has its sender as its target.
        if !for_us && arp.target != arp.sender {
            return Err(Reason::ArpNotForGateway.into());
        }
        if for_us && arp.is_request {
            let reply = arp.reply(config.mac);
            self.transmit(Link::Uplink(id), reply);
        }
        self.learn_neighbor(now, id, &arp);
        Ok(if self.slot.count() > 1 { Verdict::Share } else { Verdict::Respond })
    }

    /// Learns the sender of an ARP message, and sends what waited for it.
    pub(super) fn learn_neighbor(&mut self, now: Instant, id: UplinkId, arp: &Arp) {
        let Some(uplink) = self.uplinks.get_mut(&id) else { return };
        if uplink.config.external.contains(&arp.sender) {
            return;
        }
        let released = uplink.neighbors.learn(now, arp.sender, arp.sender_mac);
        self.arm(id);
        for held in released {
            self.outbound_held(now, held);
        }
    }
}
