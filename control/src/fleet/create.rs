//! Making containers, and watching over them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use control_core::fleet::{Cause, EnvironmentId, EnvironmentState};
use control_core::{Name, Problem};
use gateway::LinkError;
use sandbox::{CreateError, OutputLine};
use tokio::sync::mpsc;

use super::Fleet;
use super::environment::Environment;
use super::logs::of_output;
use crate::app::App;

/// Why there is no container. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Container(#[from] CreateError),
    #[error("its link: {0}")]
    Link(#[from] LinkError),
    #[error("its link: {0}")]
    Spec(Problem),
}

impl Fleet {
    /// Makes a warm container, after a rest.
    pub(super) async fn create(self, id: EnvironmentId, runtime: Name, rest: Duration) {
        tokio::time::sleep(rest).await;
        match self.make(id, &runtime).await {
            Ok(environment) => self.take_up(Arc::new(environment)),
            Err(error) => {
                tracing::warn!(%runtime, %error, "a container could not be made");
                self.with(|state, now| state.decisions.handle_creation_failed(now, id));
                self.0.gone.notify_waiters();
            }
        }
    }

    /// The link is made while the processes start.
    async fn make(&self, id: EnvironmentId, runtime: &Name) -> Result<Environment, MakeError> {
        let prepared = self.0.sandbox.prepare(runtime.as_str()).await?;
        // Held until the link is there or is not: its name would be another's if it were gone before.
        let netns = prepared.netns().clone();
        let spec = App::environment_spec(prepared.id(), netns.path()).map_err(MakeError::Spec)?;
        let linked = self.0.gateway.add_attachment(App::environment_link(&spec));
        let (link, container) = match tokio::join!(linked, prepared.start()) {
            (Ok(link), Ok(container)) => (link, container),
            (Err(error), Ok(container)) => {
                container.remove().await;
                return Err(error.into());
            }
            (Ok(link), Err(error)) => {
                // With its namespace it is gone in any case.
                _ = self.0.gateway.remove_attachment(link.id).await;
                return Err(error.into());
            }
            (Err(_), Err(error)) => return Err(error.into()),
        };
        let (deployed, begun) = (OnceLock::new(), OnceLock::new());
        let (adopted, current, served) = Default::default();
        Ok(Environment { id, container, spec, link, deployed, begun, adopted, current, served })
    }

    fn take_up(&self, environment: Arc<Environment>) {
        if let Some(lines) = environment.container.output() {
            self.0.runtime.spawn(self.clone().follow_output(Arc::clone(&environment), lines));
        }
        self.0.runtime.spawn(self.clone().watch(Arc::clone(&environment)));
        self.with(|state, now| {
            let id = environment.id;
            state.live.insert(id, environment);
            state.decisions.handle_created(now, id);
        });
    }

    /// Tells when a container ends by itself.
    async fn watch(self, environment: Arc<Environment>) {
        let exit = environment.container.ended().await;
        self.with(|state, now| {
            let id = environment.id;
            // Whoever loads its handler, or waits for its answer, hears why, and says so.
            let decided = state.decisions.environment(id).map(control_core::fleet::Environment::state);
            if decided.is_some_and(|state| !matches!(state, EnvironmentState::Init | EnvironmentState::Busy))
            {
                state.decisions.handle_lost(now, id, Cause::Ended);
            }
        });
        tracing::debug!(container = environment.container.id(), %exit, "a container has ended");
    }

    /// What it writes belongs to its function's log. Before it has one, only we have something to say in there.
    async fn follow_output(self, environment: Arc<Environment>, mut lines: mpsc::Receiver<OutputLine>) {
        while let Some(line) = lines.recv().await {
            match environment.deployed.get() {
                Some(deployed) => self.0.logs.add(&deployed.key, of_output(&environment, line)),
                None => {
                    tracing::debug!(
                        container = environment.container.id(),
                        text = line.text,
                        "a warm container says"
                    );
                }
            }
        }
    }
}
