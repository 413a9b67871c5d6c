//! Sessions: two tuples, one entry. To translate a packet is to use the other tuple.

pub(crate) mod key;
mod table;
pub(crate) mod tcp;
mod wheel;

use std::net::SocketAddr;

pub(crate) use table::{Exit, NewEntry, Siblings, Table};
pub(crate) use wheel::Due;

use self::tcp::Track;
use crate::packet::Tuple;
use crate::{AttachmentId, ConnectorId, Instant, SessionState, SessionView, UdpRefresh, UplinkId};

/// One live session, as the table and its neighbours know it: a mapping and a remote endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) owner: Owner,
    /// As the container sends.
    pub(crate) inside: Tuple,
    /// The source endpoint that the VPC sees instead.
    pub(crate) external: SocketAddr,
    pub(crate) state: SessionState,
    pub(crate) track: Track,
    pub(crate) created: Instant,
    pub(crate) expires: Instant,
}

/// Whose a session is, by which permission, through which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) attachment: AttachmentId,
    pub(crate) connector: ConnectorId,
    pub(crate) uplink: UplinkId,
}

/// What a new session is made from. `inside` is as the container sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSession {
    pub(crate) owner: Owner,
    pub(crate) inside: Tuple,
    pub(crate) mapping: usize,
    pub(crate) udp_refresh: UdpRefresh,
}

impl Session {
    /// Whether it has nothing more to carry, and can give up its port.
    pub(crate) const fn is_finished(&self) -> bool {
        table::is_finished(self.state)
    }

    /// A copy for people.
    pub(crate) fn view(&self, now: Instant) -> SessionView {
        SessionView {
            attachment: self.owner.attachment,
            connector: self.owner.connector,
            uplink: self.owner.uplink,
            protocol: self.inside.protocol,
            internal: self.inside.source,
            external: self.external,
            remote: self.inside.destination,
            state: self.state,
            age: now.since(self.created),
            expires_in: self.expires.since(now),
        }
    }
}
