//! The ports that one engine has of one external address and protocol: what for, and which of them rest.
//!
//! Four kinds of leases ([`Want`]) come out of the same space, and none of them sees the port of another:
//!
//! ```text
//! Exclusive   a random port, for one mapping
//! Exactly     a given port, for one publication
//! Block       a random port out of blocks of 64 that one holder has as a whole
//! Shared      a random port for many mappings, each with another remote
//! ```
//!
//! Exact: a lease fails only when no port can serve it. A given back port can rest first (hold-down, RFC 6888 REQ-8).
//! A rest that is over counts as free here whether or not it was ended; other workers see the port when it was.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::ports::blocks::TenantBlocks;
use crate::ports::shared::SharedPorts;
use crate::space::{AddressSpace, Block, PortSource, bit};
use crate::{AttachmentId, Instant, Protocol, WorkerSlot};

mod blocks;
mod shared;

pub(crate) use blocks::BlockChange;

/// One engine's ports of one external address and protocol.
#[derive(Debug)]
pub(crate) struct PortPool {
    source: PortSource,
    blocks: TenantBlocks,
    /// Made at the first shared lease.
    shared: Option<Box<SharedPorts>>,
    hasher: ahash::RandomState,
    /// In the order in which the rests began. They end in it too.
    resting: VecDeque<(Instant, PortLease)>,
}

/// What a port is leased for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A mapping that has its port alone (EIM, ADM).
    Exclusive,
    /// A mapping with one remote, whose port serves other remotes too (APDM).
    Shared(SocketAddr),
    /// A publication of this port, leasable or not.
    Exactly(u16),
    /// A mapping of a holder that has blocks of its own.
    Block {
        /// Whose blocks.
        holder: AttachmentId,
        /// A further block is taken when the holder's are full and fewer than this.
        max_blocks: u16,
    },
}

/// A port that is ours until it is given to [`PortPool::release`].
#[must_use = "the port stays leased until the lease is released"]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PortLease {
    port: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exclusive,
    Shared(SocketAddr),
    Block,
}

impl PortPool {
    /// The ports of the external address at this place of the space, for the engine of worker `slot`. The hasher is
    /// for remotes, which containers choose.
    pub(crate) fn new(
        space: &AddressSpace,
        address: usize,
        protocol: Protocol,
        slot: WorkerSlot,
        hasher: &ahash::RandomState,
    ) -> Self {
        Self {
            source: PortSource::new(space, address, protocol, slot),
            blocks: TenantBlocks::default(),
            shared: None,
            hasher: hasher.clone(),
            resting: VecDeque::new(),
        }
    }

    /// Leases a port that `random` chooses among those that will do. `None`: there is none.
    ///
    /// Afterwards see [`Self::block_changes`].
    pub(crate) fn lease(&mut self, now: Instant, random: u64, want: &Want) -> Option<PortLease> {
        self.find(random, want).or_else(|| {
            self.end_rests(now);
            self.find(random, want)
        })
    }

    /// Whether [`Self::lease`] would find a port now.
    pub(crate) fn can_lease(&self, now: Instant, want: &Want) -> bool {
        self.could_find(want) || self.could_find_among(&self.rested(now), want)
    }

    /// Gives a port back; with `rest_until` not before then, and not before the rests that began earlier.
    ///
    /// A shared port never rests: its filtering is address-and-port-dependent, which RFC 6888 REQ-8 excepts. Without
    /// a rest, see [`Self::block_changes`] afterwards.
    pub(crate) fn release(&mut self, lease: PortLease, rest_until: Option<Instant>) {
        match (rest_until, lease.kind) {
            (Some(until), Kind::Exclusive | Kind::Block) => self.resting.push_back((until, lease)),
            _ => self.give_back(&lease),
        }
    }

    /// Gives back the ports whose rest is over. Afterwards see [`Self::block_changes`].
    pub(crate) fn end_rests(&mut self, now: Instant) {
        while let Some((_, lease)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.give_back(&lease);
        }
    }

    /// When the next rest is over.
    pub(crate) fn next_rest(&self) -> Option<Instant> {
        self.resting.front().map(|(until, _)| *until)
    }

    /// Blocks that holders have got or given back since this was called, in order.
    pub(crate) fn block_changes(&mut self) -> impl Iterator<Item = BlockChange> {
        self.blocks.changes()
    }

    /// Ports that this engine has: shared ones count once, resting ones and all of a holder's block too.
    pub(crate) const fn used(&self) -> u32 {
        self.source.taken()
    }

    /// Leasable ports that no engine has.
    pub(crate) fn free(&self) -> u32 {
        self.source.free()
    }

    fn find(&mut self, random: u64, want: &Want) -> Option<PortLease> {
        let (port, kind) = match *want {
            Want::Exclusive => (self.source.take_any(random)?, Kind::Exclusive),
            Want::Exactly(port) => (self.source.take(port).then_some(port)?, Kind::Exclusive),
            Want::Block { holder, max_blocks } => {
                (self.blocks.lease(&mut self.source, random, holder, max_blocks)?, Kind::Block)
            }
            Want::Shared(remote) => {
                let shared = self.shared.get_or_insert_with(|| Box::new(SharedPorts::new(&self.hasher)));
                (shared.lease(&mut self.source, random, remote)?, Kind::Shared(remote))
            }
        };
        Some(PortLease { port, kind })
    }

    fn give_back(&mut self, lease: &PortLease) {
        match lease.kind {
            Kind::Exclusive => self.source.give_back(lease.port),
            Kind::Block => self.blocks.release(&mut self.source, lease.port),
            Kind::Shared(remote) => {
                let shared = self.shared.as_mut().expect("made when the port was leased");
                shared.release(&mut self.source, lease.port, remote);
            }
        }
    }

    /// What [`Self::find`] would say.
    fn could_find(&self, want: &Want) -> bool {
        match *want {
            Want::Exclusive => self.source.free() > 0,
            Want::Exactly(port) => self.source.leased(Block::of(port)) & bit(port) == 0,
            Want::Block { holder, max_blocks } => {
                self.blocks.has_free_port(holder)
                    || self.blocks.count(holder) < max_blocks && self.source.has_free_block()
            }
            Want::Shared(remote) => {
                self.source.free() > 0 || self.shared.as_ref().is_some_and(|shared| shared.has_unused(remote))
            }
        }
    }

    /// By block: the ports whose rest is over.
    fn rested(&self, now: Instant) -> BTreeMap<Block, u64> {
        let mut rested = BTreeMap::new();
        for (_, lease) in self.resting.iter().take_while(|(until, _)| *until <= now) {
            *rested.entry(Block::of(lease.port)).or_default() |= bit(lease.port);
        }
        rested
    }

    /// What [`Self::find`] would say after the end of these rests, if it says no before.
    fn could_find_among(&self, rested: &BTreeMap<Block, u64>, want: &Want) -> bool {
        // What would go back to the space, rather than to a holder's block.
        let mut freed =
            rested.iter().map(|(&block, &ports)| (block, self.blocks.given_back_with(block, ports)));
        match *want {
            Want::Exclusive | Want::Shared(_) => {
                freed.any(|(block, ports)| ports & self.source.set().word(block) != 0)
            }
            Want::Exactly(port) => {
                freed.any(|(block, ports)| block == Block::of(port) && ports & bit(port) != 0)
            }
            Want::Block { holder, max_blocks } => {
                let own = freed.clone().filter(|&(block, _)| self.blocks.tenant_of(block) == Some(holder));
                let (gone, kept): (Vec<_>, Vec<_>) = own.partition(|&(_, ports)| ports != 0);
                let may_grow = self.blocks.count(holder) - (gone.len() as u16) < max_blocks;
                let whole = |(block, ports): (Block, u64)| {
                    self.source.set().word(block) & !(self.source.leased(block) & !ports) == u64::MAX
                };
                !kept.is_empty() || may_grow && freed.any(whole)
            }
        }
    }
}

impl PortLease {
    /// The leased port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
