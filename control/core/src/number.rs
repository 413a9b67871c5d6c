//! Numbers that clients choose.

use std::ops::RangeInclusive;

use crate::{Code, Problem};

/// A number inside of `range`, blaming `field`; `default` if none is given.
pub(crate) fn within(
    field: &str,
    number: Option<i64>,
    range: RangeInclusive<u32>,
    default: u32,
) -> Result<u32, Problem> {
    let Some(number) = number else { return Ok(default) };
    u32::try_from(number).ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let detail = format!("{field} is {} to {}, not {number}", range.start(), range.end());
        Problem::new(Code::InvalidNumber, detail).at(field)
    })
}
