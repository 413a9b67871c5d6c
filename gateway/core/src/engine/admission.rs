//! How sessions and mappings begin and end: route, quota, port. Deciding on one is apart from making it, so that packets and
//! `explain` decide alike.

use std::net::{IpAddr, SocketAddr};

use rand_chacha::rand_core::Rng;

use super::Engine;
use super::links::{Attached, Attachment, External, Hop, Uplink};
use crate::limits::SESSIONS_PER_ATTACHMENT;
use crate::mapping::{Class, Mapping, MappingKey, Scope};
use crate::packet::Tuple;
use crate::ports::{BlockChange, Want};
use crate::session::key::OWN;
use crate::session::tcp::Direction;
use crate::session::{NewSession, Owner};
use crate::space::Block;
use crate::{
    Action, AttachmentId, ConnectorConfig, Event, Filtering, Instant, PortBlock, Protocol, Reason,
    UdpRefresh, route,
};

/// How a new session would be made. To decide on one changes nothing.
#[derive(Clone, Copy)]
pub(super) struct Admission {
    pub(super) owner: Owner,
    pub(super) hop: Hop,
    pub(super) source: Source,
    udp_refresh: UdpRefresh,
}

/// Where its external endpoint comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A mapping that there is.
    Known(usize),
    /// A port of this address.
    New { key: MappingKey, external: External, want: Want },
    /// The container's own: translation is off.
    Own(MappingKey),
}

impl Engine {
    /// Whether, and how, a session could be made for `tuple`. The one place that decides it, for packets and `explain`.
    pub(super) fn admit(&self, now: Instant, id: AttachmentId, tuple: Tuple) -> Result<Admission, Reason> {
        let attachment = self.attachments.get(&id).ok_or(Reason::UnknownLink)?;
        if attachment.connectors.is_empty() {
            return Err(Reason::NoConnector);
        }
        let destination = tuple.destination.ip();
        let (attached, _) = attachment.route(destination).ok_or(Reason::NoRoute)?;
        let connector = &attached.config;
        if connector.decide(tuple.protocol, tuple.destination).action == Action::Deny {
            return Err(Reason::PolicyDenied);
        }
        let uplink = self.uplinks.get(&connector.uplink).ok_or(Reason::EgressDown)?;
        if route::is_network_or_broadcast(&uplink.config, destination) {
            return Err(Reason::Broadcast);
        }
        let hop = uplink.hop(destination).ok_or(Reason::NoNextHop)?;
        let source = self.source_of(now, attachment, attached, uplink, tuple)?;
        let finished = || self.mappings.oldest_finished(Class::Share(connector.id, id));
        self.check_session_room(attachment).or_else(|full| finished().map(drop).ok_or(full))?;
        let owner = Owner { attachment: id, connector: connector.id, uplink: connector.uplink };
        Ok(Admission { owner, hop, source, udp_refresh: connector.udp_refresh })
    }

    fn source_of(
        &self,
        now: Instant,
        attachment: &Attachment,
        attached: &Attached,
        uplink: &Uplink,
        tuple: Tuple,
    ) -> Result<Source, Reason> {
        let connector = &attached.config;
        let Tuple { protocol, source: internal, destination } = tuple;
        let translated = Scope::of(connector.mapping, protocol, destination);
        let scope = if connector.translation { translated } else { Scope::Own };
        let key = MappingKey { uplink: connector.uplink, protocol, internal, scope };
        let paired = attached.addresses.paired(destination.ip());
        let serves = |mapping: &Mapping| match scope {
            Scope::Own => true,
            _ if mapping.pinned => attached.may_use(mapping),
            _ => paired.is_some_and(|external| external.place == mapping.place),
        };
        if let Some(mapping) = self.mappings.of_key(attachment.config.id, &key, serves) {
            return Ok(Source::Known(mapping));
        }
        if !connector.translation {
            return Ok(Source::Own(key));
        }
        let id = attachment.config.id;
        let external = paired.ok_or(Reason::NoExternalAddress)?;
        let want = match scope {
            _ if uplink.config.port_blocks => Want::Block { holder: id, max_blocks: u16::MAX },
            Scope::Endpoint(remote) => Want::Shared(remote),
            Scope::Any | Scope::Address(_) | Scope::Own => Want::Exclusive,
        };
        let can_lease = uplink.pool_at(external.place, protocol).ports.can_lease(now, &want);
        // Only TCP knows when a session is finished, and only a SYN may have its port.
        let could_give_up =
            |class| protocol == Protocol::Tcp && self.mappings.oldest_finished(class).is_some();
        if !can_lease && !could_give_up(port_class(key, external.address, want)) {
            return Err(Reason::PortsExhausted);
        }
        if !Self::full_quotas(attachment, connector).into_iter().flatten().all(could_give_up) {
            return Err(Reason::QuotaReached);
        }
        Ok(Source::New { key, external, want })
    }

    /// The quotas that leave no room for one port more.
    fn full_quotas(attachment: &Attachment, connector: &ConnectorConfig) -> [Option<Class>; 2] {
        let ports = attachment.attached(connector.id).map_or(0, |attached| attached.ports);
        let own = connector.quota_per_attachment.is_some_and(|quota| ports >= quota);
        let own = own.then_some(Class::Share(connector.id, attachment.config.id));
        let all = (!connector.quota.has_room()).then_some(Class::Quota(connector.quota.id()));
        [own, all]
    }

    /// Whether the container, and the table, have room for one more session.
    pub(super) fn check_session_room(&self, attachment: &Attachment) -> Result<(), Reason> {
        if attachment.base.sessions >= SESSIONS_PER_ATTACHMENT {
            return Err(Reason::QuotaReached);
        }
        if self.sessions.has_room() { Ok(()) } else { Err(Reason::SessionsExhausted) }
    }

    /// Makes the session that was admitted. Fails without a change. Where the container has no room for it, a finished mapping
    /// ends first.
    pub(super) fn open_session(
        &mut self,
        now: Instant,
        id: AttachmentId,
        tuple: Tuple,
        mut admission: Admission,
    ) -> Result<usize, Reason> {
        let attachment = self.attachments.get(&id).ok_or(Reason::UnknownLink)?;
        if let Err(full) = self.check_session_room(attachment) {
            if !self.give_up(now, Class::Share(admission.owner.connector, id)) {
                return Err(full);
            }
            // It can be the one that was to be used.
            admission = self.admit(now, id, tuple)?;
        }
        let Admission { owner, hop: _, source, udp_refresh } = admission;
        let mapping = match source {
            Source::Known(key) => key,
            Source::Own(key) => {
                self.insert_mapping(Mapping::new(id, owner.connector, key, (OWN, key.internal), None))
            }
            Source::New { key, external, want } => self.open_mapping(now, owner, key, external, want)?,
        };
        let new = NewSession { owner, inside: tuple, mapping, udp_refresh };
        Ok(self.insert_session(now, Direction::Outbound, &new))
    }

    /// Leases a port for a mapping; if none is free or a quota is full, a finished mapping gives up its own.
    fn open_mapping(
        &mut self,
        now: Instant,
        owner: Owner,
        key: MappingKey,
        external: External,
        want: Want,
    ) -> Result<usize, Reason> {
        let attachment = self.attachments.get(&owner.attachment).ok_or(Reason::UnknownLink)?;
        let connector = &attachment.attached(owner.connector).ok_or(Reason::NoConnector)?.config;
        let open_to_all = attachment.policies().any(|policy| is_open_to_all(policy, key));
        let quota = connector.quota.clone();
        for class in Self::full_quotas(attachment, connector).into_iter().flatten() {
            // Who made room in the container's share may have made room for all.
            let enough = matches!(class, Class::Quota(_)) && quota.has_room();
            if !enough && !self.give_up(now, class) {
                return Err(Reason::QuotaReached);
            }
        }
        let ticket = quota.take().ok_or(Reason::QuotaReached)?;
        let lease = match self.lease(now, key, external, want) {
            Some(lease) => lease,
            None if key.protocol != Protocol::Tcp => return Err(Reason::PortsExhausted),
            None => self
                .give_up(now, port_class(key, external.address, want))
                .then(|| self.lease(now, key, external, want))
                .flatten()
                .ok_or(Reason::PortsExhausted)?,
        };
        let external = (external.place, SocketAddr::new(external.address, lease.port()));
        let mut mapping = Mapping::new(owner.attachment, owner.connector, key, external, Some(lease));
        mapping.ticket = Some(ticket);
        mapping.open_to_all = open_to_all;
        mapping.in_block = matches!(want, Want::Block { .. });
        Ok(self.insert_mapping(mapping))
    }

    fn lease(
        &mut self,
        now: Instant,
        key: MappingKey,
        external: External,
        want: Want,
    ) -> Option<crate::ports::PortLease> {
        let pool = self.uplinks.get_mut(&key.uplink)?.pool_at_mut(external.place, key.protocol);
        let lease = pool.ports.lease(now, self.random.next_u64(), &want);
        self.tell_of_blocks(key.uplink, external.address, key.protocol);
        lease
    }

    /// The mapping that finished first of those that could serve the need ends. RFC 6888 REQ-11: live ones do not.
    fn give_up(&mut self, now: Instant, class: Class) -> bool {
        let Some(mapping) = self.mappings.oldest_finished(class) else { return false };
        let Mapping { key, place, .. } = self.mappings[mapping];
        let sessions: Vec<_> = self.sessions.of_mapping(self.mappings[mapping].sessions).collect();
        for session in sessions {
            self.end_session(now, session);
        }
        if let Some(uplink) = self.uplinks.get_mut(&key.uplink) {
            uplink.pool_at_mut(place, key.protocol).given_up += 1;
        }
        true
    }

    /// Tells of the blocks that have come and gone.
    pub(super) fn tell_of_blocks(&mut self, uplink: crate::UplinkId, external: IpAddr, protocol: Protocol) {
        let blocks = self.uplinks.get_mut(&uplink).filter(|u| u.config.port_blocks);
        let Some(pool) = blocks.and_then(|u| u.pool_mut(external, protocol)) else { return };
        let block = |attachment, block: Block| PortBlock {
            attachment,
            uplink,
            external,
            protocol,
            first: block.first(),
        };
        let events = pool.ports.block_changes().map(|change| match change {
            BlockChange::Taken(holder, taken) => Event::BlockTaken(block(holder, taken)),
            BlockChange::GivenBack(holder, back) => Event::BlockGivenBack(block(holder, back)),
        });
        self.events.extend(events);
    }
}

fn port_class(key: MappingKey, address: IpAddr, want: Want) -> Class {
    let holder = if let Want::Block { holder, .. } = want { Some(holder) } else { None };
    Class::port(key, address, holder)
}

/// Whether a policy lets anybody send to the mapping, so that its port has to rest (RFC 6888 REQ-8).
pub(super) fn is_open_to_all(policy: &ConnectorConfig, key: MappingKey) -> bool {
    key.protocol == Protocol::Udp
        && policy.uplink == key.uplink
        && policy.filtering_of(Protocol::Udp) == Filtering::EndpointIndependent
}
