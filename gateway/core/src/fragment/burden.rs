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

/// What counts when one datagram of one source on one link grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    link: Link,
    source: IpAddr,
    total: Burden,
    of_link: Burden,
    of_remote: Burden,
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
        let shares = self.shares(link, source);
        shares.check(more)?;
        self.total = shares.total.and(more);
        self.by_link.insert(link, shares.of_link.and(more));
        if is_uplink(link) {
            self.by_remote.insert((link, source), shares.of_remote.and(more));
        }
        Ok(())
    }

    /// What [`Self::take`] looks at.
    pub(super) fn shares(&self, link: Link, source: IpAddr) -> Shares {
        Shares {
            link,
            source,
            total: self.total,
            of_link: self.by_link.get(&link).copied().unwrap_or_default(),
            of_remote: self.by_remote.get(&(link, source)).copied().unwrap_or_default(),
        }
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

impl Shares {
    /// Whether everybody's bounds allow `more`.
    pub(super) fn check(&self, more: Burden) -> Result<(), Scope> {
        let Self { link, source, total, of_link, of_remote } = *self;
        let crowded = total.datagrams > TOTAL.datagrams / 2 || total.bytes > TOTAL.bytes / 2;
        if !of_remote.and(more).is_within(REMOTE) {
            return Err(Scope::Remote(link, source));
        }
        let link_bound = if crowded { LINK_CROWDED } else { LINK };
        if !total.and(more).is_within(TOTAL) || !of_link.and(more).is_within(link_bound) {
            return Err(Scope::Link(link));
        }
        Ok(())
    }

    /// As if a datagram of the same link, from this source, gave way.
    pub(super) fn without(self, source: IpAddr, less: Burden) -> Self {
        let same = is_uplink(self.link) && source == self.source;
        let of_remote = if same { self.of_remote.without(less) } else { self.of_remote };
        Self { total: self.total.without(less), of_link: self.of_link.without(less), of_remote, ..self }
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
