//! Addresses of connectors that nobody uses are given back after a while.

use std::sync::Arc;
use std::time::Duration;

use control_core::{Change, ConnectorState, FullName};

use super::App;

impl App {
    /// Looks again when the connector's linger has passed, if nothing has it now.
    pub(crate) fn linger(&self, connector: FullName) {
        let linger = self.read(|resources| {
            let found = resources.connector(&connector).ok()?;
            let unused = resources.attached_to(&connector).next().is_none();
            unused.then(|| Duration::from_secs(found.spec.linger_s))
        });
        let Some(linger) = linger else { return };
        // Whoever ends in the meantime is not kept from it.
        let parts = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            if !linger.is_zero() {
                tokio::time::sleep(linger).await;
            }
            if let Some(parts) = parts.upgrade() {
                Self(parts).rest(connector).await;
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
