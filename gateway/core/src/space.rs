//! The external ports of an uplink, shared by the engines of all workers: a bit per port, set while it is leased.
//!
//! Any worker takes any free port with one atomic operation. Each block of [`PORT_BLOCK`] ports has a *home*, the
//! worker that looks there first, so that steering by home is right nearly always. A port that another worker
//! has is a *stray* and remembered, so that [`AddressSpace::owner_of`] is right always.
//!
//! Orderings: a port's stray mark is written after its bit is won (acquire) and erased before the bit is cleared
//! (release), so the marks of two holders never mix. The count of free ports goes up before a bit is cleared and
//! down after a bit is won, so it is never below the truth: at zero, no port is free.

use std::collections::BTreeMap;
use std::fmt;
use std::iter;
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use crate::limits::{PORT_BLOCK, WORKERS};
use crate::{AttachmentId, Protocol, WorkerSlot};

mod set;

pub use set::PortSet;
pub(crate) use set::{BLOCKS, Block, bit, pick};

/// Mark of a port that no worker but its home has.
const NO_STRAY: u8 = 0xff;

/// The external addresses of one uplink and their ports, shared by the engines of all workers. Without a lock.
#[derive(Clone)]
pub struct AddressSpace(Arc<Inner>);

struct Inner {
    external: Vec<IpAddr>,
    /// The addresses of each version in order, each with its place in `external`.
    ipv4: Vec<(u32, usize)>,
    ipv6: Vec<(u128, usize)>,
    ports: PortSet,
    /// By worker: the blocks at home there that have a leasable port.
    homes: Vec<Vec<Block>>,
    /// By address and protocol. Made at the first lease: most addresses of most protocols are never used.
    tables: Vec<OnceLock<Box<Table>>>,
    /// Addresses of containers that the VPC sees as they are. Changed rarely, read without a lock.
    routed: ArcSwap<BTreeMap<IpAddr, Routed>>,
    /// Whether there has ever been one.
    has_routes: AtomicBool,
    /// Counts what can make sessions leave elsewhere: changes of `routed`, and neighbors that a worker has forgotten. Not 0.
    epoch: AtomicU32,
}

/// Whose an address is that the VPC sees as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routed {
    /// The worker of the container.
    pub(crate) worker: u16,
    pub(crate) attachment: AttachmentId,
}

/// The ports of one address and protocol.
struct Table {
    /// By block: the leased ports, leasable or not.
    leased: [AtomicU64; BLOCKS],
    /// Leasable ports that are not leased.
    free: AtomicU32,
    /// By block: which worker has the port, if it is not the home. Made at the first stray of a block.
    strays: [OnceLock<Box<[AtomicU8; PORT_BLOCK as usize]>>; BLOCKS],
}

/// Where one worker's engine takes the ports of one address and protocol from.
#[derive(Debug)]
pub(crate) struct PortSource {
    space: AddressSpace,
    table: usize,
    slot: WorkerSlot,
    taken: u32,
}

impl AddressSpace {
    /// The `ports` of each of the `external` addresses, for so many workers.
    ///
    /// # Panics
    /// If there is no worker, or more than [`WORKERS`].
    pub fn new(external: Vec<IpAddr>, ports: PortSet, workers: u16) -> Self {
        assert!((1..=WORKERS).contains(&workers), "from one worker to {WORKERS}");
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for (address, place) in external.iter().zip(0..) {
            match address {
                IpAddr::V4(address) => ipv4.push((address.to_bits(), place)),
                IpAddr::V6(address) => ipv6.push((address.to_bits(), place)),
            }
        }
        ipv4.sort_unstable();
        ipv4.dedup_by_key(|&mut (address, _)| address);
        ipv6.sort_unstable();
        ipv6.dedup_by_key(|&mut (address, _)| address);
        let mut homes = vec![Vec::new(); usize::from(workers)];
        for block in Block::all().filter(|&block| ports.word(block) != 0) {
            homes[usize::from(block.home(workers))].push(block);
        }
        let tables = iter::repeat_with(OnceLock::new).take(external.len() * Protocol::ALL.len()).collect();
        Self(Arc::new(Inner {
            external,
            ipv4,
            ipv6,
            ports,
            homes,
            tables,
            routed: ArcSwap::default(),
            has_routes: AtomicBool::new(false),
            epoch: AtomicU32::new(1),
        }))
    }

    /// The external addresses.
    pub fn external(&self) -> &[IpAddr] {
        &self.0.external
    }

    /// The leasable ports of each address.
    pub fn ports(&self) -> &PortSet {
        &self.0.ports
    }

    /// The place of `address` among the external ones; `None` if it is none of them.
    #[inline]
    pub fn index_of(&self, address: IpAddr) -> Option<usize> {
        match address {
            IpAddr::V4(address) => find(&self.0.ipv4, address.to_bits()),
            IpAddr::V6(address) => find(&self.0.ipv6, address.to_bits()),
        }
    }

    /// The worker that has the port (or ICMP query id), or would have it.
    pub fn owner_of(&self, address: IpAddr, protocol: Protocol, port: u16) -> u16 {
        self.index_of(address)
            .and_then(|address| self.0.tables[table(address, protocol)].get())
            .and_then(|table| table.stray(port))
            .unwrap_or_else(|| Block::of(port).home(self.workers()))
    }

    /// Whose container has this address, without translation.
    #[inline]
    pub(crate) fn routed(&self, address: IpAddr) -> Option<Routed> {
        // Most uplinks have none.
        if !self.0.has_routes.load(Acquire) {
            return None;
        }
        self.0.routed.load().get(&address).copied()
    }

    /// Lets the VPC see a container's own address; `false` if another container has it there already.
    pub(crate) fn route(&self, address: IpAddr, worker: u16, attachment: AttachmentId) -> bool {
        let mut free = true;
        self.0.has_routes.store(true, Release);
        self.0.routed.rcu(|routes| {
            free = routes.get(&address).is_none_or(|other| other.attachment == attachment);
            let mut routes = BTreeMap::clone(routes);
            if free {
                routes.insert(address, Routed { worker, attachment });
            }
            routes
        });
        self.begin_epoch();
        free
    }

    /// Ends that, if it is this container's.
    pub(crate) fn unroute(&self, address: IpAddr, attachment: AttachmentId) {
        self.0.routed.rcu(|routes| {
            let mut routes = BTreeMap::clone(routes);
            if routes.get(&address).is_some_and(|route| route.attachment == attachment) {
                routes.remove(&address);
            }
            routes
        });
        self.begin_epoch();
    }

    /// As long as this stays the same, so does where packets of a session leave.
    #[inline(always)]
    pub(crate) fn epoch(&self) -> u32 {
        self.0.epoch.load(Acquire)
    }

    /// Makes sessions find out anew where their packets leave.
    pub(crate) fn begin_epoch(&self) {
        if self.0.epoch.fetch_add(1, Release) == u32::MAX {
            self.0.epoch.fetch_add(1, Release);
        }
    }

    fn workers(&self) -> u16 {
        self.0.homes.len() as u16
    }
}

impl PortSource {
    /// The ports of the external address at this place.
    ///
    /// # Panics
    /// If there is no such address, or the space is for another number of workers.
    pub(crate) fn new(space: &AddressSpace, address: usize, protocol: Protocol, slot: WorkerSlot) -> Self {
        assert!(address < space.external().len(), "the address is one of the space");
        assert_eq!(slot.count(), space.workers(), "the space is shared by all workers");
        Self { space: space.clone(), table: table(address, protocol), slot, taken: 0 }
    }

    /// How many workers take from the space.
    pub(crate) fn workers(&self) -> u16 {
        self.slot.count()
    }

    /// Takes a random free port, at home if there is one. `None`: no port is free. (One that is given back behind
    /// the search meanwhile can be missed.)
    pub(crate) fn take_any(&mut self, random: u64) -> Option<u16> {
        if self.free() == 0 {
            return None;
        }
        let table = self.table();
        let win = |&block: &Block| table.win(block, self.set().word(block), random);
        let home = &self.space.0.homes[usize::from(self.slot.index())];
        let likely = home.get(random as u32 as usize % home.len().max(1)).and_then(win);
        let port = likely.or_else(|| self.blocks(random).find_map(|block| win(&block)))?;
        self.won(port);
        Some(port)
    }

    /// Takes this port, leasable or not, unless somebody has it.
    pub(crate) fn take(&mut self, port: u16) -> bool {
        let free = self.table().leased[Block::of(port).index()].fetch_or(bit(port), Acquire) & bit(port) == 0;
        if free {
            self.won(port);
        }
        free
    }

    /// Takes a random block of which every port is leasable and free, at home if there is one.
    pub(crate) fn take_block(&mut self, random: u64) -> Option<Block> {
        let table = self.table();
        let block = self.whole_blocks(random).find(|block| {
            table.leased[block.index()].compare_exchange(0, u64::MAX, Acquire, Relaxed).is_ok()
        })?;
        block.ports().for_each(|port| self.won(port));
        Some(block)
    }

    /// Gives a port back that this worker has.
    pub(crate) fn give_back(&mut self, port: u16) {
        self.taken -= 1;
        self.table().mark(port, self.slot, NO_STRAY);
        let leasable = u32::from(self.set().contains(port));
        self.table().free.fetch_add(leasable, Relaxed);
        let before = self.table().leased[Block::of(port).index()].fetch_and(!bit(port), Release);
        debug_assert_ne!(before & bit(port), 0, "a port that was not leased was given back");
    }

    /// Gives a whole block back.
    pub(crate) fn give_back_block(&mut self, block: Block) {
        block.ports().for_each(|port| self.give_back(port));
    }

    /// Ports of a block that somebody has.
    pub(crate) fn leased(&self, block: Block) -> u64 {
        let table = self.space.0.tables[self.table].get();
        table.map_or(0, |table| table.leased[block.index()].load(Relaxed))
    }

    /// Whether a whole block could be taken.
    pub(crate) fn has_free_block(&self) -> bool {
        self.whole_blocks(0).any(|block| self.leased(block) == 0)
    }

    /// Leasable ports that nobody has.
    pub(crate) fn free(&self) -> u32 {
        self.space.0.tables[self.table].get().map_or(self.set().len(), |table| table.free.load(Relaxed))
    }

    /// Ports that this worker has from here.
    pub(crate) const fn taken(&self) -> u32 {
        self.taken
    }

    /// The leasable ports.
    pub(crate) fn set(&self) -> &PortSet {
        &self.space.0.ports
    }

    /// Every block with a leasable port, in the order in which to look for one: those at home, from a random one on,
    /// then the other workers', from a random worker on.
    pub(crate) fn blocks(&self, random: u64) -> impl Iterator<Item = Block> {
        let homes = &self.space.0.homes;
        let (home, first) = (usize::from(self.slot.index()), (random >> 16) as usize);
        let others = (0..homes.len()).map(move |i| first.wrapping_add(i) % homes.len());
        iter::once(home).chain(others.filter(move |&worker| worker != home)).flat_map(move |worker| {
            let blocks = &homes[worker];
            let (before, from) = blocks.split_at(random as u32 as usize % blocks.len().max(1));
            from.iter().chain(before).copied()
        })
    }

    fn whole_blocks(&self, random: u64) -> impl Iterator<Item = Block> {
        self.blocks(random).filter(|&block| self.set().word(block) == u64::MAX)
    }

    fn table(&self) -> &Table {
        self.space.0.tables[self.table].get_or_init(|| Table::new(self.set().len()))
    }

    /// Notes that the bit of `port` was won.
    fn won(&mut self, port: u16) {
        self.taken += 1;
        self.table().mark(port, self.slot, self.slot.index() as u8);
        self.table().free.fetch_sub(u32::from(self.set().contains(port)), Relaxed);
    }
}

impl Table {
    fn new(free: u32) -> Box<Self> {
        Box::new(Self {
            leased: [const { AtomicU64::new(0) }; BLOCKS],
            free: AtomicU32::new(free),
            strays: [const { OnceLock::new() }; BLOCKS],
        })
    }

    /// Sets a random one of those bits of `candidates` that are clear.
    fn win(&self, block: Block, candidates: u64, random: u64) -> Option<u16> {
        let word = &self.leased[block.index()];
        let mut leased = word.load(Relaxed);
        loop {
            let port = block.first() + pick(candidates & !leased, random)?;
            let before = word.fetch_or(bit(port), Acquire);
            if before & bit(port) == 0 {
                return Some(port);
            }
            leased = before;
        }
    }

    /// Notes which worker has the port, or [`NO_STRAY`], unless it is at home with `slot`.
    fn mark(&self, port: u16, slot: WorkerSlot, worker: u8) {
        if slot.home_of(port) == slot.index() {
            return;
        }
        let strays = &self.strays[Block::of(port).index()];
        let strays =
            strays.get_or_init(|| Box::new([const { AtomicU8::new(NO_STRAY) }; PORT_BLOCK as usize]));
        strays[usize::from(port % PORT_BLOCK)].store(worker, Release);
    }

    /// The worker that has the port, if it is not its home.
    fn stray(&self, port: u16) -> Option<u16> {
        let strays = self.strays[Block::of(port).index()].get()?;
        let worker = strays[usize::from(port % PORT_BLOCK)].load(Acquire);
        (worker != NO_STRAY).then_some(u16::from(worker))
    }
}

impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSpace")
            .field("external", &self.0.external)
            .field("ports", &self.0.ports)
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}

/// The place that goes with these bits in a sorted list.
#[inline(always)]
fn find<T: Ord + Copy>(sorted: &[(T, usize)], bits: T) -> Option<usize> {
    // Most destinations are none of ours, and most of those are not among them.
    if bits < sorted.first()?.0 || bits > sorted.last()?.0 {
        return None;
    }
    let found = sorted.binary_search_by_key(&bits, |&(bits, _)| bits).ok()?;
    Some(sorted[found].1)
}

/// Where the table of an address and protocol is.
const fn table(address: usize, protocol: Protocol) -> usize {
    address * Protocol::ALL.len() + protocol as usize
}

#[cfg(test)]
pub(crate) mod tests;
