//! How long something usually takes.

use std::time::Duration;

/// An exponentially weighted mean; nothing until the first sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimate(Option<Duration>);

/// The weight of the newest sample is one of so many: some ten samples decide.
const WEIGHT: u32 = 8;

impl Estimate {
    /// It took this long.
    pub(super) fn add(&mut self, sample: Duration) {
        self.0 = Some(match self.0 {
            None => sample,
            Some(mean) if sample >= mean => mean + sample.abs_diff(mean) / WEIGHT,
            Some(mean) => mean.saturating_sub(sample.abs_diff(mean) / WEIGHT),
        });
    }

    /// How long it usually takes, if it is known.
    pub(super) const fn mean(self) -> Option<Duration> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_counts_whole_and_later_ones_move_the_mean() {
        let ms = Duration::from_millis;
        let mut estimate = Estimate::default();
        assert_eq!(estimate.mean(), None);
        for (sample, mean) in [(80, 80), (160, 90), (10, 80)] {
            estimate.add(ms(sample));
            assert_eq!(estimate.mean(), Some(ms(mean)));
        }
    }
}
