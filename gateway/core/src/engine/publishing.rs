//! What a VPC can call in a container: publications of a connector, and the container's own addresses where translation is off.

use std::net::{IpAddr, SocketAddr};

use rand_chacha::rand_core::Rng;

use super::Engine;
use crate::mapping::{Mapping, MappingKey, Scope};
use crate::ports::{PortLease, Want};
use crate::{AttachmentId, CommandError, ConnectorConfig, Instant, OnDetach, Publication};

/// What a connector's new publications make of its old ones.
pub(super) struct Revision {
    /// Mappings that stay.
    pub(super) kept: Vec<usize>,
    /// Mappings that go, those of `moved` among them.
    pub(super) withdrawn: Vec<usize>,
    /// Publications whose external endpoint is that of a mapping that goes.
    pub(super) moved: Vec<(Publication, usize)>,
    /// Publications of other external endpoints.
    pub(super) fresh: Vec<Publication>,
}

impl Engine {
    /// Compares a connector's new publications with the mappings of the old ones.
    pub(super) fn revise(&self, connector: &ConnectorConfig, published: Vec<usize>) -> Revision {
        let wanted = if connector.translation { &connector.publications[..] } else { &[] };
        let of = |mapping: usize| {
            let Mapping { key, external, .. } = self.mappings[mapping];
            let (protocol, internal_port) = (key.protocol, key.internal.port());
            (key.uplink, Publication { protocol, external, internal_port })
        };
        let (kept, withdrawn): (Vec<_>, Vec<_>) = published.into_iter().partition(|&mapping| {
            let (uplink, publication) = of(mapping);
            uplink == connector.uplink && wanted.contains(&publication)
        });
        let (mut moved, mut fresh) = (Vec::new(), Vec::new());
        for &publication in wanted {
            let here = |&&mapping: &&usize| {
                let (uplink, old) = of(mapping);
                (uplink, old.protocol, old.external)
                    == (connector.uplink, publication.protocol, publication.external)
            };
            if kept.iter().any(|mapping| here(&mapping)) {
                continue;
            }
            match withdrawn.iter().find(here) {
                Some(&mapping) => moved.push((publication, mapping)),
                None => fresh.push(publication),
            }
        }
        Revision { kept, withdrawn, moved, fresh }
    }

    /// Brings publications, or the container's own addresses, into force. All or nothing.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        id: AttachmentId,
        connector: &ConnectorConfig,
        publications: &[Publication],
    ) -> Result<Vec<usize>, CommandError> {
        if !connector.translation {
            return self.route(id, connector).map(|()| Vec::new());
        }
        let mut published = Vec::new();
        for &publication in publications {
            let Publication { protocol, external, .. } = publication;
            let random = self.random.next_u64();
            let pool =
                self.uplinks.get_mut(&connector.uplink).and_then(|u| u.pool_mut(external.ip(), protocol));
            let lease = pool.and_then(|p| p.ports.lease(now, random, &Want::Exactly(external.port())));
            match lease.and_then(|lease| self.insert_published(id, connector, publication, lease)) {
                Some(mapping) => published.push(mapping),
                None => {
                    for mapping in published {
                        self.remove_mapping(now, mapping);
                    }
                    return Err(CommandError::PublicationTaken { protocol, external });
                }
            }
        }
        Ok(published)
    }

    /// Makes a publication's mapping. The attach was checked: the container has an address of that IP version.
    pub(super) fn insert_published(
        &mut self,
        id: AttachmentId,
        connector: &ConnectorConfig,
        Publication { protocol, external, internal_port }: Publication,
        lease: PortLease,
    ) -> Option<usize> {
        let internal = self.attachments.get(&id)?.config.addressing(external.ip())?.address;
        let key = MappingKey {
            uplink: connector.uplink,
            protocol,
            internal: SocketAddr::new(internal, internal_port),
            scope: Scope::Any,
        };
        let place = self.uplinks.get(&connector.uplink)?.config.space.index_of(external.ip())?;
        let mut mapping = Mapping::new(id, connector.id, key, (place as u8, external), Some(lease));
        mapping.pinned = true;
        Some(self.insert_mapping(mapping))
    }

    /// The VPC sees the container's own addresses. All or nothing.
    fn route(&self, id: AttachmentId, connector: &ConnectorConfig) -> Result<(), CommandError> {
        let space = &self.uplinks[&connector.uplink].config.space;
        let addresses = || self.attachments[&id].config.addresses.iter().map(|a| a.address);
        let shown = || addresses().filter(|&address| connector.shows(address));
        let taken = |address: &IpAddr| space.routed(*address).is_some_and(|other| other.attachment != id);
        if let Some(taken) = shown().find(taken) {
            return Err(CommandError::AddressTaken(taken));
        }
        let mut routed = Vec::new();
        for address in shown() {
            let ours = space.routed(address).is_some();
            if !space.route(address, self.slot.index(), id) {
                // Another worker's container was quicker.
                for address in routed {
                    space.unroute(address, id);
                }
                return Err(CommandError::AddressTaken(address));
            }
            if !ours {
                routed.push(address);
            }
        }
        Ok(())
    }

    /// Takes publications and own addresses out of force, and ends their sessions. Returns how many those were.
    pub(super) fn withdraw(
        &mut self,
        now: Instant,
        id: AttachmentId,
        connector: &ConnectorConfig,
        published: Vec<usize>,
        on_detach: OnDetach,
    ) -> usize {
        let mut ended = 0;
        for mapping in published {
            self.mappings[mapping].pinned = false;
            let keys: Vec<_> = self.sessions.of_mapping(self.mappings[mapping].sessions).collect();
            if keys.is_empty() {
                self.remove_mapping(now, mapping);
            }
            ended += self.end_sessions(now, keys, Some(on_detach));
        }
        let Some(attachment) = self.attachments.get(&id) else { return ended };
        let mut gone = Vec::new();
        for address in attachment.config.addresses.iter().map(|a| a.address) {
            let mut others = attachment.policies().filter(|other| other.uplink == connector.uplink);
            if connector.shows(address) && !others.any(|other| other.shows(address)) {
                gone.push(address);
            }
        }
        if let Some(uplink) = self.uplinks.get(&connector.uplink) {
            for &address in &gone {
                uplink.config.space.unroute(address, id);
            }
        }
        // No answer would find them any more.
        let own = self.mappings.of(attachment.mappings).filter(|&mapping| {
            let key = self.mappings[mapping].key;
            let here = key.uplink == connector.uplink && key.scope == Scope::Own;
            here && gone.contains(&key.internal.ip())
        });
        let keys = self.sessions_of_mappings(own).collect();
        ended + self.end_sessions(now, keys, Some(on_detach))
    }
}
