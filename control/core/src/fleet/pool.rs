//! The warm containers of one runtime: how many there shall be, and how fast new ones may come.

use std::collections::BTreeSet;
use std::time::Duration;

use super::EnvironmentId;
use super::estimate::Estimate;
use crate::limits::{CREATION_PAUSE_MAX, CREATION_PAUSE_MIN, CREATIONS_AT_ONCE};

/// What a pool is asked to be. All zero: nothing is made, and nothing can be invoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSettings {
    /// Warm containers that shall always be there.
    pub min_warm: usize,
    /// Warm containers above which those that nobody needs go.
    pub max_warm: usize,
    /// Most creations that begin in a second; at least one does.
    pub refill_per_s: u32,
    /// Most memory of all its environments together: what their functions may use, and [`crate::limits::WARM_CONTAINER_MB`]
    /// for each that has none. MiB.
    pub memory_mb: u32,
}

/// The environments of one runtime.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) settings: PoolSettings,
    pub(super) creating: BTreeSet<EnvironmentId>,
    /// Oldest first.
    pub(super) warm: BTreeSet<(Duration, EnvironmentId)>,
    /// Of all its versions, longest idle first.
    pub(super) idle: BTreeSet<(Duration, EnvironmentId)>,
    /// What all its environments are counted as. MiB.
    pub(super) used_mb: u64,
    /// Of that, what has a function.
    pub(super) serving_mb: u64,
    /// Of `used_mb`, what is being removed.
    pub(super) leaving_mb: u64,
    /// Of `serving_mb`, what is being removed.
    pub(super) leaving_serving_mb: u64,
    /// A request waits for memory, not for a container.
    pub(super) is_short_of_memory: bool,
    /// When the next creation begins, if there is one to begin.
    pub(super) next_creation: Option<Duration>,
    creation_time: Estimate,
    /// How long handlers take to load.
    pub(super) init_time: Estimate,
    pub(super) failures: u32,
    paused_until: Duration,
    /// When the creations so far would have begun at a steady rate.
    paced: Duration,
}

/// Creations that fail in a row until requests that depend on one are refused.
const FAILURES: u32 = 3;

/// How long a creation takes until it is known.
const CREATION_TIME: Duration = Duration::from_millis(200);

impl Pool {
    /// When another creation may begin.
    pub(super) fn creation_at(&self) -> Duration {
        let burst = self.interval() * (CREATIONS_AT_ONCE as u32 - 1);
        self.paced.saturating_sub(burst).max(self.paused_until)
    }

    /// Whether it may begin beside those that are under way. After a failure, one at a time.
    pub(super) fn has_slot(&self) -> bool {
        let slots = if self.failures > 0 { 1 } else { CREATIONS_AT_ONCE };
        self.creating.len() < slots
    }

    /// One begins.
    pub(super) fn creation_begun(&mut self, now: Duration) {
        self.paced = self.paced.max(now) + self.interval();
    }

    /// One is done.
    pub(super) fn creation_done(&mut self, took: Duration) {
        self.creation_time.add(took);
        (self.failures, self.paused_until) = (0, Duration::ZERO);
    }

    /// One has failed: the next is to wait, twice as long each time.
    pub(super) fn creation_failed(&mut self, now: Duration) {
        let pause = CREATION_PAUSE_MIN * 2_u32.saturating_pow(self.failures.min(16));
        self.failures += 1;
        self.paused_until = now + pause.min(CREATION_PAUSE_MAX);
    }

    /// Whether nobody should wait for a creation.
    pub(super) fn is_broken(&self, now: Duration) -> bool {
        self.failures >= FAILURES && now < self.paused_until
    }

    pub(super) fn creation_estimate(&self) -> Duration {
        self.creation_time.mean().unwrap_or(CREATION_TIME)
    }

    /// Warm containers there are and will be.
    pub(super) fn supply(&self) -> usize {
        self.warm.len() + self.creating.len()
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.settings.refill_per_s.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creations_come_in_a_small_burst_and_then_at_the_rate() {
        let ms = Duration::from_millis;
        let mut pool = Pool {
            settings: PoolSettings { refill_per_s: 10, ..PoolSettings::default() },
            ..Pool::default()
        };
        let mut begun = Vec::new();
        for now in (0..500).map(ms) {
            while pool.creation_at() <= now {
                pool.creation_begun(now);
                begun.push(now.as_millis());
            }
        }
        assert_eq!(begun, [0, 0, 0, 0, 100, 200, 300, 400]);
    }

    #[test]
    fn pauses_double_up_to_their_bound_and_end_with_a_success() {
        let (mut pool, now) = (Pool::default(), Duration::from_secs(5));
        let pauses: Vec<_> = (0..11)
            .map(|_| {
                pool.creation_failed(now);
                pool.creation_at().abs_diff(now).as_millis()
            })
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        assert!(pool.is_broken(now) && pool.has_slot());
        pool.creation_done(Duration::ZERO);
        assert!(!pool.is_broken(now) && pool.creation_at() <= now);
    }
}
