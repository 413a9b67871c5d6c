//! From decisions to what is done about them.

use std::sync::Arc;
use std::time::Duration;

use control_core::Name;
use control_core::fleet::{Action, Cause, EnvironmentId, Reason, RequestId, Transition};
use tokio::sync::oneshot;

use super::environment::Environment;
use super::lease::{Heard, Lease};
use super::{Deployed, Fleet, InvokeError, State};

/// An action, with what it is about.
enum Order {
    Create(EnvironmentId, Name, Duration),
    Begin(Arc<Environment>, Arc<Deployed>),
    Run(Arc<Environment>, Option<oneshot::Sender<Heard>>),
    Remove(Arc<Environment>, Cause),
    Refuse(oneshot::Sender<Heard>, InvokeError),
}

/// About as long as a trigger takes until its handler runs.
const REST: Duration = Duration::from_millis(10);

impl Fleet {
    /// Tells the decisions something, and carries out what follows from it.
    pub(super) fn with<T>(&self, tell: impl FnOnce(&mut State, Duration) -> T) -> T {
        let mut orders = Vec::new();
        let told = {
            let mut state = self.state();
            let told = tell(&mut state, self.0.started.elapsed());
            while let Some(action) = state.decisions.poll() {
                orders.extend(state.order(action));
            }
            while let Some(transition) = state.decisions.poll_transition() {
                log(&transition);
            }
            let due = state.decisions.poll_timeout();
            if due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed)) {
                state.armed = due;
                self.0.timer.notify_one();
            }
            told
        };
        for order in orders {
            self.carry_out(order);
        }
        told
    }

    fn carry_out(&self, order: Order) {
        let (fleet, runtime) = (self.clone(), &self.0.runtime);
        match order {
            Order::Create(id, name, rest) => drop(runtime.spawn(fleet.create(id, name, rest))),
            Order::Begin(environment, deployed) => drop(runtime.spawn(fleet.begin(environment, deployed))),
            Order::Remove(environment, cause) => drop(runtime.spawn(fleet.remove(environment, cause))),
            Order::Run(environment, waiting) => {
                let lease = Lease::new(fleet, environment);
                // Whoever has hung up gives it back by not taking it.
                if let Some(waiting) = waiting {
                    _ = waiting.send(Heard::Granted(lease));
                }
            }
            Order::Refuse(waiting, error) => _ = waiting.send(Heard::Refused(error)),
        }
    }
}

impl State {
    /// Everything that an action needs. What is about a container that never came needs nothing.
    fn order(&mut self, action: Action) -> Option<Order> {
        Some(match action {
            Action::Create { environment, runtime } => {
                Order::Create(environment, runtime, self.rest(environment))
            }
            Action::Begin { environment, version } => {
                Order::Begin(self.environment(environment)?, Arc::clone(self.versions.get(&version)?))
            }
            Action::Run { environment, request } => {
                let waiting = self.requests.remove(&request).map(|(_, waiting)| waiting);
                Order::Run(self.environment(environment)?, waiting)
            }
            Action::Retire { environment, cause } => Order::Remove(self.environment(environment)?, cause),
            Action::Refuse { request, reason } => self.refusal(request, reason)?,
        })
    }

    fn refusal(&mut self, request: RequestId, reason: Reason) -> Option<Order> {
        let (key, waiting) = self.requests.remove(&request)?;
        let error = match (reason, self.faults.get(&key).cloned()) {
            (Reason::NotLoaded, Some(error)) => error,
            _ => InvokeError::Refused(reason),
        };
        Some(Order::Refuse(waiting, error))
    }

    /// How long it can wait until it is made: nobody waits for it, and whoever has what it replaces begins on the same cores now.
    fn rest(&self, id: EnvironmentId) -> Duration {
        let first = self.decisions.environment(id).and_then(|created| created.transitions().next());
        if first.is_some_and(|step| step.cause == Cause::Refill) { REST } else { Duration::ZERO }
    }

    fn environment(&self, id: EnvironmentId) -> Option<Arc<Environment>> {
        self.live.get(&id).cloned()
    }
}

fn log(step: &Transition) {
    let from = step.from.map_or("nothing", |state| state.as_str());
    let at_us = step.at.as_micros() as u64;
    tracing::debug!(environment = step.environment.0, from, to = %step.to, cause = %step.cause, at_us, "environment");
}
