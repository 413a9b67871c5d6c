//! From a VPC to a container: ownership of the external port, session or filtering, rewrite. Nothing in the VPC makes a
//! mapping; to those that containers have made, and to what connectors publish, it may open sessions as far as policy lets it.

use std::net::{IpAddr, SocketAddr};

use super::arrival::Arrival;
use super::fragments::check_fits;
use super::links::{Attached, Attachment};
use super::outbound::check_opens;
use super::{Engine, MacPair, Refusal};
use crate::mapping::{Mapping, MappingKey, Scope};
use crate::packet::{Embedded, Packet, Transport, Tuple};
use crate::rate::Load;
use crate::session::key::OWN;
use crate::session::tcp::{Direction, Segment};
use crate::session::{Exit, NewSession, Owner};
use crate::translate::{self, Changes, Side};
use crate::wire::{Carried, Ethernet};
use crate::{AttachmentId, Filtering, Instant, Link, Protocol, Reason, UdpRefresh, UplinkId, Verdict, route};

/// How a remote's session would be made. To decide on one changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    udp_refresh: UdpRefresh,
    mapping: Target,
}

/// What the remote calls.
#[derive(Clone, Copy, Debug)]
enum Target {
    Known(usize),
    /// An endpoint of a container whose addresses the VPC sees, and which has no mapping there yet.
    Own(MappingKey),
}

/// By which session a packet comes in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Passage {
    Known(usize),
    New(Entry),
}

/// Where a packet that has come in goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entrance {
    /// To the worker that has the external endpoint.
    Elsewhere(u16),
    /// To this container, by this session, with these MAC addresses.
    Here { passage: Passage, attachment: AttachmentId, macs: MacPair },
}

impl Passage {
    pub(super) fn connector(self, engine: &Engine) -> Option<&Attached> {
        match self {
            Self::Known(key) => Some(engine.connector_of(key)),
            Self::New(entry) => engine.connector_by(&entry.owner),
        }
    }

    fn attachment(self, engine: &Engine) -> AttachmentId {
        match self {
            Self::Known(key) => engine.attachments.at(engine.sessions.entry(key).attachment()).config.id,
            Self::New(entry) => entry.owner.attachment,
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
        let link = Link::Uplink(id);
        match self.read_inbound(id, frame, self.whole)? {
            Arrival::ForUs { answer, told } => Ok(self.attend(now, link, answer, told)),
            Arrival::Fragment => self.take_fragment(now, link, frame),
            Arrival::Error(packet, embedded) => self.inbound_error(now, id, frame, &packet, &embedded),
            Arrival::Flow(packet, tuple) => self.inbound_flow(now, id, frame, &packet, tuple),
        }
    }

    /// What a frame of a VPC is for, if it may come in. `whole` is that of a datagram that was put together.
    pub(super) fn read_inbound(
        &self,
        id: UplinkId,
        frame: &[u8],
        whole: Option<u16>,
    ) -> Result<Arrival, Reason> {
        let uplink = self.uplinks.get(&id).ok_or(Reason::UnknownLink)?;
        let (ethernet, carried) = Ethernet::parse(frame)?;
        let to_us = ethernet.destination == uplink.config.mac;
        if !to_us && ethernet.destination.is_unicast() {
            return Err(Reason::NotForGateway);
        }
        let Carried::Ip(family) = carried else { return Self::read_inbound_arp(uplink, frame) };
        let Some(packet) = Packet::parse(frame, family)? else {
            return if to_us { Ok(Arrival::Fragment) } else { Err(Reason::NotExternalAddress) };
        };
        match packet.transport {
            Transport::NeighborDiscovery => {
                return Self::read_inbound_discovery(uplink, &packet, frame, whole);
            }
            Transport::ListenerDiscovery => return Ok(Arrival::answered(None)),
            _ => {}
        }
        let space = &uplink.config.space;
        let external = space.index_of(packet.destination).is_some();
        let routed = if external { None } else { space.routed(packet.destination) };
        if !to_us || !(external || routed.is_some()) {
            return Err(Reason::NotExternalAddress);
        }
        // Link-local ones are the link's own: nobody may come in as a container's gateway (RFC 3927 §7, RFC 4291 §2.5.6).
        if route::is_forbidden(packet.source) {
            return Err(Reason::SourceInvalid);
        }
        match (packet.transport, packet.tuple()) {
            (Transport::IcmpError(embedded), _) => Ok(Arrival::Error(packet, embedded)),
            // Only answers come in; and with the query id 0 a request would look like one.
            (Transport::EchoRequest { .. }, _) if external => Err(Reason::NoMapping),
            (_, Some(tuple)) => Ok(Arrival::Flow(packet, tuple)),
            (_, None) => Err(Reason::ProtocolUnsupported),
        }
    }

    /// The worker that has, or would have, this endpoint of an uplink.
    pub(super) fn owner_of(
        &self,
        id: UplinkId,
        protocol: Protocol,
        endpoint: SocketAddr,
    ) -> Result<u16, Reason> {
        let space = &self.uplinks.get(&id).ok_or(Reason::UnknownLink)?.config.space;
        let owner = match space.index_of(endpoint.ip()) {
            Some(_) => Some(space.owner_of(endpoint.ip(), protocol, endpoint.port())),
            None => space.routed(endpoint.ip()).map(|routed| routed.worker),
        };
        owner.ok_or(Reason::NotExternalAddress)
    }

    /// A packet for a session.
    fn inbound_flow(
        &mut self,
        now: Instant,
        id: UplinkId,
        frame: &mut [u8],
        packet: &Packet,
        tuple: Tuple,
    ) -> Result<Verdict, Refusal> {
        let (passage, attachment, macs) = match self.entrance(id, packet, tuple, self.whole) {
            Ok(Entrance::Elsewhere(to)) => return Ok(Verdict::HandOff { to, from: id }),
            Ok(Entrance::Here { passage, attachment, macs }) => (passage, attachment, macs),
            Err(refusal) => {
                self.note_unasked(now, id, frame, packet, tuple, refusal.reason);
                return Err(refusal);
            }
        };
        let sessions = u64::from(matches!(passage, Passage::New(_)));
        let limits = &passage.connector(self).ok_or(Reason::EgressDown)?.config.limits;
        limits.take(now, &Load::of(packet, Direction::Inbound, sessions))?;
        let key = match passage {
            Passage::Known(key) => key,
            Passage::New(entry) => self.open_inbound(now, tuple, entry),
        };
        self.touch(now, key, Direction::Inbound, Segment::of(frame, packet).as_ref());
        self.remember_back(key);
        let to = self.translated_destination(key);
        let mss_limit = self.mss_limit(packet, attachment, id);
        let changes = Changes { macs, mss_limit, ip_id: None };
        translate::packet(frame, packet, tuple.protocol, Side::Destination, to, &changes);
        Ok(Verdict::Forward(Link::Attachment(attachment)))
    }

    /// Where a packet of a session, or of one that a remote would like to open, goes. Its external endpoint says whose it is.
    pub(super) fn entrance(
        &self,
        id: UplinkId,
        packet: &Packet,
        tuple: Tuple,
        whole: Option<u16>,
    ) -> Result<Entrance, Refusal> {
        let owner = self.owner_of(id, tuple.protocol, tuple.destination)?;
        if owner != self.slot.index() {
            return Ok(Entrance::Elsewhere(owner));
        }
        let passage = match self.find_outside(id, &tuple) {
            Some(key) => Passage::Known(key),
            None => {
                let entry = self.admit_inbound(id, tuple)?;
                check_opens(packet)?;
                Passage::New(entry)
            }
        };
        self.enter(passage, packet, whole)
    }

    /// The same for an ICMP error about a packet that a container sent (RFC 5508 REQ-4). Any router may have made it.
    pub(super) fn entrance_of_error(
        &self,
        id: UplinkId,
        packet: &Packet,
        embedded: &Embedded,
        whole: Option<u16>,
    ) -> Result<Entrance, Refusal> {
        let external = embedded.tuple.source;
        if external.ip() != packet.destination {
            return Err(Reason::IcmpErrorUnrelated.into());
        }
        let owner = self.owner_of(id, embedded.tuple.protocol, external)?;
        if owner != self.slot.index() {
            return Ok(Entrance::Elsewhere(owner));
        }
        let key = self.find_outside(id, &embedded.tuple.reversed()).ok_or(Reason::IcmpErrorUnrelated)?;
        self.enter(Passage::Known(key), packet, whole)
    }

    /// To the container of a session, if the packet lives long enough and fits its link.
    fn enter(&self, passage: Passage, packet: &Packet, whole: Option<u16>) -> Result<Entrance, Refusal> {
        let attachment = passage.attachment(self);
        let macs = self.enter_link(attachment, packet, whole)?;
        Ok(Entrance::Here { passage, attachment, macs })
    }

    /// MAC addresses for a packet that goes on to this container.
    pub(super) fn enter_link(
        &self,
        attachment: AttachmentId,
        packet: &Packet,
        whole: Option<u16>,
    ) -> Result<MacPair, Refusal> {
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let config = &self.attachments.get(&attachment).ok_or(Reason::EgressDown)?.config;
        check_fits(packet, whole, config.mtu)?;
        Ok((config.mac, config.gateway_mac))
    }

    /// Remembers whether a session's remote is behind this gateway, unless more is known.
    fn remember_back(&mut self, key: usize) {
        if self.connector_of(key).config.limits.is_metered() {
            return;
        }
        let entry = self.sessions.entry(key);
        let space = &self.uplinks.at(entry.uplink()).config.space;
        let epoch = space.epoch();
        if entry.exit(epoch).is_none() {
            let remote = self.sessions.remote(entry).ip();
            let back = space.index_of(remote).is_some() || space.routed(remote).is_some();
            self.sessions.set_exit(key, epoch, if back { Exit::Back } else { Exit::Unresolved });
        }
    }

    /// Remembers a SYN that may not open a session.
    fn note_unasked(
        &mut self,
        now: Instant,
        id: UplinkId,
        frame: &[u8],
        packet: &Packet,
        tuple: Tuple,
        reason: Reason,
    ) {
        // A hairpinned one has its sender inside.
        let from_outside = self.uplinks.get(&id).is_some_and(|uplink| !uplink.turns_back(packet.source));
        let unasked = matches!(reason, Reason::NoMapping | Reason::Filtered);
        if from_outside && unasked && check_opens(packet).is_ok() {
            self.remember_unasked(now, id, tuple, frame);
        }
    }

    /// An ICMP error about a packet that a container sent.
    fn inbound_error(
        &mut self,
        now: Instant,
        id: UplinkId,
        frame: &mut [u8],
        packet: &Packet,
        embedded: &Embedded,
    ) -> Result<Verdict, Refusal> {
        let (key, attachment, macs) = match self.entrance_of_error(id, packet, embedded, self.whole)? {
            Entrance::Elsewhere(to) => return Ok(Verdict::HandOff { to, from: id }),
            Entrance::Here { passage: Passage::Known(key), attachment, macs } => (key, attachment, macs),
            Entrance::Here { passage: Passage::New(_), .. } => unreachable!("an error opens nothing"),
        };
        let limits = &self.connector_of(key).config.limits;
        limits.take(now, &Load::of(packet, Direction::Inbound, 0))?;
        let to = self.translated_destination(key);
        let changes = Changes { macs, mss_limit: None, ip_id: None };
        translate::icmp_error(frame, packet, embedded, Side::Destination, to, &changes);
        Ok(Verdict::Forward(Link::Attachment(attachment)))
    }

    /// The container's endpoint, to which a session's packets go on; `None` if they are sent to it already.
    fn translated_destination(&self, key: usize) -> Option<SocketAddr> {
        let entry = self.sessions.entry(key);
        entry.is_translated().then(|| self.mappings[entry.mapping()].key.internal)
    }

    /// Whether a remote may open a session to a mapping (RFC 4787 REQ-8, RFC 5382 REQ-3): it has to be among the destinations of
    /// a connector, and that connector's filtering, or publication, has to let it in.
    pub(super) fn admit_inbound(&self, id: UplinkId, tuple: Tuple) -> Result<Entry, Reason> {
        let remote = tuple.source.ip();
        let mapping = self.mappings.at(id, tuple.protocol, tuple.destination);
        let owner = match mapping {
            Some(mapping) => self.mappings[mapping].attachment,
            None => self.routed_to(id, tuple.destination.ip()).ok_or(Reason::NoMapping)?,
        };
        let attachment = self.attachments.get(&owner).ok_or(Reason::NoMapping)?;
        let published = mapping.map(|m| &self.mappings[m]).filter(|m| m.pinned);
        let attached = callee(attachment, published, id, tuple.protocol, remote).ok_or(Reason::Filtered)?;
        let connector = &attached.config;
        if published.is_none() && !self.lets_in(attached, mapping, tuple) {
            return Err(Reason::Filtered);
        }
        // By another external endpoint the container has this very conversation already.
        let internal = mapping.map_or(tuple.destination, |mapping| self.mappings[mapping].key.internal);
        let inside = Tuple { protocol: tuple.protocol, source: internal, destination: tuple.source };
        if self.find_inside(owner, &inside).is_some() {
            return Err(Reason::Filtered);
        }
        self.check_session_room(attachment)?;
        let uplink = self.uplinks.get(&id).ok_or(Reason::UnknownLink)?;
        uplink.hop(remote).ok_or(Reason::NoNextHop)?;
        let owner = Owner { attachment: owner, connector: connector.id, uplink: id };
        let key = MappingKey {
            uplink: id,
            protocol: tuple.protocol,
            internal: tuple.destination,
            scope: Scope::Own,
        };
        let mapping = mapping.map_or(Target::Own(key), Target::Known);
        Ok(Entry { owner, udp_refresh: connector.udp_refresh, mapping })
    }

    /// The container of this worker whose own address it is that the VPC sees.
    fn routed_to(&self, id: UplinkId, address: IpAddr) -> Option<AttachmentId> {
        let routed = self.uplinks.get(&id)?.config.space.routed(address)?;
        (routed.worker == self.slot.index()).then_some(routed.attachment)
    }

    fn lets_in(&self, attached: &Attached, mapping: Option<usize>, tuple: Tuple) -> bool {
        let (connector, remote) = (&attached.config, tuple.source.ip());
        // The container's own endpoint is reached only where the VPC may see it, and its mappings only where it may not.
        let visible = match mapping.map(|mapping| &self.mappings[mapping]) {
            None | Some(Mapping { key: MappingKey { scope: Scope::Own, .. }, .. }) => !connector.translation,
            Some(mapping) => {
                connector.translation && mapping.key.scope.covers(remote) && attached.may_use(mapping)
            }
        };
        visible
            && match connector.filtering_of(tuple.protocol) {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => {
                    let contacted = |m| self.sessions.has_contacted(m, self.mappings[m].sessions, remote);
                    mapping.is_some_and(contacted)
                }
                Filtering::AddressAndPortDependent => false,
            }
    }

    /// Makes the session that was admitted.
    fn open_inbound(&mut self, now: Instant, tuple: Tuple, entry: Entry) -> usize {
        let Entry { owner, udp_refresh, mapping } = entry;
        let mapping = match mapping {
            Target::Known(mapping) => mapping,
            Target::Own(key) => {
                let own = (OWN, key.internal);
                self.insert_mapping(Mapping::new(owner.attachment, owner.connector, key, own, None))
            }
        };
        let key = self.mappings[mapping].key;
        let inside = Tuple { protocol: tuple.protocol, source: key.internal, destination: tuple.source };
        self.insert_session(now, Direction::Inbound, &NewSession { owner, inside, mapping, udp_refresh })
    }
}

/// The connector by which a remote may call a container, if its rules let it: that of the publication, or the one that the
/// container would call it by.
pub(super) fn callee<'a>(
    attachment: &'a Attachment,
    published: Option<&Mapping>,
    uplink: UplinkId,
    protocol: Protocol,
    remote: IpAddr,
) -> Option<&'a Attached> {
    let attached = match published {
        Some(mapping) => attachment
            .attached(mapping.connector)
            .filter(|attached| attached.config.destinations.iter().any(|d| d.contains(&remote))),
        None => attachment
            .route(remote)
            .map(|(attached, _)| attached)
            .filter(|attached| attached.config.uplink == uplink),
    };
    attached.filter(|attached| attached.config.allows_caller(protocol, remote))
}
