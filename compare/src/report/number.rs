//! Numbers of any size with as many digits as mean something.

/// Three digits that count, and commas between thousands.
pub(super) fn short(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        m if m >= 100.0 || m == 0.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        m if m >= 0.1 => 3,
        m if m >= 0.01 => 4,
        _ => 5,
    };
    let rounded = if magnitude >= 1000.0 {
        // The last digits of a packet rate are noise.
        let unit = 10_f64.powi(magnitude.log10() as i32 - 2);
        (value / unit).round() * unit
    } else {
        value
    };
    with_commas(&format!("{rounded:.decimals$}"))
}

fn with_commas(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let digits = whole.trim_start_matches('-');
    let mut out = whole[..whole.len() - digits.len()].to_owned();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        for (value, expected) in [
            (0.0, "0"),
            (0.004_26, "0.00426"),
            (0.512_34, "0.512"),
            (3.456_7, "3.46"),
            (34.56, "34.6"),
            (345.6, "346"),
            (3_456.7, "3,460"),
            (1_234_567.0, "1,230,000"),
            (-12_345.0, "-12,300"),
        ] {
            assert_eq!(short(value), expected);
        }
    }
}
