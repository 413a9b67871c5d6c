//! What took how long, of the latest invocations.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control_core::FullName;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

/// Invocations that are remembered, of all functions together.
const RECORDS: usize = 1_000;

/// Something that took its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    pub(super) name: &'static str,
    pub(super) start: Instant,
    pub(super) took: Duration,
}

/// A part of an invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Span {
    /// What was going on: `queue`, `mount`, `load`, `attach`, `handler`.
    pub(crate) name: &'static str,
    /// When it began. Microseconds after the trigger.
    pub(crate) start_us: u64,
    /// How long it took. Microseconds.
    pub(crate) duration_us: u64,
}

/// An invocation that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Its id.
    pub(crate) id: String,
    /// What was invoked.
    pub(crate) function: FullName,
    /// Which version.
    pub(crate) version: u64,
    /// The number of the environment that served it, if one did.
    pub(crate) environment: Option<u64>,
    /// When it was triggered. Unix time, milliseconds.
    pub(crate) at_ms: u64,
    /// Why it failed, if it did; for people.
    pub(crate) error: Option<String>,
    /// What took how long.
    pub(crate) spans: Vec<Span>,
}

/// The latest invocations.
#[derive(Default)]
pub(crate) struct Records(Mutex<VecDeque<Arc<Record>>>);

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

impl Records {
    pub(super) fn add(&self, record: Record) {
        let mut all = self.all();
        if all.len() == RECORDS {
            all.pop_front();
        }
        all.push_back(Arc::new(record));
    }

    /// One invocation.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Record>> {
        self.all().iter().rev().find(|record| record.id == id).cloned()
    }

    /// Those of a function, latest first.
    pub(crate) fn of(&self, function: &FullName, most: usize) -> Vec<Arc<Record>> {
        let all = self.all();
        all.iter().rev().filter(|record| record.function == *function).take(most).cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use control_core::Name;

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

    #[test]
    fn only_the_latest_are_remembered() {
        let name = Name::parse("name", "f".into()).unwrap();
        let function = FullName::new(&name, &name);
        let records = Records::default();
        for n in 0..=RECORDS {
            let (version, environment, at_ms, error, spans) = Default::default();
            let function = function.clone();
            records.add(Record { id: n.to_string(), function, version, environment, at_ms, error, spans });
        }
        assert!(records.find("0").is_none() && records.find("1").is_some());
        let latest: Vec<_> = records.of(&function, 2).iter().map(|record| record.id.clone()).collect();
        assert_eq!(latest, [RECORDS.to_string(), (RECORDS - 1).to_string()]);
    }
}
