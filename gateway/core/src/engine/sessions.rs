//! Sessions and mappings in the tables, and what counts them.

use super::Engine;
use super::links::Attached;
use crate::limits::PORT_REST;
use crate::mapping::Mapping;
use crate::packet::Tuple;
use crate::session::key::{Key, OWN};
use crate::session::tcp::{Direction, Segment};
use crate::session::{NewEntry, NewSession, Owner, Session};
use crate::{AttachmentId, Instant, Protocol, UdpRefresh, UplinkId};

impl Engine {
    /// The session of a packet as this container sends it.
    pub(super) fn find_inside(&self, id: AttachmentId, tuple: &Tuple) -> Option<usize> {
        let place = self.attachments.place(id)?;
        let source = tuple.source.ip();
        let own = self.attachments.at(place).config.addressing(source)?.address;
        (own == source).then(|| self.sessions.inside(&Key::inside(place, tuple))).flatten()
    }

    /// The session of a packet as this uplink's VPC answers.
    pub(super) fn find_outside(&self, id: UplinkId, tuple: &Tuple) -> Option<usize> {
        self.sessions.outside(&self.outside_key(self.uplinks.place(id)?, tuple)?)
    }

    /// The key of a packet as the VPC answers; `None` if it is not for one of ours.
    pub(super) fn outside_key(&self, uplink: usize, tuple: &Tuple) -> Option<Key> {
        let space = &self.uplinks.at(uplink).config.space;
        let address = tuple.destination.ip();
        if let Some(index) = space.index_of(address) {
            return Some(Key::outside(uplink, index as u8, 0, tuple));
        }
        let owner = self.attachments.place(space.routed(address)?.attachment)?;
        Some(Key::outside(uplink, OWN, owner, tuple))
    }

    /// The connector that a session was made by. It is there for as long as the session.
    pub(super) fn connector_of(&self, key: usize) -> &Attached {
        let entry = self.sessions.entry(key);
        let attachment = self.attachments.at(entry.attachment());
        attachment.at_place(entry.connector()).expect("sessions end with their connector")
    }

    /// The connector of a session that is to be made.
    pub(super) fn connector_by(&self, owner: &Owner) -> Option<&Attached> {
        self.attachments.get(&owner.attachment)?.attached(owner.connector)
    }

    /// All of a live session.
    pub(super) fn session(&self, key: usize) -> Session {
        let entry = self.sessions.entry(key);
        let Mapping { key: mapping, external, .. } = self.mappings[entry.mapping()];
        let attachment = self.attachments.at(entry.attachment());
        Session {
            owner: Owner {
                attachment: attachment.config.id,
                connector: attachment.names[usize::from(entry.connector())],
                uplink: mapping.uplink,
            },
            inside: Tuple {
                protocol: entry.protocol(),
                source: mapping.internal,
                destination: self.sessions.remote(entry),
            },
            external,
            state: entry.state(),
            track: self.sessions.track(entry),
            created: entry.created(),
            expires: entry.expires(),
        }
    }

    /// Puts a mapping into the tables and counts it.
    pub(super) fn insert_mapping(&mut self, mapping: Mapping) -> usize {
        let (id, connector) = (mapping.attachment, mapping.connector);
        let counts = mapping.ticket.is_some();
        let attachment = self.attachments.get_mut(&id).expect("a mapping is some container's");
        if let Some(Attached { ports, .. }) = attachment.attached_mut(connector).filter(|_| counts) {
            *ports += 1;
        }
        self.mappings.insert(mapping, &mut attachment.mappings)
    }

    /// Ends a mapping that has no sessions.
    pub(super) fn remove_mapping(&mut self, now: Instant, index: usize) {
        let id = self.mappings[index].attachment;
        let attachment = self.attachments.get_mut(&id).expect("a mapping is some container's");
        let mapping = self.mappings.remove(index, &mut attachment.mappings);
        let (key, external, place) = (mapping.key, mapping.external, mapping.place);
        let counts = mapping.ticket.is_some();
        if let Some(attached) = attachment.attached_mut(mapping.connector).filter(|_| counts) {
            attached.ports -= 1;
        }
        let Some(lease) = mapping.lease else { return };
        let Some(uplink) = self.uplinks.get_mut(&key.uplink) else { return };
        let pool = uplink.pool_at_mut(place, key.protocol);
        let rest = mapping.open_to_all.then(|| now + PORT_REST);
        let first = pool.ports.next_rest().is_none();
        pool.ports.release(lease, rest);
        if let Some(at) = pool.ports.next_rest().filter(|_| first) {
            self.rests.insert((at, (key.uplink, external.ip(), key.protocol)));
        }
        self.tell_of_blocks(key.uplink, external.ip(), key.protocol);
    }

    /// Makes a session whose first packet goes in `direction`, and counts it.
    pub(super) fn insert_session(&mut self, now: Instant, direction: Direction, new: &NewSession) -> usize {
        let &NewSession { owner, inside, mapping, udp_refresh } = new;
        let Mapping { external, place, .. } = self.mappings[mapping];
        let reply = Tuple { protocol: inside.protocol, source: inside.destination, destination: external };
        let places = (self.attachments.place(owner.attachment), self.uplinks.place(owner.uplink));
        let (Some(attachment), Some(uplink)) = places else {
            unreachable!("a session is made between two links")
        };
        let owners = self.attachments.at(attachment);
        let new = NewEntry {
            inside: Key::inside(attachment, &inside),
            outside: Key::outside(uplink, place, attachment, &reply),
            endpoints: (inside.source, external),
            connector: owners.attached(owner.connector).map_or(0, |attached| attached.place),
            mapping,
            refreshed_by_both: inside.protocol == Protocol::Udp && udp_refresh == UdpRefresh::Both,
        };
        let key = self.sessions.insert(now, direction, &new, &mut self.mappings[mapping].sessions);
        self.mappings.begin(mapping);
        self.attachments.at_mut(attachment).base.sessions += 1;
        self.uplinks.at_mut(uplink).base.sessions += 1;
        key
    }

    /// A packet of a session passes.
    pub(super) fn touch(
        &mut self,
        now: Instant,
        key: usize,
        direction: Direction,
        segment: Option<&Segment>,
    ) {
        if let Some(finished) = self.sessions.touch(key, now, direction, segment) {
            let mapping = self.sessions.entry(key).mapping();
            if finished { self.mappings.finish(now, mapping) } else { self.mappings.begin(mapping) }
        }
    }

    /// Ends a session, and its mapping with the last one.
    pub(super) fn end_session(&mut self, now: Instant, key: usize) {
        let entry = self.sessions.entry(key);
        let (mapping, finished) = (entry.mapping(), entry.is_finished());
        let (attachment, uplink) = (entry.attachment(), entry.uplink());
        self.sessions.remove(key, &mut self.mappings[mapping].sessions);
        if !finished {
            self.mappings.finish(now, mapping);
        }
        if self.mappings[mapping].sessions.is_empty() && !self.mappings[mapping].pinned {
            self.remove_mapping(now, mapping);
        }
        self.attachments.at_mut(attachment).base.sessions -= 1;
        self.uplinks.at_mut(uplink).base.sessions -= 1;
    }
}
