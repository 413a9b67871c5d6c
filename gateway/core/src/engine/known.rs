//! Packets of sessions that there are: one look at the frame, one at the session, one rewrite. What is not simply that takes the long way.

use std::hint::black_box;

use super::Engine;
use super::links::{Attachment, Uplink};
use crate::chunked::NIL;
use crate::packet::glance::{Glance, V4, V6, Version, ether_type};
use crate::session::Exit;
use crate::session::key::{Key, Kind, address};
use crate::session::tcp::{Direction, Segment};
use crate::translate::{self, Rewrite, Side, replace_ipv4_word};
use crate::wire::{ETHERNET, IP, UDP_LEN, VNET_LEN, array, ether_type};
use crate::{AttachmentId, Instant, Link, Protocol, UplinkId, Verdict};

/// What [`Engine::prepare`] has seen in a frame. Good for that frame, until it is handled.
#[derive(Clone, Copy, Debug)]
pub struct Prepared(Option<Seen>);

/// A packet that can belong to a session, and where that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) glance: Glance,
    tag: u32,
    /// Where the session is, if it is there already; before that, where the index may know it.
    guess: u32,
    /// Of its key. The remote address is in the frame.
    word: u64,
}

const _: () = assert!(size_of::<Prepared>() == 32);

impl Engine {
    /// Looks at frames that came from one link, vnet headers included, before they are handled one by one with
    /// [`Self::handle_prepared`]: their sessions are on the way from memory meanwhile. Replaces what is in `prepared`, in the order
    /// of the frames.
    pub fn prepare<'f>(
        &self,
        from: Link,
        frames: impl IntoIterator<Item = &'f [u8]>,
        prepared: &mut Vec<Prepared>,
    ) {
        prepared.clear();
        let frames = frames.into_iter();
        match from {
            Link::Attachment(id) => {
                let link = self.attachments.placed(id);
                let see = |frame: &[u8]| match ether_type(frame) {
                    ether_type::IPV4 => self.see_outbound::<V4>(link?, frame),
                    ether_type::IPV6 => self.see_outbound::<V6>(link?, frame),
                    _ => None,
                };
                prepared.extend(frames.map(|frame| Prepared(see(frame))));
            }
            Link::Uplink(id) => {
                let link = self.uplinks.placed(id);
                let see = |frame: &[u8]| match ether_type(frame) {
                    ether_type::IPV4 => self.see_inbound::<V4>(link?, frame),
                    ether_type::IPV6 => self.see_inbound::<V6>(link?, frame),
                    _ => None,
                };
                prepared.extend(frames.map(|frame| Prepared(see(frame))));
            }
        }
        self.fetch(prepared);
    }

    /// Brings the sessions of frames into the cache, and notes where they are.
    fn fetch(&self, prepared: &mut [Prepared]) {
        // Short loops, so that the processor waits for many lines at a time.
        let mut touched = 0;
        for Prepared(seen) in &mut *prepared {
            let Some(seen) = seen else { continue };
            seen.guess = self.sessions.home(seen.tag);
            touched ^= self.sessions.touch_index(seen.guess);
        }
        for Prepared(seen) in &mut *prepared {
            let Some(seen) = seen else { continue };
            seen.guess = self.sessions.guess(seen.guess, seen.tag);
        }
        for Prepared(seen) in &*prepared {
            let Some(seen) = seen else { continue };
            touched ^= self.sessions.touch_entry(seen.guess);
        }
        // Without a use there would be no loads.
        black_box(touched);
    }

    /// Does what [`Self::handle_packet`] does, with what [`Self::prepare`] has seen in the frame.
    #[inline]
    pub fn handle_prepared(
        &mut self,
        now: Instant,
        from: Link,
        frame: &mut [u8],
        prepared: &Prepared,
    ) -> Verdict {
        let done = match (&prepared.0, from) {
            (Some(seen), Link::Attachment(_)) if seen.is_v6() => self.send_seen::<V6>(now, frame, seen),
            (Some(seen), Link::Attachment(_)) => self.send_seen::<V4>(now, frame, seen),
            (Some(seen), Link::Uplink(_)) if seen.is_v6() => self.receive_seen::<V6>(now, frame, seen),
            (Some(seen), Link::Uplink(_)) => self.receive_seen::<V4>(now, frame, seen),
            (None, _) => None,
        };
        match done {
            Some(to) => Verdict::Forward(to),
            None => self.handle_any(now, from, frame),
        }
    }

    /// Decides on a frame that came from a link, vnet header included, and rewrites it in place if it goes on.
    /// A frame that does not go on is left as it was. Frames never change their length.
    pub fn handle_packet(&mut self, now: Instant, from: Link, frame: &mut [u8]) -> Verdict {
        let done = match (ether_type(frame), from) {
            (ether_type::IPV4, Link::Attachment(id)) => self.outbound_known::<V4>(now, id, frame),
            (ether_type::IPV4, Link::Uplink(id)) => self.inbound_known::<V4>(now, id, frame),
            (ether_type::IPV6, Link::Attachment(id)) => self.outbound_known::<V6>(now, id, frame),
            (ether_type::IPV6, Link::Uplink(id)) => self.inbound_known::<V6>(now, id, frame),
            _ => None,
        };
        match done {
            Some(to) => Verdict::Forward(to),
            None => self.handle_any(now, from, frame),
        }
    }

    // One function for each direction and version: so each has what it needs in registers.
    #[inline(never)]
    fn outbound_known<V: Version>(
        &mut self,
        now: Instant,
        id: AttachmentId,
        frame: &mut [u8],
    ) -> Option<Link> {
        let seen = self.see_outbound::<V>(self.attachments.placed(id)?, frame)?;
        self.send_found::<V>(now, frame, &seen)
    }

    #[inline(never)]
    fn inbound_known<V: Version>(&mut self, now: Instant, id: UplinkId, frame: &mut [u8]) -> Option<Link> {
        let seen = self.see_inbound::<V>(self.uplinks.placed(id)?, frame)?;
        self.receive_found::<V>(now, frame, &seen)
    }

    #[inline(never)]
    fn send_seen<V: Version>(&mut self, now: Instant, frame: &mut [u8], seen: &Seen) -> Option<Link> {
        if !self.sessions.is_at(seen.guess, &seen.key::<V>(frame, V::DESTINATION), Direction::Outbound) {
            return self.send_found::<V>(now, frame, seen);
        }
        self.send_known::<V>(now, frame, &seen.glance, seen.guess)
    }

    #[inline(never)]
    fn receive_seen<V: Version>(&mut self, now: Instant, frame: &mut [u8], seen: &Seen) -> Option<Link> {
        if !self.sessions.is_at(seen.guess, &seen.key::<V>(frame, V::SOURCE), Direction::Inbound) {
            return self.receive_found::<V>(now, frame, seen);
        }
        self.receive_known::<V>(now, frame, &seen.glance, seen.guess)
    }

    #[inline(never)]
    fn send_found<V: Version>(&mut self, now: Instant, frame: &mut [u8], seen: &Seen) -> Option<Link> {
        let key = seen.key::<V>(frame, V::DESTINATION);
        match self.sessions.find(&key, seen.tag, Direction::Outbound) {
            Some(session) => self.send_known::<V>(now, frame, &seen.glance, session as u32),
            None => self.open_seen::<V>(now, frame, seen),
        }
    }

    #[inline(never)]
    fn receive_found<V: Version>(&mut self, now: Instant, frame: &mut [u8], seen: &Seen) -> Option<Link> {
        let key = seen.key::<V>(frame, V::SOURCE);
        let session = self.sessions.find(&key, seen.tag, Direction::Inbound)?;
        self.receive_known::<V>(now, frame, &seen.glance, session as u32)
    }

    /// Looks at what could belong to a session; `None` for everything that needs a closer look.
    #[inline(always)]
    fn see_outbound<V: Version>(
        &self,
        (place, attachment): (usize, &Attachment),
        frame: &[u8],
    ) -> Option<Seen> {
        let glance = Glance::of::<V>(frame)?;
        let source = V::address(frame, V::SOURCE);
        if array::<12>(frame, ETHERNET) != attachment.macs || !attachment.own.is::<V>(source) {
            return None;
        }
        let key = Key::inside_of(kind::<V>(&glance), place, glance.ports, V::address(frame, V::DESTINATION));
        Some(Seen { glance, tag: self.sessions.tag(&key), guess: NIL, word: key.word() })
    }

    #[inline(always)]
    fn see_inbound<V: Version>(&self, (place, uplink): (usize, &Uplink), frame: &[u8]) -> Option<Seen> {
        let glance = Glance::of::<V>(frame)?;
        if array::<6>(frame, ETHERNET) != uplink.config.mac.0 {
            return None;
        }
        let external = uplink.external_at::<V>(V::address(frame, V::DESTINATION))?;
        // Near and remote port are the other way round.
        let (ports, remote) = (glance.ports.rotate_left(16), V::address(frame, V::SOURCE));
        let key = Key::outside_of(kind::<V>(&glance), place, external, ports, remote);
        Some(Seen { glance, tag: self.sessions.tag(&key), guess: NIL, word: key.word() })
    }

    /// From a container to a neighbor in the VPC.
    #[inline(always)]
    pub(super) fn send_known<V: Version>(
        &mut self,
        now: Instant,
        frame: &mut [u8],
        glance: &Glance,
        session: u32,
    ) -> Option<Link> {
        // Said here, it need not be asked for each field.
        let session = (frame.len() >= V::AT + UDP_LEN).then_some(session as usize)?;
        let entry = self.sessions.entry_mut(session);
        let uplink = self.uplinks.at_mut(entry.uplink());
        let Exit::Neighbor(place) = entry.exit(uplink.config.space.epoch())? else { return None };
        if !entry.is_translated() || glance.on_wire::<V>(frame) > uplink.config.mtu.into() {
            return None;
        }
        let rewrite = Rewrite {
            address: uplink.external_bits(entry.external()),
            port: entry.ports().1,
            deltas: entry.deltas(Direction::Outbound),
            macs: (uplink.neighbors.resolve_at(place)?, uplink.config.mac),
        };
        // From here on it goes on. What needs most of it comes first.
        translate::known::<V>(frame, glance, Side::Source, &rewrite);
        let (id, size) = (uplink.config.id, frame.len() - VNET_LEN);
        uplink.base.counters.sent.count(size, glance.is_super_packet());
        let attachment = self.attachments.at_mut(entry.attachment());
        attachment.base.counters.received.count(size, glance.is_super_packet());
        if glance.is_tcp {
            self.touch_tcp::<V>(now, frame, glance, session, Direction::Outbound);
        } else {
            entry.touch_udp(now, Direction::Outbound);
        }
        if glance.may_be_fragmented {
            self.renew_ip_id::<V>(id, frame, glance);
        }
        Some(Link::Uplink(id))
    }

    /// From a neighbor in the VPC to a container.
    #[inline(always)]
    fn receive_known<V: Version>(
        &mut self,
        now: Instant,
        frame: &mut [u8],
        glance: &Glance,
        session: u32,
    ) -> Option<Link> {
        let session = (frame.len() >= V::AT + UDP_LEN).then_some(session as usize)?;
        let entry = self.sessions.entry_mut(session);
        let uplink = self.uplinks.at_mut(entry.uplink());
        // What comes from behind this gateway would not come this way.
        if !entry.is_translated() || entry.exit(uplink.config.space.epoch())? == Exit::Back {
            return None;
        }
        let attachment = self.attachments.at_mut(entry.attachment());
        if glance.on_wire::<V>(frame) > attachment.config.mtu.into() {
            return None;
        }
        let rewrite = Rewrite {
            address: attachment.own.bits::<V>(),
            port: entry.ports().0,
            deltas: entry.deltas(Direction::Inbound),
            macs: (attachment.config.mac, attachment.config.gateway_mac),
        };
        translate::known::<V>(frame, glance, Side::Destination, &rewrite);
        let (id, size) = (attachment.config.id, frame.len() - VNET_LEN);
        uplink.base.counters.received.count(size, glance.is_super_packet());
        attachment.base.counters.sent.count(size, glance.is_super_packet());
        if glance.is_tcp {
            self.touch_tcp::<V>(now, frame, glance, session, Direction::Inbound);
        } else {
            entry.touch_udp(now, Direction::Inbound);
        }
        Some(Link::Attachment(id))
    }

    /// A segment of the session passes.
    #[inline(never)]
    fn touch_tcp<V: Version>(
        &mut self,
        now: Instant,
        frame: &[u8],
        glance: &Glance,
        session: usize,
        direction: Direction,
    ) {
        if let Some(segment) = Segment::seen::<V>(frame, glance) {
            self.touch(now, session, direction, Some(&segment));
        }
    }

    /// An identification that no other packet of the external address to the same host has had lately.
    #[inline(never)]
    fn renew_ip_id<V: Version>(&mut self, id: UplinkId, frame: &mut [u8], glance: &Glance) {
        let destination = address(V::IS_V6, V::address(frame, V::DESTINATION));
        let fresh = self.next_ip_id(id, destination, glance.segments::<V>(frame));
        replace_ipv4_word(&mut frame[IP..], 4, fresh);
    }
}

impl Seen {
    /// The place of the link that it came from.
    pub(super) const fn link(&self) -> usize {
        Key::of(self.word, 0).link()
    }

    const fn is_v6(&self) -> bool {
        Key::of(self.word, 0).is_v6()
    }

    /// Of the frame that was seen, with the remote address at this place.
    #[inline(always)]
    fn key<V: Version>(&self, frame: &[u8], remote: usize) -> Key {
        Key::of(self.word, if frame.len() < V::AT { 0 } else { V::address(frame, remote) })
    }
}

#[inline(always)]
const fn kind<V: Version>(glance: &Glance) -> Kind {
    Kind::new(if glance.is_tcp { Protocol::Tcp } else { Protocol::Udp }, V::IS_V6)
}

#[cfg(test)]
mod tests;
