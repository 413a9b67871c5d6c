//! Reassembly: fragments go in, whole datagrams come out, within bounds (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! ```text
//!            first to come            last missing one
//! (unknown) ───────────────► Waiting ──────────────────► whole datagram
//!                               │  overlap
//!                               ├──────────► GivenUp: takes nothing more
//!                               │ time over,    │ time over,
//!                               │ or evicted    │ or evicted
//!                               ▼               ▼
//!                            Expired         Expired
//! ```
//!
//! Fragments are hostile input that costs memory until the rest has come. So each link has a bound, each remote
//! address of an uplink has one, and each datagram. Where a bound is reached, the oldest datagram of the same link or
//! address gives way: fragments that come in order are complete before it is their turn (RFC 4787 REQ-14a). What is
//! kept is a copy of a fragment's payload.

mod burden;
mod datagram;
mod piece;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use self::burden::{Burden, Burdens, Scope};
pub(crate) use self::datagram::Whole;
use self::datagram::{Datagram, Place};
use self::piece::{DatagramId, Fragment};
use crate::limits::REASSEMBLY_TIME;
use crate::{Instant, Link, Reason};

/// What a datagram in reassembly costs without its fragments: its entries in tables that are half full at worst. Bytes.
const DATAGRAM: usize = 2 * size_of::<(Key, Datagram)>()
    + 2 * size_of::<(Instant, Key)>()
    + 4 * size_of::<(Scope, BTreeSet<(Instant, Key)>)>()
    + 4 * size_of::<(Instant, Key)>()
    + 2 * size_of::<((Link, IpAddr), Burden)>()
    + 2 * size_of::<(Link, Burden)>()
    + datagram::FIRST_PIECES;

/// The datagrams of one engine that wait for more fragments.
pub(crate) struct Reassembly {
    datagrams: HashMap<Key, Datagram, ahash::RandomState>,
    /// One entry per datagram: when its time is over.
    timers: BTreeSet<(Instant, Key)>,
    /// Of each link and remote address, the oldest first.
    order: HashMap<Scope, BTreeSet<(Instant, Key)>, ahash::RandomState>,
    /// Those that gave way to others and have not been told of.
    evicted: VecDeque<Expired>,
    burdens: Burdens,
}

/// A datagram belongs to the link that it comes from, as everything does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    link: Link,
    datagram: DatagramId,
}

/// A datagram that never became whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Where its fragments came from.
    pub(crate) from: Link,
    /// How many of them [`Reassembly::insert`] had taken in.
    pub(crate) fragments: u32,
    /// [`Reason::FragmentTimeout`], or why it was given up before.
    pub(crate) reason: Reason,
    /// The frame of its first fragment, if that came in and the datagram was not given up: what an ICMP time
    /// exceeded, code 1, is about (RFC 792, RFC 4443 §3.3). The vnet header is all zero.
    pub(crate) first: Option<Vec<u8>>,
}

impl Reassembly {
    pub(crate) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            datagrams: HashMap::with_hasher(hasher.clone()),
            timers: BTreeSet::new(),
            order: HashMap::with_hasher(hasher.clone()),
            evicted: VecDeque::new(),
            burdens: Burdens::new(hasher),
        }
    }

    /// Takes a fragment in. `Ok(None)`: kept, or an exact duplicate. `Ok(Some(whole))`: that was the last missing
    /// one, or the only one.
    ///
    /// After [`Reason::FragmentOverlap`] (RFC 5722), and after [`Reason::FragmentInvalid`] for a datagram that is
    /// complete but cannot be, nothing of the datagram is taken in until its time is over. Other errors leave it
    /// as it was.
    pub(crate) fn insert(&mut self, now: Instant, from: Link, frame: &[u8]) -> Result<Option<Whole>, Reason> {
        let fragment = Fragment::parse(frame)?;
        // RFC 6946 §4: in isolation from any other fragments, even with the same id.
        if fragment.is_whole() {
            return Whole::of(&fragment).map(Some);
        }
        let key = Key { link: from, datagram: fragment.datagram };
        let index = match self.datagrams.get_mut(&key).map(|datagram| (datagram.place(&fragment), datagram)) {
            None => self.begin(now, key, Datagram::cost(&fragment))?,
            Some((Ok(Place::At(index)), _)) => {
                self.take(key, Burden { datagrams: 0, bytes: Datagram::cost(&fragment) })?;
                index
            }
            Some((Ok(Place::Duplicate), datagram)) => {
                datagram.fragments += 1;
                return Ok(None);
            }
            Some((Err(Reason::FragmentOverlap), _)) => return Err(self.give_up(key, Reason::FragmentOverlap)),
            Some((Err(reason), _)) => return Err(reason),
        };
        let Some(datagram) = self.datagrams.get_mut(&key) else { return Ok(None) };
        datagram.keep(index, &fragment);
        if !datagram.is_complete() {
            datagram.fragments += 1;
            return Ok(None);
        }
        match datagram.assemble() {
            Ok(whole) => {
                self.remove(key);
                Ok(Some(whole))
            }
            Err(reason) => Err(self.give_up(key, reason)),
        }
    }

    /// What [`Self::insert`] would say.
    pub(crate) fn foresee(&self, from: Link, frame: &[u8]) -> Result<Option<Whole>, Reason> {
        let fragment = Fragment::parse(frame)?;
        if fragment.is_whole() {
            return Whole::of(&fragment).map(Some);
        }
        let (key, bytes) = (Key { link: from, datagram: fragment.datagram }, Datagram::cost(&fragment));
        let Some(datagram) = self.datagrams.get(&key) else {
            return self.check_room(key, Burden { datagrams: 1, bytes: DATAGRAM + bytes }).map(|()| None);
        };
        let Place::At(index) = datagram.place(&fragment)? else { return Ok(None) };
        self.check_room(key, Burden { datagrams: 0, bytes })?;
        let mut datagram = datagram.clone();
        datagram.keep(index, &fragment);
        datagram.is_complete().then(|| datagram.assemble()).transpose()
    }

    /// When [`Self::next_expired`] can have something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The next datagram that gave way to another one, or whose time is over at `now`. Ask after every [`Self::insert`].
    pub(crate) fn next_expired(&mut self, now: Instant) -> Option<Expired> {
        if let Some(evicted) = self.evicted.pop_front() {
            return Some(evicted);
        }
        let &(_, key) = self.timers.first().filter(|&&(at, _)| at <= now)?;
        let datagram = self.remove(key)?;
        let fragments = datagram.fragments;
        let (reason, first) = datagram.expire();
        Some(Expired { from: key.link, fragments, reason, first })
    }

    /// Forgets everything that came from `link`.
    pub(crate) fn remove_link(&mut self, link: Link) {
        let gone: Vec<_> = self.datagrams.keys().filter(|key| key.link == link).copied().collect();
        for key in gone {
            self.remove(key);
        }
    }

    /// Memory that waiting fragments take, bookkeeping included.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.burdens.total().bytes
    }

    /// Datagrams that wait for more fragments or for their time to be over.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Begins a datagram whose first fragment to come costs `bytes`; returns that one's place.
    fn begin(&mut self, now: Instant, key: Key, bytes: usize) -> Result<usize, Reason> {
        self.take(key, Burden { datagrams: 1, bytes: DATAGRAM + bytes })?;
        let due = now + REASSEMBLY_TIME;
        self.datagrams.insert(key, Datagram::new(due, DATAGRAM));
        self.timers.insert((due, key));
        for scope in key.scopes() {
            self.order.entry(scope).or_default().insert((due, key));
        }
        Ok(0)
    }

    /// Keeps of a datagram only that it is lost. Returns the reason.
    fn give_up(&mut self, key: Key, reason: Reason) -> Reason {
        if let Some(datagram) = self.datagrams.get_mut(&key) {
            let bytes = datagram.give_up(reason);
            self.burdens.give_back(key.link, key.datagram.source, Burden { datagrams: 0, bytes });
        }
        reason
    }

    fn remove(&mut self, key: Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&key)?;
        self.timers.remove(&(datagram.due, key));
        for scope in key.scopes() {
            if let Entry::Occupied(mut order) = self.order.entry(scope) {
                order.get_mut().remove(&(datagram.due, key));
                if order.get().is_empty() {
                    order.remove();
                }
            }
        }
        let burden = Burden { datagrams: 1, bytes: datagram.bytes };
        self.burdens.give_back(key.link, key.datagram.source, burden);
        Some(datagram)
    }

    /// Makes room for more of a datagram, at the cost of older ones of the same link or address.
    fn take(&mut self, key: Key, more: Burden) -> Result<(), Reason> {
        while let Err(full) = self.burdens.take(key.link, key.datagram.source, more) {
            let oldest = self.oldest(full).filter(|&oldest| oldest != key).ok_or(Reason::FragmentsFull)?;
            let fragments = self.remove(oldest).map_or(0, |datagram| datagram.fragments);
            let reason = Reason::FragmentsFull;
            self.evicted.push_back(Expired { from: oldest.link, fragments, reason, first: None });
        }
        Ok(())
    }

    /// What [`Self::take`] would say.
    fn check_room(&self, key: Key, more: Burden) -> Result<(), Reason> {
        let mut shares = self.burdens.shares(key.link, key.datagram.source);
        let mut gone = BTreeSet::new();
        while let Err(full) = shares.check(more) {
            let mut order = self.order.get(&full).into_iter().flatten().map(|&(_, other)| other);
            let oldest = order.find(|other| !gone.contains(other)).filter(|&oldest| oldest != key);
            let oldest = oldest.ok_or(Reason::FragmentsFull)?;
            let bytes = self.datagrams.get(&oldest).map_or(0, |datagram| datagram.bytes);
            shares = shares.without(oldest.datagram.source, Burden { datagrams: 1, bytes });
            gone.insert(oldest);
        }
        Ok(())
    }

    fn oldest(&self, scope: Scope) -> Option<Key> {
        self.order.get(&scope)?.first().map(|&(_, key)| key)
    }
}

impl Key {
    fn scopes(self) -> [Scope; 2] {
        [Scope::Link(self.link), Scope::Remote(self.link, self.datagram.source)]
    }
}
