//! Policies in the gateway, for all containers of a connector at once.

use control_core::{FullName, Problem, Resources};
use gateway::CallError;
use tokio::task::JoinSet;

use super::joins::Pair;
use super::{App, convert, failure};

/// A container's permission in the gateway.
type Held = (gateway::AttachmentId, gateway::ConnectorId);

impl App {
    /// Who has the connector in the gateway.
    pub(super) fn attached(resources: &Resources, connector: &FullName) -> Vec<Held> {
        let containers = resources.attached_to(connector);
        let held = containers.filter_map(|container| {
            let permission = resources.permission(container, &connector.name).ok()?;
            Some((convert::attachment(permission.attachment), convert::connector(permission.connector)))
        });
        held.collect()
    }

    /// Tells the gateway the policy of a connector for all that have it. Live sessions that it does not allow have ended after.
    pub(super) async fn tell_all(&self, connector: &FullName) -> Result<(), Problem> {
        let containers: Vec<_> = self.read(|resources| resources.attached_to(connector).cloned().collect());
        let mut told = JoinSet::new();
        for container in containers {
            let (app, pair) = (self.clone(), Pair { container, connector: connector.name.clone() });
            told.spawn(async move {
                let _turn = app.0.container_turns.take(&pair.container).await;
                // Whoever was detached in the meantime, or is not there yet, hears of the policy when it is attached.
                let known = app.read(|resources| app.permission(resources, &pair).is_ok());
                if known { app.tell(&pair).await.map(drop) } else { Ok(()) }
            });
        }
        first_failure(told.join_all().await)
    }

    /// Takes permissions from the gateway. All of their sessions have ended after; gives how many.
    pub(super) async fn cut_off(&self, held: &[Held]) -> Result<usize, Problem> {
        let mut told = JoinSet::new();
        for &(attachment, connector) in held {
            let gateway = self.gateway().clone();
            told.spawn(async move {
                match gateway.detach(attachment, connector).await {
                    Ok(applied) => Ok(applied.sessions_ended),
                    // It ended by itself, which is what we want.
                    Err(CallError::Refused(_)) => Ok(0),
                    Err(stopped @ CallError::Stopped) => Err(failure::of_call(stopped)),
                }
            });
        }
        let outcomes = told.join_all().await;
        let ended = outcomes.iter().flatten().sum();
        first_failure(outcomes.into_iter().map(|outcome| outcome.map(drop)))?;
        Ok(ended)
    }
}

fn first_failure(outcomes: impl IntoIterator<Item = Result<(), Problem>>) -> Result<(), Problem> {
    outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(()))
}
