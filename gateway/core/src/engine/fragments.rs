//! Fragments that come in, and packets that leave in pieces.

use rand_chacha::rand_core::Rng;

use super::{Engine, Refusal};
use crate::packet::Packet;
use crate::vnet::largest_segment;
use crate::wire::{Carried, Ethernet, Family, IP, u16_at};
use crate::{Instant, Link, Reason, Verdict, split};

impl Engine {
    /// Takes a fragment in. With the last one missing, the datagram goes its way as one packet (RFC 4787 REQ-14).
    pub(super) fn take_fragment(
        &mut self,
        now: Instant,
        from: Link,
        frame: &[u8],
    ) -> Result<Verdict, Refusal> {
        let taken = self.reassembly.insert(now, from, frame);
        // Older ones may have given way.
        self.expire_fragments(now);
        let Some(whole) = taken? else { return Ok(Verdict::Hold) };
        let mut datagram = whole.frame;
        self.whole = Some(whole.largest);
        let verdict = self.settle(now, from, &mut datagram);
        self.whole = None;
        Ok(verdict)
    }

    /// Ends datagrams that gave way to others, or whose fragments did not all come in time (RFC 792, RFC 4443 §3.3: the sender of the first one is told).
    pub(super) fn expire_fragments(&mut self, now: Instant) {
        while let Some(expired) = self.reassembly.next_expired(now) {
            let reason = expired.reason;
            // The last one is counted below, with what its sender is told.
            if let Some(base) = self.base(expired.from) {
                base.counters.drops.count_many(reason, u64::from(expired.fragments.saturating_sub(1)));
            }
            match expired.first {
                Some(first) => drop(self.refuse(now, expired.from, &first, reason.into())),
                None => self.count_drop(expired.from, reason),
            }
        }
    }

    /// Whether a translated frame fits its link, so that the caller can send it. If it does not, its pieces are queued.
    pub(super) fn depart(&mut self, to: Link, frame: &[u8]) -> bool {
        let whole = self.whole.map_or(usize::MAX, usize::from);
        let mtu = match to {
            Link::Attachment(id) => self.attachments.get(&id).map(|a| a.config.mtu),
            Link::Uplink(id) => self.uplinks.get(&id).map(|u| u.config.mtu),
        };
        let limit = whole.min(mtu.map_or(usize::MAX, usize::from));
        if largest_segment(frame) <= limit {
            return true;
        }
        // IPv4 packets have one already, and the segments of a super-packet the ones behind it.
        let id = match Ethernet::parse(frame) {
            Ok((_, Carried::Ip(Family::V4))) => u16_at(frame, IP + 4).into(),
            _ => self.random.next_u32(),
        };
        let mut pieces = Vec::new();
        if let Err(reason) = split::to_fit(frame, limit, id, |piece| pieces.push(piece)) {
            // Headers that no fragment has room for.
            self.count_drop(to, reason);
        }
        for piece in pieces {
            self.transmit(to, piece);
        }
        false
    }
}

/// Whether a packet can be sent out of a link with this MTU, whole, in segments or in fragments (RFC 4787 REQ-13). `whole` is as in
/// [`Engine`].
pub(super) fn check_fits(packet: &Packet, whole: Option<u16>, mtu: u16) -> Result<(), Refusal> {
    // What came in fragments may leave in fragments of the same size.
    let size = whole.map_or_else(|| packet.largest_on_wire(), usize::from);
    if size > mtu.into() && packet.dont_fragment {
        return Err(Refusal { reason: Reason::PacketTooBig, mtu });
    }
    Ok(())
}
