//! The first packet of a session where all is at hand: UDP, a neighbor that is known, a packet that fits. What is not simply that
//! takes the long way, which decides alike.

use std::net::SocketAddr;

use super::Engine;
use super::known::Seen;
use super::links::Hop;
use crate::packet::Tuple;
use crate::packet::glance::Version;
use crate::rate::Load;
use crate::session::tcp::Direction;
use crate::session::{self, key};
use crate::{Instant, Link, Protocol, route};

impl Engine {
    /// Opens the session of a container's packet that has none, and sends the packet on. `None`: it is to take the long way, and
    /// nothing has changed for it.
    pub(super) fn open_seen<V: Version>(
        &mut self,
        now: Instant,
        frame: &mut [u8],
        seen: &Seen,
    ) -> Option<Link> {
        // A TCP session is opened by a SYN, which is not seen at a glance.
        if seen.glance.is_tcp {
            return None;
        }
        let attachment = self.attachments.at(seen.link());
        let id = attachment.config.id;
        let tuple = seen.tuple::<V>(frame);
        let (source, destination) = (tuple.source.ip(), tuple.destination.ip());
        let for_gateway = attachment.config.addressing(source).is_none_or(|own| own.gateway == destination);
        if for_gateway || route::is_forbidden(destination) {
            return None;
        }
        let admission = self.admit(now, id, tuple).ok()?;
        let limits = &self.attachments.at(seen.link()).attached(admission.owner.connector)?.config.limits;
        if limits.is_metered() {
            return None;
        }
        let uplink = self.uplinks.get_mut(&admission.owner.uplink)?;
        if seen.glance.on_wire::<V>(frame) > uplink.config.mtu.into() {
            return None;
        }
        let Hop { next, back: false, epoch } = admission.hop else { return None };
        let neighbor = uplink.neighbors.place(next)?;
        uplink.neighbors.resolve_at(neighbor)?;
        let load = Load { direction: Direction::Outbound, packets: 1, bytes: 0, sessions: 1 };
        limits.take(now, &load).ok()?;
        let session = self.open_session(now, id, tuple, admission).ok()?;
        self.sessions.set_exit(session, epoch, session::Exit::Neighbor(neighbor));
        // A container's own address can be what the VPC sees: then the long way has a session to go on with.
        self.send_known::<V>(now, frame, &seen.glance, session as u32)
    }
}

impl Seen {
    /// Of a UDP packet of a container.
    fn tuple<V: Version>(&self, frame: &[u8]) -> Tuple {
        let address = |at| key::address(V::IS_V6, V::address(frame, at));
        let (source, destination) = ((self.glance.ports >> 16) as u16, self.glance.ports as u16);
        Tuple {
            protocol: Protocol::Udp,
            source: SocketAddr::new(address(V::SOURCE), source),
            destination: SocketAddr::new(address(V::DESTINATION), destination),
        }
    }
}
