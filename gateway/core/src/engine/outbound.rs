//! From a container to a VPC: spoofing checks, route, mapping, session, rewrite.

use std::net::{Ipv4Addr, SocketAddrV4};

use rand_chacha::rand_core::Rng;

use super::links::Attachment;
use super::{Engine, MacPair, Refusal, check_fits};
use crate::limits::SESSIONS_PER_ATTACHMENT;
use crate::mapping::{Mapping, MappingKey};
use crate::neighbor::{Held, Lookup};
use crate::packet::{Embedded, Packet, Transport, Tuple};
use crate::respond::Arp;
use crate::session::Session;
use crate::session::tcp::{self, Direction};
use crate::translate::{self, Side};
use crate::wire::{Carried, Ethernet};
use crate::{AttachmentId, ConnectorId, Instant, Link, MacAddr, Protocol, Reason, UplinkId, Verdict, route};

/// How a new session would be made. To decide on one changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admission {
    connector: ConnectorId,
    pub(super) uplink: UplinkId,
    pub(super) next_hop: Ipv4Addr,
    key: MappingKey,
    /// The address that the container appears as.
    pub(super) external: Ipv4Addr,
    /// The mapping that the internal endpoint has already.
    pub(super) mapping: Option<usize>,
}

/// Where an outbound packet leaves, whether its session exists or not.
#[derive(Clone, Copy)]
struct Way {
    uplink: UplinkId,
    next_hop: Ipv4Addr,
}

/// By which session a packet leaves.
#[derive(Clone, Copy)]
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
    const fn way(self) -> Way {
        match self {
            Self::Known(_, way) => way,
            Self::New(admission) => Way { uplink: admission.uplink, next_hop: admission.next_hop },
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
        if carried == Carried::Arp {
            return self.outbound_arp(id, frame);
        }
        if ethernet.destination != config.gateway_mac {
            return Err(Reason::NotForGateway.into());
        }
        let packet = Packet::parse(frame)?;
        if packet.source != config.address {
            return Err(Reason::SourceSpoofed.into());
        }
        if packet.destination == config.gateway {
            return self.answer_as_gateway(id, &packet, frame);
        }
        if route::is_forbidden(packet.destination) {
            return Err(Reason::DestinationForbidden.into());
        }
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        match (packet.transport, packet.tuple()) {
            (Transport::IcmpError(embedded), _) => self.outbound_error(now, id, frame, &packet, &embedded),
            // Nobody asks a container; and with the query id 0 it would look like the request of a session.
            (Transport::EchoReply { .. }, _) => Err(Reason::IcmpTypeUnsupported.into()),
            (_, Some(tuple)) => self.outbound_flow(now, id, frame, &packet, tuple),
            (_, None) => Err(Reason::ProtocolUnsupported.into()),
        }
    }

    /// Sends what was held for a neighbor that has been resolved.
    pub(super) fn outbound_held(&mut self, now: Instant, held: Held) {
        let mut frame = held.frame.into_vec();
        match self.outbound(now, held.attachment, &mut frame) {
            Ok(Verdict::Forward(to)) => self.transmit(to, frame),
            Ok(_) => {}
            Err(refusal) => {
                self.refuse(now, Link::Attachment(held.attachment), &frame, refusal);
            }
        }
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
        let passage = match self.sessions.outbound(id, tuple) {
            Some(key) => Passage::Known(key, self.way_of(key)),
            None => Passage::New(check_opens(packet).and_then(|()| self.admit(id, tuple))?),
        };
        let way = passage.way();
        let Some(exit) = self.exit(now, way, id, packet, frame)? else { return Ok(Verdict::Hold) };
        let key = match passage {
            Passage::Known(key, _) => key,
            Passage::New(admission) => self.open_session(now, id, tuple, admission)?,
        };
        self.sessions.touch(key, now, Direction::Outbound, packet.tcp_flags());
        let external = self.sessions.session(key).external;
        let mss_limit = self.mss_limit(packet, id, way.uplink);
        self.leave(now, way.uplink, frame, exit, |frame, macs| {
            translate::packet(frame, packet, Side::Source, external, macs, mss_limit);
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
        let config = &self.uplinks.get(&way.uplink).ok_or(Reason::EgressDown)?.config;
        check_fits(packet, config.mtu)?;
        if config.external.contains(&packet.destination) {
            return Ok(Some(Exit::Back((config.mac, config.mac))));
        }
        Ok(self.resolve(now, way, id, frame)?.map(Exit::Out))
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
        let key = self.sessions.outbound(id, embedded.tuple.reversed()).ok_or(Reason::IcmpErrorUnrelated)?;
        if packet.destination != *embedded.tuple.source.ip() {
            return Err(Reason::IcmpErrorUnrelated.into());
        }
        let way = self.way_of(key);
        let Some(exit) = self.exit(now, way, id, packet, frame)? else { return Ok(Verdict::Hold) };
        let external = self.sessions.session(key).external;
        self.leave(now, way.uplink, frame, exit, |frame, macs| {
            translate::icmp_error(frame, packet, embedded, Side::Source, external, macs);
        })
    }

    fn way_of(&self, key: usize) -> Way {
        let session = self.sessions.session(key);
        Way { uplink: session.uplink, next_hop: session.next_hop }
    }

    /// Whether, and how, a session could be made for `tuple`. The one place that decides it, for packets and `explain`.
    pub(super) fn admit(&self, id: AttachmentId, tuple: Tuple) -> Result<Admission, Reason> {
        let attachment = self.attachments.get(&id).ok_or(Reason::UnknownLink)?;
        if attachment.connectors.is_empty() {
            return Err(Reason::NoConnector);
        }
        let destination = *tuple.destination.ip();
        let (connector, _) =
            route::longest_prefix(&attachment.connectors, destination).ok_or(Reason::NoRoute)?;
        let uplink = self.uplinks.get(&connector.uplink).ok_or(Reason::EgressDown)?;
        if route::is_network_or_broadcast(uplink.config.on_link, destination) {
            return Err(Reason::Broadcast);
        }
        let next_hop = route::next_hop(&uplink.config, destination).ok_or(Reason::NoNextHop)?;
        let key = MappingKey {
            uplink: connector.uplink,
            protocol: tuple.protocol,
            internal_port: tuple.source.port(),
        };
        let mapping = attachment.mappings.get(&key).copied();
        let external = uplink.paired(id);
        if mapping.is_none() && uplink.pool(external, tuple.protocol).is_none_or(|pool| pool.free() == 0) {
            return Err(Reason::PortsExhausted);
        }
        self.check_session_room(attachment)?;
        Ok(Admission { connector: connector.id, uplink: connector.uplink, next_hop, key, external, mapping })
    }

    /// Makes the session that was admitted. Fails without a change.
    fn open_session(
        &mut self,
        now: Instant,
        id: AttachmentId,
        tuple: Tuple,
        a: Admission,
    ) -> Result<usize, Reason> {
        let mapping = match a.mapping {
            Some(key) => key,
            None => self.open_mapping(id, a)?,
        };
        let owner = (id, a.connector, a.uplink);
        let external = self.mappings[mapping].external;
        let session = Session::new(now, Direction::Outbound, owner, tuple, external, a.next_hop, mapping);
        Ok(self.insert_session(session))
    }

    /// Whether the container, and the table, have room for one more session.
    pub(super) fn check_session_room(&self, attachment: &Attachment) -> Result<(), Reason> {
        if attachment.base.sessions >= SESSIONS_PER_ATTACHMENT {
            return Err(Reason::QuotaReached);
        }
        if self.sessions.has_room() { Ok(()) } else { Err(Reason::SessionsExhausted) }
    }

    /// Puts a session into the table and counts it.
    pub(super) fn insert_session(&mut self, session: Session) -> usize {
        let links = [Link::Attachment(session.attachment), Link::Uplink(session.uplink)];
        let siblings = &mut self.mappings[session.mapping].sessions;
        let key = self.sessions.insert(session, siblings);
        for link in links {
            if let Some(base) = self.base(link) {
                base.sessions += 1;
            }
        }
        key
    }

    fn open_mapping(&mut self, id: AttachmentId, a: Admission) -> Result<usize, Reason> {
        let attachment = self.attachments.get_mut(&id).ok_or(Reason::UnknownLink)?;
        let uplink = self.uplinks.get_mut(&a.uplink).ok_or(Reason::EgressDown)?;
        let pool = uplink.pool_mut(a.external, a.key.protocol).ok_or(Reason::PortsExhausted)?;
        let lease = pool.lease(self.random.next_u32()).ok_or(Reason::PortsExhausted)?;
        let mapping = self.mappings.insert(Mapping::new(id, a.key, a.external, lease));
        attachment.mappings.insert(a.key, mapping);
        Ok(mapping)
    }

    /// MAC addresses for a frame that leaves; `None` after the frame has been kept because they are not known yet.
    fn resolve(
        &mut self,
        now: Instant,
        way: Way,
        id: AttachmentId,
        frame: &[u8],
    ) -> Result<Option<MacPair>, Reason> {
        let uplink = self.uplinks.get_mut(&way.uplink).ok_or(Reason::EgressDown)?;
        match uplink.neighbors.resolve(way.next_hop) {
            Lookup::Resolved(mac) => return Ok(Some((mac, uplink.config.mac))),
            Lookup::Failed => return Err(Reason::NextHopUnreachable),
            Lookup::Pending => uplink.neighbors.hold(way.next_hop, id, frame)?,
            Lookup::Unknown => {
                uplink.neighbors.begin(now, way.next_hop, id)?;
                // The neighbor is asked for even if this packet cannot wait for the answer.
                let held = uplink.neighbors.hold(way.next_hop, id, frame);
                self.ask(way.uplink, way.next_hop);
                self.arm(way.uplink);
                held?;
            }
        }
        Ok(None)
    }

    /// ARP of a container: answered for the gateway's address, if the container speaks for itself (RFC 5227 probes too).
    fn outbound_arp(&mut self, id: AttachmentId, frame: &[u8]) -> Result<Verdict, Refusal> {
        let arp = Arp::parse(frame)?;
        let config = &self.attachments[&id].config;
        let own = arp.sender == config.address || arp.sender.is_unspecified();
        if arp.sender_mac != config.mac || !own {
            return Err(Reason::ArpInvalid.into());
        }
        if !arp.is_request || arp.target != config.gateway {
            return Err(Reason::ArpNotForGateway.into());
        }
        let reply = arp.reply(config.gateway_mac);
        self.transmit(Link::Attachment(id), reply);
        Ok(Verdict::Respond)
    }

    /// The gateway's own address answers ping.
    fn answer_as_gateway(
        &mut self,
        id: AttachmentId,
        packet: &Packet,
        frame: &[u8],
    ) -> Result<Verdict, Refusal> {
        let Transport::EchoRequest { .. } = packet.transport else {
            return Err(Reason::GatewayAddress.into());
        };
        let config = &self.attachments[&id].config;
        let macs: (MacAddr, MacAddr) = (config.mac, config.gateway_mac);
        let mut reply = frame.to_vec();
        translate::echo_reply(&mut reply, packet, macs);
        self.transmit(Link::Attachment(id), reply);
        Ok(Verdict::Respond)
    }
}

/// Whether a packet without a session may open one.
pub(super) fn check_opens(packet: &Packet) -> Result<(), Reason> {
    match packet.transport {
        Transport::Tcp { flags, .. } if !tcp::opens(flags) => Err(Reason::TcpNotSyn),
        _ => Ok(()),
    }
}

/// The internal endpoint's side of a probe.
pub(super) fn probe_tuple(protocol: Protocol, source: SocketAddrV4, remote: SocketAddrV4) -> Tuple {
    let port = if protocol == Protocol::Icmp { 0 } else { remote.port() };
    Tuple { protocol, source, destination: SocketAddrV4::new(*remote.ip(), port) }
}
