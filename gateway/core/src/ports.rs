//! External ports: exact allocation with a random start, leases whose drop gives the port back.
//!
//! A pool is one external address, one protocol, and one worker's slice of the port range. A bit per port;
//! a word per block of [`PORT_BLOCK`] ports, since a block belongs to one worker. A lease fails only when
//! no port of the pool is free: the search goes over every word, once.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::WorkerSlot;
use crate::limits::PORT_BLOCK;

const _: () = assert!(PORT_BLOCK as u32 == u64::BITS);

/// The leasable ports of one external address, for one protocol and one worker.
#[derive(Debug)]
pub(crate) struct PortPool {
    slot: WorkerSlot,
    ports: RangeInclusive<u16>,
    total: u32,
    /// Made at the first lease: most addresses of most protocols are never used.
    shared: Option<Arc<Shared>>,
}

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct PortLease {
    pool: Arc<Shared>,
    port: u16,
}

/// Atomics so that an engine can move to its thread with its leases; one engine alone uses them.
#[derive(Debug)]
struct Shared {
    slot: WorkerSlot,
    /// Set bits are leased, or not leasable at all. One word per block that the worker owns.
    words: Box<[AtomicU64]>,
    free: AtomicU32,
}

impl PortPool {
    /// A pool of those of `ports` that `slot` owns.
    pub(crate) fn new(slot: WorkerSlot, ports: &RangeInclusive<u16>) -> Self {
        let total = ports.clone().filter(|&port| slot.owns(port)).count() as u32;
        Self { slot, ports: ports.clone(), total, shared: None }
    }

    /// Leases a free port, found from the place that `random` says on. `None`: no port is free.
    pub(crate) fn lease(&mut self, random: u32) -> Option<PortLease> {
        if self.free() == 0 {
            return None;
        }
        let shared =
            self.shared.get_or_insert_with(|| Arc::new(Shared::new(self.slot, &self.ports, self.total)));
        let words = shared.words.len();
        let (start, bit) = ((random as usize / 64) % words, random % 64);
        // The word of the start is looked at twice: from the start's bit on, and at the end below it.
        let below = (1u64 << bit) - 1;
        (0..=words).find_map(|i| {
            let index = (start + i) % words;
            let excluded = if i == 0 { below } else { 0 };
            let word = shared.words[index].load(Relaxed);
            let free = (word | excluded).trailing_ones();
            (free < 64).then(|| {
                shared.words[index].store(word | 1 << free, Relaxed);
                shared.free.fetch_sub(1, Relaxed);
                PortLease { pool: Arc::clone(shared), port: shared.port(index, free) }
            })
        })
    }

    /// Ports that can be leased now.
    pub(crate) fn free(&self) -> u32 {
        self.shared.as_ref().map_or(self.total, |shared| shared.free.load(Relaxed))
    }

    /// Ports that are leased now.
    pub(crate) fn used(&self) -> u32 {
        self.total - self.free()
    }
}

impl PortLease {
    /// The leased port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let (index, bit) = self.pool.place(self.port);
        self.pool.words[index].fetch_and(!bit, Relaxed);
        self.pool.free.fetch_add(1, Relaxed);
    }
}

impl Shared {
    fn new(slot: WorkerSlot, ports: &RangeInclusive<u16>, total: u32) -> Self {
        let blocks = (u32::from(u16::MAX) + 1) / u32::from(PORT_BLOCK);
        let words = (0..blocks)
            .map(|block| (block as u16) * PORT_BLOCK)
            .filter(|&first| slot.owns(first))
            .map(|first| AtomicU64::new(unleasable(first, ports)))
            .collect();
        Self { slot, words, free: AtomicU32::new(total) }
    }

    /// The port of a bit: words hold the blocks that the worker owns, every `count`th from `index` on.
    fn port(&self, word: usize, bit: u32) -> u16 {
        let block = word as u32 * u32::from(self.slot.count()) + u32::from(self.slot.index());
        (block * u32::from(PORT_BLOCK) + bit) as u16
    }

    /// The word and bit of an owned port.
    fn place(&self, port: u16) -> (usize, u64) {
        (usize::from(port / PORT_BLOCK / self.slot.count()), 1 << (port % PORT_BLOCK))
    }
}

/// Bits of the block from `first` on that are not in `ports`.
fn unleasable(first: u16, ports: &RangeInclusive<u16>) -> u64 {
    (0..PORT_BLOCK).filter(|bit| !ports.contains(&(first + bit))).fold(0, |word, bit| word | 1 << bit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_port_of_the_range_is_leased_once_and_then_none() {
        for count in 1..=4 {
            let mut seen = BTreeSet::new();
            for index in 0..count {
                let mut pool = PortPool::new(WorkerSlot::new(index, count), &(1000..=3000));
                let expected = pool.free();
                let leases: Vec<_> =
                    (0..).map_while(|i: u32| pool.lease(i.wrapping_mul(0x9e37_79b9))).collect();
                assert_eq!(leases.len() as u32, expected);
                assert_eq!((pool.free(), pool.used()), (0, expected));
                for lease in &leases {
                    assert!((1000..=3000).contains(&lease.port()) && seen.insert(lease.port()));
                }
                drop(leases);
                assert_eq!(pool.free(), expected);
            }
            assert_eq!(seen.len(), 2001, "{count} workers share the whole range");
        }
    }

    #[test]
    fn the_whole_port_space_is_usable() {
        let mut pool = PortPool::new(WorkerSlot::ONLY, &(0..=u16::MAX));
        let leases: Vec<_> = (0..).map_while(|_: u32| pool.lease(u32::MAX)).collect();
        assert_eq!(leases.len(), 65_536);
    }

    proptest! {
        #[test]
        fn pool_agrees_with_a_set(seed: u64, operations in prop::collection::vec(any::<(bool, u32)>(), 1..400)) {
            let ports = 2000..=2100;
            let slot = WorkerSlot::new((seed % 2) as u16, 2);
            let mut pool = PortPool::new(slot, &ports);
            let owned: BTreeSet<u16> = ports.clone().filter(|&p| slot.owns(p)).collect();
            let mut leases: Vec<PortLease> = Vec::new();
            for (lease, random) in operations {
                if lease {
                    match pool.lease(random) {
                        Some(new) => {
                            prop_assert!(owned.contains(&new.port()));
                            prop_assert!(leases.iter().all(|l| l.port() != new.port()));
                            leases.push(new);
                        }
                        None => prop_assert_eq!(leases.len(), owned.len()),
                    }
                } else if !leases.is_empty() {
                    leases.swap_remove(random as usize % leases.len());
                }
                prop_assert_eq!(pool.used() as usize, leases.len());
            }
        }
    }
}
