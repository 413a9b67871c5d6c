//! Sessions: two tuples, one entry. To translate a packet is to use the other tuple.

mod table;
pub(crate) mod tcp;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(crate) use table::{Due, Table};

use self::tcp::{Direction, Segment, Track};
use crate::limits::{ICMP_QUERY_IDLE, UDP_IDLE};
use crate::packet::Tuple;
use crate::wire::tcp_flag::RST;
use crate::{AttachmentId, ConnectorId, Instant, Protocol, SessionState, SessionView, UdpRefresh, UplinkId};

/// One live session: a mapping and a remote endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) owner: Owner,
    /// As the container sends.
    pub(crate) inside: Tuple,
    /// The source endpoint that the VPC sees instead.
    pub(crate) external: SocketAddr,
    /// Whose MAC address outbound frames carry.
    pub(crate) next_hop: IpAddr,
    /// Key of the mapping that lends the external endpoint.
    pub(crate) mapping: usize,
    pub(crate) state: SessionState,
    pub(crate) track: Track,
    pub(crate) created: Instant,
    pub(crate) expires: Instant,
    udp_refresh: UdpRefresh,
    /// Where the session stands in the timer queue; never later than `expires`.
    queued: Instant,
    /// Index in its mapping's list.
    in_mapping: usize,
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
    pub(crate) external: SocketAddr,
    pub(crate) next_hop: IpAddr,
    pub(crate) mapping: usize,
    pub(crate) udp_refresh: UdpRefresh,
}

impl Session {
    /// A session whose first packet goes in `direction`, at `now`.
    pub(crate) fn new(now: Instant, direction: Direction, new: NewSession) -> Self {
        let NewSession { owner, inside, external, next_hop, mapping, udp_refresh } = new;
        let state =
            if inside.protocol == Protocol::Tcp { tcp::opening(direction) } else { SessionState::Active };
        let expires = now + idle_limit(inside.protocol, state, false);
        Self {
            owner,
            inside,
            external,
            next_hop,
            mapping,
            state,
            track: Track::default(),
            created: now,
            expires,
            udp_refresh,
            queued: expires,
            in_mapping: 0,
        }
    }

    /// As the VPC answers.
    pub(crate) fn reply(&self) -> Tuple {
        Tuple { protocol: self.inside.protocol, source: self.inside.destination, destination: self.external }
    }

    /// Whether the VPC sees another endpoint than the container's own.
    pub(crate) fn is_translated(&self) -> bool {
        self.external != self.inside.source
    }

    /// Whether it has nothing more to carry, and can give up its port.
    pub(crate) const fn is_finished(&self) -> bool {
        matches!(self.state, SessionState::Finished | SessionState::Reset)
    }

    /// Its mapping and remote address.
    fn contact(&self) -> (usize, IpAddr) {
        (self.mapping, self.inside.destination.ip())
    }

    /// A packet passes: moves the state and, where it keeps the session alive, the time of its end. `segment` is that of TCP.
    fn touch(&mut self, now: Instant, direction: Direction, segment: Option<&Segment>) {
        let before = self.state;
        if let Some(segment) = segment {
            self.state = self.track.advance(before, direction, segment);
        }
        let refreshes = match (self.inside.protocol, self.state) {
            // RFC 4787 REQ-6: inbound packets do not refresh, unless the connector says so (RFC 7857 §7).
            (Protocol::Udp, _) if self.udp_refresh == UdpRefresh::Both => true,
            (Protocol::Udp | Protocol::Icmp, _) => direction == Direction::Outbound,
            // RFC 7857 §2.1: the time counts from the second FIN.
            (Protocol::Tcp, SessionState::Finished) => false,
            // RFC 7857 §2.2: a RST does not refresh. Transitory states end their time after they begin.
            (
                Protocol::Tcp,
                SessionState::Established | SessionState::FinOutbound | SessionState::FinInbound,
            ) if self.track.is_open() => segment.is_some_and(|s| s.flags & RST == 0),
            (Protocol::Tcp, state) => state != before,
        };
        if refreshes {
            self.expires = now + idle_limit(self.inside.protocol, self.state, self.track.is_open());
        }
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

fn idle_limit(protocol: Protocol, state: SessionState, is_open: bool) -> Duration {
    match protocol {
        Protocol::Tcp => tcp::idle_limit(state, is_open),
        Protocol::Udp => UDP_IDLE,
        Protocol::Icmp => ICMP_QUERY_IDLE,
    }
}
