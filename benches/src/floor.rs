//! The least that the engine's work can cost: the memory that it reads and writes, by loops that decide on nothing.

use std::hint::black_box;
use std::time::Instant;

use crate::batch::BATCH;
use crate::random::Random;
use crate::statistics::{median, nanos_each};
use crate::times::{FILL, MORE};

/// Nanoseconds for a new session with a mapping of its own, as [`crate::times::growing`] has them: an entry and a mapping one behind
/// the other, four keys in three indexes at random, and the growth of these. Memory was had from the kernel before, too.
pub fn new_session() -> f64 {
    median((0..RUNS).map(|_| Memory::new().grow()).collect())
}

/// Nanoseconds for a packet of one of so many sessions, at random: a line of the index, and the entry that it names, which is
/// written. In batches, and in loops as short as those of the engine.
pub fn hit(sessions: u64) -> f64 {
    let (mut random, lines) = (Random::new(6), sessions * 2 / LOAD as u64);
    let mut index: Vec<_> = (0..lines).map(|_| [random.below(sessions); 8]).collect();
    let mut entries: Vec<_> = (0..sessions).map(|session| [session; 8]).collect();
    let run = || {
        let mut batch: [u64; BATCH] = std::array::from_fn(|_| random.below(lines));
        let start = Instant::now();
        let mut touched = 0;
        for &line in &batch {
            touched ^= index[line as usize][7];
        }
        for key in &mut batch {
            *key = index[*key as usize][*key as usize % 8];
        }
        for &key in &batch {
            touched ^= entries[key as usize][7];
        }
        for &key in &batch {
            entries[key as usize][0] ^= touched;
        }
        nanos_each(start.elapsed(), BATCH as u64)
    };
    let taken = median(std::iter::repeat_with(run).take(HITS / BATCH).collect());
    black_box((&mut index, &mut entries));
    taken
}

/// What a session takes of each table.
struct Memory {
    entries: Vec<[u64; 8]>,
    mappings: Vec<[u64; MAPPING]>,
    indexes: [Index; 3],
    random: Random,
}

/// Cache lines, some of which are in use.
struct Index {
    lines: Vec<[u64; 8]>,
    used: usize,
    /// Keys of each session.
    keys: usize,
}

impl Memory {
    /// Empty tables.
    fn new() -> Self {
        let all = (FILL + MORE) as usize;
        let index = |keys| Index { lines: vec![[0; 8]; all * keys / LOAD + 2], used: 1, keys };
        Self {
            entries: vec![[0; 8]; all],
            mappings: vec![[0; MAPPING]; all],
            indexes: [index(2), index(1), index(1)],
            random: Random::new(5),
        }
    }

    fn grow(mut self) -> f64 {
        (0..FILL).for_each(|session| self.add(session));
        let start = Instant::now();
        (FILL..FILL + MORE).for_each(|session| self.add(session));
        let taken = start.elapsed();
        // Without a use there would be nothing written.
        black_box((&self.entries, &self.mappings, self.indexes.each_ref().map(|index| &index.lines)));
        nanos_each(taken, MORE)
    }

    fn add(&mut self, session: u64) {
        self.entries[session as usize] = [session; 8];
        self.mappings[session as usize] = [session; MAPPING];
        for index in &mut self.indexes {
            for _ in 0..index.keys {
                let line = self.random.below(index.used as u64) as usize;
                index.lines[line][session as usize % 8] ^= session;
            }
            // One line more for so many keys, made of the next one in turn.
            if (session as usize * index.keys).is_multiple_of(LOAD) {
                let old = index.used ^ 1 << index.used.ilog2();
                index.lines[index.used] = index.lines[old];
                index.used += 1;
            }
        }
    }
}

/// Words of a mapping.
const MAPPING: usize = 27;

/// Keys of a line of an index, on average.
const LOAD: usize = 4;

const RUNS: usize = 15;

/// Packets, for a median of their batches.
const HITS: usize = 1 << 20;
