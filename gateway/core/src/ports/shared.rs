//! Ports that serve many remotes at a time, each remote once (RFC 7857 §3).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use crate::limits::{REMOTE_PORTS_LISTED, SHARED_PORTS_MIN};
use crate::space::{Block, PortSet, PortSource, bit, pick};

/// The shared ports of one pool.
#[derive(Debug)]
pub(super) struct SharedPorts {
    ports: PortSet,
    /// By port: with how many remotes it is used.
    uses: HashMap<u16, u32, ahash::RandomState>,
    remotes: HashMap<SocketAddr, RemotePorts, ahash::RandomState>,
}

/// The ports that are used with one remote. Most remotes have few.
#[derive(Debug)]
enum RemotePorts {
    Few(Vec<u16>),
    Many(PortSet),
}

impl SharedPorts {
    /// No ports yet.
    pub(super) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            ports: PortSet::empty(),
            uses: HashMap::with_hasher(hasher.clone()),
            remotes: HashMap::with_hasher(hasher.clone()),
        }
    }

    /// A random port that is not used with `remote`: a shared one if there are enough to choose from or if no
    /// other is free, otherwise one that becomes shared.
    pub(super) fn lease(&mut self, source: &mut PortSource, random: u64, remote: SocketAddr) -> Option<u16> {
        // All workers together leave three quarters to others.
        let share = SHARED_PORTS_MIN.min(source.set().len() / 4) / u32::from(source.workers());
        let enough = self.ports.len() >= share;
        let port = enough
            .then(|| self.unused(source, random, remote))
            .flatten()
            .or_else(|| source.take_any(random))
            .or_else(|| self.unused(source, random, remote))?;
        self.ports.insert(port);
        *self.uses.entry(port).or_default() += 1;
        self.remotes.entry(remote).or_insert(RemotePorts::Few(Vec::new())).insert(port);
        Some(port)
    }

    /// Ends the use of `port` with `remote`, and gives the port back if that was the last one.
    pub(super) fn release(&mut self, source: &mut PortSource, port: u16, remote: SocketAddr) {
        if let Entry::Occupied(mut used) = self.remotes.entry(remote) {
            used.get_mut().remove(port);
            if used.get().len() == 0 {
                used.remove();
            }
        }
        if let Entry::Occupied(mut uses) = self.uses.entry(port) {
            *uses.get_mut() -= 1;
            if *uses.get() == 0 {
                uses.remove();
                self.ports.remove(port);
                source.give_back(port);
            }
        }
    }

    /// Whether a shared port is not used with `remote`. Those that are used with it are shared, so to count is enough.
    pub(super) fn has_unused(&self, remote: SocketAddr) -> bool {
        self.ports.len() > self.remotes.get(&remote).map_or(0, RemotePorts::len)
    }

    /// A random shared port that is not used with `remote`.
    fn unused(&self, source: &PortSource, random: u64, remote: SocketAddr) -> Option<u16> {
        if !self.has_unused(remote) {
            return None;
        }
        let used = self.remotes.get(&remote);
        source.blocks(random).find_map(|block| {
            let shared = self.ports.word(block);
            let unused = if shared == 0 { 0 } else { shared & !used.map_or(0, |used| used.word(block)) };
            pick(unused, random).map(|place| block.first() + place)
        })
    }
}

impl RemotePorts {
    fn len(&self) -> u32 {
        match self {
            Self::Few(ports) => ports.len() as u32,
            Self::Many(ports) => ports.len(),
        }
    }

    /// The ports of one block, a bit each.
    fn word(&self, block: Block) -> u64 {
        match self {
            Self::Few(ports) => {
                ports.iter().filter(|&&port| Block::of(port) == block).fold(0, |word, &port| word | bit(port))
            }
            Self::Many(ports) => ports.word(block),
        }
    }

    fn insert(&mut self, port: u16) {
        match self {
            Self::Few(ports) if ports.len() < REMOTE_PORTS_LISTED => ports.push(port),
            Self::Few(ports) => {
                let mut many = PortSet::empty();
                for &port in ports.iter().chain([&port]) {
                    many.insert(port);
                }
                *self = Self::Many(many);
            }
            Self::Many(ports) => ports.insert(port),
        }
    }

    /// Becomes a list again at half the length at which it became a bitmap, so that it does not change to and fro.
    fn remove(&mut self, port: u16) {
        match self {
            Self::Few(ports) => ports.retain(|&other| other != port),
            Self::Many(ports) => {
                ports.remove(port);
                if ports.len() as usize <= REMOTE_PORTS_LISTED / 2 {
                    *self = Self::Few(ports.iter().collect());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AddressSpace, Protocol, WorkerSlot};

    #[test]
    fn nothing_is_kept_of_remotes_that_are_gone() {
        let set = PortSet::new(&[2000..=2199], &[]);
        let space = AddressSpace::new(vec![[192, 0, 2, 1].into()], set, 1);
        let mut source = PortSource::new(&space, 0, Protocol::Tcp, WorkerSlot::ONLY);
        let mut shared = SharedPorts::new(&ahash::RandomState::with_seeds(1, 2, 3, 4));
        let remote = SocketAddr::from(([198, 51, 100, 1], 443));
        let ports: Vec<u16> = (0..100).filter_map(|i| shared.lease(&mut source, i, remote)).collect();
        assert!(matches!(shared.remotes[&remote], RemotePorts::Many(_)));
        for (i, &port) in ports.iter().enumerate() {
            assert_eq!(shared.remotes[&remote].len() as usize, 100 - i);
            shared.release(&mut source, port, remote);
            let few = matches!(shared.remotes.get(&remote), None | Some(RemotePorts::Few(_)));
            assert_eq!(few, 100 - i - 1 <= REMOTE_PORTS_LISTED / 2);
        }
        assert!(shared.remotes.is_empty() && shared.uses.is_empty() && shared.ports.is_empty());
    }
}
