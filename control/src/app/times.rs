//! How long attaching takes, as a histogram.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets. Microseconds.
const BOUNDS_US: [u64; 12] = [25, 50, 100, 200, 300, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000];

/// Times, counted by bucket. Parts that are read at the same time as one is added can differ by it.
#[derive(Debug, Default)]
pub(super) struct Times {
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_ns: AtomicU64,
}

impl Times {
    /// Counts one.
    pub(super) fn add(&self, time: Duration) {
        let micros = time.as_nanos().div_ceil(1_000) as u64;
        if let Some(bucket) = BOUNDS_US.iter().position(|&bound| micros <= bound) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// Bounds in seconds with how many were no longer; the sum of all in seconds; how many there were.
    pub(super) fn read(&self) -> (Vec<(f64, u64)>, f64, u64) {
        let mut below = 0;
        let cumulated = BOUNDS_US.iter().zip(&self.buckets).map(|(&bound, bucket)| {
            below += bucket.load(Relaxed);
            (Duration::from_micros(bound).as_secs_f64(), below)
        });
        let buckets = cumulated.collect();
        (buckets, Duration::from_nanos(self.sum_ns.load(Relaxed)).as_secs_f64(), self.count.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_what_is_no_longer_than_their_bounds() {
        let times = Times::default();
        for micros in [25, 26, 1_000_000, 2_000_000] {
            times.add(Duration::from_micros(micros));
        }
        let (buckets, sum, count) = times.read();
        assert_eq!((buckets[0], buckets[1].1, buckets.last().unwrap().1, count), ((0.000_025, 1), 2, 3, 4));
        assert!((sum - 3.000_051).abs() < 1e-9, "{sum}");
    }
}
