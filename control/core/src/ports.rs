//! Ranges of external ports.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::{PORT_BLOCK, PORT_EXCLUSIONS};
use crate::{Code, Problem};

/// Requested external ports: a range, less some ranges.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewPorts {
    /// First port, from 1. Given together with `last`; 1024 and 65535 if both are left out.
    #[schema(value_type = Option<u16>, minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// Last port, given together with `first`.
    #[schema(value_type = Option<u16>, minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
    /// Ranges of it that are not used, such as ports that others forward; at most 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<NewPortRange>>,
}

/// A requested range of ports, both ends included.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewPortRange {
    /// First port, from 1.
    #[schema(value_type = u16, minimum = 1)]
    pub first: i64,
    /// Last port.
    #[schema(value_type = u16, minimum = 1)]
    pub last: i64,
}

/// External ports, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    range: PortRange,
    exclude: Vec<PortRange>,
}

/// A range of ports with at least one port in it and without port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// External ports: a range, both ends included, less some ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PortsView {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// Ranges of it that are not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<PortRangeView>,
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PortRangeView {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl Ports {
    /// Checks requested ports, blaming `field`, and fills in what was left out.
    pub fn parse(field: &str, ports: NewPorts) -> Result<Self, Problem> {
        let missing = |end: &str, other: &str| {
            let detail = format!("a range that has a {other} port has a {end} port too");
            Problem::new(Code::MissingField, detail).at(format!("{field}.{end}"))
        };
        let range = match (ports.first, ports.last) {
            (None, None) => PortRange::DEFAULT,
            (Some(first), Some(last)) => PortRange::parse(field, NewPortRange { first, last })?,
            (None, Some(_)) => return Err(missing("first", "last")),
            (Some(_), None) => return Err(missing("last", "first")),
        };
        let exclude = parse_exclusions(&format!("{field}.exclude"), ports.exclude.unwrap_or_default())?;
        let ports = Self { range, exclude };
        if ports.count() > 0 {
            return Ok(ports);
        }
        let detail = format!("no port from {} to {} is left; exclude fewer", range.first, range.last);
        Err(Problem::new(Code::InvalidPorts, detail).at(format!("{field}.exclude")))
    }

    /// The range without regard to what is excluded.
    pub const fn range(&self) -> PortRange {
        self.range
    }

    /// Ranges that are not used. They may overlap, and lie outside of the range.
    pub fn exclude(&self) -> &[PortRange] {
        &self.exclude
    }

    /// How many ports these are, at least one.
    pub fn count(&self) -> u32 {
        let mut exclude = self.exclude.clone();
        exclude.sort_unstable_by_key(|gap| gap.first);
        let end = u32::from(self.range.last) + 1;
        let (mut count, mut next) = (0, u32::from(self.range.first));
        for gap in exclude {
            count += u32::from(gap.first).min(end).saturating_sub(next);
            next = next.max(u32::from(gap.last) + 1);
        }
        count + end.saturating_sub(next)
    }

    /// How many whole blocks these have: [`PORT_BLOCK`] ports from a multiple of it on.
    pub fn whole_blocks(&self) -> u32 {
        let whole = |&block: &u16| {
            let (first, last) = (block * PORT_BLOCK, block * PORT_BLOCK + (PORT_BLOCK - 1));
            let inside = self.range.first <= first && last <= self.range.last;
            inside && self.exclude.iter().all(|gap| gap.last < first || last < gap.first)
        };
        (0..=u16::MAX / PORT_BLOCK).filter(whole).count() as u32
    }

    pub(crate) fn view(&self) -> PortsView {
        let PortRangeView { first, last } = self.range.view();
        PortsView { first, last, exclude: self.exclude.iter().map(|gap| gap.view()).collect() }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self { range: PortRange::DEFAULT, exclude: Vec::new() }
    }
}

fn parse_exclusions(field: &str, ranges: Vec<NewPortRange>) -> Result<Vec<PortRange>, Problem> {
    if ranges.len() > PORT_EXCLUSIONS {
        let detail = format!("at most {PORT_EXCLUSIONS} ranges can be excluded, not {}", ranges.len());
        return Err(Problem::new(Code::InvalidPorts, detail).at(field));
    }
    let parse = |(i, range)| PortRange::parse(&format!("{field}[{i}]"), range);
    ranges.into_iter().enumerate().map(parse).collect()
}

impl PortRange {
    /// RFC 4787 REQ-3a: mappings use ports from 1024 up.
    pub const DEFAULT: Self = Self { first: 1024, last: 65_535 };

    /// The port of DNS servers (RFC 1035 §4.2).
    pub(crate) const DNS: Self = Self { first: 53, last: 53 };

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

    fn excluding(range: (i64, i64), exclude: &[(i64, i64)]) -> Result<Ports, Problem> {
        let exclude = exclude.iter().map(|&(first, last)| NewPortRange { first, last }).collect();
        Ports::parse("ports", NewPorts { first: Some(range.0), last: Some(range.1), exclude: Some(exclude) })
    }

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

    #[test]
    fn both_ends_are_given_or_neither_is() {
        assert_eq!(Ports::parse("ports", NewPorts::default()), Ok(Ports::default()));
        for (first, last, field) in [(Some(1), None, "ports.last"), (None, Some(1), "ports.first")] {
            let problem = Ports::parse("ports", NewPorts { first, last, exclude: None }).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::MissingField, Some(field)));
        }
    }

    #[test]
    fn what_is_excluded_is_counted_once_and_only_inside_of_the_range() {
        assert_eq!(Ports::default().count(), 64_512);
        for (exclude, count) in [
            (&[][..], 1_001),
            (&[(1_000, 1_000)], 1_000),
            (&[(2_000, 2_000)], 1_000),
            (&[(1, 999), (2_001, 65_535)], 1_001),
            (&[(1, 1_499), (1_400, 1_599), (1_450, 1_460)], 401),
            (&[(1_900, 65_535), (1_100, 1_199)], 800),
            (&[(1_001, 2_000)], 1),
        ] {
            assert_eq!(excluding((1_000, 2_000), exclude).unwrap().count(), count, "{exclude:?}");
        }
    }

    #[test]
    fn only_whole_blocks_are_counted() {
        assert_eq!(Ports::default().whole_blocks(), 1_008);
        for (range, exclude, blocks) in [
            // Port 0 is no port, so that its block is never whole.
            ((1, 65_535), &[][..], 1_023),
            ((1_024, 1_087), &[], 1),
            ((1_024, 1_086), &[], 0),
            ((1_025, 1_087), &[], 0),
            ((1_025, 1_151), &[], 1),
            ((65_472, 65_535), &[], 1),
            ((1_024, 1_151), &[(1_087, 1_087)], 1),
            ((1_024, 1_151), &[(1_088, 1_088)], 1),
            ((1_024, 1_151), &[(1_087, 1_088)], 0),
            ((1_024, 1_151), &[(1, 1_023), (1_152, 1_152)], 2),
        ] {
            assert_eq!(excluding(range, exclude).unwrap().whole_blocks(), blocks, "{range:?} {exclude:?}");
        }
    }

    #[test]
    fn exclusions_are_bounded_and_leave_a_port() {
        let many = |n: i64| (1..=n).map(|port| (port, port)).collect::<Vec<_>>();
        assert_eq!(excluding((1, 65_535), &many(64)).unwrap().exclude().len(), 64);
        for (exclude, field) in [
            (many(65), "ports.exclude"),
            (vec![(1, 500), (501, 1_000)], "ports.exclude"),
            (vec![(1, 65_535)], "ports.exclude"),
            (vec![(1, 1), (0, 1)], "ports.exclude[1].first"),
            (vec![(1, 65_536)], "ports.exclude[0].last"),
            (vec![(2, 1)], "ports.exclude[0]"),
        ] {
            let problem = excluding((1, 1_000), &exclude).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidPorts, Some(field)), "{exclude:?}");
        }
    }
}
