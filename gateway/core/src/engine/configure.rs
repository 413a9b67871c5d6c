//! Commands: each is applied whole or not at all.

use std::net::IpAddr;

use super::admission::is_open_to_all;
use super::links::{Attached, Attachment, Uplink};
use super::publishing::Revision;
use super::{Engine, Link};
use crate::limits::{
    ATTACHMENTS, CONNECTORS_PER_ATTACHMENT, EXTERNAL_ADDRESSES_PER_UPLINK, PORT_REST,
    PUBLICATIONS_PER_CONNECTOR, RULES_PER_CONNECTOR, UPLINKS,
};
use crate::mapping::Mapping;
use crate::nd::{self, Role};
use crate::respond::Arp;
use crate::{
    Applied, AttachmentConfig, AttachmentId, Command, CommandError, ConnectorConfig, ConnectorId, Instant,
    MappingMode, OnDetach, Protocol, Publication, Reason, UplinkConfig, UplinkId, route,
};

impl Engine {
    /// Applies a command. When it ends sessions, they have ended when this returns.
    pub fn apply(&mut self, now: Instant, command: Command) -> Result<Applied, CommandError> {
        match command {
            Command::AddUplink(config) => self.add_uplink(now, config),
            Command::RemoveUplink(id) => self.remove_uplink(now, id),
            Command::AddAttachment(config) => self.add_attachment(now, config),
            Command::RemoveAttachment(id) => self.remove_attachment(now, id),
            Command::Attach { attachment, connector } => self.attach(now, attachment, &connector),
            Command::Detach { attachment, connector } => self.detach(now, attachment, connector),
        }
    }

    fn add_uplink(&mut self, now: Instant, config: UplinkConfig) -> Result<Applied, CommandError> {
        check_room("uplinks", self.uplinks.len(), UPLINKS)?;
        let addresses = config.space.external().len();
        assert!(addresses > 0, "an uplink has an external address");
        assert!(addresses <= EXTERNAL_ADDRESSES_PER_UPLINK, "an uplink has not more than that");
        if config.space.ports().is_empty() {
            return Err(CommandError::NoPorts);
        }
        let (id, mac, link) = (config.id, config.mac, Link::Uplink(config.id));
        let external = config.space.external().to_vec();
        self.uplinks.insert(id, Uplink::new(now, config, self.slot, &self.hasher));
        if self.slot.index() == 0 {
            // Whoever knew these addresses before, by another MAC address, learns it now.
            for address in external {
                let announcement = match address {
                    IpAddr::V4(address) => Arp::announcement(address, mac),
                    IpAddr::V6(address) => nd::announcement(address, mac, Role::Host),
                };
                self.transmit(link, announcement);
            }
        }
        Ok(Applied::default())
    }

    fn remove_uplink(&mut self, now: Instant, id: UplinkId) -> Result<Applied, CommandError> {
        if !self.uplinks.contains_key(&id) {
            return Err(CommandError::UnknownUplink(id));
        }
        let sessions_ended = self.end_sessions(now, self.sessions_of_uplink(id), None);
        let mut applied = Applied { sessions_ended };
        for held in self.uplinks.get_mut(&id).map(|uplink| uplink.neighbors.take_held()).into_iter().flatten()
        {
            let refusal = Reason::EgressDown.into();
            self.refuse(now, Link::Attachment(held.attachment), &held.frame, refusal);
        }
        let joined: Vec<_> = self
            .attachments
            .values()
            .flat_map(|a| a.policies().filter(|c| c.uplink == id).map(|c| (a.config.id, c.id)))
            .collect();
        for (attachment, connector) in joined {
            applied.sessions_ended += self.detach(now, attachment, connector)?.sessions_ended;
        }
        // Whoever goes on with this space finds every port of ours free, and a log every block given back.
        let external = self.uplinks.get(&id).map_or_else(Vec::new, |uplink| uplink.external().to_vec());
        for (address, protocol) in external.into_iter().flat_map(|e| Protocol::ALL.map(|p| (e, p))) {
            self.end_rests(now + PORT_REST, (id, address, protocol));
        }
        if let Some(at) = self.uplinks.remove(&id).and_then(|uplink| uplink.armed) {
            self.neighbor_timers.remove(&(at, id));
        }
        self.rests.retain(|&(_, (uplink, ..))| uplink != id);
        self.forget_link(Link::Uplink(id));
        self.unasked.remove_uplink(id);
        Ok(applied)
    }

    fn add_attachment(&mut self, now: Instant, config: AttachmentConfig) -> Result<Applied, CommandError> {
        check_room("attachments", self.attachments.len(), ATTACHMENTS)?;
        let id = config.id;
        self.attachments.insert(id, Attachment::new(now, config));
        self.advertise(now, id);
        Ok(Applied::default())
    }

    fn remove_attachment(&mut self, now: Instant, id: AttachmentId) -> Result<Applied, CommandError> {
        let attachment = self.attachments.get(&id).ok_or(CommandError::UnknownAttachment(id))?;
        let connectors: Vec<_> = attachment.policies().map(|connector| connector.id).collect();
        let mut applied = Applied::default();
        for connector in connectors {
            applied.sessions_ended += self.detach(now, id, connector)?.sessions_ended;
        }
        if let Some(at) = self.attachments.remove(&id).and_then(|attachment| attachment.advertise) {
            self.advertisements.remove(&(at, id));
        }
        self.forget_link(Link::Attachment(id));
        Ok(applied)
    }

    /// Nothing of a link that is gone is sent or waited for.
    fn forget_link(&mut self, link: Link) {
        self.outbox.retain(|transmit| !matches!(transmit, super::Transmit::Frame { to, .. } if *to == link));
        self.reassembly.remove_link(link);
    }

    /// The same connector again: its new policy is for the sessions that there are, too; publications that are in both stay.
    fn attach(
        &mut self,
        now: Instant,
        id: AttachmentId,
        connector: &ConnectorConfig,
    ) -> Result<Applied, CommandError> {
        self.check_attach(id, connector)?;
        let addresses = self.uplinks[&connector.uplink].addresses(id, connector);
        let before = self.attachments[&id].attached(connector.id);
        let (old, place, published) = match before {
            Some(b) => (Some(b.config.clone()), b.place, b.published.clone()),
            None => (None, self.attachments[&id].free_place(), Vec::new()),
        };
        let Revision { mut kept, withdrawn, moved, fresh } = self.revise(connector, published);
        kept.extend(self.publish(now, id, connector, &fresh)?);
        // From here on nothing fails.
        let moved: Vec<_> = moved
            .into_iter()
            .filter_map(|(publication, mapping)| Some((publication, self.mappings[mapping].lease.take()?)))
            .collect();
        let ports = self.ports_of(id, connector.id);
        if let Some(attachment) = self.attachments.get_mut(&id) {
            attachment.connectors.retain(|other| other.config.id != connector.id);
            attachment.names[usize::from(place)] = connector.id;
            let config = connector.clone();
            attachment.connectors.push(Attached { config, place, ports, published: kept, addresses });
        }
        let on_detach = connector.on_detach;
        let mut sessions_ended =
            old.as_ref().map_or(0, |old| self.withdraw(now, id, old, withdrawn, on_detach));
        for (publication, lease) in moved {
            let mapping = self.insert_published(id, connector, publication, lease);
            let attached = self.attachments.get_mut(&id).and_then(|a| a.attached_mut(connector.id));
            if let Some(attached) = attached {
                attached.published.extend(mapping);
            }
        }
        self.open_to_all(id, connector);
        if let Some(old) = old {
            sessions_ended += self.enforce(now, id, connector, &old);
        }
        Ok(Applied { sessions_ended })
    }

    /// External ports of a container's mappings that were made by this connector.
    fn ports_of(&self, id: AttachmentId, connector: ConnectorId) -> u32 {
        let mappings =
            self.mappings.of(self.attachments[&id].mappings).map(|mapping| &self.mappings[mapping]);
        mappings.filter(|mapping| mapping.connector == connector && mapping.ticket.is_some()).count() as u32
    }

    /// Mappings that anybody can send to from now on will rest.
    fn open_to_all(&mut self, id: AttachmentId, policy: &ConnectorConfig) {
        let mappings: Vec<_> = self.mappings.of(self.attachments[&id].mappings).collect();
        for mapping in mappings {
            let Mapping { key, pinned, .. } = self.mappings[mapping];
            self.mappings[mapping].open_to_all |= !pinned && is_open_to_all(policy, key);
        }
    }

    /// Everything about an attach that can be refused without trying.
    fn check_attach(&self, id: AttachmentId, connector: &ConnectorConfig) -> Result<(), CommandError> {
        let uplink =
            self.uplinks.get(&connector.uplink).ok_or(CommandError::UnknownUplink(connector.uplink))?;
        let attachment = self.attachments.get(&id).ok_or(CommandError::UnknownAttachment(id))?;
        let others = || attachment.policies().filter(|other| other.id != connector.id);
        check_room("connectors of the container", others().count(), CONNECTORS_PER_ATTACHMENT)?;
        let twice = connector.publications.iter().enumerate().find(|(i, publication)| {
            let others = &connector.publications[..*i];
            others.iter().any(|o| (o.protocol, o.external) == (publication.protocol, publication.external))
        });
        if let Some((_, &Publication { protocol, external, .. })) = twice {
            return Err(CommandError::PublicationTaken { protocol, external });
        }
        let publications = connector.publications.len();
        check_bound("publications of the connector", publications, PUBLICATIONS_PER_CONNECTOR)?;
        check_bound("rules of the connector", connector.rules.len(), RULES_PER_CONNECTOR)?;
        let foreign = connector.external.iter().flatten().find(|&&address| !uplink.is_external(address));
        if let Some(&foreign) = foreign {
            return Err(CommandError::NotExternalAddress(foreign));
        }
        let tie = others().find_map(|other| {
            let shared = other.destinations.iter().find(|prefix| connector.destinations.contains(prefix));
            shared.map(|&prefix| CommandError::DestinationTie { prefix, other: other.id })
        });
        if let Some(tie) = tie {
            return Err(tie);
        }
        let shared = connector.mapping == MappingMode::AddressAndPortDependent && connector.translation;
        if shared && uplink.config.port_blocks {
            return Err(CommandError::BlocksWithSharedPorts);
        }
        let shown = attachment.config.addresses.iter().map(|a| a.address).filter(|&a| connector.shows(a));
        for address in shown {
            if route::is_forbidden(address) {
                return Err(CommandError::AddressNotRoutable(address));
            }
            if uplink.is_external(address) {
                return Err(CommandError::AddressIsExternal(address));
            }
        }
        let unreachable = |p: &&Publication| attachment.config.addressing(p.external.ip()).is_none();
        match connector.publications.iter().find(unreachable) {
            Some(publication) => Err(CommandError::PublicationUnreachable(publication.external)),
            None => Ok(()),
        }
    }

    fn detach(
        &mut self,
        now: Instant,
        id: AttachmentId,
        connector: ConnectorId,
    ) -> Result<Applied, CommandError> {
        let attachment = self.attachments.get(&id).ok_or(CommandError::UnknownAttachment(id))?;
        let attached = attachment.attached(connector).ok_or(CommandError::NotAttached(id, connector))?;
        let (config, published) = (attached.config.clone(), attached.published.clone());
        let keys = self.sessions_of(attachment, attached.place);
        let ended = self.end_sessions(now, keys, Some(config.on_detach));
        if let Some(attachment) = self.attachments.get_mut(&id) {
            attachment.connectors.retain(|other| other.config.id != connector);
        }
        let sessions_ended = ended + self.withdraw(now, id, &config, published, config.on_detach);
        Ok(Applied { sessions_ended })
    }

    /// Sessions that a connector has made, those of its publications among them.
    pub(super) fn sessions_of(&self, attachment: &Attachment, place: u8) -> Vec<usize> {
        self.sessions_of_mappings(self.mappings.of(attachment.mappings))
            .filter(|&key| self.sessions.entry(key).connector() == place)
            .collect()
    }

    /// Sessions of all containers through an uplink. Looks at all mappings.
    fn sessions_of_uplink(&self, id: UplinkId) -> Vec<usize> {
        let mappings = self.attachments.values().flat_map(|attachment| self.mappings.of(attachment.mappings));
        self.sessions_of_mappings(mappings.filter(|&mapping| self.mappings[mapping].key.uplink == id))
            .collect()
    }

    /// Sessions of all these mappings.
    pub(super) fn sessions_of_mappings(
        &self,
        mappings: impl Iterator<Item = usize>,
    ) -> impl Iterator<Item = usize> {
        mappings.flat_map(|mapping| self.sessions.of_mapping(self.mappings[mapping].sessions))
    }

    /// Ends sessions; their ends are told if `on_detach` says so. Returns how many they were.
    pub(super) fn end_sessions(
        &mut self,
        now: Instant,
        keys: Vec<usize>,
        on_detach: Option<OnDetach>,
    ) -> usize {
        let sessions_ended = keys.len();
        for key in keys {
            let session = self.session(key);
            self.end_session(now, key);
            let policy = on_detach.or_else(|| {
                let attachment = self.attachments.get(&session.owner.attachment)?;
                Some(attachment.attached(session.owner.connector)?.config.on_detach)
            });
            if let Some(policy) = policy {
                self.announce_end(now, &session, policy);
            }
        }
        sessions_ended
    }
}

/// Refuses to grow a table beyond its limit.
fn check_room(what: &'static str, len: usize, limit: usize) -> Result<(), CommandError> {
    check_bound(what, len + 1, limit)
}

/// Refuses what is longer than its limit.
fn check_bound(what: &'static str, len: usize, limit: usize) -> Result<(), CommandError> {
    if len <= limit { Ok(()) } else { Err(CommandError::TableFull { what, limit }) }
}
