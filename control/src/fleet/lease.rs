//! The right to use an environment once.

use std::sync::Arc;

use control_core::fleet::{Cause, Outcome, RequestId};

use super::environment::Environment;
use super::{Fleet, InvokeError};

/// What somebody who waits for an environment hears.
pub(super) enum Heard {
    /// It is theirs.
    Granted(Lease),
    /// There will be none.
    Refused(InvokeError),
}

/// An environment that is busy with one request, until this is dropped.
pub(super) struct Lease {
    fleet: Fleet,
    pub(super) environment: Arc<Environment>,
    outcome: Outcome,
}

/// A request that waits. Dropped, nobody waits any more.
pub(super) struct Waiting {
    pub(super) fleet: Fleet,
    pub(super) request: RequestId,
}

impl Lease {
    pub(super) fn new(fleet: Fleet, environment: Arc<Environment>) -> Self {
        Self { fleet, environment, outcome: Outcome::Reusable }
    }

    /// Gives it back.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.fleet.with(|state, now| {
            // Whoever watches over it leaves it to us as long as it is busy.
            let outcome = match self.outcome {
                Outcome::Reusable if self.environment.container.has_ended() => Outcome::Spent(Cause::Ended),
                outcome => outcome,
            };
            state.decisions.handle_finished(now, self.environment.id, outcome);
        });
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.fleet.with(|state, now| {
            if state.requests.remove(&self.request).is_some() {
                state.decisions.abandon(now, self.request);
            }
        });
    }
}
