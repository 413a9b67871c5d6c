//! Blocks of ports, as a log is told of them (RFC 6888 REQ-14).

use gateway_core::{Command, Event, PortBlock};

/// The blocks that have been taken and not given back.
#[derive(Default)]
pub(super) struct Blocks(Vec<PortBlock>);

impl Blocks {
    /// A block is nobody's before it is taken, and somebody's before it is given back.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::BlockTaken(block) => {
                let same = |other: &PortBlock| PortBlock { attachment: block.attachment, ..*other } == block;
                assert!(!self.0.iter().any(same), "{block:?} was somebody's: {:?}", self.0);
                self.0.push(block);
            }
            Event::BlockGivenBack(block) => {
                let place = self.0.iter().position(|&other| other == block);
                self.0.swap_remove(place.unwrap_or_else(|| panic!("{block:?} was nobody's: {:?}", self.0)));
            }
        }
    }

    /// With an uplink, its ports are gone.
    pub(super) fn check(&self, command: &Command) {
        if let Command::RemoveUplink(id) = command {
            assert!(self.0.iter().all(|block| block.uplink != *id), "{id} is gone: {:?}", self.0);
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }
}
