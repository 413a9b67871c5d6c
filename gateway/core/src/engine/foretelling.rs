//! What would happen to a frame: the decisions that real frames meet, and nothing done.
//!
//! Not foretold is what chance decides (the port of a new mapping, and so whether that is the one that is called), what a packet that
//! opens a session and comes back inside leaves of the last room for a second one, what another worker says, and what the shell
//! finds when it sends.

use std::net::SocketAddr;

use super::admission::Source;
use super::arrival::Arrival;
use super::inbound::{self, Entrance};
use super::links::Attached;
use super::outbound::{Exit, Passage, Way, check_opens};
use super::{Engine, MacPair, Refusal};
use crate::neighbor::Lookup;
use crate::packet::{Embedded, Packet, Tuple};
use crate::rate::{Load, RateLimits};
use crate::rule::Decision;
use crate::session::tcp::Direction;
use crate::translate::{self, Changes, Side};
use crate::wire::IP;
use crate::{AttachmentId, Explanation, Instant, Link, Reason, Step, UplinkId, Verdict};

/// A frame that is looked at.
#[derive(Clone, Copy)]
struct Seen<'f> {
    now: Instant,
    frame: &'f [u8],
    /// Of a datagram that was put together: bytes of the largest fragment.
    whole: Option<u16>,
}

/// The first half of a packet's way from one container to another.
struct Caller<'e> {
    id: AttachmentId,
    uplink: UplinkId,
    limits: &'e RateLimits,
    load: Load,
    /// The session that would have begun by then, if its external endpoint is known.
    begun: Option<SocketAddr>,
}

impl Engine {
    /// What would happen now to a frame from a link, vnet header included: the decisions that it meets, and what
    /// [`Self::handle_packet`] would say of it. A packet that leaves in other pieces than it came in counts as forwarded here.
    pub fn explain_frame(&self, now: Instant, from: Link, frame: &[u8]) -> Explanation {
        let mut steps = Vec::new();
        let disguised = matches!(from, Link::Uplink(id) if self.is_disguised(id, frame));
        let foretold = if disguised {
            Err(Reason::SourceInvalid.into())
        } else {
            self.foretell(from, Seen { now, frame, whole: None }, &mut steps)
        };
        Explanation { steps, verdict: foretold.unwrap_or_else(|refusal| Verdict::Drop(refusal.reason)) }
    }

    fn foretell(&self, from: Link, seen: Seen<'_>, steps: &mut Vec<Step>) -> Result<Verdict, Refusal> {
        let arrival = match from {
            Link::Attachment(id) => self.read_outbound(id, seen.frame, seen.whole)?,
            Link::Uplink(id) => self.read_inbound(id, seen.frame, seen.whole)?,
        };
        match (arrival, from) {
            (Arrival::ForUs { answer, told }, _) => {
                steps.extend(answer.map(|_| Step::GatewayAnswers));
                Ok(self.verdict_for_us(told))
            }
            (Arrival::Fragment, _) => {
                let Some(whole) = self.reassembly.foresee(from, seen.frame)? else {
                    return Ok(Verdict::Hold);
                };
                steps.push(Step::Reassembled { bytes: whole.frame.len() - IP });
                let datagram = Seen { frame: &whole.frame, whole: Some(whole.largest), ..seen };
                self.foretell(from, datagram, steps)
            }
            (Arrival::Error(packet, embedded), Link::Attachment(id)) => {
                self.foretell_error(id, seen, &packet, &embedded, steps)
            }
            (Arrival::Flow(packet, tuple), Link::Attachment(id)) => {
                self.foretell_flow(id, seen, &packet, tuple, steps)
            }
            (Arrival::Error(packet, embedded), Link::Uplink(id)) => {
                let entrance = self.entrance_of_error(id, &packet, &embedded, seen.whole)?;
                self.foretell_entrance(id, seen.now, &packet, &entrance, None, steps)
            }
            (Arrival::Flow(packet, tuple), Link::Uplink(id)) => {
                let entrance = self.entrance(id, &packet, tuple, seen.whole)?;
                self.foretell_entrance(id, seen.now, &packet, &entrance, None, steps)
            }
        }
    }

    fn foretell_flow(
        &self,
        id: AttachmentId,
        seen: Seen<'_>,
        packet: &Packet,
        tuple: Tuple,
        steps: &mut Vec<Step>,
    ) -> Result<Verdict, Refusal> {
        if self.find_inside(id, &tuple).is_none() && check_opens(packet).is_ok() {
            self.explain_route(id, tuple, steps);
        }
        let passage = self.passage(seen.now, id, packet, tuple)?;
        // What the VPC sees, and whether that is known as it is.
        let (external, is_certain) = match &passage {
            Passage::Known(key, _) => {
                steps.push(Step::Session(Box::new(self.session(*key).view(seen.now))));
                (self.translated_source(*key).unwrap_or(tuple.source), true)
            }
            Passage::New(admission) => match admission.source {
                Source::Known(mapping) => {
                    let external = self.mappings[mapping].external;
                    if external != tuple.source {
                        steps.push(Step::MappingReused(external));
                    }
                    (external, true)
                }
                Source::New { external, .. } => {
                    let pool = self.uplinks.get(&admission.owner.uplink);
                    let pool = pool.map(|uplink| uplink.pool_at(external.place, tuple.protocol));
                    let free_ports = pool.map_or(0, |pool| pool.ports.free());
                    steps.push(Step::MappingNew { external: external.address, free_ports });
                    (SocketAddr::new(external.address, 0), false)
                }
                Source::Own(key) => {
                    steps.push(Step::Routed);
                    (key.internal, true)
                }
            },
        };
        let opens = matches!(passage, Passage::New(_));
        let caller = Caller {
            id,
            uplink: passage.way().uplink,
            limits: &passage.connector(self).ok_or(Reason::NoConnector)?.config.limits,
            load: Load::of(packet, Direction::Outbound, opens.into()),
            begun: (opens && is_certain).then_some(external),
        };
        let to = Some(external).filter(|&external| external != tuple.source);
        self.foretell_exit(&caller, passage.way(), seen, packet, steps, |frame, macs| {
            let changes = Changes { macs, mss_limit: None, ip_id: None };
            translate::packet(frame, packet, tuple.protocol, Side::Source, to, &changes);
        })
    }

    fn foretell_error(
        &self,
        id: AttachmentId,
        seen: Seen<'_>,
        packet: &Packet,
        embedded: &Embedded,
        steps: &mut Vec<Step>,
    ) -> Result<Verdict, Refusal> {
        let key = self.related(id, packet, embedded)?;
        steps.push(Step::Session(Box::new(self.session(key).view(seen.now))));
        let way = self.way_of(key);
        let caller = Caller {
            id,
            uplink: way.uplink,
            limits: &self.connector_of(key).config.limits,
            load: Load::of(packet, Direction::Outbound, 0),
            begun: None,
        };
        let to = self.translated_source(key);
        self.foretell_exit(&caller, way, seen, packet, steps, |frame, macs| {
            let changes = Changes { macs, mss_limit: None, ip_id: None };
            translate::icmp_error(frame, packet, embedded, Side::Source, to, &changes);
        })
    }

    /// The steps by which a container's new session finds its connector.
    fn explain_route(&self, id: AttachmentId, tuple: Tuple, steps: &mut Vec<Step>) {
        let attachment = self.attachments.get(&id);
        let Some((Attached { config: connector, .. }, prefix)) =
            attachment.and_then(|attachment| attachment.route(tuple.destination.ip()))
        else {
            return;
        };
        steps.push(Step::Route { connector: connector.id, prefix, uplink: connector.uplink });
        if !connector.rules.is_empty() {
            let Decision { index, action } = connector.decide(tuple.protocol, tuple.destination);
            steps.push(Step::Rule { connector: connector.id, index, action });
        }
    }

    /// Out of the uplink, or back inside.
    fn foretell_exit(
        &self,
        caller: &Caller<'_>,
        way: Way,
        seen: Seen<'_>,
        packet: &Packet,
        steps: &mut Vec<Step>,
        translate: impl FnOnce(&mut [u8], MacPair),
    ) -> Result<Verdict, Refusal> {
        let neighbors = self.uplinks.get(&way.uplink).map(|uplink| &uplink.neighbors);
        steps.push(match neighbors.map(|neighbors| neighbors.peek(way.hop.next)) {
            _ if way.hop.back => Step::Hairpin,
            Some(Lookup::Resolved { mac, .. }) => Step::NextHop { address: way.hop.next, mac: Some(mac) },
            _ => Step::NextHop { address: way.hop.next, mac: None },
        });
        match self.exit(way, caller.id, packet, seen.frame.len(), seen.whole)? {
            Exit::Wait => Ok(Verdict::Hold),
            Exit::Ask(room) => Ok(room.map(|()| Verdict::Hold)?),
            Exit::Out(..) => {
                caller.limits.check(seen.now, &caller.load, None)?;
                Ok(Verdict::Forward(Link::Uplink(way.uplink)))
            }
            Exit::Back(macs) => {
                caller.limits.check(seen.now, &caller.load, None)?;
                let mut turned = seen.frame.to_vec();
                translate(&mut turned, macs);
                self.foretell_back(caller, Seen { frame: &turned, ..seen })
            }
        }
    }

    /// The second half: as if the VPC had sent it.
    fn foretell_back(&self, caller: &Caller<'_>, seen: Seen<'_>) -> Result<Verdict, Refusal> {
        let (packet, entrance) = match self.read_inbound(caller.uplink, seen.frame, seen.whole)? {
            Arrival::Flow(packet, tuple) if caller.begun == Some(tuple.destination) => {
                // Its own mapping: the session that has just begun is the one that it comes in by.
                self.enter_link(caller.id, &packet, seen.whole)?;
                let load = Load::of(&packet, Direction::Inbound, 0);
                caller.limits.check(seen.now, &load, Some(&caller.load))?;
                return Ok(Verdict::Forward(Link::Attachment(caller.id)));
            }
            Arrival::Flow(packet, tuple) => {
                (packet, self.entrance(caller.uplink, &packet, tuple, seen.whole)?)
            }
            Arrival::Error(packet, embedded) => {
                (packet, self.entrance_of_error(caller.uplink, &packet, &embedded, seen.whole)?)
            }
            Arrival::ForUs { told, .. } => return Ok(self.verdict_for_us(told)),
            Arrival::Fragment => return Ok(Verdict::Hold),
        };
        self.foretell_entrance(caller.uplink, seen.now, &packet, &entrance, Some(caller), &mut Vec::new())
    }

    /// On to the container, as far as the connector's rate limits go.
    fn foretell_entrance(
        &self,
        id: UplinkId,
        now: Instant,
        packet: &Packet,
        entrance: &Entrance,
        caller: Option<&Caller<'_>>,
        steps: &mut Vec<Step>,
    ) -> Result<Verdict, Refusal> {
        let (passage, attachment) = match *entrance {
            Entrance::Elsewhere(to) => return Ok(Verdict::HandOff { to, from: id }),
            Entrance::Here { passage, attachment, .. } => (passage, attachment),
        };
        let sessions = match passage {
            inbound::Passage::Known(key) => {
                steps.push(Step::Session(Box::new(self.session(key).view(now))));
                0
            }
            inbound::Passage::New(entry) => {
                steps.push(Step::LetIn { attachment, connector: entry.owner.connector });
                1
            }
        };
        let limits = &passage.connector(self).ok_or(Reason::EgressDown)?.config.limits;
        let ahead = caller.filter(|caller| caller.limits.is_shared_with(limits)).map(|caller| &caller.load);
        limits.check(now, &Load::of(packet, Direction::Inbound, sessions), ahead)?;
        Ok(Verdict::Forward(Link::Attachment(attachment)))
    }
}
