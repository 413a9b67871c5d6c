//! What functions shall take at most, and what they take.

use std::fmt::Write;

use super::number::short;
use crate::functions::COLD;
use crate::metric::{Better, Metric};
use crate::result::Results;

/// What each metric of functions is to be: at most, or at least where more is better.
const TARGETS: [(Metric, f64); 7] = [
    (Metric::TriggerMedian, 8.0),
    (Metric::TriggerTail, 20.0),
    (Metric::CodeMount, 200.0),
    (Metric::WarmOverhead, 500.0),
    (Metric::Burst, 1_500.0),
    (Metric::Refill, 10.0),
    (Metric::WarmPython, 12.0),
];

/// How many times as long a cold trigger takes at least, by the medians of their p50s.
const TIMES_AS_LONG: f64 = 20.0;

/// The targets of what was measured; empty if none of it was.
pub fn table(results: &Results) -> String {
    let mut rows = String::new();
    for (metric, target) in TARGETS {
        let Some(median) = results.summary(metric, "wharf").map(|summary| summary.median) else { continue };
        rows += &row(metric.title(), metric.better(), target, median);
    }
    if let Some(ratio) = results.ratio(Metric::TriggerMedian, COLD) {
        rows += &row("A cold trigger is so many times as slow", Better::Higher, TIMES_AS_LONG, ratio.recip());
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n## Functions and their targets\n\n| what | target | wharf | |\n| --- | --- | --- | --- |\n{rows}"
    )
}

fn row(what: &str, better: Better, target: f64, median: f64) -> String {
    let (sign, is_met) = match better {
        Better::Higher => ('≥', median >= target),
        Better::Lower => ('≤', median <= target),
    };
    let mut row = String::new();
    let met = if is_met { "met" } else { "**missed**" };
    let _ = writeln!(row, "| {what} | {sign} {} | {} | {met} |", short(target), short(median));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_functions_has_a_target() {
        assert_eq!(TARGETS.map(|(metric, _)| metric), Metric::FUNCTIONS);
    }

    #[test]
    fn what_is_met_and_what_is_missed_goes_by_the_medians() {
        let mut results = Results::default();
        assert_eq!(table(&results), "");
        for value in [5.0, 30.0, 7.5] {
            results.add(Metric::TriggerMedian, "wharf", value);
            results.add(Metric::TriggerMedian, COLD, value * 19.0);
        }
        results.add(Metric::Refill, "wharf", 9.5);
        let table = table(&results);
        for expected in [
            "| Function, trigger to first byte, p50, ms | ≤ 8.00 | 7.50 | met |",
            "| Pool of Python, warm containers per second | ≥ 10.0 | 9.50 | **missed** |",
            "| A cold trigger is so many times as slow | ≥ 20.0 | 19.0 | **missed** |",
        ] {
            assert!(table.lines().any(|line| line == expected), "{expected} in\n{table}");
        }
    }
}
