//! The numbers that have a target.

use std::fmt::Write;

use serde::Serialize;

use super::Values;

/// What `--json` holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Numbers {
    translate_hit_64k_ns: f64,
    translate_hit_4m_ns: f64,
    new_session_ns: f64,
    instructions_hit: f64,
    bytes_per_session: f64,
    growth_pause_us: f64,
}

/// A row of the table.
struct Row {
    what: &'static str,
    /// The value's name.
    name: &'static str,
    unit: &'static str,
    /// At most.
    target: f64,
}

impl Numbers {
    /// `None` if one is missing, or is not what a measurement can give.
    pub(super) fn of(values: &Values) -> Option<Self> {
        let value = |name: &str| {
            let value = values.get(name).copied().filter(|value| value.is_finite() && *value > 0.0)?;
            Some((value * 10.0).round() / 10.0)
        };
        Some(Self {
            translate_hit_64k_ns: value("translate_hit_64k_ns")?,
            translate_hit_4m_ns: value("translate_hit_4m_ns")?,
            new_session_ns: value("new_session_ns")?,
            instructions_hit: value("instructions_hit")?,
            bytes_per_session: value("bytes_per_session")?,
            growth_pause_us: value("growth_pause_us")?,
        })
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers can be written")
    }

    /// A table for people: what, how much, the target and whether it holds. `values` may have the adversary's ratios.
    pub(super) fn table(&self, values: &Values) -> String {
        let mut text = format!("{:<56} {:>10} {:>12}\n", "what", "measured", "target");
        let own = [
            self.translate_hit_64k_ns,
            self.translate_hit_4m_ns,
            self.new_session_ns,
            self.instructions_hit,
            self.bytes_per_session,
            self.growth_pause_us,
        ];
        for (row, value) in ROWS.iter().zip(own) {
            line(&mut text, row, value);
        }
        let ratios = values.iter().filter(|(name, _)| is_lookup_ratio(name)).map(|(_, ratio)| *ratio);
        if let Some(worst) = ratios.reduce(f64::max) {
            line(&mut text, &ADVERSARY, worst);
        }
        text
    }
}

fn line(text: &mut String, row: &Row, value: f64) {
    let Row { what, name, unit, target } = row;
    let what = if name.is_empty() { (*what).to_owned() } else { format!("{what} ({name})") };
    let verdict = if value <= *target { "" } else { "  missed" };
    let (value, target) = (format!("{value} {unit}"), format!("≤ {target} {unit}"));
    writeln!(text, "{what:<56} {value:>10} {target:>12}{verdict}").expect("a string takes every line");
}

fn is_lookup_ratio(name: &str) -> bool {
    name.starts_with("adversary_") && name.ends_with("_lookup_ratio")
}

/// In the order of [`Numbers`].
const ROWS: [Row; 6] = [
    Row { what: "64-byte UDP hit, 64 k", name: "translate_hit_64k_ns", unit: "ns", target: 40.0 },
    Row { what: "64-byte UDP hit, 4 M, random", name: "translate_hit_4m_ns", unit: "ns", target: 80.0 },
    Row { what: "new session", name: "new_session_ns", unit: "ns", target: 200.0 },
    Row { what: "instructions on a hit", name: "instructions_hit", unit: "", target: 220.0 },
    Row { what: "memory per session, 1 M", name: "bytes_per_session", unit: "B", target: 128.0 },
    Row { what: "longest call, growing to 4 M", name: "growth_pause_us", unit: "µs", target: 200.0 },
];

const ADVERSARY: Row =
    Row { what: "slowest chosen tuples over random ones, lookup", name: "", unit: "", target: 1.2 };

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let names = ROWS.iter().map(|row| row.name.to_owned());
        names.zip([39.96, 81.0, 150.0, 199.5, 120.25, 90.0]).collect()
    }

    #[test]
    fn the_json_has_exactly_these_keys_and_their_numbers() {
        let json = Numbers::of(&values()).expect("all are there").json();
        let expected = "{\"translate_hit_64k_ns\":40.0,\"translate_hit_4m_ns\":81.0,\"new_session_ns\":150.0,\
            \"instructions_hit\":199.5,\"bytes_per_session\":120.3,\"growth_pause_us\":90.0}";
        assert_eq!(json, expected);
    }

    #[test]
    fn a_number_that_is_missing_or_impossible_is_no_result() {
        for row in &ROWS {
            for impossible in [None, Some(f64::NAN), Some(f64::INFINITY), Some(0.0), Some(-1.0)] {
                let mut values = values();
                values.remove(row.name);
                values.extend(impossible.map(|value| (row.name.to_owned(), value)));
                assert_eq!(Numbers::of(&values), None, "{} is {impossible:?}", row.name);
            }
        }
    }

    #[test]
    fn the_table_says_what_has_missed_its_target_and_takes_the_worst_ratio() {
        let mut values = values();
        values.insert("adversary_a_lookup_ratio".to_owned(), 1.05);
        values.insert("adversary_b_lookup_ratio".to_owned(), 1.31);
        values.insert("adversary_c_packet_ratio".to_owned(), 9.0);
        let table = Numbers::of(&values).expect("all are there").table(&values);
        let missed: Vec<_> = table.lines().filter(|line| line.ends_with("missed")).collect();
        assert_eq!(missed.len(), 2, "{table}");
        assert!(missed[0].contains("translate_hit_4m_ns") && missed[1].contains("1.31"), "{table}");
    }
}
