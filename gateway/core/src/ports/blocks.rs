//! Blocks of ports that holders have as a whole, so that a log has one entry a block (RFC 6888 REQ-14).

use std::collections::BTreeMap;

use crate::AttachmentId;
use crate::space::{Block, PortSource, bit, pick};

/// The holders' blocks of one pool.
#[derive(Debug, Default)]
pub(super) struct TenantBlocks {
    held: BTreeMap<Block, Held>,
    /// Never empty lists.
    holders: BTreeMap<AttachmentId, Vec<Block>>,
    changes: Vec<BlockChange>,
}

#[derive(Debug)]
struct Held {
    holder: AttachmentId,
    /// Leased or resting. Never none.
    used: u64,
}

/// A block has come to a holder, or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockChange {
    /// All its ports are the holder's.
    Taken(AttachmentId, Block),
    /// None of its ports is leased or rests any more.
    GivenBack(AttachmentId, Block),
}

impl TenantBlocks {
    /// A random free port of the holder's blocks, or else of one more block.
    pub(super) fn lease(
        &mut self,
        source: &mut PortSource,
        random: u64,
        holder: AttachmentId,
        max_blocks: u16,
    ) -> Option<u16> {
        let blocks = self.blocks(holder);
        let (before, from) = blocks.split_at(random as u32 as usize % blocks.len().max(1));
        let free = |block: &&Block| self.held[block].used != u64::MAX;
        let block = match from.iter().chain(before).find(free) {
            Some(block) => *block,
            None if self.count(holder) < max_blocks => {
                let block = source.take_block(random)?;
                self.held.insert(block, Held { holder, used: 0 });
                self.holders.entry(holder).or_default().push(block);
                self.changes.push(BlockChange::Taken(holder, block));
                block
            }
            None => return None,
        };
        let held = self.held.get_mut(&block)?;
        let port = block.first() + pick(!held.used, random)?;
        held.used |= bit(port);
        Some(port)
    }

    /// Gives back a port, and its block if that was the last one used.
    pub(super) fn release(&mut self, source: &mut PortSource, port: u16) {
        let block = Block::of(port);
        let held = self.held.get_mut(&block).expect("a leased port's block is held");
        held.used &= !bit(port);
        if held.used != 0 {
            return;
        }
        let holder = held.holder;
        self.held.remove(&block);
        let blocks = self.holders.get_mut(&holder).expect("the holder of a held block has blocks");
        blocks.retain(|&other| other != block);
        if blocks.is_empty() {
            self.holders.remove(&holder);
        }
        source.give_back_block(block);
        self.changes.push(BlockChange::GivenBack(holder, block));
    }

    /// What happened since the last call.
    pub(super) fn changes(&mut self) -> impl Iterator<Item = BlockChange> {
        self.changes.drain(..)
    }

    /// How many blocks the holder has.
    pub(super) fn count(&self, holder: AttachmentId) -> u16 {
        self.blocks(holder).len() as u16
    }

    /// Whether a port of the holder's blocks is free.
    pub(super) fn has_free_port(&self, holder: AttachmentId) -> bool {
        self.blocks(holder).iter().any(|block| self.held[block].used != u64::MAX)
    }

    /// Who has the block.
    pub(super) fn tenant_of(&self, block: Block) -> Option<AttachmentId> {
        self.held.get(&block).map(|held| held.holder)
    }

    /// The ports that the space would get if these of one block were released: a holder's block goes as a whole.
    pub(super) fn given_back_with(&self, block: Block, ports: u64) -> u64 {
        match self.held.get(&block) {
            None => ports,
            Some(held) if held.used & !ports == 0 => u64::MAX,
            Some(_) => 0,
        }
    }

    fn blocks(&self, holder: AttachmentId) -> &[Block] {
        self.holders.get(&holder).map_or(&[], Vec::as_slice)
    }
}
