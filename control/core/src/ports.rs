//! Ranges of external ports.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Code, Problem};

/// A requested range of ports, both ends included.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewPortRange {
    /// First port, from 1.
    #[schema(value_type = u16, minimum = 1)]
    pub first: i64,
    /// Last port.
    #[schema(value_type = u16, minimum = 1)]
    pub last: i64,
}

/// A range of ports with at least one port in it and without port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PortRangeView {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl PortRange {
    /// RFC 4787 REQ-3a: mappings use ports from 1024 up.
    pub const DEFAULT: Self = Self { first: 1024, last: 65_535 };

    /// Checks a requested range, blaming `field`.
    pub fn parse(field: &str, range: NewPortRange) -> Result<Self, Problem> {
        let first = parse_port(&format!("{field}.first"), range.first)?;
        let last = parse_port(&format!("{field}.last"), range.last)?;
        if first <= last {
            return Ok(Self { first, last });
        }
        let detail = format!("the range from {first} to {last} is empty; put the smaller port first");
        Err(Problem::new(Code::InvalidPorts, detail).at(field))
    }

    /// First port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Last port, not below the first.
    pub const fn last(self) -> u16 {
        self.last
    }

    pub(crate) const fn view(self) -> PortRangeView {
        PortRangeView { first: self.first, last: self.last }
    }
}

/// Checks one port, blaming `field`.
pub(crate) fn parse_port(field: &str, port: i64) -> Result<u16, Problem> {
    u16::try_from(port).ok().filter(|&port| port > 0).ok_or_else(|| {
        Problem::new(Code::InvalidPorts, format!("{port} is not a port; choose one from 1 to 65535"))
            .at(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_at_below_and_above_their_ends() {
        for (first, last) in [(1, 1), (1, 65_535), (1024, 65_535), (65_535, 65_535)] {
            let range = PortRange::parse("ports", NewPortRange { first, last }).unwrap();
            assert_eq!((i64::from(range.first()), i64::from(range.last())), (first, last));
        }
        for (first, last, field) in [
            (0, 10, "ports.first"),
            (-1, 10, "ports.first"),
            (1, 65_536, "ports.last"),
            (2, 1, "ports"),
            (i64::MAX, i64::MAX, "ports.first"),
        ] {
            let problem = PortRange::parse("ports", NewPortRange { first, last }).unwrap_err();
            assert_eq!(
                (problem.code(), problem.field()),
                (Code::InvalidPorts, Some(field)),
                "{first} {last}"
            );
        }
    }
}
