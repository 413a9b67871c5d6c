//! Packets of containers and of VPCs, and what the model says to what became of them.

use std::net::SocketAddr;

use gateway_core::{Link, Protocol, Reason, SessionState, UplinkId};

use super::{Checked, Driver, Op};
use crate::frame::{self, Body, Read, flag};
use crate::model::{Flow, Key, Segment};
use crate::tcp::{Connection, Said, opens};
use crate::world::{Outcome, macs};

/// What one end of a connection says: which connection, which end, what.
type Talk = (u64, usize, Said);

/// A segment on its way: what it is to its connection, what it is to the model, and whether the connection has noted it.
#[derive(Clone, Copy)]
struct Heard {
    talk: Talk,
    segment: Segment,
    noted: bool,
}

impl Driver {
    /// A packet to a VPC, to another container's external endpoint, or to nobody.
    pub(super) fn container_speaks(&mut self) -> Checked {
        let again = if self.random.percent(50) { self.some_recent() } else { None };
        if let Some((_, key, _)) = again.filter(|(_, key, _)| self.model.sessions.contains_key(key)) {
            return self.container_goes_on(key);
        }
        let Some(id) = self.container() else { return Ok(()) };
        let addresses = &self.model.containers[&id].addresses;
        let own = addresses[self.random.below(addresses.len() as u64) as usize];
        let protocol = self.random.pick(&[Protocol::Udp, Protocol::Tcp, Protocol::Tcp, Protocol::Icmp]);
        let recent = self.some_recent();
        let remote = match (self.random.below(20), recent) {
            // Hairpinning.
            (0..4, Some((_, _, external))) if external.is_ipv4() == own.is_ipv4() => external,
            // Somebody's own address, which may be routed, and may be the sender's too.
            (4, Some((_, key, _))) if key.1.1.is_ipv4() == own.is_ipv4() => key.1.1,
            // The same again.
            (5..9, Some((_, key, _))) if key.0 == id && key.1.1.ip() == own => key.1.2,
            _ => self.remote(own.is_ipv4(), protocol),
        };
        let port = self.port();
        let (internal, remote, body) = match protocol {
            Protocol::Tcp => return self.container_talks((id, (protocol, (own, port).into(), remote))),
            Protocol::Udp => (port, remote, Body::Udp { payload: self.random.below(64) as u16 }),
            Protocol::Icmp if remote.port() != 0 && self.random.percent(40) => (0, remote, Body::EchoReply),
            Protocol::Icmp => (port, (remote.ip(), 0).into(), Body::EchoRequest),
        };
        self.leave((id, (protocol, (own, internal).into(), remote)), body, None)
    }

    /// Something more of a session.
    fn container_goes_on(&mut self, key: Key) -> Checked {
        match key.1.0 {
            Protocol::Tcp => self.container_talks(key),
            Protocol::Udp => self.leave(key, Body::Udp { payload: 8 }, None),
            Protocol::Icmp if key.1.2.port() == 0 => self.leave(key, Body::EchoRequest, None),
            Protocol::Icmp => self.leave(key, Body::EchoReply, None),
        }
    }

    /// A TCP segment of a container.
    fn container_talks(&mut self, key: Key) -> Checked {
        let known = self.model.sessions.get(&key).map(|s| (is_over(s.state), self.tcp.get(&key).copied()));
        let new = self.new_number();
        let (fresh, talk) = match known {
            None if self.random.percent(92) => (true, (new, 0, Connection::open(&mut self.random))),
            None => (false, (new, 0, Connection::stray(&mut self.random))),
            Some((_, None)) => return Ok(()),
            Some((over, Some((number, end)))) => {
                let said = self.connections[&number].say(&mut self.random, end);
                if over && (self.random.percent(15) || said.flags == flag::SYN) {
                    (true, (new, 0, Connection::open(&mut self.random)))
                } else {
                    (false, (number, end, said))
                }
            }
        };
        if self.peer_follows(key, talk.0, fresh) {
            self.leave(key, talk.2.body(), Some(talk))
        } else {
            Ok(())
        }
    }

    /// Whether the other end of a hairpinned connection, if there is one, knows the same numbers.
    fn peer_follows(&self, key: Key, number: u64, fresh: bool) -> bool {
        let (_, (protocol, _, remote)) = key;
        let inside = |remote: SocketAddr| self.model.uplinks.keys().any(|u| self.is_inside(*u, remote.ip()));
        let Ok(known) = self.model.outbound(key, Ok(())) else { return true };
        let Some(mapping) = known.map(|id| &self.model.mappings[&id]) else {
            // Somebody could have a session with the port that is chosen, from when another had it.
            let mut sessions = self.model.sessions.keys();
            return !inside(remote) || !sessions.any(|k| k.1.0 == protocol && inside(k.1.2));
        };
        let uplink = mapping.scope.1;
        if !self.is_inside(uplink, remote.ip()) {
            return true;
        }
        match self.model.inbound(uplink, (protocol, remote, mapping.external), Ok(())) {
            Ok((peer, _)) if peer == key => false,
            Ok((peer, None)) if fresh => is_over(self.model.sessions[&peer].state),
            Ok((peer, None)) => self.tcp.get(&peer).is_some_and(|(other, _)| *other == number),
            _ => mapping.external != remote,
        }
    }

    /// A packet from a VPC: an answer, or a stranger's.
    pub(super) fn vpc_speaks(&mut self) -> Checked {
        let Some((uplink, key, mut external)) = self.some_recent() else { return Ok(()) };
        if !self.model.uplinks.contains_key(&uplink) {
            return Ok(());
        }
        let (_, (protocol, _, mut remote)) = key;
        match self.random.below(20) {
            0 | 1 if protocol != Protocol::Icmp => remote.set_port(self.random.pick(&[53, 80, 443, 7000])),
            2 | 3 => remote = self.remote(remote.is_ipv4(), protocol),
            4 => external.set_port(self.random.below(10) as u16 + 2000),
            5 => external.set_port(self.random.pick(&[80, 443])),
            // The container's own endpoint, which the VPC may see.
            6 => external = key.1.1,
            _ => {}
        }
        let flow = (protocol, external, remote);
        let payload = self.random.below(64) as u16;
        match protocol {
            Protocol::Udp => self.come(uplink, flow, Body::Udp { payload }, None),
            Protocol::Icmp if remote.port() != 0 || self.random.percent(10) => {
                let sender = SocketAddr::new(remote.ip(), remote.port().max(external.port()));
                let target = SocketAddr::new(external.ip(), 0);
                self.come(uplink, (protocol, target, sender), Body::EchoRequest, None)
            }
            Protocol::Icmp => self.come(uplink, flow, Body::EchoReply, None),
            Protocol::Tcp => self.remote_talks(uplink, flow),
        }
    }

    /// A TCP segment of a VPC.
    fn remote_talks(&mut self, uplink: UplinkId, flow: Flow) -> Checked {
        let session = match self.model.inbound(uplink, flow, Ok(())) {
            // Disguised as a container's other end.
            _ if self.is_inside(uplink, flow.2.ip()) => None,
            Ok((key, None)) => Some((key, is_over(self.model.sessions[&key].state))),
            _ => None,
        };
        let new = self.new_number();
        let talk = match session {
            None if self.random.percent(80) => (new, 1, Connection::open(&mut self.random)),
            None => (new, 1, Connection::stray(&mut self.random)),
            Some((key, over)) => {
                let Some(&(number, end)) = self.tcp.get(&key) else { return Ok(()) };
                let said = self.connections[&number].say(&mut self.random, 1 - end);
                if over && (self.random.percent(8) || said.flags == flag::SYN) {
                    (new, 1, Connection::open(&mut self.random))
                } else {
                    (number, 1 - end, said)
                }
            }
        };
        self.come(uplink, flow, talk.2.body(), Some(talk))
    }

    fn leave(&mut self, key: Key, body: Body, talk: Option<Talk>) -> Checked {
        let (id, (_, internal, remote)) = key;
        self.note(Op::Out(key, body));
        frame::write(&mut self.frame, macs(Link::Attachment(id)), internal, remote, body);
        let outcome = self.world.deliver(self.world.worker(id), Link::Attachment(id), &mut self.frame);
        self.check_leaving(key, body, talk, outcome)
    }

    fn come(&mut self, uplink: UplinkId, flow: Flow, body: Body, talk: Option<Talk>) -> Checked {
        self.note(Op::In(uplink, flow, body));
        frame::write(&mut self.frame, macs(Link::Uplink(uplink)), flow.2, flow.1, body);
        let worker = self.some_worker();
        let outcome = self.world.deliver(worker, Link::Uplink(uplink), &mut self.frame);
        if self.is_inside(uplink, flow.2.ip()) {
            // Nobody in the VPC has this address.
            return expect(outcome, Outcome::Dropped(Reason::SourceInvalid));
        }
        let heard = talk.map(|talk| Heard { talk, segment: self.segment(&talk), noted: false });
        self.check_coming(uplink, flow, body, heard, outcome)
    }

    /// What became of a container's packet, by the model.
    pub(super) fn check_leaving(
        &mut self,
        key: Key,
        body: Body,
        talk: Option<Talk>,
        outcome: Outcome,
    ) -> Checked {
        let (_, (protocol, _, remote)) = key;
        let known = match self.model.outbound(key, opens(body)) {
            Ok(known) => known,
            Err(reason) => {
                self.tally.exhausted += u64::from(reason == Reason::PortsExhausted);
                self.tally.quota += u64::from(reason == Reason::QuotaReached);
                self.tally.denied += u64::from(reason == Reason::PolicyDenied);
                let other = matches!(outcome, Outcome::Dropped(other) if self.model.may_refuse(key, other));
                return if other { Ok(()) } else { expect(outcome, Outcome::Dropped(reason)) };
            }
        };
        let external = match (outcome, known) {
            (Outcome::Sent(_, Read::Packet { source, .. }), _) => source,
            // Hairpinned, and not let in again.
            (_, Some(known)) => self.model.mappings[&known].external,
            (Outcome::Dropped(reason), None) if self.model.may_refuse(key, reason) => return Ok(()),
            _ => self.world.external(key).ok_or_else(|| format!("it was to leave: {outcome:?}"))?,
        };
        if !self.model.sessions.contains_key(&key) {
            let (before, world) = (self.model.sessions.len(), &self.world);
            if !self.model.open(key, external, |key| world.external(key).is_none()) {
                return Err(format!("{key:?} must not have {external}"));
            }
            self.tally.opened += 1;
            self.tally.gave_up += u64::from(self.model.sessions.len() <= before);
        }
        let mapping = &self.model.mappings[&self.model.sessions[&key].mapping];
        let (uplink, own) = (mapping.scope.1, mapping.external);
        if own != external {
            return Err(format!("{key:?} has {own}, not {external}"));
        }
        let heard = talk.map(|talk| Heard { talk, segment: self.segment(&talk), noted: true });
        if let Some((number, end, said)) = talk {
            self.tcp.insert(key, (number, end));
            self.connections.entry(number).or_default().note(end, &said);
        }
        self.model.touch(key, true, heard.map(|heard| heard.segment));
        self.remember(uplink, key, external);
        if self.is_inside(uplink, remote.ip()) {
            self.tally.hairpins += 1;
            return self.check_coming(uplink, (protocol, remote, external), body, heard, outcome);
        }
        self.tally.sent += 1;
        let Outcome::Sent(to, Read::Packet { source, destination, .. }) = outcome else {
            return Err(format!("it was to leave: {outcome:?}"));
        };
        same((to, source, destination), (Link::Uplink(uplink), external, remote))
    }

    pub(super) fn check_whole(
        &mut self,
        uplink: UplinkId,
        flow: Flow,
        body: Body,
        outcome: Outcome,
    ) -> Checked {
        self.check_coming(uplink, flow, body, None, outcome)
    }

    /// What became of a packet for an external endpoint, by the model.
    fn check_coming(
        &mut self,
        uplink: UplinkId,
        flow: Flow,
        body: Body,
        heard: Option<Heard>,
        outcome: Outcome,
    ) -> Checked {
        let (_, external, remote) = flow;
        let translated = self.model.uplinks[&uplink].0.contains(&external.ip());
        let admitted = if body == Body::EchoRequest && translated {
            Err(Reason::NoMapping)
        } else {
            self.model.inbound(uplink, flow, opens(body))
        };
        let (key, new) = match admitted {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.tally.filtered += u64::from(reason == Reason::Filtered);
                self.tally.strays += 1;
                // A datagram that another worker has put together ends there without a word.
                let silent = outcome == Outcome::Held && self.world.engines.len() > 1;
                return if silent { Ok(()) } else { expect(outcome, Outcome::Dropped(reason)) };
            }
        };
        if let Some(new) = new {
            self.model.enter(key, external, new);
            self.tally.entered += 1;
        }
        self.tally.came += 1;
        if let Some(Heard { talk: (number, end, said), noted, .. }) = heard {
            // A SYN begins a connection, of which the container is the other end.
            if new.is_some() || said.flags == flag::SYN && is_over(self.model.sessions[&key].state) {
                self.tcp.insert(key, (number, 1 - end));
            }
            if !noted {
                self.connections.entry(number).or_default().note(end, &said);
            }
        }
        self.model.touch(key, false, heard.map(|heard| heard.segment));
        self.tally.finished += u64::from(self.model.sessions[&key].state == SessionState::Finished);
        self.remember(uplink, key, external);
        let Outcome::Sent(to, Read::Packet { source, destination, .. }) = outcome else {
            return Err(format!("it was to come in to {key:?}: {outcome:?}"));
        };
        same((to, source, destination), (Link::Attachment(key.0), remote, key.1.1))
    }

    fn segment(&mut self, (number, end, said): &Talk) -> Segment {
        self.connections.entry(*number).or_default().segment(*end, said)
    }

    pub(super) fn some_worker(&mut self) -> usize {
        self.random.below(self.world.engines.len() as u64) as usize
    }

    fn new_number(&mut self) -> u64 {
        self.numbers += 1;
        if self.numbers.is_multiple_of(4096) {
            self.tcp.retain(|key, _| self.model.sessions.contains_key(key));
            let live: std::collections::HashSet<u64> = self.tcp.values().map(|(number, _)| *number).collect();
            self.connections.retain(|number, _| live.contains(number));
        }
        self.numbers
    }
}

const fn is_over(state: SessionState) -> bool {
    matches!(state, SessionState::Closing | SessionState::Finished | SessionState::Reset)
}

pub(super) fn expect(outcome: Outcome, expected: Outcome) -> Checked {
    if outcome == expected { Ok(()) } else { Err(format!("{outcome:?}, expected {expected:?}")) }
}

pub(super) fn same<T: Copy + PartialEq + std::fmt::Debug>(found: T, expected: T) -> Checked {
    if found == expected { Ok(()) } else { Err(format!("{found:?}, expected {expected:?}")) }
}
