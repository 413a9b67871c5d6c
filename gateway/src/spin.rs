//! When a worker looks for more work at once, and when it sleeps.
//!
//! To be woken costs more than to forward a packet: the other processor has to be told, and on a virtual machine by leaving it.
//! So a worker that has had something to do looks again for a while. It does so only while work has kept coming at
//! shorter intervals than that while, so that it does not wait in vain again and again for what comes once a millisecond.

use std::time::Duration;

use gateway_core::Instant;

/// Longest time that a worker can be asked to spin.
pub const SPIN_MAX: Duration = Duration::from_millis(1);

/// How long a worker that has had work looks for more before it sleeps. It does so only while work keeps coming at shorter
/// intervals than this; an idle gateway sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spinning(Duration);

impl Spinning {
    /// Never: a worker that has nothing to do sleeps at once.
    pub const OFF: Self = Self(Duration::ZERO);

    /// Up to `longest`; `None` if that is more than [`SPIN_MAX`].
    pub const fn up_to(longest: Duration) -> Option<Self> {
        if longest.as_nanos() > SPIN_MAX.as_nanos() { None } else { Some(Self(longest)) }
    }

    /// The longest time without work.
    pub const fn longest(self) -> Duration {
        self.0
    }
}

impl Default for Spinning {
    /// 50 µs, see docs/decisions/0009: about what it takes a request to be answered on the same machine.
    fn default() -> Self {
        Self(Duration::from_micros(50))
    }
}

/// A gap counts as this many times the longest wait at most, so that a pause is soon forgotten.
const GAP_MAX: u32 = 4;

/// Each new gap is one part of this many of the average.
const WEIGHT: u32 = 4;

/// The habit of one worker, or of any thread with such a loop.
#[derive(Debug)]
pub struct Spin {
    longest: Duration,
    /// Between one piece of work and the next, on average.
    gap: Duration,
    worked: Instant,
}

impl Spin {
    /// Without any work yet.
    pub fn new(Spinning(longest): Spinning) -> Self {
        Self { longest, gap: longest * GAP_MAX, worked: Instant::ZERO }
    }

    /// There was something to do at `now`.
    pub fn work(&mut self, now: Instant) {
        let gap = now.since(self.worked).min(self.longest * GAP_MAX);
        self.gap = self.gap * (WEIGHT - 1) / WEIGHT + gap / WEIGHT;
        self.worked = now;
    }

    /// Whether to look again instead of sleeping.
    pub fn goes_on(&self, now: Instant) -> bool {
        self.gap < self.longest && now.since(self.worked) < self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Spinning = Spinning(Duration::from_micros(50));

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + micros * 1000)
    }

    /// A worker that has had work at these intervals, and when the last was.
    fn after(longest: Spinning, count: u64, interval: u64) -> (Spin, u64) {
        let mut spin = Spin::new(longest);
        (0..count).for_each(|index| spin.work(at(index * interval)));
        (spin, (count - 1) * interval)
    }

    #[test]
    fn it_sleeps_at_once_when_it_has_not_worked() {
        assert!(!Spin::new(LONGEST).goes_on(at(0)));
    }

    #[test]
    fn it_goes_on_while_work_keeps_coming_and_no_longer_than_asked_for() {
        let (spin, last) = after(LONGEST, 20, 20);
        assert!(spin.goes_on(at(last)) && spin.goes_on(at(last + 49)));
        assert!(!spin.goes_on(at(last + 50)));
    }

    #[test]
    fn it_does_not_wait_for_work_that_comes_less_often_than_it_would_wait() {
        let (spin, last) = after(LONGEST, 1000, 60);
        assert!(!spin.goes_on(at(last)));
    }

    #[test]
    fn after_a_pause_it_goes_on_when_work_has_come_a_few_times() {
        let (mut spin, last) = after(LONGEST, 20, 20);
        spin.work(at(last + 1_000_000));
        let more = (1..10).find(|index| {
            spin.work(at(last + 1_000_000 + index * 5));
            spin.goes_on(at(last + 1_000_000 + index * 5))
        });
        assert!(more.is_some_and(|needed| needed < 5), "{more:?}");
    }

    #[test]
    fn no_longer_than_a_millisecond_can_be_asked_for() {
        assert_eq!(Spinning::up_to(SPIN_MAX), Some(Spinning(SPIN_MAX)));
        assert_eq!(Spinning::up_to(SPIN_MAX + Duration::from_nanos(1)), None);
    }

    #[test]
    fn off_is_never() {
        let (spin, last) = after(Spinning::OFF, 20, 0);
        assert!(!spin.goes_on(at(last)));
    }
}
