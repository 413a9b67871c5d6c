//! Which invocation, and what took how long in it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Tells an invocation from all others, for ever. A UUID of version 7 (RFC 9562 §5.7): later ones are greater, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InvocationId(u128);

/// A part of an invocation's trace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct TraceSpan {
    /// What was going on: `mount`, `load`, `attach`, `handler`, …
    #[schema(example = "mount")]
    pub name: String,
    /// When it began. Microseconds after the trigger.
    pub start_us: u64,
    /// How long it took. Microseconds.
    pub duration_us: u64,
}

impl InvocationId {
    /// The id of an invocation at `now_ms`, Unix time; nobody has got the same `random` in this millisecond.
    pub fn new(now_ms: u64, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(u128::from_be_bytes(bytes))
    }

    /// The id whose text this is; `None` if it is none that we have given out.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        });
        if text.len() != 36 || !digits {
            return None;
        }
        let id = Self(u128::from_str_radix(&text.replace('-', ""), 16).ok()?);
        (id.0 >> 76 & 0xf == 7 && id.0 >> 62 & 0b11 == 0b10).then_some(id)
    }

    /// When it was given out. Unix time, milliseconds.
    pub const fn at_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |shift: u32, bits: u32| (self.0 >> shift) & ((1 << bits) - 1);
        let (time, low, version) = (part(96, 32), part(80, 16), part(64, 16));
        write!(f, "{time:08x}-{low:04x}-{version:04x}-{:04x}-{:012x}", part(48, 16), part(0, 48))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7_and_reads_back() {
        // RFC 9562 §A.6.
        let random = [0xc, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        let id = InvocationId::new(0x017f_22e2_79b0, random);
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(InvocationId::parse(&id.to_string()), Some(id));
        assert_eq!(id.at_ms(), 0x017f_22e2_79b0);
        assert!(id < InvocationId::new(0x017f_22e2_79b1, [0; 10]), "later ones are greater");
    }

    #[test]
    fn what_is_no_id_is_not_read() {
        for text in [
            "",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
            "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
            "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f",
            "017f22e2x79b0-7cc3-98c4-dc0c0c07398f",
            "+17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "017f22e2-79b0-7cc3-98c4-dc0c0c0739\u{e9}",
        ] {
            assert_eq!(InvocationId::parse(text), None, "{text}");
        }
    }
}
