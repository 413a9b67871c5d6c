//! What runs come to.

use std::time::Duration;

/// The middle one; of an even number, the mean of the two in the middle.
///
/// # Panics
/// If there is none.
pub fn median(mut runs: Vec<f64>) -> f64 {
    assert!(!runs.is_empty(), "a median of something");
    runs.sort_by(f64::total_cmp);
    let middle = runs.len() / 2;
    if runs.len().is_multiple_of(2) { f64::midpoint(runs[middle - 1], runs[middle]) } else { runs[middle] }
}

/// Nanoseconds of each of `count` things that took so long together.
pub fn nanos_each(taken: Duration, count: u64) -> f64 {
    taken.as_secs_f64() * 1e9 / float(count)
}

/// What `part` is of `whole`.
pub fn ratio(part: u64, whole: u64) -> f64 {
    float(part) / float(whole)
}

/// What `asked` things would have taken, if `done` took so long.
pub fn scaled(taken: Duration, asked: u64, done: u64) -> Duration {
    taken.mul_f64(ratio(asked, done))
}

#[expect(clippy::cast_precision_loss, reason = "counts here have far less than 52 bits")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "halves are exact")]
    fn the_median_is_the_middle_of_an_odd_number_and_between_two_of_an_even_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
