//! How a rate is written on the command line: `500`, `10k`, `100M`, `1G`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// For every rate.
pub(super) const VALUE: &str = "N[k|M|G]";

/// So many a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rate(u64);

/// Rate limits as the API takes and shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the API names them so")]
pub(super) struct Rates {
    packets_per_second: Option<Rate>,
    bits_per_second: Option<Rate>,
    sessions_per_second: Option<Rate>,
}

/// As the SI has them: a bit rate is counted in thousands.
const UNITS: [(char, u64); 3] = [('G', 1_000_000_000), ('M', 1_000_000), ('k', 1_000)];

impl Rates {
    /// Those that there are, by their names in the API.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, Rate)> {
        let all = [
            ("packets_per_second", self.packets_per_second),
            ("bits_per_second", self.bits_per_second),
            ("sessions_per_second", self.sessions_per_second),
        ];
        all.into_iter().filter_map(|(name, rate)| Some((name, rate?)))
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = UNITS.iter().find_map(|&(letter, unit)| Some((text.strip_suffix(letter)?, unit)));
        let (digits, unit) = unit.unwrap_or((text, 1));
        // A sign would be taken, too.
        let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        let rate = number.and_then(|number| number.checked_mul(unit));
        rate.map(Self).ok_or("is not a number, such as 500, 10k, 100M or 1G")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((letter, unit)) => write!(f, "{}{letter}", self.0 / unit),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for (text, rate) in [
            ("1", 1),
            ("999", 999),
            ("1500", 1_500),
            ("10k", 10_000),
            ("100M", 100_000_000),
            ("1G", 1_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Rate(rate)));
            assert_eq!(Rate(rate).to_string(), text);
        }
        assert_eq!("1000k".parse::<Rate>().unwrap().to_string(), "1M");
        for wrong in ["", "k", "1K", "1m", "1.5M", "-1", "+1", "1 k", "18446744073709551615k"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
