//! One operation at a time on each resource of a kind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control_core::FullName;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Hands out turns by name. Holds nothing for names that nobody works on.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<FullName, Arc<RwLock<()>>>>);

/// The right to work on one resource, until dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    name: FullName,
    held: Held,
}

/// What says so.
enum Held {
    Alone { _guard: OwnedRwLockWriteGuard<()> },
    Shared { _guard: OwnedRwLockReadGuard<()> },
    NoMore,
}

impl Turns {
    /// Waits for the turn on `name`, first come, first served.
    pub(super) async fn take(&self, name: &FullName) -> Turn<'_> {
        let queue = self.queue(name);
        let held = Held::Alone { _guard: queue.write_owned().await };
        Turn { turns: self, name: name.clone(), held }
    }

    /// The same beside others who share it.
    pub(super) async fn share(&self, name: &FullName) -> Turn<'_> {
        let queue = self.queue(name);
        let held = Held::Shared { _guard: queue.read_owned().await };
        Turn { turns: self, name: name.clone(), held }
    }

    fn queue(&self, name: &FullName) -> Arc<RwLock<()>> {
        self.queues().entry(name.clone()).or_default().clone()
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<FullName, Arc<RwLock<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.queues();
        self.held = Held::NoMore;
        // Whoever waits holds a reference to its queue, and takes it under the lock that we hold.
        if queues.get(&self.name).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn name(text: &str) -> FullName {
        let name = control_core::Name::parse("name", text.into()).unwrap();
        FullName::new(&name, &name)
    }

    #[tokio::test]
    async fn turns_on_one_name_never_overlap_and_leave_nothing_behind() {
        let turns = Arc::new(Turns::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (turns, inside) = (turns.clone(), inside.clone());
            workers.spawn(async move {
                let _turn = turns.take(&name("c1")).await;
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
            });
        }
        workers.join_all().await;
        assert!(turns.queues().is_empty());
    }

    #[tokio::test]
    async fn who_shares_a_turn_waits_only_for_who_has_it_alone() {
        let turns = Arc::new(Turns::default());
        let (first, second) = (turns.share(&name("k")).await, turns.share(&name("k")).await);
        let alone = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take(&name("k")).await) }
        });
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!alone.is_finished());
        drop(second);
        alone.await.unwrap();
        assert!(turns.queues().is_empty());
    }

    #[tokio::test]
    async fn different_names_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let _first = turns.take(&name("c1")).await;
        let _second = turns.take(&name("c2")).await;
        assert_eq!(turns.queues().len(), 2);
    }
}
