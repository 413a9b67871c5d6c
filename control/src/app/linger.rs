//! Addresses of connectors that nobody uses are given back after a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control_core::{Change, ConnectorState, FullName};
use tokio::time::Instant;

use super::App;

/// Connectors that nobody uses, and when their time is over. Each has one task that waits for it.
#[derive(Default)]
pub(super) struct Lingering(Mutex<HashMap<FullName, Instant>>);

/// Longest time until somebody who waits sees that there is nothing to wait for.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Lingering {
    /// Sets a connector's end anew; whether nobody waits for it yet.
    fn set(&self, connector: &FullName, end: Instant) -> bool {
        self.all().insert(connector.clone(), end).is_none()
    }

    /// The end, if it is still to come; none any more if it has come.
    fn next(&self, connector: &FullName, now: Instant) -> Option<Instant> {
        let mut all = self.all();
        let end = all.get(connector).copied().filter(|&end| end > now);
        if end.is_none() {
            all.remove(connector);
        }
        end
    }

    /// Nobody has to wait for it any more.
    pub(super) fn forget(&self, connector: &FullName) {
        self.all().remove(connector);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<FullName, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Looks again when the connector's linger has passed, if nothing has it now.
    pub(crate) fn linger(&self, connector: FullName) {
        let linger = self.read(|resources| {
            let found = resources.connector(&connector).ok()?;
            let unused = resources.attached_to(&connector).next().is_none();
            unused.then(|| Duration::from_secs(found.spec.linger_s))
        });
        let Some(linger) = linger else { return };
        if !self.0.lingering.set(&connector, Instant::now() + linger) {
            return;
        }
        // Whoever ends in the meantime is not kept from it.
        let parts = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            while let Some(app) = parts.upgrade().map(Self) {
                let Some(end) = app.0.lingering.next(&connector, Instant::now()) else {
                    return app.rest(connector).await;
                };
                drop(app);
                // Not all the time at once: it can be forgotten.
                tokio::time::sleep_until(end.min(Instant::now() + LOOK_AGAIN)).await;
            }
        });
    }

    /// Gives a connector's addresses back, unless it is in use again.
    async fn rest(self, connector: FullName) {
        let _turn = self.0.connector_turns.take(&connector).await;
        if let Err(error) = self.commit(Change::ConnectorIdle(connector.clone())).await {
            tracing::error!(%connector, %error, "the connector does not rest");
            return;
        }
        let idle = self.read(|resources| {
            let found = resources.connector(&connector).ok()?;
            (found.state() == ConnectorState::Idle).then_some(found.id)
        });
        if let Some(id) = idle {
            self.0.allowances.forget(id);
            tracing::info!(%connector, "idle: its addresses are given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use control_core::Name;

    use super::*;

    #[test]
    fn one_waits_for_each_connector_however_often_it_is_used() {
        let (lingering, start) = (Lingering::default(), Instant::now());
        let name = Name::parse("name", "k".into()).unwrap();
        let (connector, second) = (FullName::new(&name, &name), Duration::from_secs(1));
        assert!(lingering.set(&connector, start + second));
        assert!(!lingering.set(&connector, start + 2 * second));
        assert_eq!(lingering.next(&connector, start + second), Some(start + 2 * second));
        assert_eq!(lingering.next(&connector, start + 2 * second), None);
        assert!(lingering.set(&connector, start + 3 * second), "nobody waits any more");
    }
}
