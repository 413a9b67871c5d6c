//! The session table: entries of a cache line in one arena, an index of both sides' keys, a wheel of their ends.
//!
//! A hit reads a line of the index and the line of the entry, and writes the entry's end. TCP and IPv6 have a second part: what
//! both ends of a connection have said, and the remote address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::key::{self, Flag, Key, Word};
use super::tcp::{self, Direction, Segment, Track};
use super::wheel::{Due, Hook, Timed, Wheel};
use crate::checksum::{Delta, Folded};
use crate::chunked::{Arena, NIL};
use crate::index::Index;
use crate::limits::{CONTACTS_WALKED, ICMP_QUERY_IDLE, NEIGHBORS_PER_UPLINK, SESSIONS, UDP_IDLE};
use crate::wire::tcp_flag::RST;
use crate::{Instant, Protocol, SessionState};

/// All sessions of one engine.
pub(crate) struct Table {
    entries: Arena<Entry>,
    extras: Arena<Extra>,
    index: Index,
    wheel: Wheel,
    /// Sessions of a mapping with one remote address, where the mapping has too many to look at each.
    contacts: BTreeMap<(u32, IpAddr), u32>,
    hasher: ahash::RandomState,
}

/// One session, in one cache line.
#[repr(align(64))]
pub(crate) struct Entry {
    expires: Instant,
    word: Word,
    /// The remote's IPv4 address; that of IPv6 is in the second part.
    remote: u32,
    /// Place of the uplink, and the port that the VPC sees.
    outer: u32,
    hook: Hook,
    /// The mapping's sessions before and behind this one.
    siblings: [u32; 2],
    mapping: u32,
    /// Place of the second part, or [`NIL`].
    extra: u32,
    /// When it began, in sixteenths of a second.
    created: u32,
    /// For which of the uplink's epochs `neighbor` and [`Flag::TurnsBack`] are true; 0: for none.
    epoch: u32,
    /// From the container's endpoint to the one that the VPC sees: addresses and ports, and addresses alone.
    deltas: [Folded; 2],
    neighbor: u16,
    /// The connector's place in its container.
    connector: u8,
    state: SessionState,
}

const _: () = assert!(Arena::<Entry>::PLACE == 64);

/// What does not fit into the line.
struct Extra {
    remote: [u64; 2],
    track: Track,
}

/// The sessions of a mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Siblings {
    first: u32,
    len: u32,
    /// Whether their contacts are counted.
    counted: bool,
}

/// What a new session is made from.
pub(crate) struct NewEntry {
    pub(crate) inside: Key,
    pub(crate) outside: Key,
    /// The container's endpoint, and the one that the VPC sees.
    pub(crate) endpoints: (SocketAddr, SocketAddr),
    pub(crate) connector: u8,
    pub(crate) mapping: usize,
    pub(crate) refreshed_by_both: bool,
}

/// Where a session's packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// To the neighbor at this place.
    Neighbor(u16),
    /// To a neighbor that is not known.
    Unresolved,
    /// Back inside.
    Back,
}

impl Entry {
    pub(crate) const fn attachment(&self) -> usize {
        self.word.attachment() as usize
    }

    pub(crate) const fn uplink(&self) -> usize {
        (self.outer >> 16) as usize
    }

    pub(crate) const fn connector(&self) -> u8 {
        self.connector
    }

    pub(crate) const fn mapping(&self) -> usize {
        self.mapping as usize
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.word.protocol()
    }

    /// The container's port, and the one that the VPC sees.
    pub(crate) const fn ports(&self) -> (u16, u16) {
        (self.word.near_port(), self.outer as u16)
    }

    /// Place of the address that the VPC sees.
    pub(crate) const fn external(&self) -> u8 {
        self.word.external()
    }

    pub(crate) const fn is_translated(&self) -> bool {
        self.word.has(Flag::Translated)
    }

    /// Whether the remote sent its first packet.
    pub(crate) const fn is_opened_by_remote(&self) -> bool {
        self.word.has(Flag::OpenedByRemote)
    }

    pub(crate) const fn state(&self) -> SessionState {
        self.state
    }

    /// Whether it has nothing more to carry, and can give up its port.
    pub(crate) const fn is_finished(&self) -> bool {
        is_finished(self.state)
    }

    pub(crate) const fn expires(&self) -> Instant {
        self.expires
    }

    pub(crate) const fn created(&self) -> Instant {
        Instant::from_nanos(self.created as u64 * SIXTEENTH)
    }

    /// Where packets leave, if that was found out in this epoch of the uplink.
    #[inline(always)]
    pub(crate) const fn exit(&self, epoch: u32) -> Option<Exit> {
        if self.epoch != epoch {
            return None;
        }
        if self.word.has(Flag::TurnsBack) {
            return Some(Exit::Back);
        }
        Some(if self.neighbor == UNRESOLVED { Exit::Unresolved } else { Exit::Neighbor(self.neighbor) })
    }

    /// A UDP packet passes.
    #[inline(always)]
    pub(crate) fn touch_udp(&mut self, now: Instant, direction: Direction) {
        // RFC 4787 REQ-6: inbound packets do not refresh, unless the connector says so (RFC 7857 §7).
        if direction == Direction::Outbound || self.word.has(Flag::RefreshedByBoth) {
            self.expires = now + UDP_IDLE;
        }
    }

    /// The change of a checksum that covers addresses and ports, and of one that covers addresses only.
    #[inline(always)]
    pub(crate) const fn deltas(&self, direction: Direction) -> [Folded; 2] {
        let [endpoint, address] = self.deltas;
        match direction {
            Direction::Outbound => [endpoint, address],
            Direction::Inbound => [endpoint.reversed(), address.reversed()],
        }
    }
}

/// Instead of a neighbor's place.
const UNRESOLVED: u16 = u16::MAX;

const _: () = assert!(NEIGHBORS_PER_UPLINK < UNRESOLVED as usize);

/// Nanoseconds.
const SIXTEENTH: u64 = 1_000_000_000 / 16;

pub(super) const fn is_finished(state: SessionState) -> bool {
    matches!(state, SessionState::Finished | SessionState::Reset)
}

impl Timed for Entry {
    fn hook(&mut self) -> &mut Hook {
        &mut self.hook
    }

    fn expires(&self) -> Instant {
        self.expires
    }
}

impl Siblings {
    pub(crate) const NONE: Self = Self { first: NIL, len: 0, counted: false };

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }
}

impl Table {
    /// An empty table. The hash is keyed, so that nobody can choose tuples that collide.
    pub(crate) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            entries: Arena::new(),
            extras: Arena::new(),
            index: Index::new(),
            wheel: Wheel::new(),
            contacts: BTreeMap::new(),
            hasher: hasher.clone(),
        }
    }

    /// The session that a container's packet belongs to.
    pub(crate) fn inside(&self, key: &Key) -> Option<usize> {
        self.find(key, key.tag(&self.hasher), Direction::Outbound)
    }

    /// The session that a packet from a VPC belongs to.
    pub(crate) fn outside(&self, key: &Key) -> Option<usize> {
        self.find(key, key.tag(&self.hasher), Direction::Inbound)
    }

    /// The session of a packet that goes in `direction`.
    #[inline(always)]
    pub(crate) fn find(&self, key: &Key, tag: u32, direction: Direction) -> Option<usize> {
        self.index.find(tag, |entry| self.is_at(entry, key, direction)).map(|entry| entry as usize)
    }

    /// Whether there is a session at this place, and it is the one of the key.
    #[inline(always)]
    pub(crate) fn is_at(&self, entry: u32, key: &Key, direction: Direction) -> bool {
        self.entries.get(entry).is_some_and(|e| {
            let same = match direction {
                Direction::Outbound => e.word.is_inside(key),
                Direction::Inbound => e.outer == key.outer() && e.word.is_outside(key),
            };
            same && if key.is_v6() {
                self.extras[e.extra].remote == key.remote
            } else {
                u64::from(e.remote) == key.remote[1]
            }
        })
    }

    #[inline(always)]
    pub(crate) fn entry_mut(&mut self, key: usize) -> &mut Entry {
        &mut self.entries[key as u32]
    }

    /// Hashes a key.
    #[inline(always)]
    pub(crate) fn tag(&self, key: &Key) -> u32 {
        key.tag(&self.hasher)
    }

    /// Where the index has what has this tag.
    #[inline(always)]
    pub(crate) fn home(&self, tag: u32) -> u32 {
        self.index.home(tag) as u32
    }

    /// See [`Index::touch`].
    #[inline(always)]
    pub(crate) fn touch_index(&self, home: u32) -> u32 {
        self.index.touch(home)
    }

    /// Where the session could be, see [`Index::guess`].
    #[inline(always)]
    pub(crate) fn guess(&self, home: u32, tag: u32) -> u32 {
        self.index.guess(home, tag)
    }

    /// Brings a session into the cache; what is returned means nothing.
    #[inline(always)]
    pub(crate) fn touch_entry(&self, entry: u32) -> u32 {
        self.entries.get(entry).map_or(0, |e| e.mapping)
    }

    /// The session with this key, which must be live.
    #[inline(always)]
    pub(crate) fn entry(&self, key: usize) -> &Entry {
        &self.entries[key as u32]
    }

    /// The session at this place of the arena, if there is one.
    pub(crate) fn at(&self, place: usize) -> Option<&Entry> {
        self.entries.get(u32::try_from(place).ok()?)
    }

    /// Places of the arena: every key is below.
    pub(crate) const fn places(&self) -> usize {
        self.entries.places()
    }

    /// The remote of a session.
    pub(crate) fn remote(&self, entry: &Entry) -> SocketAddr {
        let bits = if entry.word.is_v6() { self.remote_bits(entry) } else { entry.remote.into() };
        SocketAddr::new(key::address(entry.word.is_v6(), bits), entry.word.remote_port())
    }

    /// What both ends of a session have said.
    pub(crate) fn track(&self, entry: &Entry) -> Track {
        self.extras.get(entry.extra).map_or_else(Track::default, |extra| extra.track)
    }

    /// Whether one more session fits.
    pub(crate) const fn has_room(&self) -> bool {
        self.entries.len() < SESSIONS
    }

    /// Live sessions.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Remembers where a session's packets leave in this epoch of its uplink.
    pub(crate) fn set_exit(&mut self, key: usize, epoch: u32, exit: Exit) {
        let entry = &mut self.entries[key as u32];
        entry.epoch = epoch;
        entry.word.set(Flag::TurnsBack, exit == Exit::Back);
        entry.neighbor = if let Exit::Neighbor(place) = exit { place } else { UNRESOLVED };
    }

    /// Makes a session find out anew where its packets leave.
    pub(crate) fn forget_exit(&mut self, key: usize) {
        self.set_exit(key, 0, Exit::Unresolved);
    }

    /// Adds a session whose first packet goes in `direction`, at `now`. `siblings` are those of its mapping.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        direction: Direction,
        new: &NewEntry,
        siblings: &mut Siblings,
    ) -> usize {
        let &NewEntry { inside, outside, endpoints, connector, mapping, refreshed_by_both } = new;
        let (inside_tag, outside_tag) = (self.tag(&inside), self.tag(&outside));
        debug_assert_eq!(
            self.find(&inside, inside_tag, Direction::Outbound),
            None,
            "a live session has these endpoints"
        );
        debug_assert_eq!(
            self.find(&outside, outside_tag, Direction::Inbound),
            None,
            "a live session has these endpoints"
        );
        let mut word = Word::of(&inside, &outside);
        let (internal, external) = endpoints;
        word.set(Flag::Translated, internal != external);
        word.set(Flag::RefreshedByBoth, refreshed_by_both);
        word.set(Flag::OpenedByRemote, direction == Direction::Inbound);
        let protocol = word.protocol();
        let state = if protocol == Protocol::Tcp { tcp::opening(direction) } else { SessionState::Active };
        let needs_extra = protocol == Protocol::Tcp || inside.is_v6();
        let extra = if needs_extra { self.extras.insert(Extra::new(inside.remote)) } else { NIL };
        let addresses = Delta::address(internal.ip(), external.ip());
        let entry = Entry {
            expires: now + idle_limit(protocol, state, false),
            word,
            remote: inside.remote[1] as u32,
            outer: outside.outer(),
            hook: Hook::LOOSE,
            siblings: [NIL, siblings.first],
            mapping: mapping as u32,
            extra,
            created: (now.as_nanos() / SIXTEENTH) as u32,
            epoch: 0,
            deltas: [
                addresses.and(Delta::word(internal.port(), external.port())).folded(),
                addresses.folded(),
            ],
            neighbor: UNRESOLVED,
            connector,
            state,
        };
        let key = self.entries.insert(entry);
        self.wheel.link(&mut self.entries, key);
        self.index.insert(inside_tag, key);
        self.index.insert(outside_tag, key);
        self.join(key, siblings);
        key as usize
    }

    /// Ends a session. `siblings` are those of its mapping.
    pub(crate) fn remove(&mut self, key: usize, siblings: &mut Siblings) {
        let key = key as u32;
        self.leave(key, siblings);
        self.wheel.unlink(&mut self.entries, key);
        let (inside, outside) = self.keys(&self.entries[key]);
        self.index.remove(self.tag(&inside), key);
        self.index.remove(self.tag(&outside), key);
        let entry = self.entries.remove(key);
        if entry.extra != NIL {
            self.extras.remove(entry.extra);
        }
    }

    /// A packet of the session passes: moves the state and, where it keeps the session alive, the time of its end. `segment` is that
    /// of TCP. Returns whether the session is finished, if that has changed.
    #[inline(always)]
    pub(crate) fn touch(
        &mut self,
        key: usize,
        now: Instant,
        direction: Direction,
        segment: Option<&Segment>,
    ) -> Option<bool> {
        if let Some(segment) = segment {
            return self.touch_tcp(key as u32, now, direction, segment);
        }
        let entry = &mut self.entries[key as u32];
        match entry.protocol() {
            Protocol::Udp => entry.touch_udp(now, direction),
            _ if direction == Direction::Outbound => entry.expires = now + ICMP_QUERY_IDLE,
            _ => {}
        }
        None
    }

    fn touch_tcp(&mut self, key: u32, now: Instant, direction: Direction, segment: &Segment) -> Option<bool> {
        let entry = &mut self.entries[key];
        let track = &mut self.extras[entry.extra].track;
        let before = entry.state;
        entry.state = track.advance(before, direction, segment);
        let refreshes = match entry.state {
            // RFC 7857 §2.1: the time counts from the second FIN.
            SessionState::Finished => false,
            // RFC 7857 §2.2: a RST does not refresh. Transitory states end their time after they begin.
            SessionState::Established | SessionState::FinOutbound | SessionState::FinInbound
                if track.is_open() =>
            {
                segment.flags & RST == 0
            }
            state => state != before,
        };
        let finished = is_finished(entry.state);
        if refreshes {
            let expires = now + tcp::idle_limit(entry.state, track.is_open());
            if expires < entry.expires {
                // The end came nearer (a FIN or RST): the wheel must know now.
                self.wheel.unlink(&mut self.entries, key);
                self.entries[key].expires = expires;
                self.wheel.link(&mut self.entries, key);
            } else {
                entry.expires = expires;
            }
        }
        (finished != is_finished(before)).then_some(finished)
    }

    /// When [`Self::next_due`] has something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout()
    }

    /// The next session that is due at `now`, or could be.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Due> {
        self.wheel.next_due(&mut self.entries, now)
    }

    /// Keys of the sessions of a mapping.
    pub(crate) fn of_mapping(&self, siblings: Siblings) -> impl Iterator<Item = usize> {
        let behind = |&key: &u32| {
            let [_, next] = self.entries[key].siblings;
            (next != NIL).then_some(next)
        };
        let first = (siblings.first != NIL).then_some(siblings.first);
        std::iter::successors(first, behind).map(|key| key as usize)
    }

    /// Whether a mapping has a session with this remote address.
    pub(crate) fn has_contacted(&self, mapping: usize, siblings: Siblings, remote: IpAddr) -> bool {
        if siblings.counted {
            return self.contacts.contains_key(&(mapping as u32, remote));
        }
        self.of_mapping(siblings).any(|key| self.remote(self.entry(key)).ip() == remote)
    }

    /// Puts a session in front of its siblings.
    fn join(&mut self, key: u32, siblings: &mut Siblings) {
        if siblings.first != NIL {
            self.entries[siblings.first].siblings[0] = key;
        }
        siblings.first = key;
        siblings.len += 1;
        if siblings.counted {
            self.count_contact(key, 1);
        } else if siblings.len() > CONTACTS_WALKED {
            siblings.counted = true;
            let keys: Vec<_> = self.of_mapping(*siblings).collect();
            for key in keys {
                self.count_contact(key as u32, 1);
            }
        }
    }

    fn leave(&mut self, key: u32, siblings: &mut Siblings) {
        let [before, behind] = self.entries[key].siblings;
        if siblings.counted {
            self.count_contact(key, -1);
        }
        match before {
            NIL => siblings.first = behind,
            _ => self.entries[before].siblings[1] = behind,
        }
        if behind != NIL {
            self.entries[behind].siblings[0] = before;
        }
        siblings.len -= 1;
        // Well below the number at which counting begins, so that it does not begin and end all the time.
        if siblings.counted && siblings.len() <= CONTACTS_WALKED / 2 {
            siblings.counted = false;
            let keys: Vec<_> = self.of_mapping(*siblings).collect();
            for key in keys {
                self.count_contact(key as u32, -1);
            }
        }
    }

    fn count_contact(&mut self, key: u32, change: i32) {
        let entry = &self.entries[key];
        let contact = (entry.mapping, self.remote(entry).ip());
        let count = self.contacts.entry(contact).or_default();
        *count = count.wrapping_add_signed(change);
        if *count == 0 {
            self.contacts.remove(&contact);
        }
    }

    /// The keys that a session is found by.
    fn keys(&self, entry: &Entry) -> (Key, Key) {
        let remote = self.remote(entry);
        let (internal, external) = entry.ports();
        let (attachment, protocol) = (entry.attachment(), entry.protocol());
        // A key has no near address.
        let near = |port| SocketAddr::new(remote.ip(), port);
        let inside = crate::packet::Tuple { protocol, source: near(internal), destination: remote };
        let outside = crate::packet::Tuple { protocol, source: remote, destination: near(external) };
        (
            Key::inside(attachment, &inside),
            Key::outside(entry.uplink(), entry.external(), attachment, &outside),
        )
    }

    fn remote_bits(&self, entry: &Entry) -> u128 {
        let [high, low] = self.extras[entry.extra].remote;
        u128::from(high) << 64 | u128::from(low)
    }
}

impl Extra {
    fn new(remote: [u64; 2]) -> Self {
        Self { remote, track: Track::default() }
    }
}

/// How long a session may be silent.
fn idle_limit(protocol: Protocol, state: SessionState, is_open: bool) -> std::time::Duration {
    match protocol {
        Protocol::Tcp => tcp::idle_limit(state, is_open),
        Protocol::Udp => UDP_IDLE,
        Protocol::Icmp => ICMP_QUERY_IDLE,
    }
}
