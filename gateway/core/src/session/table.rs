//! The session table: one arena, one index per direction, one timer queue.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use slab::Slab;

use super::Session;
use super::tcp::{Direction, Segment};
use crate::limits::{SESSIONS, SNAPSHOT_SCAN};
use crate::packet::Tuple;
use crate::{AttachmentId, Instant, SessionPage, SessionQuery, UplinkId};

/// All sessions of one engine.
pub(crate) struct Table {
    sessions: Slab<Session>,
    outbound: HashMap<(AttachmentId, Tuple), usize, ahash::RandomState>,
    inbound: HashMap<(UplinkId, Tuple), usize, ahash::RandomState>,
    /// Sessions of a mapping with one remote address, for address-dependent filtering.
    contacts: HashMap<(usize, IpAddr), u32, ahash::RandomState>,
    /// One entry per session, at its `queued`; a session that lived on is queued again when its entry is due.
    timers: BTreeSet<(Instant, usize)>,
}

/// What became of a session that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its time is over. The caller removes it before it asks again.
    Expired(usize),
    /// Packets have put off its end.
    LivesOn,
}

impl Table {
    /// An empty table. The hash is keyed, so that nobody can choose tuples that collide.
    pub(crate) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            sessions: Slab::new(),
            outbound: HashMap::with_hasher(hasher.clone()),
            inbound: HashMap::with_hasher(hasher.clone()),
            contacts: HashMap::with_hasher(hasher.clone()),
            timers: BTreeSet::new(),
        }
    }

    /// The session that a container's packet belongs to.
    pub(crate) fn outbound(&self, attachment: AttachmentId, inside: Tuple) -> Option<usize> {
        self.outbound.get(&(attachment, inside)).copied()
    }

    /// The session that a packet from a VPC belongs to.
    pub(crate) fn inbound(&self, uplink: UplinkId, reply: Tuple) -> Option<usize> {
        self.inbound.get(&(uplink, reply)).copied()
    }

    /// Whether the mapping has a session with this remote address.
    pub(crate) fn has_contacted(&self, mapping: usize, remote: IpAddr) -> bool {
        self.contacts.contains_key(&(mapping, remote))
    }

    /// The session with this key, which must be live.
    pub(crate) fn session(&self, key: usize) -> &Session {
        &self.sessions[key]
    }

    /// Whether one more session fits.
    pub(crate) fn has_room(&self) -> bool {
        self.sessions.len() < SESSIONS
    }

    /// Live sessions.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Adds a session. `siblings` is the list of its mapping.
    pub(crate) fn insert(&mut self, mut session: Session, siblings: &mut Vec<usize>) -> usize {
        let (out, inb) =
            ((session.owner.attachment, session.inside), (session.owner.uplink, session.reply()));
        session.in_mapping = siblings.len();
        let (queued, contact) = (session.queued, session.contact());
        let key = self.sessions.insert(session);
        siblings.push(key);
        let replaced = (self.outbound.insert(out, key), self.inbound.insert(inb, key));
        assert_eq!(replaced, (None, None), "a live session has these tuples");
        self.timers.insert((queued, key));
        *self.contacts.entry(contact).or_default() += 1;
        key
    }

    /// Ends a session. `siblings` is the list of its mapping.
    pub(crate) fn remove(&mut self, key: usize, siblings: &mut Vec<usize>) -> Session {
        let session = self.sessions.remove(key);
        self.outbound.remove(&(session.owner.attachment, session.inside));
        self.inbound.remove(&(session.owner.uplink, session.reply()));
        self.timers.remove(&(session.queued, key));
        if let Entry::Occupied(mut contact) = self.contacts.entry(session.contact()) {
            *contact.get_mut() -= 1;
            if *contact.get() == 0 {
                contact.remove();
            }
        }
        siblings.swap_remove(session.in_mapping);
        if let Some(&moved) = siblings.get(session.in_mapping) {
            self.sessions[moved].in_mapping = session.in_mapping;
        }
        session
    }

    /// A packet of the session passes. Returns whether it is finished, if that has changed.
    pub(crate) fn touch(
        &mut self,
        key: usize,
        now: Instant,
        direction: Direction,
        segment: Option<&Segment>,
    ) -> Option<bool> {
        let session = &mut self.sessions[key];
        let finished = session.is_finished();
        session.touch(now, direction, segment);
        if session.expires < session.queued {
            // The end came nearer (a FIN or RST): the queue must know now.
            self.timers.remove(&(session.queued, key));
            session.queued = session.expires;
            self.timers.insert((session.queued, key));
        }
        (session.is_finished() != finished).then_some(!finished)
    }

    /// When [`Self::next_due`] has something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The next session whose place in the timer queue is due at `now`.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Due> {
        let &(at, key) = self.timers.first().filter(|&&(at, _)| at <= now)?;
        let session = &mut self.sessions[key];
        if session.expires <= now {
            return Some(Due::Expired(key));
        }
        session.queued = session.expires;
        self.timers.remove(&(at, key));
        self.timers.insert((session.queued, key));
        Some(Due::LivesOn)
    }

    /// Keys of the sessions of an uplink. Looks at all sessions.
    pub(crate) fn of_uplink(&self, uplink: UplinkId) -> Vec<usize> {
        self.sessions.iter().filter(|(_, s)| s.owner.uplink == uplink).map(|(key, _)| key).collect()
    }

    /// One page of matching sessions. Looks at [`SNAPSHOT_SCAN`] places at most.
    pub(crate) fn page(&self, now: Instant, query: &SessionQuery) -> SessionPage {
        let first = usize::try_from(query.cursor).unwrap_or(usize::MAX).min(self.sessions.capacity());
        let end = self.sessions.capacity().min(first.saturating_add(SNAPSHOT_SCAN));
        let mut sessions = Vec::new();
        for key in first..end {
            if sessions.len() == query.limit.max(1) {
                return SessionPage { sessions, next: Some(key as u64) };
            }
            sessions.extend(self.sessions.get(key).filter(|s| matches(s, query)).map(|s| s.view(now)));
        }
        SessionPage { sessions, next: (end < self.sessions.capacity()).then_some(end as u64) }
    }
}

fn matches(session: &Session, query: &SessionQuery) -> bool {
    query.attachment.is_none_or(|a| a == session.owner.attachment)
        && query.connector.is_none_or(|c| c == session.owner.connector)
        && query.uplink.is_none_or(|u| u == session.owner.uplink)
        && query.protocol.is_none_or(|p| p == session.inside.protocol)
        && query.remote.is_none_or(|r| r == session.inside.destination.ip())
}
