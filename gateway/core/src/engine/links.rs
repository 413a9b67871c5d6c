//! What an engine keeps of each link.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::limits::{CONNECTORS_PER_ATTACHMENT, EXTERNAL_ADDRESSES_PER_UPLINK, RECENT_DROPS};
use crate::mapping::{Mapping, MappingList};
use crate::neighbor::Neighbors;
use crate::packet::glance::Version;
use crate::ports::PortPool;
use crate::respond::ErrorBudget;
use crate::session::key;
use crate::{
    AttachmentConfig, AttachmentId, ConnectorConfig, ConnectorId, Instant, LinkCounters, MacAddr,
    PacketSummary, Protocol, Reason, UplinkConfig, WorkerSlot, route,
};

/// A container's link and what hangs on it.
pub(super) struct Attachment {
    pub(super) config: AttachmentConfig,
    /// As its frames begin: the gateway's MAC address, then its own.
    pub(super) macs: [u8; 12],
    pub(super) own: OwnAddresses,
    pub(super) connectors: Vec<Attached>,
    /// By place: the connector that is or was there, see [`Attached::place`].
    pub(super) names: [ConnectorId; CONNECTORS_PER_ATTACHMENT],
    pub(super) mappings: MappingList,
    /// When it gets its next router advertisement.
    pub(super) advertise: Option<Instant>,
    pub(super) base: Base,
    pub(super) recent_drops: VecDeque<(Instant, Reason, PacketSummary)>,
}

/// The bits of a container's addresses; 0, which no packet is from, for none.
pub(super) struct OwnAddresses {
    v4: u32,
    v6: u128,
}

impl OwnAddresses {
    fn of(config: &AttachmentConfig) -> Self {
        let bits = |like: IpAddr| config.addressing(like).map_or(0, |own| key::bits(own.address));
        Self { v4: bits(Ipv4Addr::UNSPECIFIED.into()) as u32, v6: bits(Ipv6Addr::UNSPECIFIED.into()) }
    }

    #[inline(always)]
    pub(super) fn bits<V: Version>(&self) -> u128 {
        if V::IS_V6 { self.v6 } else { self.v4.into() }
    }

    /// Whether this is the container's address of its version.
    #[inline(always)]
    pub(super) fn is<V: Version>(&self, bits: u128) -> bool {
        bits != 0 && bits == self.bits::<V>()
    }
}

/// A connector, as a container has it.
pub(super) struct Attached {
    pub(super) config: ConnectorConfig,
    /// Where sessions find it.
    pub(super) place: u8,
    /// External ports of the container's mappings that were made by it.
    pub(super) ports: u32,
    /// Keys of the mappings of its publications.
    pub(super) published: Vec<usize>,
    pub(super) addresses: Addresses,
}

/// The external addresses that a container may appear as by one connector.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    /// A bit for the place of each.
    places: u64,
    /// Those that it does appear as, one of each version at most.
    ipv4: Option<External>,
    ipv6: Option<External>,
}

impl Addresses {
    pub(super) fn has(&self, place: u8) -> bool {
        bit_of(place) & self.places != 0
    }

    /// The one that the container appears as to addresses like this one.
    pub(super) const fn paired(&self, like: IpAddr) -> Option<External> {
        if like.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

impl Attached {
    /// Whether its sessions may use a mapping of the container: what is published for it, or has one of its addresses.
    pub(super) fn may_use(&self, mapping: &Mapping) -> bool {
        mapping.pinned && mapping.connector == self.config.id || self.addresses.has(mapping.place)
    }
}

/// A VPC's link and what hangs on it.
pub(super) struct Uplink {
    pub(super) config: UplinkConfig,
    /// Of the external addresses.
    external_bits: Box<[u128]>,
    /// The external addresses of each version.
    ipv4: Box<[External]>,
    ipv6: Box<[External]>,
    /// Places of the external addresses that are for all connectors, a bit each.
    pool: u64,
    first_is_v6: bool,
    slot: WorkerSlot,
    /// One for each external address and protocol, in the order of both lists.
    pub(super) pools: Vec<[Pool; 3]>,
    pub(super) neighbors: Neighbors,
    /// The time that the engine's timer queue has for this uplink.
    pub(super) armed: Option<Instant>,
    pub(super) base: Base,
}

/// An external address, and its place among all of the uplink's.
#[derive(Clone, Copy, Debug)]
pub(super) struct External {
    pub(super) address: IpAddr,
    pub(super) place: u8,
}

/// Where packets to a destination go next.
#[derive(Clone, Copy)]
pub(super) struct Hop {
    /// Whose MAC address a frame carries.
    pub(super) next: IpAddr,
    /// It comes back inside, and needs nobody's.
    pub(super) back: bool,
    /// As long as this is the uplink's; 0: only now.
    pub(super) epoch: u32,
}

/// The ports of one external address and protocol.
pub(super) struct Pool {
    pub(super) ports: PortPool,
    /// How many were given up by finished sessions, ever.
    pub(super) given_up: u64,
}

/// What both kinds of link have.
pub(super) struct Base {
    pub(super) counters: LinkCounters,
    pub(super) sessions: u64,
    pub(super) errors: ErrorBudget,
}

impl Base {
    fn new(now: Instant) -> Self {
        Self { counters: LinkCounters::default(), sessions: 0, errors: ErrorBudget::new(now) }
    }
}

impl Attachment {
    pub(super) fn new(now: Instant, config: AttachmentConfig) -> Self {
        let (MacAddr(gateway), MacAddr(own)) = (config.gateway_mac, config.mac);
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&gateway);
        macs[6..].copy_from_slice(&own);
        Self {
            macs,
            own: OwnAddresses::of(&config),
            config,
            connectors: Vec::new(),
            names: [ConnectorId(0); _],
            mappings: MappingList::EMPTY,
            advertise: None,
            base: Base::new(now),
            recent_drops: VecDeque::new(),
        }
    }

    /// Remembers a drop; the oldest one is forgotten.
    pub(super) fn remember(&mut self, now: Instant, reason: Reason, packet: PacketSummary) {
        if self.recent_drops.len() == RECENT_DROPS {
            self.recent_drops.pop_back();
        }
        self.recent_drops.push_front((now, reason, packet));
    }

    /// A place for one connector more.
    pub(super) fn free_place(&self) -> u8 {
        let taken = |place: &u8| self.connectors.iter().any(|attached| attached.place == *place);
        (0..CONNECTORS_PER_ATTACHMENT as u8).find(|place| !taken(place)).expect("the limit was checked")
    }

    /// What its connectors allow.
    pub(super) fn policies(&self) -> impl Iterator<Item = &ConnectorConfig> {
        self.connectors.iter().map(|attached| &attached.config)
    }

    /// The connector whose destination is the longest prefix.
    pub(super) fn route(&self, destination: IpAddr) -> Option<(&Attached, IpNet)> {
        let connectors = self.connectors.iter().map(|attached| (attached, &attached.config.destinations[..]));
        route::longest_prefix(connectors, destination)
    }

    /// The connector at this place.
    pub(super) fn at_place(&self, place: u8) -> Option<&Attached> {
        self.connectors.iter().find(|attached| attached.place == place)
    }

    pub(super) fn attached(&self, id: ConnectorId) -> Option<&Attached> {
        self.connectors.iter().find(|attached| attached.config.id == id)
    }

    pub(super) fn attached_mut(&mut self, id: ConnectorId) -> Option<&mut Attached> {
        self.connectors.iter_mut().find(|attached| attached.config.id == id)
    }
}

impl Uplink {
    pub(super) fn new(
        now: Instant,
        config: UplinkConfig,
        slot: WorkerSlot,
        hasher: &ahash::RandomState,
    ) -> Self {
        let space = &config.space;
        let pool = |address, protocol| Pool {
            ports: PortPool::new(space, address, protocol, slot, hasher),
            given_up: 0,
        };
        let pools = (0..space.external().len()).map(|address| Protocol::ALL.map(|p| pool(address, p)));
        let external = space.external();
        let all = external.iter().zip(0..).map(|(&address, place)| External { address, place });
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = all.partition(|external| external.address.is_ipv4());
        Self {
            external_bits: external.iter().copied().map(key::bits).collect(),
            ipv4: ipv4.into(),
            ipv6: ipv6.into(),
            pool: !places(&config, &config.reserved) & places(&config, external),
            first_is_v6: external.first().is_some_and(IpAddr::is_ipv6),
            pools: pools.collect(),
            slot,
            neighbors: Neighbors::new(hasher),
            armed: None,
            base: Base::new(now),
            config,
        }
    }

    /// The external addresses of a connector, and those of them that this container appears as: always the same (paired pooling,
    /// RFC 4787 REQ-2).
    pub(super) fn addresses(&self, attachment: AttachmentId, connector: &ConnectorConfig) -> Addresses {
        let named = connector.external.as_ref().map(|named| places(&self.config, named));
        let places = named.unwrap_or(self.pool);
        // Attachments go to the workers in turn, so the worker's own go to the addresses in turn.
        let turn = attachment.0 as usize / usize::from(self.slot.count());
        let paired = |family: &[External]| {
            let of_it = || family.iter().filter(|external| bit_of(external.place) & places != 0);
            of_it().nth(turn % of_it().count().max(1)).copied()
        };
        Addresses { places, ipv4: paired(&self.ipv4), ipv6: paired(&self.ipv6) }
    }

    /// The address that the gateway itself has towards addresses like this one.
    pub(super) fn own(&self, like: IpAddr) -> Option<IpAddr> {
        let family = if like.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        family.first().map(|external| external.address)
    }

    /// The bits of the external address at this place.
    #[inline(always)]
    pub(super) fn external_bits(&self, place: u8) -> u128 {
        self.external_bits[usize::from(place)]
    }

    /// The place of the external address that has these bits.
    #[inline(always)]
    pub(super) fn external_at<V: Version>(&self, bits: u128) -> Option<u8> {
        let is_it = |place: u8| self.external_bits.get(usize::from(place)) == Some(&bits);
        if is_it(0) && self.first_is_v6 == V::IS_V6 {
            return Some(0);
        }
        self.config.space.index_of(key::address(V::IS_V6, bits)).map(|place| place as u8)
    }

    /// The external addresses.
    pub(super) fn external(&self) -> &[IpAddr] {
        self.config.space.external()
    }

    /// Whether this is one of the external addresses.
    pub(super) fn is_external(&self, address: IpAddr) -> bool {
        self.config.space.index_of(address).is_some()
    }

    /// Whether a packet to this address comes back inside.
    pub(super) fn turns_back(&self, destination: IpAddr) -> bool {
        self.is_external(destination) || self.config.space.routed(destination).is_some()
    }

    /// Where packets to this address go; `None`: nowhere.
    pub(super) fn hop(&self, destination: IpAddr) -> Option<Hop> {
        let epoch = self.config.space.epoch();
        let back = self.turns_back(destination);
        let next = if back { Some(destination) } else { route::next_hop(&self.config, destination) };
        next.map(|next| Hop { next, back, epoch })
    }

    /// The same for a session that there is, although nobody may be there any more for what turned back.
    pub(super) fn hop_now(&self, destination: IpAddr) -> Hop {
        self.hop(destination).unwrap_or(Hop { next: destination, back: false, epoch: 0 })
    }

    /// The pool of the external address at this place.
    pub(super) fn pool_at(&self, place: u8, protocol: Protocol) -> &Pool {
        &self.pools[usize::from(place)][protocol as usize]
    }

    pub(super) fn pool_at_mut(&mut self, place: u8, protocol: Protocol) -> &mut Pool {
        &mut self.pools[usize::from(place)][protocol as usize]
    }

    /// The pool of an external address, if it is one of this uplink's.
    pub(super) fn pool(&self, address: IpAddr, protocol: Protocol) -> Option<&Pool> {
        Some(self.pool_at(self.config.space.index_of(address)? as u8, protocol))
    }

    pub(super) fn pool_mut(&mut self, address: IpAddr, protocol: Protocol) -> Option<&mut Pool> {
        Some(self.pool_at_mut(self.config.space.index_of(address)? as u8, protocol))
    }
}

/// The places of external addresses, a bit each; those that are none of the uplink's have none.
fn places(config: &UplinkConfig, addresses: &[IpAddr]) -> u64 {
    let places = addresses.iter().filter_map(|&address| config.space.index_of(address));
    places.fold(0, |places, place| places | bit_of(place as u8))
}

/// That of a place among the external addresses; none for [`key::OWN`].
const fn bit_of(place: u8) -> u64 {
    if place < u64::BITS as u8 { 1 << place } else { 0 }
}

const _: () = assert!(EXTERNAL_ADDRESSES_PER_UPLINK <= u64::BITS as usize);
