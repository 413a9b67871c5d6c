//! Ethernet addresses.

use std::fmt;

use crate::{Code, Problem};

/// The MAC address of one station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Reads six hexadecimal octets joined by colons that name one station, blaming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let octets = octets(text).ok_or_else(|| {
            invalid(
                field,
                format!(
                    "{text:?} is not a MAC address; write six hexadecimal octets, such as 02:00:5e:10:00:01"
                ),
            )
        })?;
        if octets[0] & 1 == 1 || octets == [0; 6] {
            return Err(invalid(
                field,
                format!("{text} names no single station; clear the lowest bit of the first octet"),
            ));
        }
        Ok(Self(octets))
    }
}

fn octets(text: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        // `from_str_radix` would take a sign.
        let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

fn invalid(field: &str, detail: String) -> Problem {
    Problem::new(Code::InvalidMac, detail).at(field)
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_one_station_are_taken() {
        for good in ["02:00:5e:10:00:01", "fe:ff:ff:ff:ff:ff", "00:00:00:00:00:01"] {
            assert_eq!(MacAddr::parse("mac", good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "2:0:5e:10:0:1",
            "02-00-5e-10-00-01",
            "+2:00:5e:10:00:01",
            "0g:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ] {
            let problem = MacAddr::parse("mac", bad).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidMac, Some("mac")), "{bad:?}");
        }
    }
}
