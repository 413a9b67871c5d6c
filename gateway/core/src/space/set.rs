//! Sets of ports, and the blocks that they come in.

use std::fmt;
use std::ops::RangeInclusive;

use crate::limits::{DEFAULT_PORTS, PORT_BLOCK};

/// Blocks of the whole port space.
pub(crate) const BLOCKS: usize = 65_536 / PORT_BLOCK as usize;

const _: () = assert!(PORT_BLOCK as u32 == u64::BITS);

/// A set of ports.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    words: Box<[u64; BLOCKS]>,
    len: u32,
}

/// [`PORT_BLOCK`] neighbouring ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Block(u16);

impl PortSet {
    /// The ports of `ranges` that are in none of `exclusions`.
    pub fn new(ranges: &[RangeInclusive<u16>], exclusions: &[RangeInclusive<u16>]) -> Self {
        let mut set = Self::empty();
        for port in ranges.iter().cloned().flatten() {
            set.insert(port);
        }
        for port in exclusions.iter().cloned().flatten() {
            set.remove(port);
        }
        set
    }

    /// The set of no ports.
    pub(crate) fn empty() -> Self {
        Self { words: Box::new([0; BLOCKS]), len: 0 }
    }

    /// Whether the port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.word(Block::of(port)) & bit(port) != 0
    }

    /// How many ports there are.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ports of one block, a bit each.
    pub(crate) fn word(&self, block: Block) -> u64 {
        self.words[block.index()]
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        let blocks = Block::all().filter(|&block| self.word(block) != 0);
        blocks.flat_map(|block| block.ports().filter(|&port| self.contains(port)))
    }

    pub(crate) fn insert(&mut self, port: u16) {
        self.len += u32::from(!self.contains(port));
        self.words[Block::of(port).index()] |= bit(port);
    }

    pub(crate) fn remove(&mut self, port: u16) {
        self.len -= u32::from(self.contains(port));
        self.words[Block::of(port).index()] &= !bit(port);
    }
}

impl Default for PortSet {
    /// [`DEFAULT_PORTS`].
    fn default() -> Self {
        Self::new(&[DEFAULT_PORTS], &[])
    }
}

impl Block {
    /// The block that has the port.
    pub(crate) const fn of(port: u16) -> Self {
        Self(port / PORT_BLOCK)
    }

    /// Every block there is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..BLOCKS as u16).map(Self)
    }

    /// Its lowest port.
    pub(crate) const fn first(self) -> u16 {
        self.0 * PORT_BLOCK
    }

    /// Its ports.
    pub(crate) fn ports(self) -> RangeInclusive<u16> {
        self.first()..=self.first() + (PORT_BLOCK - 1)
    }

    /// Its place among all blocks.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// The worker of so many that looks here first.
    pub(crate) const fn home(self, workers: u16) -> u16 {
        self.0 % workers
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for port in self.iter() {
            match ranges.last_mut() {
                Some(last) if *last.end() + 1 == port => *last = *last.start()..=port,
                _ => ranges.push(port..=port),
            }
        }
        f.debug_set().entries(ranges).finish()
    }
}

/// The bit of a port in the word of its block.
pub(crate) const fn bit(port: u16) -> u64 {
    1 << (port % PORT_BLOCK)
}

/// The place of the first set bit from a random one on (RFC 6056 §3.3.1).
pub(crate) fn pick(word: u64, random: u64) -> Option<u16> {
    let start = (random >> 32) as u32 % u64::BITS;
    let ahead = word.rotate_right(start).trailing_zeros();
    (word != 0).then_some(((start + ahead) % u64::BITS) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_set_shows_its_ranges() {
        let set = PortSet::new(&[10..=20, 65_535..=65_535, 18..=22], &[15..=15]);
        assert_eq!(format!("{set:?}"), "{10..=14, 16..=22, 65535..=65535}");
        assert_eq!((set.len(), set.is_empty()), (13, false));
    }

    #[test]
    fn every_set_bit_is_picked_and_no_other() {
        let word = 1 << 63 | 0b1001;
        let picked: Vec<_> = [0, 1, 3, 4, 63, 64].map(|i: u64| pick(word, i << 32)).into();
        assert_eq!(picked, [0, 3, 3, 63, 63, 0].map(Some));
        assert_eq!(pick(0, u64::MAX), None);
        assert_eq!(pick(u64::MAX, u64::MAX), Some(63));
    }

    proptest! {
        #[test]
        fn a_set_is_the_ranges_without_the_exclusions(
            ranges in prop::collection::vec(any::<(u16, u16)>(), 0..4),
            exclusions in prop::collection::vec(any::<(u16, u16)>(), 0..4),
        ) {
            let [ranges, exclusions] = [ranges, exclusions]
                .map(|list| list.into_iter().map(|(start, end)| start..=end).collect::<Vec<_>>());
            let set = PortSet::new(&ranges, &exclusions);
            let mut expected: BTreeSet<u16> = ranges.into_iter().flatten().collect();
            exclusions.into_iter().flatten().for_each(|port| { expected.remove(&port); });
            prop_assert_eq!(set.len() as usize, expected.len());
            prop_assert!(set.iter().eq(expected));
        }
    }
}
