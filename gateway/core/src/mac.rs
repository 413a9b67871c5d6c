//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

/// An IEEE 802 MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

/// The text is not six hexadecimal octets joined by colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address is six hexadecimal octets joined by colons, such as 02:00:5e:10:00:01")]
pub struct ParseMacError;

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether one station, not a group, is meant (IEEE 802: the lowest bit of the first octet is clear).
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0
    }

    /// A locally administered unicast address made of 40 bits of `seed`.
    pub const fn local(seed: u64) -> Self {
        let b = seed.to_be_bytes();
        Self([0x02, b[3], b[4], b[5], b[6], b[7]])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", o[0], o[1], o[2], o[3], o[4], o[5])
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(s: &str) -> Result<Self, ParseMacError> {
        let mut octets = [0; 6];
        let mut parts = s.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *octet = u8::from_str_radix(part.ok_or(ParseMacError)?, 16).map_err(|_| ParseMacError)?;
        }
        if parts.next().is_some() { Err(ParseMacError) } else { Ok(Self(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_bad_text_is_refused() {
        let mac = MacAddr([2, 0, 0x5e, 0x10, 0, 0xff]);
        assert_eq!("02:00:5e:10:00:ff".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
        for bad in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:ff:00",
            "2:0:5e:10:0:f",
            "02-00-5e-10-00-ff",
            "+2:00:5e:10:00:ff",
        ] {
            assert_eq!(bad.parse::<MacAddr>(), Err(ParseMacError), "{bad:?}");
        }
    }

    #[test]
    fn local_addresses_are_unicast_and_locally_administered() {
        let mac = MacAddr::local(u64::MAX);
        assert!(mac.is_unicast());
        assert_eq!(mac.0[0] & 2, 2);
    }
}
