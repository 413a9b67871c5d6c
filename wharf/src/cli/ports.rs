//! How external ports are written on the command line: `1024-65535`, or `9000` for one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::output::joined;

/// For every range of ports.
pub(super) const VALUE: &str = "FIRST[-LAST]";

/// Ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    first: u16,
    last: u16,
}

/// Ports as the API shows them.
#[derive(Deserialize)]
pub(super) struct Ports {
    #[serde(flatten)]
    range: Range,
    #[serde(default)]
    exclude: Vec<Range>,
}

impl FromStr for Range {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self { first, last }),
            (Ok(_), Ok(_)) => Err("ends before it begins"),
            _ => Err("is not a port or FIRST-LAST, such as 9000 or 1024-65535"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, last } if first == last => first.fmt(f),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range.fmt(f)?;
        if self.exclude.is_empty() {
            return Ok(());
        }
        write!(f, " without {}", joined(&self.exclude.iter().map(Range::to_string).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges() {
        assert_eq!("1024-65535".parse(), Ok(Range { first: 1024, last: 65535 }));
        for one in ["7", "7-7"] {
            assert_eq!(one.parse(), Ok(Range { first: 7, last: 7 }));
            assert_eq!(one.parse::<Range>().unwrap().to_string(), "7");
        }
        for wrong in ["", "-", "65536", "1024-", "-7", "9-8", "1024-65536", "a-b", "1-2-3"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
