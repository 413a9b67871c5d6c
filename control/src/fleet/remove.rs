//! Removing containers, one by one and all at the end.

use std::sync::Arc;
use std::time::Duration;

use control_core::fleet::Cause;
use tokio::time::timeout;

use super::environment::{Adopted, Environment};
use super::{Deployed, Fleet};

impl Fleet {
    /// Removes a container with all that it has. Its sessions end first, so that no packet of it comes after.
    pub(super) async fn remove(self, environment: Arc<Environment>, cause: Cause) {
        let _slot = self.0.removals.acquire().await.expect("nobody closes it");
        self.take_apart(&environment).await;
        tracing::debug!(container = environment.container.id(), %cause, "a container is removed");
        self.with(|state, now| {
            state.live.remove(&environment.id);
            state.decisions.handle_gone(now, environment.id);
        });
        let was_last = |deployed: &Arc<Deployed>| !self.state().versions.contains_key(&deployed.key);
        if let Some(app) = self.app()
            && environment.deployed.get().is_some_and(was_last)
        {
            app.code_is_free();
        }
        self.0.gone.notify_waiters();
    }

    async fn take_apart(&self, environment: &Environment) {
        let adopted = std::mem::replace(&mut *environment.adopted.lock().await, Adopted::Over);
        let container = match &adopted {
            Adopted::As(container) => Some(container),
            Adopted::Not | Adopted::Over => None,
        };
        match self.app() {
            Some(app) => app.forget_environment(container, environment.link.id).await,
            None => _ = self.0.gateway.remove_attachment(environment.link.id).await,
        }
        environment.container.remove().await;
    }

    /// Ends everything. Who waits is refused; what runs has so much patience to end, and is ended then.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.with(|state, now| state.decisions.stop(now));
        if timeout(patience, self.emptied()).await.is_err() {
            let left: Vec<_> = self.state().live.values().cloned().collect();
            tracing::warn!(count = left.len(), "environments took too long to end; they are ended now");
            futures_util::future::join_all(left.iter().map(|environment| self.take_apart(environment))).await;
        }
        self.0.sandbox.close();
    }

    /// Waits until there is no environment any more.
    async fn emptied(&self) {
        loop {
            let gone = self.0.gone.notified();
            if self.state().decisions.environments().next().is_none() {
                return;
            }
            gone.await;
        }
    }
}
