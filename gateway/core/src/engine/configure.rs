//! Commands: each is applied whole or not at all.

use super::links::{Attachment, Uplink};
use super::{Engine, Link};
use crate::limits::{ATTACHMENTS, CONNECTORS_PER_ATTACHMENT, UPLINKS};
use crate::respond::Arp;
use crate::{
    Applied, AttachmentConfig, AttachmentId, Command, CommandError, ConnectorConfig, ConnectorId, Instant,
};
use crate::{Reason, UplinkConfig, UplinkId};

impl Engine {
    /// Applies a command. When it ends sessions, they have ended when this returns.
    pub fn apply(&mut self, now: Instant, command: Command) -> Result<Applied, CommandError> {
        match command {
            Command::AddUplink(config) => self.add_uplink(now, config),
            Command::RemoveUplink(id) => self.remove_uplink(now, id),
            Command::AddAttachment(config) => self.add_attachment(now, config),
            Command::RemoveAttachment(id) => self.remove_attachment(id),
            Command::Attach { attachment, connector } => self.attach(attachment, connector),
            Command::Detach { attachment, connector } => self.detach(attachment, connector),
        }
    }

    fn add_uplink(&mut self, now: Instant, config: UplinkConfig) -> Result<Applied, CommandError> {
        check_room("uplinks", self.uplinks.len(), UPLINKS)?;
        assert!(!config.external.is_empty(), "an uplink has an external address");
        if !config.ports.clone().any(|port| self.slot.owns(port)) {
            return Err(CommandError::PortsTooFew { workers: self.slot.count() });
        }
        let (link, mac, external) = (Link::Uplink(config.id), config.mac, config.external.clone());
        let uplink = Uplink::new(now, config, self.slot, &self.hasher);
        let replaced = self.uplinks.insert(uplink.config.id, uplink);
        assert!(replaced.is_none(), "uplink ids are not reused");
        if self.slot.index() == 0 {
            // Whoever knew these addresses before, by another MAC address, learns it now.
            for address in external {
                self.transmit(link, Arp::announcement(address, mac));
            }
        }
        Ok(Applied::default())
    }

    fn remove_uplink(&mut self, now: Instant, id: UplinkId) -> Result<Applied, CommandError> {
        if !self.uplinks.contains_key(&id) {
            return Err(CommandError::UnknownUplink(id));
        }
        let applied = self.end_sessions(self.sessions.of_uplink(id));
        for held in self.uplinks.get_mut(&id).map(|uplink| uplink.neighbors.take_held()).into_iter().flatten()
        {
            let refusal = Reason::EgressDown.into();
            self.refuse(now, Link::Attachment(held.attachment), &held.frame, refusal);
        }
        for attachment in self.attachments.values_mut() {
            attachment.connectors.retain(|connector| connector.uplink != id);
        }
        if let Some(at) = self.uplinks.remove(&id).and_then(|uplink| uplink.armed) {
            self.neighbor_timers.remove(&(at, id));
        }
        self.outbox.retain(|transmit| transmit.to != Link::Uplink(id));
        Ok(applied)
    }

    fn add_attachment(&mut self, now: Instant, config: AttachmentConfig) -> Result<Applied, CommandError> {
        check_room("attachments", self.attachments.len(), ATTACHMENTS)?;
        let attachment = Attachment::new(now, config, &self.hasher);
        let replaced = self.attachments.insert(attachment.config.id, attachment);
        assert!(replaced.is_none(), "attachment ids are not reused");
        Ok(Applied::default())
    }

    fn remove_attachment(&mut self, id: AttachmentId) -> Result<Applied, CommandError> {
        let attachment = self.attachments.get(&id).ok_or(CommandError::UnknownAttachment(id))?;
        let applied = self.end_sessions(self.sessions_of(attachment, None));
        self.attachments.remove(&id);
        self.outbox.retain(|transmit| transmit.to != Link::Attachment(id));
        Ok(applied)
    }

    fn attach(&mut self, id: AttachmentId, connector: ConnectorConfig) -> Result<Applied, CommandError> {
        if !self.uplinks.contains_key(&connector.uplink) {
            return Err(CommandError::UnknownUplink(connector.uplink));
        }
        let attachment = self.attachments.get_mut(&id).ok_or(CommandError::UnknownAttachment(id))?;
        let others = || attachment.connectors.iter().filter(|other| other.id != connector.id);
        check_room("connectors of the container", others().count(), CONNECTORS_PER_ATTACHMENT)?;
        let tie = others().find_map(|other| {
            let shared = other.destinations.iter().find(|prefix| connector.destinations.contains(prefix));
            shared.map(|&prefix| CommandError::DestinationTie { prefix, other: other.id })
        });
        if let Some(tie) = tie {
            return Err(tie);
        }
        attachment.connectors.retain(|other| other.id != connector.id);
        attachment.connectors.push(connector);
        Ok(Applied::default())
    }

    fn detach(&mut self, id: AttachmentId, connector: ConnectorId) -> Result<Applied, CommandError> {
        let attachment = self.attachments.get_mut(&id).ok_or(CommandError::UnknownAttachment(id))?;
        let before = attachment.connectors.len();
        attachment.connectors.retain(|other| other.id != connector);
        if attachment.connectors.len() == before {
            return Err(CommandError::NotAttached(id, connector));
        }
        let keys = self.sessions_of(&self.attachments[&id], Some(connector));
        Ok(self.end_sessions(keys))
    }

    fn sessions_of(&self, attachment: &Attachment, connector: Option<ConnectorId>) -> Vec<usize> {
        let keys = attachment.mappings.values().flat_map(|&mapping| &self.mappings[mapping].sessions);
        keys.copied()
            .filter(|&key| connector.is_none_or(|c| self.sessions.session(key).connector == c))
            .collect()
    }

    fn end_sessions(&mut self, keys: Vec<usize>) -> Applied {
        let sessions_ended = keys.len();
        for key in keys {
            self.end_session(key);
        }
        Applied { sessions_ended }
    }
}

/// Refuses to grow a table beyond its limit.
fn check_room(what: &'static str, len: usize, limit: usize) -> Result<(), CommandError> {
    if len < limit { Ok(()) } else { Err(CommandError::TableFull { what, limit }) }
}
