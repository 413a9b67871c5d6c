//! What took how long, of the latest invocations.

use std::time::Duration;

use tokio::time::Instant;

/// Something that took its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    pub(super) name: &'static str,
    pub(super) start: Instant,
    pub(super) took: Duration,
}

/// A part of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// What was going on: `queue`, `mount`, `load`, `attach`, `handler`.
    pub(crate) name: &'static str,
    /// When it began. Microseconds after the trigger.
    pub(crate) start_us: u64,
    /// How long it took. Microseconds.
    pub(crate) duration_us: u64,
}

impl Timed {
    /// As seen from the trigger: what happened before is none of its time.
    pub(super) fn since(self, trigger: Instant) -> Span {
        let start = self.start.saturating_duration_since(trigger);
        let before = trigger.saturating_duration_since(self.start);
        let micros = |time: Duration| time.as_micros() as u64;
        let duration_us = micros(self.took.saturating_sub(before));
        Span { name: self.name, start_us: micros(start), duration_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_the_trigger_counts_from_there() {
        let (trigger, ms) = (Instant::now(), Duration::from_millis);
        let span = |start, took| Timed { name: "load", start, took }.since(trigger);
        for (start, took, start_us, duration_us) in [
            (trigger + ms(2), ms(5), 2_000, 5_000),
            (trigger.checked_sub(ms(2)).unwrap(), ms(5), 0, 3_000),
            (trigger.checked_sub(ms(9)).unwrap(), ms(5), 0, 0),
        ] {
            assert_eq!(span(start, took), Span { name: "load", start_us, duration_us });
        }
    }
}
