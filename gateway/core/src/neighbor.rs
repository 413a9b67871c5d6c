//! Neighbors on an uplink: IP address to MAC address, by ARP (RFC 826) or Neighbor Discovery (RFC 4861), with bounded patience.
//!
//! ```text
//!            asked            answered             used, but old
//! (unknown) ──────► Incomplete ──────► Reachable ─────────────────► asked again, still used
//!                       │ no answer         │ not used, or no answer
//!                       ▼                   ▼
//!                    Failed ──────────► (unknown)
//! ```
//!
//! Packets for an incomplete neighbor are kept as they came in, and go through the engine again when it is resolved.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use slab::Slab;

use crate::limits::{
    ARP_ATTEMPTS, ARP_RETRY, HELD_BYTES_PER_ATTACHMENT, HELD_BYTES_PER_UPLINK, HELD_PACKETS_PER_NEIGHBOR,
    NEIGHBOR_FAILED, NEIGHBOR_FRESH, NEIGHBORS_PER_ATTACHMENT, NEIGHBORS_PER_UPLINK,
    UNRESOLVED_PER_ATTACHMENT,
};
use crate::{AttachmentId, Instant, MacAddr, Reason};

/// The neighbors of one uplink.
pub(crate) struct Neighbors {
    entries: Slab<Neighbor>,
    places: HashMap<IpAddr, usize, ahash::RandomState>,
    /// One entry per neighbor: when it wants attention.
    timers: BTreeSet<(Instant, IpAddr)>,
    /// Of all attachments, and of each that has caused any.
    total: Burden,
    by_attachment: HashMap<AttachmentId, Burden, ahash::RandomState>,
}

/// What unresolved neighbors cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Burden {
    /// Entries.
    neighbors: usize,
    /// Of these, those that are not reachable.
    unresolved: usize,
    held_bytes: usize,
}

struct Neighbor {
    state: State,
    due: Instant,
    /// Who wanted to know it first.
    asked_by: AttachmentId,
}

enum State {
    Incomplete { asked: u8, held: VecDeque<Held> },
    Reachable { mac: MacAddr, used: bool, asked: u8 },
    Failed,
}

/// A packet that waits, untranslated.
pub(crate) struct Held {
    pub(crate) attachment: AttachmentId,
    pub(crate) frame: Box<[u8]>,
    /// It came in fragments: bytes of the largest one.
    pub(crate) whole: Option<u16>,
}

/// What is known of a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Resolved {
        mac: MacAddr,
        /// Good until another one is forgotten.
        place: u16,
    },
    /// Being asked for: packets can be held.
    Pending,
    /// Not known; ask with [`Neighbors::begin`].
    Unknown,
    /// Did not answer a moment ago.
    Failed,
}

/// What a timer asks for.
pub(crate) enum Due {
    /// Ask on the link.
    Ask(IpAddr),
    /// Nobody answered; these packets end here.
    GaveUp(VecDeque<Held>),
    /// Forgotten.
    Forgotten,
}

impl Neighbors {
    pub(crate) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            entries: Slab::new(),
            places: HashMap::with_hasher(hasher.clone()),
            timers: BTreeSet::new(),
            total: Burden::default(),
            by_attachment: HashMap::with_hasher(hasher.clone()),
        }
    }

    /// What is known of a neighbor. That it is used is noted by [`Self::resolve_at`].
    pub(crate) fn peek(&self, address: IpAddr) -> Lookup {
        let Some(&place) = self.places.get(&address) else { return Lookup::Unknown };
        match self.entries[place].state {
            State::Reachable { mac, .. } => Lookup::Resolved { mac, place: place as u16 },
            State::Incomplete { .. } => Lookup::Pending,
            State::Failed => Lookup::Failed,
        }
    }

    /// The place of a neighbor, good until another one is forgotten.
    pub(crate) fn place(&self, address: IpAddr) -> Option<u16> {
        self.places.get(&address).map(|&place| place as u16)
    }

    /// The MAC address of the neighbor at a place, to be used; `None` if it is not reachable.
    #[inline(always)]
    pub(crate) fn resolve_at(&mut self, place: u16) -> Option<MacAddr> {
        match self.entries.get_mut(place.into()).map(|neighbor| &mut neighbor.state) {
            Some(State::Reachable { mac, used, .. }) => {
                if !*used {
                    *used = true;
                }
                Some(*mac)
            }
            _ => None,
        }
    }

    fn get(&self, address: IpAddr) -> Option<&Neighbor> {
        self.places.get(&address).map(|&place| &self.entries[place])
    }

    fn get_mut(&mut self, address: IpAddr) -> Option<&mut Neighbor> {
        self.places.get(&address).map(|&place| &mut self.entries[place])
    }

    /// Whether the attachment may ask for one more unknown neighbor. The unresolved ones get half of the table at most,
    /// so that asking does not keep others from being remembered.
    pub(crate) fn check_unresolved(&self, attachment: AttachmentId) -> Result<(), Reason> {
        let full = self.entries.len() >= NEIGHBORS_PER_UPLINK
            || self.total.unresolved >= NEIGHBORS_PER_UPLINK / 2
            || self.burden(attachment).unresolved >= UNRESOLVED_PER_ATTACHMENT
            || self.burden(attachment).neighbors >= NEIGHBORS_PER_ATTACHMENT;
        if full { Err(Reason::NextHopQueueFull) } else { Ok(()) }
    }

    /// Whether a packet of `bytes` can be kept for a pending neighbor.
    pub(crate) fn check_held(&self, address: IpAddr, by: AttachmentId, bytes: usize) -> Result<(), Reason> {
        let Some(Neighbor { state: State::Incomplete { held, .. }, .. }) = self.get(address) else {
            return Err(Reason::NextHopUnreachable);
        };
        if held.len() >= HELD_PACKETS_PER_NEIGHBOR {
            return Err(Reason::NextHopQueueFull);
        }
        self.check_bytes(by, bytes)
    }

    /// Whether a packet of `bytes` can be kept for a neighbor for whom none is kept yet.
    pub(crate) fn check_bytes(&self, by: AttachmentId, bytes: usize) -> Result<(), Reason> {
        let full = self.total.held_bytes + bytes > HELD_BYTES_PER_UPLINK
            || self.burden(by).held_bytes + bytes > HELD_BYTES_PER_ATTACHMENT;
        if full { Err(Reason::NextHopQueueFull) } else { Ok(()) }
    }

    /// Begins to ask for an unknown neighbor; the caller asks on the link.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        address: IpAddr,
        asked_by: AttachmentId,
    ) -> Result<(), Reason> {
        self.check_unresolved(asked_by)?;
        let state = State::Incomplete { asked: 1, held: VecDeque::new() };
        let due = now + ARP_RETRY;
        self.places.insert(address, self.entries.insert(Neighbor { state, due, asked_by }));
        self.timers.insert((due, address));
        self.bear(asked_by, |burden| {
            burden.neighbors += 1;
            burden.unresolved += 1;
        });
        Ok(())
    }

    /// Keeps a copy of a packet for a pending neighbor.
    pub(crate) fn hold(
        &mut self,
        address: IpAddr,
        attachment: AttachmentId,
        frame: &[u8],
        whole: Option<u16>,
    ) -> Result<(), Reason> {
        self.check_held(address, attachment, frame.len())?;
        if let Some(Neighbor { state: State::Incomplete { held, .. }, .. }) = self.get_mut(address) {
            held.push_back(Held { attachment, frame: frame.into(), whole });
            self.bear(attachment, |burden| burden.held_bytes += frame.len());
        }
        Ok(())
    }

    /// Everything that is held, to be ended otherwise.
    pub(crate) fn take_held(&mut self) -> Vec<Held> {
        let held = self.entries.iter_mut().flat_map(|(_, neighbor)| match &mut neighbor.state {
            State::Incomplete { held, .. } => std::mem::take(held),
            _ => VecDeque::new(),
        });
        let held = held.collect();
        self.release(held).into()
    }

    /// `address` says that its MAC address is `mac`. Neighbors that nobody asked for are not remembered.
    /// Returns the packets that waited for it.
    pub(crate) fn learn(&mut self, now: Instant, address: IpAddr, mac: MacAddr) -> VecDeque<Held> {
        let Some(&place) = self.places.get(&address) else { return VecDeque::new() };
        let neighbor = &mut self.entries[place];
        // Whoever was asked for is used; whoever was known has to be used again, or idle neighbors would stay for ever.
        let used = !matches!(neighbor.state, State::Reachable { .. });
        let before = std::mem::replace(&mut neighbor.state, State::Reachable { mac, used, asked: 0 });
        self.timers.remove(&(neighbor.due, address));
        neighbor.due = now + NEIGHBOR_FRESH;
        self.timers.insert((neighbor.due, address));
        let asked_by = neighbor.asked_by;
        if !matches!(before, State::Reachable { .. }) {
            self.bear(asked_by, |burden| burden.unresolved -= 1);
        }
        match before {
            State::Incomplete { held, .. } => self.release(held),
            State::Failed | State::Reachable { .. } => VecDeque::new(),
        }
    }

    /// When [`Self::next_due`] can have something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The next neighbor that wants attention at `now`.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Due> {
        let &(at, address) = self.timers.first().filter(|&&(at, _)| at <= now)?;
        self.timers.remove(&(at, address));
        let place = self.places[&address];
        let neighbor = &mut self.entries[place];
        let (due, next) = match &mut neighbor.state {
            State::Incomplete { asked, .. } if *asked < ARP_ATTEMPTS => {
                *asked += 1;
                (Due::Ask(address), Some(ARP_RETRY))
            }
            State::Incomplete { held, .. } => {
                let held = std::mem::take(held);
                neighbor.state = State::Failed;
                (Due::GaveUp(held), Some(NEIGHBOR_FAILED))
            }
            State::Reachable { used, asked, .. } if *used && *asked < ARP_ATTEMPTS => {
                *asked += 1;
                (Due::Ask(address), Some(ARP_RETRY))
            }
            State::Reachable { .. } | State::Failed => (Due::Forgotten, None),
        };
        if let Some(after) = next {
            neighbor.due = now + after;
            self.timers.insert((neighbor.due, address));
        } else {
            self.places.remove(&address);
            let Neighbor { state, asked_by, .. } = self.entries.remove(place);
            let failed = matches!(state, State::Failed);
            self.bear(asked_by, |burden| {
                burden.neighbors -= 1;
                burden.unresolved -= usize::from(failed);
            });
        }
        Some(match due {
            Due::GaveUp(held) => Due::GaveUp(self.release(held)),
            other => other,
        })
    }

    fn release(&mut self, held: VecDeque<Held>) -> VecDeque<Held> {
        for Held { attachment, frame, .. } in &held {
            self.bear(*attachment, |burden| burden.held_bytes -= frame.len());
        }
        held
    }

    fn burden(&self, attachment: AttachmentId) -> Burden {
        self.by_attachment.get(&attachment).copied().unwrap_or_default()
    }

    /// Changes what the attachment and all together cause.
    fn bear(&mut self, attachment: AttachmentId, change: impl Fn(&mut Burden)) {
        change(&mut self.total);
        let burden = self.by_attachment.entry(attachment).or_default();
        change(burden);
        if *burden == Burden::default() {
            self.by_attachment.remove(&attachment);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::net::Ipv4Addr;

    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const C: AttachmentId = AttachmentId(1);

    fn neighbors() -> Neighbors {
        Neighbors::new(&ahash::RandomState::with_seeds(1, 2, 3, 4))
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_neighbor_is_asked_three_times_then_fails_then_is_forgotten() {
        let mut n = neighbors();
        assert_eq!(n.peek(A), Lookup::Unknown);
        n.begin(at(0), A, C).unwrap();
        n.hold(A, C, &[0; 60], None).unwrap();
        assert!(n.next_due(at(0)).is_none());
        for second in 1..=2 {
            assert!(matches!(n.next_due(at(second)), Some(Due::Ask(A))));
            assert!(n.next_due(at(second)).is_none());
        }
        assert!(matches!(n.next_due(at(3)), Some(Due::GaveUp(held)) if held.len() == 1));
        assert_eq!((n.peek(A), n.total.held_bytes), (Lookup::Failed, 0));
        assert!(matches!(n.next_due(at(6)), Some(Due::Forgotten)));
        assert_eq!((n.peek(A), n.by_attachment.len(), n.timers.len()), (Lookup::Unknown, 0, 0));
    }

    #[test]
    fn an_answer_releases_what_was_held_and_a_used_neighbor_is_asked_again() {
        let mut n = neighbors();
        n.begin(at(0), A, C).unwrap();
        for _ in 0..HELD_PACKETS_PER_NEIGHBOR {
            n.hold(A, C, &[0; 60], None).unwrap();
        }
        assert_eq!(n.hold(A, C, &[0; 60], None), Err(Reason::NextHopQueueFull));
        assert_eq!(n.learn(at(1), A, MAC).len(), HELD_PACKETS_PER_NEIGHBOR);
        let Lookup::Resolved { mac: MAC, place } = n.peek(A) else { panic!("{:?}", n.peek(A)) };
        assert_eq!(n.resolve_at(place), Some(MAC));
        assert!(matches!(n.next_due(at(61)), Some(Due::Ask(A))));
        assert_eq!(n.resolve_at(place), Some(MAC));
        n.learn(at(62), A, MAC);
        assert!(n.next_due(at(121)).is_none());
    }

    #[test]
    fn unused_neighbors_are_forgotten_and_strangers_not_remembered() {
        let mut n = neighbors();
        assert!(n.learn(at(0), A, MAC).is_empty());
        assert_eq!(n.peek(A), Lookup::Unknown);
        n.begin(at(0), A, C).unwrap();
        n.learn(at(0), A, MAC);
        assert!(matches!(n.next_due(at(60)), Some(Due::Ask(A))), "it was waited for, so it counts as used");
        for second in 61..=62 {
            assert!(matches!(n.next_due(at(second)), Some(Due::Ask(A))));
        }
        assert!(matches!(n.next_due(at(63)), Some(Due::Forgotten)));
        assert_eq!(n.peek(A), Lookup::Unknown);
    }

    #[test]
    fn asking_for_everybody_uses_up_ones_own_share_and_together_half_the_table() {
        let mut n = neighbors();
        let mut ask = |container: u32, host: u32| {
            n.begin(at(0), IpAddr::from(Ipv4Addr::from(host)), AttachmentId(container))
        };
        let granted = (0..1000).filter(|&host| ask(0, host).is_ok()).count();
        assert_eq!(granted, UNRESOLVED_PER_ATTACHMENT);
        assert_eq!(ask(1, 5000), Ok(()), "another container is not affected");
        let granted = (2..1000).flat_map(|c| (0..64).map(move |h| (c, 10_000 + c * 64 + h)));
        let granted = granted.filter(|&(container, host)| ask(container, host).is_ok()).count();
        assert_eq!(granted, NEIGHBORS_PER_UPLINK / 2 - UNRESOLVED_PER_ATTACHMENT - 1);
    }

    #[test]
    fn neighbors_that_answer_use_up_ones_own_share_only() {
        let mut n = neighbors();
        let host = |host: u32| IpAddr::from(Ipv4Addr::from(host));
        let granted = (0..NEIGHBORS_PER_UPLINK as u32).filter(|&h| {
            let begun = n.begin(at(0), host(h), C).is_ok();
            n.learn(at(0), host(h), MAC);
            begun
        });
        assert_eq!(granted.count(), NEIGHBORS_PER_ATTACHMENT);
        assert_eq!(n.begin(at(0), host(1 << 20), AttachmentId(2)), Ok(()));
    }

    #[test]
    fn held_bytes_are_bounded_for_each_container_and_given_back() {
        let mut n = neighbors();
        let other = AttachmentId(2);
        for host in 0..8 {
            n.begin(at(0), IpAddr::from(Ipv4Addr::from(host)), C).unwrap();
        }
        let large = vec![0; 65_536];
        let held = (0..8)
            .filter(|&host| n.hold(IpAddr::from(Ipv4Addr::from(host)), C, &large, None).is_ok())
            .count();
        assert_eq!(held, HELD_BYTES_PER_ATTACHMENT / 65_536);
        assert_eq!(
            n.hold(IpAddr::from(Ipv4Addr::from(0)), other, &[0; 60], None),
            Ok(()),
            "another container is not affected"
        );
        assert_eq!(n.take_held().len(), held + 1);
        assert_eq!(n.total.held_bytes, 0);
    }
}
