//! What becomes of sessions and mappings: TCP states, timers, ends.

use std::net::SocketAddr;
use std::time::Duration;

use Protocol::{Icmp, Tcp, Udp};
use gateway_core::SessionState::{self, *};
use gateway_core::limits::{
    GIVE_UP_SESSIONS, ICMP_QUERY_IDLE, PORT_REST, TCP_CLOSING, TCP_ESTABLISHED, TCP_OPENING, UDP_IDLE,
};
use gateway_core::{ConnectorId, Instant, Protocol, UdpRefresh};

use super::{Key, Model, Segment, Session, scope};
use crate::frame::flag::{ACK, FIN, RST, SYN};

impl Model {
    /// Opens the session of a packet that came in, see [`Self::inbound`].
    pub(crate) fn enter(
        &mut self,
        key: Key,
        external: SocketAddr,
        (mapping, connector): (Option<u64>, ConnectorId),
    ) {
        let mapping = mapping.unwrap_or_else(|| {
            let policy = self.containers[&key.0].policies[&connector].clone();
            self.map(scope(key, &policy.0), &policy, external, None)
        });
        self.begin(key, mapping, connector, false);
    }

    /// Opens a session of a known mapping.
    pub(crate) fn begin(&mut self, key: Key, mapping: u64, connector: ConnectorId, outbound: bool) {
        let state = match key.1.0 {
            Tcp if outbound => Opening,
            Tcp => OpeningInbound,
            Udp | Icmp => Active,
        };
        let udp_refresh = self.containers[&key.0].policies[&connector].0.udp_refresh;
        let expires = self.now + idle(key.1.0, state, false);
        self.sessions.insert(
            key,
            Session {
                mapping,
                connector,
                state,
                expires,
                udp_refresh,
                called: !outbound,
                answered: [false; 2],
                acknowledged: [false; 2],
            },
        );
        self.settle(mapping);
    }

    /// A packet of a session passes. States as in RFC 7857 §2, RFC 6146 §3.5.2.
    pub(crate) fn touch(&mut self, key: Key, outbound: bool, segment: Option<Segment>) {
        let s = self.sessions.get_mut(&key).expect("a live session");
        let (before, mut flags) = (s.state, 0);
        if let Some((segment_flags, believed, answers, acknowledges)) = segment {
            flags = segment_flags;
            let opens =
                flags & (SYN | ACK | RST | FIN) == SYN && matches!(before, Closing | Finished | Reset);
            if opens {
                (s.answered, s.acknowledged) = ([false; 2], [false; 2]);
            }
            s.answered[usize::from(outbound)] |= believed && answers;
            s.acknowledged[usize::from(outbound)] |= believed && acknowledges;
            s.state = match (before, outbound) {
                _ if !believed => before,
                _ if flags & RST != 0 => Reset,
                (_, true) if opens => Opening,
                (_, false) if opens => OpeningInbound,
                (Opening, false) | (OpeningInbound, true) if flags & SYN != 0 => Established,
                (Established, true) if flags & FIN != 0 => FinOutbound,
                (Established, false) if flags & FIN != 0 => FinInbound,
                (FinOutbound, false) | (FinInbound, true) if flags & FIN != 0 => Closing,
                (Reset, _) => Established,
                _ => before,
            };
            if s.state == Closing && s.acknowledged == [true; 2] {
                s.state = Finished;
            }
        }
        // Until both ends have acknowledged something, it is partially open only (RFC 7857 §2.1).
        let open = s.answered == [true; 2];
        let refreshes = match (key.1.0, s.state) {
            (Tcp, Established | FinOutbound | FinInbound) if open => flags & RST == 0,
            // The time counts from the second FIN (RFC 7857 §2.1).
            (Tcp, state) => state != before && state != Finished,
            (protocol, _) => outbound || protocol == Udp && s.udp_refresh == UdpRefresh::Both,
        };
        if refreshes {
            s.expires = self.now + idle(key.1.0, s.state, open);
        }
        let mapping = s.mapping;
        self.settle(mapping);
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, key: Key) {
        let session = self.sessions.remove(&key).expect("a live session");
        self.settle(session.mapping);
    }

    pub(super) fn end_all(&mut self, keys: Vec<Key>) {
        for key in keys {
            self.end(key);
        }
    }

    /// Time has come to `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = now;
        let over: Vec<_> =
            self.sessions.iter().filter(|(_, s)| s.expires <= now).map(|(key, _)| *key).collect();
        self.end_all(over);
        self.mappings.retain(|_, m| m.rests.is_none_or(|until| until > now));
    }

    /// A mapping without sessions ends, unless it is a publication; one with finished TCP sessions only can give up its port.
    pub(crate) fn settle(&mut self, id: u64) {
        let empty = self.sessions_of(id).next().is_none();
        let few = self.sessions_of(id).count() <= GIVE_UP_SESSIONS;
        let finished = self.sessions_of(id).all(|(_, s)| matches!(s.state, Finished | Reset));
        let Some(m) = self.mappings.get_mut(&id) else { return };
        let gives = finished && few && m.scope.2 == Tcp && m.quota.is_some();
        m.finished = m.finished.or(Some(self.now)).filter(|_| gives);
        if empty && m.publication.is_none() && m.rests_afterwards {
            // RFC 6888 REQ-8.
            (m.quota, m.rests) = (None, Some(self.now + PORT_REST));
        } else if empty && m.publication.is_none() {
            self.mappings.remove(&id);
        }
    }
}

fn idle(protocol: Protocol, state: SessionState, open: bool) -> Duration {
    match (protocol, state) {
        (Udp, _) => UDP_IDLE,
        (Icmp, _) => ICMP_QUERY_IDLE,
        (Tcp, Closing | Finished | Reset) => TCP_CLOSING,
        (Tcp, _) if open => TCP_ESTABLISHED,
        (Tcp, _) => TCP_OPENING,
    }
}
