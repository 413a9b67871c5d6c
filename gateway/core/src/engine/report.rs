//! What the engine tells about itself. Reading changes nothing.

use super::Engine;
use super::links::Pool;
use crate::limits::SNAPSHOT_SCAN;
use crate::session::Session;
use crate::{
    AttachmentId, CommandError, DropView, Instant, Link, LinkReport, PortUse, Protocol, SessionPage,
    SessionQuery,
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
}

fn matches(session: &Session, query: &SessionQuery) -> bool {
    query.attachment.is_none_or(|a| a == session.owner.attachment)
        && query.connector.is_none_or(|c| c == session.owner.connector)
        && query.uplink.is_none_or(|u| u == session.owner.uplink)
        && query.protocol.is_none_or(|p| p == session.inside.protocol)
        && query.remote.is_none_or(|r| r == session.inside.destination.ip())
}
