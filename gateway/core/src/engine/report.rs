//! What the engine tells about itself. Reading changes nothing.

use std::net::{IpAddr, SocketAddr};

use super::Engine;
use super::admission::Source;
use super::links::{Attached, Pool};
use super::outbound::probe_tuple;
use crate::limits::SNAPSHOT_SCAN;
use crate::neighbor::Lookup;
use crate::packet::Tuple;
use crate::rule::Decision;
use crate::session::Session;
use crate::{
    AttachmentId, CommandError, DropView, Explanation, Instant, Link, LinkReport, PortUse, Probe, Protocol,
    Reason, SessionPage, SessionQuery, Step, UplinkId, route,
};

impl Engine {
    /// One page of live sessions. A page can be empty although more follow; it looks at [`SNAPSHOT_SCAN`] places at most.
    pub fn sessions(&self, now: Instant, query: &SessionQuery) -> SessionPage {
        let places = self.sessions.places();
        let first = usize::try_from(query.cursor).unwrap_or(usize::MAX).min(places);
        let end = places.min(first.saturating_add(SNAPSHOT_SCAN));
        let mut sessions = Vec::new();
        for place in first..end {
            if sessions.len() == query.limit.max(1) {
                return SessionPage { sessions, next: Some(place as u64) };
            }
            let session = self.sessions.at(place).map(|_| self.session(place));
            sessions.extend(session.filter(|s| matches(s, query)).map(|s| s.view(now)));
        }
        SessionPage { sessions, next: (end < places).then_some(end as u64) }
    }

    /// Live sessions.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Counters of every link.
    pub fn counters(&self) -> Vec<LinkReport> {
        let attachments = self.attachments.iter().map(|(id, a)| (Link::Attachment(id), &a.base));
        let uplinks = self.uplinks.iter().map(|(id, u)| (Link::Uplink(id), &u.base));
        attachments
            .chain(uplinks)
            .map(|(link, base)| LinkReport { link, counters: base.counters.clone(), sessions: base.sessions })
            .collect()
    }

    /// Use of every external address.
    pub fn port_use(&self) -> Vec<PortUse> {
        let addresses = self.uplinks.iter().flat_map(|(id, u)| u.external().iter().map(move |&a| (id, u, a)));
        addresses
            .flat_map(|(uplink, u, external)| {
                Protocol::ALL.into_iter().filter_map(move |protocol| {
                    let Pool { ports, given_up } = u.pool(external, protocol)?;
                    let (used, free) = (ports.used(), ports.free());
                    Some(PortUse { uplink, external, protocol, used, free, given_up: *given_up })
                })
            })
            .collect()
    }

    /// The container's last drops, newest first.
    pub fn recent_drops(&self, now: Instant, id: AttachmentId) -> Result<Vec<DropView>, CommandError> {
        let attachment = self.attachments.get(&id).ok_or(CommandError::UnknownAttachment(id))?;
        let view = |&(at, reason, packet): &_| DropView { ago: now.since(at), reason, packet };
        Ok(attachment.recent_drops.iter().map(view).collect())
    }

    /// What would happen to a container's packet, by the same decisions that real packets meet.
    pub fn explain(&self, now: Instant, id: AttachmentId, probe: Probe) -> Result<Explanation, CommandError> {
        let config = &self.attachments.get(&id).ok_or(CommandError::UnknownAttachment(id))?.config;
        let mut steps = Vec::new();
        let remote = probe.remote.ip();
        let addressing = config.addressing(remote);
        let reason = if addressing.is_some_and(|a| a.gateway == remote) {
            if probe.protocol == Protocol::Icmp {
                steps.push(Step::GatewayAnswers);
                None
            } else {
                Some(Reason::GatewayAddress)
            }
        } else if route::is_forbidden(remote) {
            Some(Reason::DestinationForbidden)
        } else {
            self.explain_flow(now, id, probe, &mut steps).err()
        };
        Ok(Explanation { steps, reason })
    }

    fn explain_flow(
        &self,
        now: Instant,
        id: AttachmentId,
        probe: Probe,
        steps: &mut Vec<Step>,
    ) -> Result<(), Reason> {
        let config = &self.attachments[&id].config;
        let own = config.addressing(probe.remote.ip()).ok_or(Reason::SourceSpoofed)?.address;
        let source = SocketAddr::new(own, probe.source_port.unwrap_or(0));
        let tuple = probe_tuple(probe.protocol, source, probe.remote);
        let known = probe.source_port.and_then(|_| self.find_inside(id, &tuple));
        if let Some(key) = known {
            let session = self.session(key);
            steps.push(Step::Session(Box::new(session.view(now))));
            return self.explain_exit(
                id,
                session.owner.uplink,
                self.way_of(key).hop.next,
                session.reply().reversed(),
                steps,
            );
        }
        if let Some((Attached { config: connector, .. }, prefix)) =
            self.attachments[&id].route(probe.remote.ip())
        {
            steps.push(Step::Route { connector: connector.id, prefix, uplink: connector.uplink });
            if !connector.rules.is_empty() {
                let Decision { index, action } = connector.decide(tuple.protocol, tuple.destination);
                steps.push(Step::Rule { connector: connector.id, index, action });
            }
        }
        let admission = self.admit(now, id, tuple)?;
        let uplink = admission.owner.uplink;
        let external = match admission.source {
            Source::Known(key) if probe.source_port.is_some() => {
                let external = self.mappings[key].external;
                steps.push(Step::MappingReused(external));
                external
            }
            Source::Known(key) => self.explain_new(uplink, self.mappings[key].external.ip(), probe, steps),
            Source::New { external, .. } => self.explain_new(uplink, external.address, probe, steps),
            Source::Own(key) => {
                steps.push(Step::Routed);
                key.internal
            }
        };
        let outside = Tuple { source: external, ..tuple };
        self.explain_exit(id, uplink, admission.hop.next, outside, steps)
    }

    /// Out of the uplink, or back inside; `outside` is what the packet carries then.
    fn explain_exit(
        &self,
        id: AttachmentId,
        uplink: UplinkId,
        next_hop: IpAddr,
        outside: Tuple,
        steps: &mut Vec<Step>,
    ) -> Result<(), Reason> {
        let Ok(owner) = self.owner_of(uplink, outside.protocol, outside.destination) else {
            return self.explain_next_hop(id, uplink, next_hop, steps);
        };
        steps.push(Step::Hairpin);
        let known = self.find_outside(uplink, &outside).is_some();
        // What another worker would say is not known here.
        let ours = owner == self.slot.index();
        if known || !ours { Ok(()) } else { self.admit_inbound(uplink, outside).map(drop) }
    }

    /// A mapping yet to be made; its port does not matter, since filtering looks at the address only.
    fn explain_new(
        &self,
        uplink: UplinkId,
        external: IpAddr,
        probe: Probe,
        steps: &mut Vec<Step>,
    ) -> SocketAddr {
        let pool = self.uplinks.get(&uplink).and_then(|u| u.pool(external, probe.protocol));
        let free_ports = pool.map_or(0, |pool| pool.ports.free());
        steps.push(Step::MappingNew { external, free_ports });
        SocketAddr::new(external, 0)
    }

    fn explain_next_hop(
        &self,
        id: AttachmentId,
        uplink: UplinkId,
        address: IpAddr,
        steps: &mut Vec<Step>,
    ) -> Result<(), Reason> {
        let neighbors = &self.uplinks.get(&uplink).ok_or(Reason::EgressDown)?.neighbors;
        let lookup = neighbors.peek(address);
        let mac = if let Lookup::Resolved(mac) = lookup { Some(mac) } else { None };
        steps.push(Step::NextHop { address, mac });
        match lookup {
            Lookup::Resolved(_) => Ok(()),
            Lookup::Failed => Err(Reason::NextHopUnreachable),
            Lookup::Pending => neighbors.check_held(address, id, 0),
            Lookup::Unknown => neighbors.check_unresolved(id),
        }
    }
}

fn matches(session: &Session, query: &SessionQuery) -> bool {
    query.attachment.is_none_or(|a| a == session.owner.attachment)
        && query.connector.is_none_or(|c| c == session.owner.connector)
        && query.uplink.is_none_or(|u| u == session.owner.uplink)
        && query.protocol.is_none_or(|p| p == session.inside.protocol)
        && query.remote.is_none_or(|r| r == session.inside.destination.ip())
}
