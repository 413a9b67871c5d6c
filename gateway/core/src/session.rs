//! Sessions: two tuples, one entry. To translate a packet is to use the other tuple.

mod table;
pub(crate) mod tcp;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

pub(crate) use table::{Due, Table};

use self::tcp::Direction;
use crate::limits::{ICMP_QUERY_IDLE, UDP_IDLE};
use crate::packet::Tuple;
use crate::wire::tcp_flag::RST;
use crate::{AttachmentId, ConnectorId, Instant, Protocol, SessionState, SessionView, UplinkId};

/// One live session: a mapping and a remote endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) attachment: AttachmentId,
    pub(crate) connector: ConnectorId,
    pub(crate) uplink: UplinkId,
    /// As the container sends.
    pub(crate) inside: Tuple,
    /// The source endpoint that the VPC sees instead.
    pub(crate) external: SocketAddrV4,
    /// Whose MAC address outbound frames carry.
    pub(crate) next_hop: Ipv4Addr,
    /// Key of the mapping that lends the external endpoint.
    pub(crate) mapping: usize,
    pub(crate) state: SessionState,
    pub(crate) created: Instant,
    pub(crate) expires: Instant,
    /// Where the session stands in the timer queue; never later than `expires`.
    queued: Instant,
    /// Index in its mapping's list.
    in_mapping: usize,
}

impl Session {
    /// A session whose first packet goes in `direction`, at `now`. `inside` is as the container sends.
    pub(crate) fn new(
        now: Instant,
        direction: Direction,
        owner: (AttachmentId, ConnectorId, UplinkId),
        inside: Tuple,
        external: SocketAddrV4,
        next_hop: Ipv4Addr,
        mapping: usize,
    ) -> Self {
        let (attachment, connector, uplink) = owner;
        let state =
            if inside.protocol == Protocol::Tcp { tcp::opening(direction) } else { SessionState::Active };
        let expires = now + idle_limit(inside.protocol, state);
        Self {
            attachment,
            connector,
            uplink,
            inside,
            external,
            next_hop,
            mapping,
            state,
            created: now,
            expires,
            queued: expires,
            in_mapping: 0,
        }
    }

    /// As the VPC answers.
    pub(crate) fn reply(&self) -> Tuple {
        Tuple { protocol: self.inside.protocol, source: self.inside.destination, destination: self.external }
    }

    /// Its mapping and remote address.
    fn contact(&self) -> (usize, Ipv4Addr) {
        (self.mapping, *self.inside.destination.ip())
    }

    /// A packet passes: moves the state and, where it keeps the session alive, the time of its end.
    fn touch(&mut self, now: Instant, direction: Direction, tcp_flags: u8) {
        let before = self.state;
        if self.inside.protocol == Protocol::Tcp {
            self.state = tcp::advance(before, direction, tcp_flags);
        }
        let refreshes = match (self.inside.protocol, self.state) {
            // RFC 4787 REQ-6: inbound packets do not refresh; an open port is the container's wish alone.
            (Protocol::Udp | Protocol::Icmp, _) => direction == Direction::Outbound,
            // RFC 7857 §2.2: a RST does not refresh. Transitory states end their time after they begin.
            (
                Protocol::Tcp,
                SessionState::Established | SessionState::FinOutbound | SessionState::FinInbound,
            ) => tcp_flags & RST == 0,
            (Protocol::Tcp, state) => state != before,
        };
        if refreshes {
            self.expires = now + idle_limit(self.inside.protocol, self.state);
        }
    }

    /// A copy for people.
    pub(crate) fn view(&self, now: Instant) -> SessionView {
        SessionView {
            attachment: self.attachment,
            connector: self.connector,
            uplink: self.uplink,
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

fn idle_limit(protocol: Protocol, state: SessionState) -> Duration {
    match protocol {
        Protocol::Tcp => tcp::idle_limit(state),
        Protocol::Udp => UDP_IDLE,
        Protocol::Icmp => ICMP_QUERY_IDLE,
    }
}
