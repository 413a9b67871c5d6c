//! What the engine tells about itself. Reading changes nothing.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::Engine;
use super::outbound::probe_tuple;
use crate::neighbor::Lookup;
use crate::packet::Tuple;
use crate::{
    AttachmentId, CommandError, DropView, Explanation, Instant, Link, LinkReport, PortUse, Probe, Protocol,
    Reason, SessionPage, SessionQuery, Step, UplinkId, route,
};

impl Engine {
    /// One page of live sessions. A page can be empty although more follow.
    pub fn sessions(&self, now: Instant, query: &SessionQuery) -> SessionPage {
        self.sessions.page(now, query)
    }

    /// Live sessions.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Counters of every link.
    pub fn counters(&self) -> Vec<LinkReport> {
        let attachments = self.attachments.iter().map(|(&id, a)| (Link::Attachment(id), &a.base));
        let uplinks = self.uplinks.iter().map(|(&id, u)| (Link::Uplink(id), &u.base));
        attachments
            .chain(uplinks)
            .map(|(link, base)| LinkReport { link, counters: base.counters.clone(), sessions: base.sessions })
            .collect()
    }

    /// Use of every external address, in this worker's slice.
    pub fn port_use(&self) -> Vec<PortUse> {
        let addresses =
            self.uplinks.iter().flat_map(|(&id, u)| u.config.external.iter().map(move |&a| (id, u, a)));
        addresses
            .flat_map(|(uplink, u, external)| {
                Protocol::ALL.into_iter().filter_map(move |protocol| {
                    let pool = u.pool(external, protocol)?;
                    Some(PortUse { uplink, external, protocol, used: pool.used(), free: pool.free() })
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
        let remote = *probe.remote.ip();
        let reason = if remote == config.gateway {
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
        let source = SocketAddrV4::new(config.address, probe.source_port.unwrap_or(0));
        let tuple = probe_tuple(probe.protocol, source, probe.remote);
        let known = probe.source_port.and_then(|_| self.sessions.outbound(id, tuple));
        if let Some(key) = known {
            let session = self.sessions.session(key);
            steps.push(Step::Session(Box::new(session.view(now))));
            return self.explain_exit(
                id,
                session.uplink,
                session.next_hop,
                session.reply().reversed(),
                steps,
            );
        }
        let connectors = &self.attachments[&id].connectors;
        if let Some((connector, prefix)) = route::longest_prefix(connectors, *probe.remote.ip()) {
            steps.push(Step::Route { connector: connector.id, prefix, uplink: connector.uplink });
        }
        let admission = self.admit(id, tuple)?;
        let external = if let Some(key) = admission.mapping.filter(|_| probe.source_port.is_some()) {
            let external = self.mappings[key].external;
            steps.push(Step::MappingReused(external));
            external
        } else {
            let free_ports = self.free_ports(admission.uplink, admission.external, probe);
            steps.push(Step::MappingNew { external: admission.external, free_ports });
            // Filtering looks at the address only, so that the port of a mapping yet to be made does not matter.
            SocketAddrV4::new(admission.external, 0)
        };
        let outside = Tuple { source: external, ..tuple };
        self.explain_exit(id, admission.uplink, admission.next_hop, outside, steps)
    }

    /// Out of the uplink, or back inside; `outside` is what the packet carries then.
    fn explain_exit(
        &self,
        id: AttachmentId,
        uplink: UplinkId,
        next_hop: Ipv4Addr,
        outside: Tuple,
        steps: &mut Vec<Step>,
    ) -> Result<(), Reason> {
        let external =
            self.uplinks.get(&uplink).is_some_and(|u| u.config.external.contains(outside.destination.ip()));
        if !external {
            return self.explain_next_hop(id, uplink, next_hop, steps);
        }
        steps.push(Step::Hairpin);
        let known = self.sessions.inbound(uplink, outside).is_some();
        // What another worker would say is not known here.
        let ours = self.slot.owns(outside.destination.port());
        if known || !ours { Ok(()) } else { self.admit_inbound(uplink, outside).map(drop) }
    }

    fn free_ports(&self, uplink: UplinkId, external: Ipv4Addr, probe: Probe) -> u32 {
        self.uplinks
            .get(&uplink)
            .and_then(|u| u.pool(external, probe.protocol))
            .map_or(0, crate::ports::PortPool::free)
    }

    fn explain_next_hop(
        &self,
        id: AttachmentId,
        uplink: UplinkId,
        address: Ipv4Addr,
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
