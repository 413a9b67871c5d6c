//! A hash index from 32-bit tags to 32-bit keys, which grows by one bucket at a time.
//!
//! Linear hashing (W. Litwin, VLDB 1980): with `n` buckets, a tag belongs to bucket `tag mod 2^k`, where `2^k` is the power of
//! two at or above `n`; if that bucket does not exist yet, to `tag mod 2^(k-1)`. To grow is to add bucket `n` and to move there
//! what is its own of the one bucket that had it: no step touches more than that. Since tags are kept, nothing is hashed again.
//!
//! A bucket is a cache line of eight places. What does not fit goes to spill buckets behind it, a line each; at the load that is kept up,
//! that is a few in a hundred. Tags are halves of keyed hashes, so nobody can choose keys that meet in one bucket.

use crate::chunked::{Blank, Chunked, NIL};
use crate::limits::SESSIONS;

/// Places of a bucket.
const PLACES: usize = 8;

/// Keys for each bucket on average, before one more is made. Up to twice as many in buckets that are yet to be split.
const LOAD: usize = 4;

/// Bits of a key.
const KEY_BITS: u32 = 24;
const KEY: u32 = (1 << KEY_BITS) - 1;

// There are no more mappings than sessions and publications.
const _: () = assert!(SESSIONS * 2 < KEY as usize);

/// Maps tags to keys; the caller tells keys with equal tags apart.
pub(crate) struct Index {
    buckets: Chunked<Bucket>,
    spill: Chunked<Bucket>,
    /// The first of the spill buckets that are not in use, or [`NIL`].
    vacant: u32,
    /// The smallest power of two at or above the number of buckets, less one.
    mask: u32,
    len: usize,
}

/// Places are used from the start. The upper byte of each tag is compared with all others at once; the rest is kept for
/// when the bucket is split.
#[repr(align(64))]
struct Bucket {
    tops: [u8; PLACES],
    middles: [u16; PLACES],
    /// The lowest byte of the tag, then the key.
    keys: [u32; PLACES],
    len: u32,
    /// The spill bucket that goes on, or [`NIL`].
    next: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Blank for Bucket {
    const BLANK: Self =
        Self { tops: [0; PLACES], middles: [0; PLACES], keys: [0; PLACES], len: 0, next: NIL };
}

impl Bucket {
    /// The highest bit of a byte for each place that can have this tag, the first place in the lowest byte. Places that are not
    /// used can be among them.
    #[inline(always)]
    fn places_of(&self, tag: u32) -> u64 {
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        let wanted = u64::from(tag >> 24) * 0x0101_0101_0101_0101;
        let differing = u64::from_le_bytes(self.tops) ^ wanted;
        // A byte is zero if neither its highest bit is set, nor the sum of the others and 0x7f carries into it.
        !(((differing & LOW) + LOW) | differing | LOW)
    }

    #[inline(always)]
    const fn key(&self, place: usize) -> u32 {
        self.keys[place] & KEY
    }

    const fn tag(&self, place: usize) -> u32 {
        (self.tops[place] as u32) << 24 | (self.middles[place] as u32) << 8 | self.keys[place] >> KEY_BITS
    }

    #[inline(always)]
    fn set(&mut self, place: usize, tag: u32, key: u32) {
        self.put(place, (tag >> 24) as u8, (tag >> 8) as u16, tag << KEY_BITS | key);
    }

    #[inline(always)]
    fn put(&mut self, place: usize, top: u8, middle: u16, key: u32) {
        // All places are below.
        let place = place % PLACES;
        (self.tops[place], self.middles[place], self.keys[place]) = (top, middle, key);
    }

    /// Adds to a bucket with room.
    fn push(&mut self, tag: u32, key: u32) {
        self.set(self.len as usize, tag, key);
        self.len += 1;
    }

    /// Moves those whose tags have this bit to an empty one.
    fn part(&mut self, bit: u32, moved: &mut Self) {
        debug_assert!(
            bit < 1 << (u32::BITS - KEY_BITS + u16::BITS),
            "buckets are told by the lower bits of tags"
        );
        let (mut kept, mut gone) = (0, 0);
        for place in 0..self.len as usize {
            let (top, middle, key) = (self.tops[place], self.middles[place], self.keys[place]);
            let low = u32::from(middle) << 8 | key >> KEY_BITS;
            // Written to both, of which one counts it: no branch that nobody could foresee.
            self.put(kept, top, middle, key);
            moved.put(gone, top, middle, key);
            let goes = usize::from(low & bit != 0);
            (kept, gone) = (kept + 1 - goes, gone + goes);
        }
        (self.len, moved.len) = (kept as u32, gone as u32);
    }

    fn pop(&mut self) -> Option<(u32, u32)> {
        self.len = self.len.checked_sub(1)?;
        let last = self.len as usize;
        Some((self.tag(last), self.key(last)))
    }
}

/// Where a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Home(usize),
    Spill(u32),
}

impl Index {
    pub(crate) fn new() -> Self {
        let mut buckets = Chunked::new();
        buckets.push(Bucket::BLANK);
        Self { buckets, spill: Chunked::new(), vacant: NIL, mask: 0, len: 0 }
    }

    /// The key with this tag that `is_it` accepts.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut bucket = &self.buckets[self.home(tag)];
        loop {
            let mut places = bucket.places_of(tag);
            while places != 0 {
                let place = places.trailing_zeros() as usize / 8;
                if place < bucket.len as usize && is_it(bucket.key(place)) {
                    return Some(bucket.key(place));
                }
                places &= places - 1;
            }
            if bucket.next == NIL {
                return None;
            }
            bucket = &self.spill[bucket.next as usize];
        }
    }

    /// A key that could be the one for this tag, whose bucket is `home`: what [`Self::find`] would look at first.
    #[inline(always)]
    pub(crate) fn guess(&self, home: u32, tag: u32) -> u32 {
        let bucket = &self.buckets[home as usize];
        match bucket.places_of(tag) {
            0 => NIL,
            places => bucket.key(places.trailing_zeros() as usize / 8),
        }
    }

    /// Brings a bucket into the cache; what is returned means nothing.
    #[inline(always)]
    pub(crate) fn touch(&self, home: u32) -> u32 {
        self.buckets[home as usize].next
    }

    /// Adds a key, which must not be there.
    pub(crate) fn insert(&mut self, tag: u32, key: u32) {
        let home = self.home(tag);
        let bucket = &mut self.buckets[home];
        if bucket.next == NIL && bucket.len < PLACES as u32 {
            bucket.push(tag, key);
        } else {
            self.add(home, tag, key);
        }
        self.len += 1;
        if self.len > LOAD * self.buckets.len() {
            self.split();
        }
    }

    /// Takes a key out.
    ///
    /// # Panics
    /// If it is not there.
    pub(crate) fn remove(&mut self, tag: u32, key: u32) {
        let (mut found, mut at) = (None, At::Home(self.home(tag)));
        let mut before = at;
        // The last place of the chain takes the free one, so that only last buckets have room.
        loop {
            let bucket = self.bucket(at);
            let place = (0..bucket.len as usize).find(|&place| bucket.key(place) == key);
            found = found.or(place.map(|place| (at, place)));
            if bucket.next == NIL {
                break;
            }
            (before, at) = (at, At::Spill(bucket.next));
        }
        debug_assert!(key <= KEY);
        let (hole, place) = found.expect("what is removed was inserted");
        let (tag, key) = self.bucket_mut(at).pop().expect("the last bucket of a chain is not empty");
        let bucket = self.bucket_mut(hole);
        if place < bucket.len as usize {
            bucket.set(place, tag, key);
        }
        if let At::Spill(last) = at
            && self.bucket(at).len == 0
        {
            self.bucket_mut(before).next = NIL;
            self.release(last);
        }
        self.len -= 1;
    }

    /// The bucket that a tag belongs to.
    #[inline(always)]
    pub(crate) fn home(&self, tag: u32) -> usize {
        let home = (tag & self.mask) as usize;
        if home < self.buckets.len() { home } else { home & (self.mask >> 1) as usize }
    }

    fn bucket(&self, at: At) -> &Bucket {
        match at {
            At::Home(index) => &self.buckets[index],
            At::Spill(index) => &self.spill[index as usize],
        }
    }

    fn bucket_mut(&mut self, at: At) -> &mut Bucket {
        match at {
            At::Home(index) => &mut self.buckets[index],
            At::Spill(index) => &mut self.spill[index as usize],
        }
    }

    /// Adds to the chain of a bucket.
    fn add(&mut self, home: usize, tag: u32, key: u32) {
        let mut at = At::Home(home);
        while self.bucket(at).next != NIL {
            at = At::Spill(self.bucket(at).next);
        }
        if self.bucket(at).len as usize == PLACES {
            let next = self.acquire();
            self.bucket_mut(at).next = next;
            at = At::Spill(next);
        }
        self.bucket_mut(at).push(tag, key);
    }

    /// Makes one bucket more, out of the one that has had what belongs there.
    fn split(&mut self) {
        let new = self.buckets.len();
        self.mask = self.mask.max((new + 1).next_power_of_two() as u32 - 1);
        let old = new & (self.mask >> 1) as usize;
        let mut moved = Bucket::BLANK;
        let bucket = &mut self.buckets[old];
        let mut next = std::mem::replace(&mut bucket.next, NIL);
        // What belongs to the new one has one bit more than what stays.
        bucket.part(self.mask ^ self.mask >> 1, &mut moved);
        self.buckets.push(moved);
        while next != NIL {
            let mut bucket = std::mem::replace(&mut self.spill[next as usize], Bucket::BLANK);
            self.release(next);
            next = bucket.next;
            while let Some((tag, key)) = bucket.pop() {
                self.add(self.home(tag), tag, key);
            }
        }
    }

    /// An empty spill bucket.
    fn acquire(&mut self) -> u32 {
        if self.vacant == NIL {
            self.spill.push(Bucket::BLANK);
            return (self.spill.len() - 1) as u32;
        }
        let index = self.vacant;
        self.vacant = std::mem::replace(&mut self.spill[index as usize].next, NIL);
        index
    }

    /// Gives an empty spill bucket back.
    fn release(&mut self, index: u32) {
        self.spill[index as usize].next = std::mem::replace(&mut self.vacant, index);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A hash that spreads well enough.
    fn tag_of(key: u32) -> u32 {
        ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(key) as u32
    }

    proptest! {
        #[test]
        fn what_is_inserted_is_found_until_it_is_removed(
            steps in prop::collection::vec((any::<bool>(), 0..600u32), 1..1500),
            tags in 1..2000u32,
        ) {
            let (mut index, mut model) = (Index::new(), BTreeMap::new());
            for (insert, key) in steps {
                // With few tags, many keys share one.
                let tag = tag_of(key % tags);
                match (insert, model.contains_key(&key)) {
                    (true, false) => {
                        index.insert(tag, key);
                        model.insert(key, tag);
                    }
                    (false, true) => {
                        index.remove(tag, key);
                        model.remove(&key);
                    }
                    _ => {}
                }
                let found = index.find(tag, |other| other == key);
                prop_assert_eq!(found, model.contains_key(&key).then_some(key));
            }
            prop_assert_eq!(index.len, model.len());
            for (&key, &tag) in &model {
                prop_assert_eq!(index.find(tag, |other| other == key), Some(key));
            }
        }
    }

    #[test]
    fn growth_goes_bucket_by_bucket_and_few_keys_spill() {
        let mut index = Index::new();
        for key in 0..100_000 {
            index.insert(tag_of(key), key);
            assert_eq!(index.buckets.len(), 1.max((key as usize + 1).div_ceil(LOAD)));
        }
        for key in 0..100_000 {
            assert_eq!(index.find(tag_of(key), |other| other == key), Some(key));
        }
        assert!(index.spill.len() < index.buckets.len() / 5, "{} spill buckets", index.spill.len());
    }

    #[test]
    fn spill_buckets_are_used_again() {
        let mut index = Index::new();
        for _ in 0..10 {
            (0..1000).for_each(|key| index.insert(7, key));
            assert!((0..1000).all(|key| index.find(7, |other| other == key) == Some(key)));
            (0..1000).for_each(|key| index.remove(7, key));
        }
        assert_eq!((index.len, index.spill.len()), (0, 1000_usize.div_ceil(PLACES) - 1));
    }
}
