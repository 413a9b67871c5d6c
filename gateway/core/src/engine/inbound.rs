//! From a VPC to a container: ownership of the external port, session or filtering, rewrite. Nothing in the VPC makes a
//! mapping; to those that containers have made, it may open sessions as far as the connector's filtering lets it.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::outbound::check_opens;
use super::{Engine, MacPair, Refusal, check_fits};
use crate::mapping::Mapping;
use crate::packet::{Embedded, Packet, Transport, Tuple};
use crate::respond::Arp;
use crate::session::Session;
use crate::session::tcp::Direction;
use crate::translate::{self, Side};
use crate::wire::{Carried, Ethernet};
use crate::{AttachmentId, ConnectorId, Filtering, Instant, Link, MacAddr, Reason, UplinkId, Verdict, route};

/// How a remote's session would be made. To decide on one changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    mapping: usize,
    attachment: AttachmentId,
    connector: ConnectorId,
    next_hop: Ipv4Addr,
}

/// By which session a packet comes in.
#[derive(Clone, Copy, Debug)]
enum Passage {
    Known(usize),
    New(Entry),
}

impl Passage {
    fn attachment(self, engine: &Engine) -> AttachmentId {
        match self {
            Self::Known(key) => engine.sessions.session(key).attachment,
            Self::New(entry) => entry.attachment,
        }
    }
}

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
            return Ok(Verdict::HandOff { to: self.slot.owner_of(port), from: id });
        }
        let passage = match self.sessions.inbound(id, tuple) {
            Some(key) => Passage::Known(key),
            None => Passage::New(
                self.admit_inbound(id, tuple).and_then(|entry| check_opens(packet).map(|()| entry))?,
            ),
        };
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let (attachment, macs, mtu) = self.inside(passage.attachment(self))?;
        check_fits(packet, mtu)?;
        let key = match passage {
            Passage::Known(key) => key,
            Passage::New(entry) => self.open_inbound(now, id, tuple, entry),
        };
        self.sessions.touch(key, now, Direction::Inbound, packet.tcp_flags());
        let internal = self.sessions.session(key).inside.source;
        let mss_limit = self.mss_limit(packet, attachment, id);
        translate::packet(frame, packet, Side::Destination, internal, macs, mss_limit);
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
            return Ok(Verdict::HandOff { to: self.slot.owner_of(external.port()), from: id });
        }
        let key = self.sessions.inbound(id, embedded.tuple.reversed()).ok_or(Reason::IcmpErrorUnrelated)?;
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let (attachment, macs, mtu) = self.inside(self.sessions.session(key).attachment)?;
        check_fits(packet, mtu)?;
        let internal = self.sessions.session(key).inside.source;
        translate::icmp_error(frame, packet, embedded, Side::Destination, internal, macs);
        Ok(Verdict::Forward(Link::Attachment(attachment)))
    }

    /// The inside end of a session: whose it is, MAC addresses and MTU of the link.
    fn inside(&self, id: AttachmentId) -> Result<(AttachmentId, MacPair, u16), Reason> {
        let config = &self.attachments.get(&id).ok_or(Reason::EgressDown)?.config;
        Ok((id, (config.mac, config.gateway_mac), config.mtu))
    }

    /// Whether a remote may open a session to a mapping (RFC 4787 REQ-8, RFC 5382 REQ-3): it has to be among the destinations of
    /// a connector, and that connector's filtering has to let it in.
    pub(super) fn admit_inbound(&self, id: UplinkId, tuple: Tuple) -> Result<Entry, Reason> {
        let mapping = self.mappings.at(id, tuple.protocol, tuple.destination).ok_or(Reason::NoMapping)?;
        let owner = self.mappings[mapping].attachment;
        let attachment = self.attachments.get(&owner).ok_or(Reason::NoMapping)?;
        let remote = *tuple.source.ip();
        let (connector, _) = route::longest_prefix(&attachment.connectors, remote)
            .filter(|(connector, _)| connector.uplink == id)
            .ok_or(Reason::Filtered)?;
        let lets_in = match connector.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => self.sessions.has_contacted(mapping, remote),
            Filtering::AddressAndPortDependent => false,
        };
        if !lets_in {
            return Err(Reason::Filtered);
        }
        self.check_session_room(attachment)?;
        let uplink = self.uplinks.get(&id).ok_or(Reason::UnknownLink)?;
        let next_hop = route::next_hop(&uplink.config, remote).ok_or(Reason::NoNextHop)?;
        Ok(Entry { mapping, attachment: owner, connector: connector.id, next_hop })
    }

    /// Makes the session that was admitted.
    fn open_inbound(&mut self, now: Instant, id: UplinkId, tuple: Tuple, entry: Entry) -> usize {
        let Mapping { key, external, .. } = self.mappings[entry.mapping];
        let internal =
            SocketAddrV4::new(self.attachments[&entry.attachment].config.address, key.internal_port);
        let inside = Tuple { protocol: tuple.protocol, source: internal, destination: tuple.source };
        let owner = (entry.attachment, entry.connector, id);
        let session =
            Session::new(now, Direction::Inbound, owner, inside, external, entry.next_hop, entry.mapping);
        self.insert_session(session)
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
