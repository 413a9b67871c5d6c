//! Internet checksums (RFC 1071) and their incremental update (RFC 1624, eqn 3).

use std::net::{IpAddr, SocketAddr};

/// The one's complement difference between old and new header words.
///
/// Adding it to a sum replaces the old words by the new ones, wherever in the sum they stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta(u32);

/// The same in the least space, for sums in the machine's own byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Folded(u16);

impl Folded {
    /// The difference the other way round.
    pub(crate) const fn reversed(self) -> Self {
        // No difference is all ones; with 0 a sum of 0 would stay 0, which no sum of header words is.
        Self(if self.0 == 0xffff { 0xffff } else { !self.0 })
    }

    /// To be applied.
    pub(crate) const fn delta(self) -> Delta {
        Delta(self.0 as u32)
    }
}

impl Delta {
    /// In the least space, and for sums in the machine's own byte order.
    pub(crate) const fn folded(self) -> Folded {
        Folded(self.native().0 as u16)
    }

    /// Replaces one 16-bit word.
    pub(crate) const fn word(old: u16, new: u16) -> Self {
        Self(!old as u32 + new as u32)
    }

    /// The difference for sums of words in the machine's own byte order (RFC 1071 §2 (B)).
    pub(crate) const fn native(self) -> Self {
        Self(u16::from_ne_bytes(fold(self.0).to_be_bytes()) as u32)
    }

    /// Replaces an address by one of the same family.
    pub(crate) fn address(old: IpAddr, new: IpAddr) -> Self {
        // The old address's sum is subtracted by adding its complement.
        Self::word(address_sum(old), address_sum(new))
    }

    /// Replaces an address, as a pseudo-header holds it, and a port.
    pub(crate) fn endpoint(old: SocketAddr, new: SocketAddr) -> Self {
        Self::address(old.ip(), new.ip()).and(Self::word(old.port(), new.port()))
    }

    /// Both replacements.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Updates a complete checksum field: complemented, as it stands on the wire.
    #[inline(always)]
    pub(crate) const fn apply(self, checksum: u16) -> u16 {
        !self.apply_partial(!checksum)
    }

    /// Updates a partial checksum field: the folded sum of the pseudo-header, not complemented
    /// (Linux `CHECKSUM_PARTIAL`, include/linux/skbuff.h).
    #[inline(always)]
    pub(crate) const fn apply_partial(self, sum: u16) -> u16 {
        fold(self.0 + sum as u32)
    }
}

/// The folded one's complement sum of `bytes`, starting from `sum`; an odd last byte is padded with zero.
pub(crate) fn sum(bytes: &[u8], sum: u32) -> u16 {
    let (words, rest) = bytes.as_chunks::<2>();
    let mut total: u64 = sum.into();
    for word in words {
        total += u64::from(u16::from_be_bytes(*word));
    }
    if let [last] = rest {
        total += u64::from(*last) << 8;
    }
    while total > 0xffff_ffff {
        total = (total & 0xffff_ffff) + (total >> 32);
    }
    fold(total as u32)
}

/// The folded sum of an address.
fn address_sum(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(address) => fold((address.to_bits() >> 16) + (address.to_bits() & 0xffff)),
        IpAddr::V6(address) => sum(&address.octets(), 0),
    }
}

/// The sum of a pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1), to be gone on with.
pub(crate) fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u32 {
    // The upper half of IPv6's 32-bit length is zero: no packet here is that long.
    u32::from(address_sum(source)) + u32::from(address_sum(destination)) + u32::from(protocol) + length as u32
}

/// The checksum of `bytes` as it stands on the wire.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    !sum(bytes, 0)
}

/// Twice is enough: after the first time, there is at most a carry of one.
#[inline(always)]
const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn incremental_update_equals_full_computation(mut bytes in prop::collection::vec(any::<u8>(), 2..64), at in any::<prop::sample::Index>(), new: u16) {
            let at = at.index(bytes.len() / 2) * 2;
            let before = checksum(&bytes);
            let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
            let updated = Delta::word(old, new).apply(before);
            // 0x0000 and 0xffff are the same number in one's complement; a receiver accepts either.
            prop_assert_eq!(sum(&updated.to_be_bytes(), sum(&bytes, 0).into()), 0xffff);
        }
    }

    #[test]
    fn rfc_1624_corner_case_keeps_the_right_zero() {
        // RFC 1624 §4: HC = 0xDD2F, m = 0x5555, m' = 0x3285 gives 0x0000, not 0xFFFF.
        assert_eq!(Delta::word(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }
}
