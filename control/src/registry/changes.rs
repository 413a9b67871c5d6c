//! What has changed lately, for those who watch.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use control_core::{FullName, Kind, Operation, Touched};
use tokio::sync::watch;

/// A change of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When; several resources can change at one.
    pub(crate) revision: u64,
    /// Of which kind.
    pub(crate) kind: Kind,
    /// Which one.
    pub(crate) name: FullName,
    /// What became of it.
    pub(crate) operation: Operation,
}

/// Events between the revision that was asked for and the latest are not all remembered any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld;

/// Events that are remembered.
pub(super) const EVENTS: usize = 8_192;

/// The latest events.
#[derive(Debug)]
pub(crate) struct Changes {
    ring: Mutex<Ring>,
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    /// Everything after this revision is in it.
    complete_after: u64,
}

impl Changes {
    /// Events that were kept, and where the revisions go on.
    pub(super) fn new(events: Vec<Event>, complete_after: u64, latest: u64) -> Self {
        let ring = Ring { events: events.into(), complete_after };
        Self { ring: Mutex::new(ring), latest: watch::Sender::new(latest) }
    }

    /// The latest revision.
    pub(crate) fn latest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// Tells of every later revision.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// At most `limit` events after a revision, those of one revision together, and the revision that they reach.
    pub(crate) fn after(&self, revision: u64, limit: usize) -> Result<(Vec<Event>, u64), TooOld> {
        let ring = self.ring();
        let latest = self.latest();
        if revision < ring.complete_after || revision > latest {
            return Err(TooOld);
        }
        let first = ring.events.partition_point(|event| event.revision <= revision);
        let mut events: Vec<_> = ring.events.range(first..).take(limit).cloned().collect();
        let rest = ring.events.range(first + events.len()..);
        let last = events.last().map(|event| event.revision);
        events.extend(rest.take_while(|event| Some(event.revision) == last).cloned());
        let reached = if first + events.len() == ring.events.len() { latest } else { last.unwrap_or(latest) };
        Ok((events, reached))
    }

    /// Adds what a change has touched.
    pub(super) fn tell(&self, revision: u64, touched: Vec<Touched>) {
        let mut ring = self.ring();
        for Touched { kind, name, operation, .. } in touched {
            ring.events.push_back(Event { revision, kind, name, operation });
            if ring.events.len() > EVENTS
                && let Some(dropped) = ring.events.pop_front()
            {
                ring.complete_after = dropped.revision;
            }
        }
        // Whoever has seen the events has to find that they are within the latest revision.
        self.latest.send_replace(revision);
        drop(ring);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use control_core::Name;

    use super::*;

    fn touched(name: &str) -> Touched {
        let name = Name::parse("name", name.into()).unwrap();
        let (name, operation) = (FullName::new(&name, &name), Operation::Changed);
        Touched { kind: Kind::Vpc, name, operation, is_kept: false }
    }

    #[test]
    fn events_of_one_revision_stay_together() {
        let changes = Changes::new(Vec::new(), 10, 10);
        changes.tell(11, vec![touched("a"), touched("b")]);
        changes.tell(12, vec![touched("c")]);
        let (events, reached) = changes.after(10, 1).unwrap();
        assert_eq!((events.len(), reached), (2, 11));
        let (events, reached) = changes.after(11, 1).unwrap();
        assert_eq!((events.len(), reached), (1, 12));
        assert_eq!(changes.after(12, 1), Ok((vec![], 12)));
    }

    #[test]
    fn what_is_not_remembered_any_more_is_too_old_and_the_future_too() {
        let changes = Changes::new(Vec::new(), 10, 10);
        assert_eq!(changes.after(9, 1), Err(TooOld));
        assert_eq!(changes.after(11, 1), Err(TooOld));
        for revision in 11..=10 + EVENTS as u64 + 5 {
            changes.tell(revision, vec![touched("a")]);
        }
        assert_eq!(changes.after(14, 1), Err(TooOld));
        assert_eq!(changes.after(15, 1).unwrap().0[0].revision, 16);
    }
}
