//! Few numbers about some runs.

use std::time::Duration;

/// What is said about the runs of one subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How many.
    pub runs: usize,
}

impl Summary {
    /// Of these values; `None` if there is none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max, runs: sorted.len() })
    }
}

/// The smallest of the sorted times that so many of a hundred do not exceed.
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted() {
        for (values, expected) in [
            (&[3.0, 1.0, 2.0][..], (2.0, 1.0, 3.0)),
            (&[4.0, 1.0, 3.0, 2.0], (2.5, 1.0, 4.0)),
            (&[7.0], (7.0, 7.0, 7.0)),
            (&[100.0, 1.0, 1.0, 1.0, 1.0], (1.0, 1.0, 100.0)),
        ] {
            let summary = Summary::of(values).expect("values");
            assert_eq!((summary.median, summary.min, summary.max), expected, "{values:?}");
            assert_eq!(summary.runs, values.len());
        }
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn percentiles_are_ranks() {
        let times: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&times, 50), Some(Duration::from_micros(100)));
        assert_eq!(percentile(&times, 99), Some(Duration::from_micros(198)));
        assert_eq!(percentile(&times[..1], 99), Some(Duration::from_micros(1)));
        assert_eq!(percentile(&[], 50), None);
    }
}
