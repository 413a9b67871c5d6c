//! Packets as they are: bytes in hexadecimal digits.

use super::invalid;
use crate::Problem;
use crate::limits::PROBE_BYTES;

/// Reads pairs of hexadecimal digits, blaming `field`.
pub(super) fn bytes(field: &str, digits: &str) -> Result<Vec<u8>, Problem> {
    let length = digits.len() / 2;
    if !(1..=PROBE_BYTES).contains(&length) {
        return Err(invalid(field, format!("it has {length} bytes; write 1 to {PROBE_BYTES}")));
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => Some((value(high)? << 4 | value(low)?) as u8),
        _ => None,
    };
    let bytes: Option<Vec<_>> = digits.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| invalid(field, "write two hexadecimal digits for each byte, and nothing between"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_are_a_byte() {
        assert_eq!(bytes("packet", "00ff7Fa0"), Ok(vec![0, 255, 0x7f, 0xa0]));
        for wrong in ["", "0", "000", "0g", "+1", " 0", "0x00", "é", "00 00"] {
            assert_eq!(bytes("packet", wrong).unwrap_err().field(), Some("packet"), "{wrong:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        for (length, fits) in [(1, true), (9_215, true), (9_216, true), (9_217, false), (0, false)] {
            assert_eq!(bytes("frame", &"ab".repeat(length)).is_ok(), fits, "{length}");
        }
        // Half a byte more is too much too.
        assert!(bytes("frame", &"a".repeat(9_216 * 2 + 1)).is_err());
    }
}
