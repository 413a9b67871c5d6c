//! Pools of two workers against plain sets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{pools, remote};
use super::*;
use crate::limits::PORT_BLOCK;
use crate::space::PortSet;
use crate::space::tests::mix;

#[derive(Clone, Debug)]
enum Operation {
    Lease { worker: usize, want: Want, times: u8, random: u64 },
    Release { place: usize, times: u8, rest: Option<u8> },
    Wait(u8),
    EndRests(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Use {
    Alone,
    Shared(BTreeSet<SocketAddr>),
    Block(AttachmentId, bool),
}

#[derive(Default)]
struct Model {
    set: BTreeSet<u16>,
    /// By port: which worker has it, and what for.
    held: BTreeMap<u16, (usize, Use)>,
    /// By worker.
    resting: [VecDeque<(Instant, u16)>; 2],
}

impl Model {
    fn is_free(&self, port: u16) -> bool {
        !self.held.contains_key(&port)
    }

    fn is_free_block(&self, first: u16) -> bool {
        (first..first + PORT_BLOCK).all(|port| self.set.contains(&port) && self.is_free(port))
    }

    /// The holder's ports in use, or not.
    fn tenants_ports(&self, worker: usize, holder: AttachmentId, used: bool) -> usize {
        self.held.values().filter(|&held| *held == (worker, Use::Block(holder, used))).count()
    }

    fn may_grow(&self, worker: usize, holder: AttachmentId, max_blocks: u16) -> bool {
        let unused = self.tenants_ports(worker, holder, false);
        unused == 0 && self.tenants_ports(worker, holder, true) < usize::from(max_blocks * PORT_BLOCK)
    }

    /// Whether `port` would be a right answer.
    fn allows(&self, worker: usize, want: &Want, port: u16) -> bool {
        let leasable = self.set.contains(&port) && self.is_free(port);
        match (*want, self.held.get(&port)) {
            (Want::Exactly(wanted), _) => port == wanted && self.is_free(port),
            (Want::Shared(remote), Some((holder, Use::Shared(remotes)))) => {
                *holder == worker && !remotes.contains(&remote)
            }
            (Want::Exclusive | Want::Shared(_), _) => leasable,
            (Want::Block { holder, .. }, Some(held)) => *held == (worker, Use::Block(holder, false)),
            (Want::Block { holder, max_blocks }, None) => {
                self.may_grow(worker, holder, max_blocks)
                    && self.is_free_block(port / PORT_BLOCK * PORT_BLOCK)
            }
        }
    }

    fn can_lease(&self, worker: usize, want: &Want) -> bool {
        (1000..1300).any(|port| self.allows(worker, want, port))
    }

    /// A pool has leased this port, or found none. It ends rests only if there is none before.
    fn leased(&mut self, now: Instant, worker: usize, want: &Want, leased: Option<u16>) {
        if !leased.is_some_and(|port| self.allows(worker, want, port)) {
            assert!(!self.can_lease(worker, want), "{leased:?} for {want:?}");
            self.end_rests(worker, now);
        }
        match leased {
            Some(port) => {
                assert!(self.allows(worker, want, port), "{port} for {want:?}");
                self.lease(worker, want, port);
            }
            None => assert!(!self.can_lease(worker, want), "nothing for {want:?}"),
        }
    }

    fn lease(&mut self, worker: usize, want: &Want, port: u16) {
        match *want {
            Want::Exclusive | Want::Exactly(_) => drop(self.held.insert(port, (worker, Use::Alone))),
            Want::Shared(remote) => {
                let held = self.held.entry(port).or_insert((worker, Use::Shared(BTreeSet::new())));
                if let Use::Shared(remotes) = &mut held.1 {
                    remotes.insert(remote);
                }
            }
            Want::Block { holder, .. } => {
                let first = port / PORT_BLOCK * PORT_BLOCK;
                for other in first..first + PORT_BLOCK {
                    self.held.entry(other).or_insert((worker, Use::Block(holder, false)));
                }
                self.held.insert(port, (worker, Use::Block(holder, true)));
            }
        }
    }

    fn give_back(&mut self, port: u16, remote: Option<SocketAddr>) {
        let held = self.held.get_mut(&port).expect("it was leased");
        match &mut held.1 {
            Use::Alone => drop(self.held.remove(&port)),
            Use::Shared(remotes) => {
                assert!(remotes.remove(&remote.expect("a shared port has a remote")));
                if remotes.is_empty() {
                    self.held.remove(&port);
                }
            }
            Use::Block(_, used) => {
                *used = false;
                let first = port / PORT_BLOCK * PORT_BLOCK;
                let block = first..first + PORT_BLOCK;
                if block.clone().all(|port| matches!(self.held[&port].1, Use::Block(_, false))) {
                    block.for_each(|port| drop(self.held.remove(&port)));
                }
            }
        }
    }

    fn end_rests(&mut self, worker: usize, now: Instant) {
        while let Some((_, port)) = self.resting[worker].pop_front_if(|(until, _)| *until <= now) {
            self.give_back(port, None);
        }
    }

    /// All that a pool tells is so.
    fn check(&self, space: &AddressSpace, pools: &[PortPool]) {
        let free = self.set.iter().filter(|&&port| self.is_free(port)).count();
        for (worker, pool) in pools.iter().enumerate() {
            let used = self.held.values().filter(|(holder, _)| *holder == worker).count();
            assert_eq!((pool.used() as usize, pool.free() as usize), (used, free));
            assert_eq!(pool.next_rest(), self.resting[worker].front().map(|(until, _)| *until));
        }
        for port in 1000..1300 {
            let home = usize::from(port / PORT_BLOCK % 2);
            let owner = self.held.get(&port).map_or(home, |(holder, _)| *holder);
            assert_eq!(usize::from(space.owner_of(space.external()[0], Protocol::Udp, port)), owner);
        }
    }

    fn blocks(&self) -> BTreeSet<(AttachmentId, Block)> {
        let holder = |(&port, held): (&u16, &(usize, Use))| match held.1 {
            Use::Block(holder, _) => Some((holder, Block::of(port))),
            _ => None,
        };
        self.held.iter().filter_map(holder).collect()
    }
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![
        Just(Want::Exclusive),
        (1000..1300u16).prop_map(Want::Exactly),
        (0..3u16).prop_map(|i| Want::Shared(remote(i))),
        (0..2u32, 0..4u16)
            .prop_map(|(holder, max_blocks)| Want::Block { holder: AttachmentId(holder), max_blocks }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..2usize, want(), 1..60u8, any::<u64>())
            .prop_map(|(worker, want, times, random)| Operation::Lease { worker, want, times, random }),
        4 => (any::<usize>(), 1..60u8, prop::option::of(0..8u8))
            .prop_map(|(place, times, rest)| Operation::Release { place, times, rest }),
        1 => (0..6u8).prop_map(Operation::Wait),
        1 => (0..2usize).prop_map(Operation::EndRests),
    ]
}

/// Two whole blocks and two parts.
fn set() -> PortSet {
    PortSet::new(&[1024..=1100, 1152..=1215, 1250..=1260], &[1090..=1092])
}

fn seconds(seconds: u8) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pools_agree_with_plain_sets(operations in prop::collection::vec(operation(), 1..80)) {
        let (space, mut pools) = pools(set(), 2);
        let mut model = Model { set: set().iter().collect(), ..Model::default() };
        let (mut now, mut leases, mut blocks) = (Instant::ZERO, Vec::new(), BTreeSet::new());
        for operation in operations {
            match operation {
                Operation::Lease { worker, want, times, random } => {
                    for i in 0..u64::from(times) {
                        let can = pools[worker].can_lease(now, &want);
                        let lease = pools[worker].lease(now, mix(random.wrapping_add(i)), &want);
                        model.leased(now, worker, &want, lease.as_ref().map(PortLease::port));
                        prop_assert_eq!(can, lease.is_some(), "{:?}", want);
                        let Some(lease) = lease else { break };
                        leases.push((worker, lease));
                    }
                }
                Operation::Release { place, times, rest } => {
                    for _ in 0..leases.len().min(usize::from(times)) {
                        let (worker, lease) = leases.swap_remove(place % leases.len());
                        let until = rest.map(|rest| now + seconds(rest));
                        match (lease.kind, until) {
                            (Kind::Shared(remote), _) => model.give_back(lease.port(), Some(remote)),
                            (_, None) => model.give_back(lease.port(), None),
                            (_, Some(until)) => model.resting[worker].push_back((until, lease.port())),
                        }
                        pools[worker].release(lease, until);
                    }
                }
                Operation::Wait(wait) => now = now + seconds(wait),
                Operation::EndRests(worker) => {
                    pools[worker].end_rests(now);
                    model.end_rests(worker, now);
                }
            }
            for change in pools.iter_mut().flat_map(PortPool::block_changes) {
                let is_so = match change {
                    BlockChange::Taken(holder, block) => blocks.insert((holder, block)),
                    BlockChange::GivenBack(holder, block) => blocks.remove(&(holder, block)),
                };
                prop_assert!(is_so, "{:?}", change);
            }
            prop_assert_eq!(&blocks, &model.blocks());
            model.check(&space, &pools);
        }
    }
}
