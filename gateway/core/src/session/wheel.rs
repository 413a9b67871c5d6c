//! When sessions end: a wheel of slots, each with the list of the sessions that are due in its sixteenth of a second.
//!
//! A packet only writes a session's new end into the session. When the slot that the session is in comes up, the session moves on to the slot
//! of its end, or, if that is now, to the queue that knows the order to the nanosecond. Each step looks at one session.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Instant;
use crate::chunked::{Arena, NIL};
use crate::limits::TCP_ESTABLISHED;

/// Nanoseconds that one slot stands for.
const TICK: u64 = 1_000_000_000 / 16;

const SLOTS: usize = 1 << 17;

/// No session is due later than the wheel reaches.
const _: () =
    assert!(TCP_ESTABLISHED.as_nanos() < Duration::from_nanos(TICK * (SLOTS as u64 - 2)).as_nanos());

/// Before a session in its list: another session, or with this bit the slot.
const IS_SLOT: u32 = 1 << 31;

const _: () = assert!(SLOTS < IS_SLOT as usize);

/// A session's place on the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    next: u32,
    /// A session, a slot, or [`NIL`] for one that is in the exact queue, or nowhere.
    before: u32,
}

/// What can be put on the wheel.
pub(crate) trait Timed {
    fn hook(&mut self) -> &mut Hook;
    fn expires(&self) -> Instant;
}

/// The wheel.
pub(crate) struct Wheel {
    /// By slot: the first session's key plus one, or 0. So a wheel that is hardly used takes hardly any memory.
    heads: Box<[u32]>,
    occupied: Bits,
    /// The first tick whose slot has not been emptied.
    hand: u64,
    /// Of the ticks before, what is due, in order. An entry whose session has left the queue means nothing.
    near: BTreeSet<(Instant, u32)>,
}

/// What became of a session that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its time is over. The caller removes it before it asks again.
    Expired(u32),
    /// It moved on.
    LivesOn,
}

impl Hook {
    pub(crate) const LOOSE: Self = Self { next: NIL, before: NIL };

    const fn is_loose(self) -> bool {
        self.before == NIL
    }
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let heads = vec![0; SLOTS].into_boxed_slice();
        Self { heads, occupied: Bits::new(), hand: 0, near: BTreeSet::new() }
    }

    /// Puts a session, which is nowhere, where its end is.
    pub(crate) fn link<T: Timed>(&mut self, sessions: &mut Arena<T>, key: u32) {
        let expires = sessions[key].expires();
        let tick = expires.as_nanos() / TICK;
        if tick < self.hand {
            self.near.insert((expires, key));
            return;
        }
        // A wheel that has not been turned for long: the session moves on when this slot comes up.
        let slot = tick.min(self.hand + SLOTS as u64 - 1) as usize % SLOTS;
        let next = self.head(slot);
        self.heads[slot] = key + 1;
        if next != NIL {
            sessions[next].hook().before = key;
        }
        *sessions[key].hook() = Hook { next, before: IS_SLOT | slot as u32 };
        self.occupied.set(slot, true);
    }

    /// Takes a session off, wherever it is.
    pub(crate) fn unlink<T: Timed>(&mut self, sessions: &mut Arena<T>, key: u32) {
        let Hook { next, before } = std::mem::replace(sessions[key].hook(), Hook::LOOSE);
        if before == NIL {
            // In the queue: only who has not been refreshed is found there, the others are passed over.
            self.near.remove(&(sessions[key].expires(), key));
            return;
        }
        if next != NIL {
            sessions[next].hook().before = before;
        }
        if before & IS_SLOT == 0 {
            sessions[before].hook().next = next;
            return;
        }
        let slot = (before & !IS_SLOT) as usize;
        self.heads[slot] = next.wrapping_add(1);
        self.occupied.set(slot, next != NIL);
    }

    /// When [`Self::next_due`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let near = self.near.first().map(|&(at, _)| at);
        let slot = self.next_tick().map(|tick| Instant::from_nanos(tick * TICK));
        near.into_iter().chain(slot).min()
    }

    /// Looks at the next session that is due at `now`, or could be. `None`: there is none.
    pub(crate) fn next_due<T: Timed>(&mut self, sessions: &mut Arena<T>, now: Instant) -> Option<Due> {
        let present = now.as_nanos() / TICK;
        if let Some(tick) = self.next_tick().filter(|&tick| tick <= present) {
            self.hand = tick;
            let key = self.head(tick as usize % SLOTS);
            self.unlink(sessions, key);
            let expires = sessions[key].expires();
            if expires <= now {
                return Some(Due::Expired(key));
            }
            if expires.as_nanos() / TICK > tick {
                self.link(sessions, key);
            } else {
                self.near.insert((expires, key));
            }
            return Some(Due::LivesOn);
        }
        // All slots up to now are empty.
        self.hand = self.hand.max(present + 1);
        let &(at, key) = self.near.first().filter(|(at, _)| *at <= now)?;
        self.near.remove(&(at, key));
        // Otherwise another one has the key by now, and its place is elsewhere.
        let ends = sessions.get_mut(key).and_then(|s| s.hook().is_loose().then(|| s.expires()));
        match ends.map(|at| at <= now) {
            Some(true) => return Some(Due::Expired(key)),
            Some(false) => self.link(sessions, key),
            None => {}
        }
        Some(Due::LivesOn)
    }

    /// The first session of a slot.
    fn head(&self, slot: usize) -> u32 {
        self.heads[slot].wrapping_sub(1)
    }

    /// The first tick, from the hand on, whose slot has sessions.
    fn next_tick(&self) -> Option<u64> {
        let start = self.hand as usize % SLOTS;
        let slot = self.occupied.next(start).or_else(|| self.occupied.next(0))?;
        let distance = (slot + SLOTS - start) % SLOTS;
        Some(self.hand + distance as u64)
    }
}

/// A set of slots that finds the next one in three steps.
struct Bits {
    words: Box<[u64]>,
    /// A bit for each word that is not zero.
    summary: [u64; SLOTS / 64 / 64],
}

impl Bits {
    fn new() -> Self {
        Self { words: vec![0; SLOTS / 64].into_boxed_slice(), summary: [0; _] }
    }

    fn set(&mut self, slot: usize, on: bool) {
        let word = &mut self.words[slot / 64];
        *word = *word & !(1 << (slot % 64)) | u64::from(on) << (slot % 64);
        let (at, on) = (slot / 64, *word != 0);
        let summary = &mut self.summary[at / 64];
        *summary = *summary & !(1 << (at % 64)) | u64::from(on) << (at % 64);
    }

    /// The first slot in the set at or behind this one.
    fn next(&self, slot: usize) -> Option<usize> {
        let rest = self.words[slot / 64] >> (slot % 64);
        if rest != 0 {
            return Some(slot + rest.trailing_zeros() as usize);
        }
        let behind = slot / 64 + 1;
        let word = (behind / 64..self.summary.len()).find_map(|i| {
            let hidden = if i == behind / 64 { behind % 64 } else { 0 };
            let rest = self.summary[i] >> hidden << hidden;
            (rest != 0).then(|| i * 64 + rest.trailing_zeros() as usize)
        })?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    struct Session {
        hook: Hook,
        expires: Instant,
    }

    impl Timed for Session {
        fn hook(&mut self) -> &mut Hook {
            &mut self.hook
        }

        fn expires(&self) -> Instant {
            self.expires
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Insert(u64),
        Remove(usize),
        /// Packets put off an end without telling the wheel.
        PutOff(usize, u64),
        /// An end comes nearer.
        Bring(usize, u64),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Nanoseconds up to the longest time, small ones as likely as large ones.
        let time = || {
            (0..43u32, any::<u64>()).prop_map(|(bits, n)| n % (1 << bits) % TCP_ESTABLISHED.as_nanos() as u64)
        };
        prop_oneof![
            time().prop_map(Step::Insert),
            any::<usize>().prop_map(Step::Remove),
            (any::<usize>(), time()).prop_map(|(i, t)| Step::PutOff(i, t)),
            (any::<usize>(), time()).prop_map(|(i, t)| Step::Bring(i, t)),
            time().prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn sessions_end_at_their_nanosecond_and_not_before(steps in prop::collection::vec(step(), 1..200)) {
            let (mut wheel, mut sessions) = (Wheel::new(), Arena::<_>::new());
            let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
            let mut now = Instant::ZERO;
            for step in steps {
                let nth = |i: usize| model.keys().copied().nth(i % model.len().max(1));
                match step {
                    Step::Insert(after) => {
                        let expires = now + Duration::from_nanos(after);
                        let key = sessions.insert(Session { hook: Hook::LOOSE, expires });
                        wheel.link(&mut sessions, key);
                        model.insert(key, expires);
                    }
                    Step::Remove(i) => if let Some(key) = nth(i) {
                        wheel.unlink(&mut sessions, key);
                        sessions.remove(key);
                        model.remove(&key);
                    },
                    Step::PutOff(i, by) => if let Some(key) = nth(i) {
                        let expires = sessions[key].expires.max(now + Duration::from_nanos(by));
                        sessions[key].expires = expires;
                        model.insert(key, expires);
                    },
                    Step::Bring(i, to) => if let Some(key) = nth(i) {
                        let expires = sessions[key].expires.min(now + Duration::from_nanos(to));
                        wheel.unlink(&mut sessions, key);
                        sessions[key].expires = expires;
                        wheel.link(&mut sessions, key);
                        model.insert(key, expires);
                    },
                    Step::Pass(time) => now = now + Duration::from_nanos(time),
                }
                while wheel.poll_timeout().is_some_and(|at| at <= now) {
                    let Some(Due::Expired(key)) = wheel.next_due(&mut sessions, now) else { continue };
                    let expires = model.remove(&key);
                    prop_assert!(expires.is_some_and(|at| at <= now), "{key} ends at {expires:?}, now {now:?}");
                    wheel.unlink(&mut sessions, key);
                    sessions.remove(key);
                }
                prop_assert!(model.values().all(|&at| at > now), "something should have ended");
                prop_assert!(model.is_empty() || wheel.poll_timeout().is_some());
                prop_assert_eq!(sessions.len(), model.len());
            }
        }
    }

    #[test]
    fn the_next_slot_of_a_set_is_found_over_any_distance() {
        let mut bits = Bits::new();
        assert_eq!(bits.next(0), None);
        for slot in [0, 63, 64, 4095, 4096, 70_000, SLOTS - 1] {
            bits.set(slot, true);
            assert_eq!((bits.next(0), bits.next(slot)), (Some(slot), Some(slot)));
            assert!(slot + 1 == SLOTS || bits.next(slot + 1).is_none());
            bits.set(slot, false);
            assert_eq!(bits.next(0), None);
        }
    }
}
