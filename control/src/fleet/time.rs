//! What is due when.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Fleet, Shared};

/// Longest time between two looks, so that a fleet that ends is not kept from it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Tells the decisions the time whenever something is due, as long as there is a fleet.
pub(super) async fn keep(shared: Weak<Shared>) {
    while let Some(fleet) = shared.upgrade().map(Fleet) {
        let due = fleet.arm();
        let is_due = tokio::select! {
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => true,
            () = fleet.0.timer.notified() => false,
            () = sleep(LOOK_AGAIN) => false,
        };
        if is_due {
            fleet.with(|state, now| state.decisions.handle_timeout(now));
        }
    }
}

impl Fleet {
    /// When something is due. Whoever makes that sooner says so.
    fn arm(&self) -> Option<Instant> {
        let mut state = self.state();
        state.armed = state.decisions.poll_timeout();
        state.armed.map(|due| self.0.started + due)
    }
}
