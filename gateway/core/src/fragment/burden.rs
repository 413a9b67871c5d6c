//! Who has how much in reassembly, and who may have more.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::Link;
use crate::limits::{
    REASSEMBLIES, REASSEMBLIES_PER_LINK, REASSEMBLIES_PER_LINK_CROWDED, REASSEMBLIES_PER_REMOTE,
    REASSEMBLY_BYTES, REASSEMBLY_BYTES_PER_LINK, REASSEMBLY_BYTES_PER_LINK_CROWDED,
    REASSEMBLY_BYTES_PER_REMOTE,
};

/// Datagrams that are not complete, and the memory that they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Burden {
    pub(super) datagrams: usize,
    pub(super) bytes: usize,
}

/// Whose bound does not allow more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The link's, or that of all links together.
    Link(Link),
    /// That of one remote address of an uplink.
    Remote(Link, IpAddr),
}

/// The burdens of everybody.
pub(super) struct Burdens {
    total: Burden,
    by_link: HashMap<Link, Burden, ahash::RandomState>,
    /// Of uplinks only: a container's link is one host already.
    by_remote: HashMap<(Link, IpAddr), Burden, ahash::RandomState>,
}

/// The most that there may be of all links, of one, and of one remote address of an uplink.
const TOTAL: Burden = Burden { datagrams: REASSEMBLIES, bytes: REASSEMBLY_BYTES };
const LINK: Burden = Burden { datagrams: REASSEMBLIES_PER_LINK, bytes: REASSEMBLY_BYTES_PER_LINK };
const LINK_CROWDED: Burden =
    Burden { datagrams: REASSEMBLIES_PER_LINK_CROWDED, bytes: REASSEMBLY_BYTES_PER_LINK_CROWDED };
const REMOTE: Burden = Burden { datagrams: REASSEMBLIES_PER_REMOTE, bytes: REASSEMBLY_BYTES_PER_REMOTE };

impl Burdens {
    pub(super) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            total: Burden::default(),
            by_link: HashMap::with_hasher(hasher.clone()),
            by_remote: HashMap::with_hasher(hasher.clone()),
        }
    }

    #[cfg(test)]
    pub(super) const fn total(&self) -> Burden {
        self.total
    }

    /// Lets `source` on `link` cause `more`, if everybody's bounds allow it.
    pub(super) fn take(&mut self, link: Link, source: IpAddr, more: Burden) -> Result<(), Scope> {
        let link_burden = self.by_link.get(&link).copied().unwrap_or_default();
        let remote_burden = self.by_remote.get(&(link, source)).copied().unwrap_or_default();
        let crowded = self.total.datagrams > TOTAL.datagrams / 2 || self.total.bytes > TOTAL.bytes / 2;
        if !remote_burden.and(more).is_within(REMOTE) {
            return Err(Scope::Remote(link, source));
        }
        let link_bound = if crowded { LINK_CROWDED } else { LINK };
        if !self.total.and(more).is_within(TOTAL) || !link_burden.and(more).is_within(link_bound) {
            return Err(Scope::Link(link));
        }
        self.total = self.total.and(more);
        self.by_link.insert(link, link_burden.and(more));
        if is_uplink(link) {
            self.by_remote.insert((link, source), remote_burden.and(more));
        }
        Ok(())
    }

    /// Takes back what [`Self::take`] granted, or a part of it.
    pub(super) fn give_back(&mut self, link: Link, source: IpAddr, less: Burden) {
        self.total = self.total.without(less);
        if let Some(burden) = self.by_link.get_mut(&link) {
            *burden = burden.without(less);
            if *burden == Burden::default() {
                self.by_link.remove(&link);
            }
        }
        if let Some(burden) = self.by_remote.get_mut(&(link, source)) {
            *burden = burden.without(less);
            if *burden == Burden::default() {
                self.by_remote.remove(&(link, source));
            }
        }
    }

    /// How many links and remote addresses there is something of.
    #[cfg(test)]
    pub(super) fn entries(&self) -> (usize, usize) {
        (self.by_link.len(), self.by_remote.len())
    }
}

impl Burden {
    const fn and(self, more: Self) -> Self {
        Self { datagrams: self.datagrams + more.datagrams, bytes: self.bytes + more.bytes }
    }

    const fn without(self, less: Self) -> Self {
        Self { datagrams: self.datagrams - less.datagrams, bytes: self.bytes - less.bytes }
    }

    const fn is_within(self, bound: Self) -> bool {
        self.datagrams <= bound.datagrams && self.bytes <= bound.bytes
    }
}

const fn is_uplink(link: Link) -> bool {
    matches!(link, Link::Uplink(_))
}
