//! ICMP errors and fragments.

use gateway_core::{Link, Protocol, Reason, UplinkId};

use super::packets::{expect, same};
use super::{Checked, Driver, Op};
use crate::frame::{self, Body, Read, flag};
use crate::model::{Flow, Key};
use crate::world::{Outcome, macs};

impl Driver {
    /// An ICMP error about a packet of a session that lives, or lived.
    pub(super) fn router_complains(&mut self) -> Checked {
        let Some((uplink, key, external)) = self.some_recent() else { return Ok(()) };
        let (protocol, _, remote) = key.1;
        let (flow, link) = ((protocol, external, remote), Link::Uplink(uplink));
        if self.random.percent(50) {
            return self.container_complains(key);
        }
        if !self.model.uplinks.contains_key(&uplink) {
            return Ok(());
        }
        self.note(Op::ErrorIn(uplink, flow));
        let mut about = Vec::new();
        frame::write(&mut about, macs(link), external, remote, example(key, true));
        let router = if remote.is_ipv4() { "10.1.0.1" } else { "fd01::1" }.parse().expect("an address");
        frame::write_error(&mut self.frame, macs(link), router, external.ip(), &about);
        let worker = self.some_worker();
        let outcome = self.world.deliver(worker, link, &mut self.frame);
        self.check_error_in(uplink, flow, outcome)
    }

    /// A container does not want what it got (RFC 5508 REQ-5).
    fn container_complains(&mut self, key: Key) -> Checked {
        let (id, (protocol, internal, remote)) = key;
        if !self.model.containers.contains_key(&id) {
            return Ok(());
        }
        self.note(Op::ErrorOut(key));
        let link = Link::Attachment(id);
        let mut about = Vec::new();
        frame::write(&mut about, macs(link), remote, internal, example(key, false));
        frame::write_error(&mut self.frame, macs(link), internal.ip(), remote.ip(), &about);
        let outcome = self.world.deliver(self.world.worker(id), link, &mut self.frame);
        let Some(session) = self.model.sessions.get(&key) else {
            return expect(outcome, Outcome::Dropped(Reason::IcmpErrorUnrelated));
        };
        let mapping = &self.model.mappings[&session.mapping];
        let (uplink, external) = (mapping.scope.1, mapping.external);
        if self.is_inside(uplink, remote.ip()) {
            // About a hairpinned packet: to its sender, the two endpoints are the other way round.
            return self.check_error_in(uplink, (protocol, remote, external), outcome);
        }
        let Outcome::Sent(to, Read::Error { to: address, about, .. }) = outcome else {
            return Err(format!("an error that was to leave: {outcome:?}"));
        };
        self.tally.errors += 1;
        same((to, address, about), (Link::Uplink(uplink), remote.ip(), (protocol, remote, external)))
    }

    /// An error about a packet from an external endpoint reaches the container that sent it, if there is a session.
    fn check_error_in(&mut self, uplink: UplinkId, flow: Flow, outcome: Outcome) -> Checked {
        if !self.is_inside(uplink, flow.1.ip()) {
            return expect(outcome, Outcome::Dropped(Reason::NotExternalAddress));
        }
        let Ok((key, None)) = self.model.inbound(uplink, flow, Ok(())) else {
            if outcome == Outcome::Held && self.world.engines.len() > 1 {
                // Hairpinned, and ended by the other worker.
                return Ok(());
            }
            return expect(outcome, Outcome::Dropped(Reason::IcmpErrorUnrelated));
        };
        let Outcome::Sent(to, Read::Error { to: address, about, .. }) = outcome else {
            return Err(format!("an error that was to come in: {outcome:?}"));
        };
        self.tally.errors += 1;
        same((to, address, about), (Link::Attachment(key.0), key.1.1.ip(), key.1))
    }

    /// A UDP datagram in two fragments, in any order, sometimes one of them only.
    pub(super) fn speaks_in_pieces(&mut self) -> Checked {
        let Some((uplink, key, external)) = self.some_recent() else { return Ok(()) };
        let (id, (protocol, internal, remote)) = key;
        let out = self.random.percent(50);
        let (from, source, to, worker) = match (protocol, out) {
            (Protocol::Udp, true) if self.model.containers.contains_key(&id) => {
                (Link::Attachment(id), internal, remote, self.world.worker(id))
            }
            (Protocol::Udp, false) if self.model.uplinks.contains_key(&uplink) => {
                (Link::Uplink(uplink), remote, external, self.some_worker())
            }
            _ => return Ok(()),
        };
        let body = Body::Udp { payload: 40 };
        let flow = (protocol, external, remote);
        frame::write(&mut self.frame, macs(from), source, to, body);
        let mut pieces = frame::fragments(&self.frame, 24, self.tally.pieces as u32);
        if self.random.percent(50) {
            pieces.swap(0, 1);
        }
        self.tally.pieces += 1;
        let alone = self.random.percent(10);
        self.note(Op::Pieces(from, (source, to), if alone { 1 } else { 2 }));
        let first = self.world.deliver(worker, from, &mut pieces[0]);
        // What is waiting may be as much as there may be.
        if !out && self.is_inside(uplink, remote.ip()) {
            return expect(first, Outcome::Dropped(Reason::SourceInvalid));
        }
        if alone || first == Outcome::Dropped(Reason::FragmentsFull) {
            return Ok(());
        }
        expect(first, Outcome::Held)?;
        let outcome = self.world.deliver(worker, from, &mut pieces[1]);
        self.tally.whole += 1;
        match outcome {
            Outcome::Dropped(Reason::FragmentsFull) => Ok(()),
            _ if out => self.check_leaving(key, body, None, outcome),
            _ => self.check_whole(uplink, flow, body, outcome),
        }
    }
}

/// A packet of the session as the container, or its peer, sends it.
const fn example(key: Key, out: bool) -> Body {
    let (protocol, _, remote) = key.1;
    match protocol {
        Protocol::Udp => Body::Udp { payload: 16 },
        Protocol::Tcp => Body::Tcp { flags: flag::ACK, sequence: 0, acknowledgment: 0, payload: 0 },
        Protocol::Icmp if out == (remote.port() == 0) => Body::EchoRequest,
        Protocol::Icmp => Body::EchoReply,
    }
}
