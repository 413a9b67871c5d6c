//! Rate limits: how much all containers of a connector may do together.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Code, Faults, Problem};

/// Requested rate limits, each of all containers together; what is left out is not limited.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewRates {
    /// Packets a second, each way.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_per_second: Option<i64>,
    /// Bits of IP packets a second, each way.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_second: Option<i64>,
    /// New sessions a second.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_second: Option<i64>,
}

/// Rate limits; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rates {
    /// Packets a second, each way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_per_second: Option<u64>,
    /// Bits of IP packets a second, each way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_second: Option<u64>,
    /// New sessions a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_second: Option<u64>,
}

/// Largest rate: a terabit a second.
const RATE_MAX: u64 = 1_000_000_000_000;

impl Rates {
    pub(crate) fn parse(new: &NewRates) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let mut rate = |name, rate| faults.take(parse_rate(name, rate)).flatten();
        let rates = Self {
            packets_per_second: rate("packets_per_second", new.packets_per_second),
            bits_per_second: rate("bits_per_second", new.bits_per_second),
            sessions_per_second: rate("sessions_per_second", new.sessions_per_second),
        };
        faults.end(Some(rates))
    }

    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

fn parse_rate(name: &str, rate: Option<i64>) -> Result<Option<u64>, Problem> {
    let Some(rate) = rate else { return Ok(None) };
    let right = u64::try_from(rate).ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    right.map(Some).ok_or_else(|| {
        let detail = format!("a rate is 1 to {RATE_MAX} a second, not {rate}");
        Problem::new(Code::InvalidPolicy, detail).at(format!("rate_limits.{name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bounded_and_all_wrong_ones_are_named() {
        for (rate, right) in
            [(0, false), (1, true), (1_000_000_000_000, true), (1_000_000_000_001, false), (-1, false)]
        {
            let new = NewRates { packets_per_second: Some(rate), ..NewRates::default() };
            assert_eq!(Rates::parse(&new).is_ok(), right, "{rate}");
        }
        let all =
            NewRates { packets_per_second: Some(0), bits_per_second: Some(0), sessions_per_second: Some(0) };
        assert_eq!(Rates::parse(&all).unwrap_err().errors().count(), 3);
        assert!(Rates::parse(&NewRates::default()).unwrap().is_unlimited());
    }
}
