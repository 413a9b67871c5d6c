//! What sessions are found by, packed: to compare two keys is to compare two words and an address.
//!
//! ```text
//! 63            48 47   40 39      32 31         16 15          0
//! | link's place | kind  | external | near port   | remote port |
//! ```
//!
//! Seen from inside, the link is a container's, the near port the container's, and there is no external address. Seen from
//! outside, the link is an uplink, the near port and the external address those that the VPC sees. A container's own address is not in
//! the key: it has one of each IP version, and sends by no other.

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Protocol;
use crate::limits::EXTERNAL_ADDRESSES_PER_UPLINK;
use crate::packet::Tuple;

/// Instead of an external address's place: the container's own one, where translation is off.
pub(crate) const OWN: u8 = u8::MAX;

const _: () = assert!(EXTERNAL_ADDRESSES_PER_UPLINK <= OWN as usize);

const REMOTE_PORT: u64 = 0xffff;
const EXTERNAL: u64 = 0xff << 32;
/// Of the kind: protocol and IP version.
const KIND: u64 = 0x07 << 40;
const V6: u64 = 0x04 << 40;
/// Tells keys of both sides apart; not in a session's own word.
const OUTSIDE: u64 = 0x08 << 40;
/// Flags that a session keeps in its word; not in keys.
const FLAGS: u64 = 0xf0 << 40;

/// What a packet's session is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(super) word: u64,
    /// The bits of the remote address: the upper half, the lower half. IPv4 has the lower one only.
    pub(super) remote: [u64; 2],
    /// Whose own address it is, if the external address is [`OWN`].
    pub(super) owner: u16,
}

/// Protocol and IP version of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind(u64);

impl Kind {
    #[inline(always)]
    pub(crate) const fn new(protocol: Protocol, is_v6: bool) -> Self {
        Self((protocol as u64) << 40 | if is_v6 { V6 } else { 0 })
    }
}

/// The word of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// What a session is beside its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// The VPC sees another endpoint than the container's own.
    Translated = 0x10,
    /// Inbound packets refresh it too, although it is UDP.
    RefreshedByBoth = 0x20,
    /// Its remote is behind this gateway as well.
    TurnsBack = 0x40,
    /// The remote sent its first packet.
    OpenedByRemote = 0x80,
}

impl Key {
    /// Of a packet as the container sends it; `attachment` is the place of its link.
    #[inline(always)]
    pub(crate) fn inside(attachment: usize, tuple: &Tuple) -> Self {
        let ports = u32::from(tuple.source.port()) << 16 | u32::from(tuple.destination.port());
        let kind = Kind::new(tuple.protocol, tuple.destination.is_ipv6());
        Self::inside_of(kind, attachment, ports, bits(tuple.destination.ip()))
    }

    /// The same. `ports` are the near and the remote one.
    #[inline(always)]
    pub(crate) const fn inside_of(kind: Kind, attachment: usize, ports: u32, remote: u128) -> Self {
        Self::of(kind.0 | (attachment as u64) << 48 | ports as u64, remote)
    }

    /// Of a packet as the VPC answers; `external` is the place of the address that it answers to, and `owner` the container
    /// if that address is [`OWN`].
    #[inline(always)]
    pub(crate) fn outside(uplink: usize, external: u8, owner: usize, tuple: &Tuple) -> Self {
        let ports = u32::from(tuple.destination.port()) << 16 | u32::from(tuple.source.port());
        let owner = if external == OWN { owner as u16 } else { 0 };
        let kind = Kind::new(tuple.protocol, tuple.source.is_ipv6());
        Self { owner, ..Self::outside_of(kind, uplink, external, ports, bits(tuple.source.ip())) }
    }

    /// The same, for an external address. `ports` are the near and the remote one.
    #[inline(always)]
    pub(crate) const fn outside_of(
        kind: Kind,
        uplink: usize,
        external: u8,
        ports: u32,
        remote: u128,
    ) -> Self {
        let link = (uplink as u64) << 48 | (external as u64) << 32;
        Self::of(kind.0 | OUTSIDE | link | ports as u64, remote)
    }

    /// With this word and remote address, of a translated session.
    #[inline(always)]
    pub(crate) const fn of(word: u64, remote: u128) -> Self {
        Self { word, remote: [(remote >> 64) as u64, remote as u64], owner: 0 }
    }

    /// Everything but the remote address, of a translated session.
    #[inline(always)]
    pub(crate) const fn word(&self) -> u64 {
        self.word
    }

    /// The keyed hash that the index knows it by.
    #[inline(always)]
    pub(crate) fn tag(&self, hasher: &ahash::RandomState) -> u32 {
        let [high, low] = self.remote;
        let pair = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let owner = u64::from(self.owner) << 32;
        let mut state = hasher.build_hasher();
        if self.is_v6() {
            state.write_u128(pair(high, low));
            state.write_u128(pair(self.word, owner));
        } else {
            state.write_u128(pair(self.word, owner | low));
        }
        state.finish() as u32
    }

    /// The link's place and the near port.
    #[inline(always)]
    pub(super) const fn outer(&self) -> u32 {
        ((self.word >> 48) << 16) as u32 | (self.word >> 16) as u16 as u32
    }

    /// The link's place.
    pub(crate) const fn link(&self) -> usize {
        (self.word >> 48) as usize
    }

    pub(crate) const fn is_v6(&self) -> bool {
        self.word & V6 != 0
    }
}

impl Word {
    /// That of a session that is found by both keys.
    pub(super) const fn of(inside: &Key, outside: &Key) -> Self {
        Self(inside.word | outside.word & EXTERNAL)
    }

    #[inline(always)]
    pub(super) const fn is_inside(self, key: &Key) -> bool {
        self.0 & !(EXTERNAL | FLAGS) == key.word
    }

    /// Whether everything but uplink and near port is as the key has it.
    #[inline(always)]
    pub(super) const fn is_outside(self, key: &Key) -> bool {
        const SEEN: u64 = KIND | EXTERNAL | REMOTE_PORT;
        self.0 & SEEN == key.word & SEEN && (self.external() != OWN || self.attachment() == key.owner)
    }

    pub(super) const fn attachment(self) -> u16 {
        (self.0 >> 48) as u16
    }

    pub(super) const fn external(self) -> u8 {
        (self.0 >> 32) as u8
    }

    pub(super) const fn near_port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub(super) const fn remote_port(self) -> u16 {
        self.0 as u16
    }

    pub(super) const fn is_v6(self) -> bool {
        self.0 & V6 != 0
    }

    pub(super) const fn protocol(self) -> Protocol {
        match self.0 >> 40 & 0x03 {
            0 => Protocol::Tcp,
            1 => Protocol::Udp,
            _ => Protocol::Icmp,
        }
    }

    #[inline(always)]
    pub(super) const fn has(self, flag: Flag) -> bool {
        self.0 & (flag as u64) << 40 != 0
    }

    pub(super) const fn set(&mut self, flag: Flag, on: bool) {
        let bit = (flag as u64) << 40;
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }
}

#[inline(always)]
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address that has these bits.
pub(crate) fn address(v6: bool, bits: u128) -> IpAddr {
    if v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}
