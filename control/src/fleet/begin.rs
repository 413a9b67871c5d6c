//! A warm container becomes a function's: its code is mounted and its handler loaded while its connectors are attached.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use control_core::fleet::{Cause, Reason};
use control_core::{FullName, Problem};
use sandbox::{AssignError, Assignment, Fault};
use tokio::time::{Instant, timeout};

use super::environment::{Adopted, Environment};
use super::trace::Timed;
use super::{Deployed, Fleet, InvokeError};
use crate::app::{App, Wiring};

/// How a container came to serve a function.
pub(super) struct Begun {
    /// When it began.
    pub(super) at: Instant,
    /// How long all of it took.
    pub(super) took: Duration,
    /// What took how long.
    pub(super) parts: Vec<Timed>,
}

/// Beyond what the function has for it, how long its container has to say that it could not load it.
const GRACE: Duration = Duration::from_secs(5);

impl Fleet {
    pub(super) async fn begin(self, environment: Arc<Environment>, deployed: Arc<Deployed>) {
        let at = Instant::now();
        _ = environment.deployed.set(Arc::clone(&deployed));
        match self.wire_and_load(&environment, &deployed).await {
            Ok(parts) => {
                _ = environment.begun.set(Begun { at, took: at.elapsed(), parts });
                self.with(|state, now| {
                    state.decisions.handle_initialised(now, environment.id);
                    // Whoever watches over it leaves it to us as long as it begins.
                    if environment.container.has_ended() {
                        state.decisions.handle_lost(now, environment.id, Cause::Ended);
                    }
                });
            }
            Err((InvokeError::Refused(Reason::NoEnvironment), cause)) => {
                self.with(|state, now| state.decisions.handle_lost(now, environment.id, cause));
            }
            Err((error, cause)) => {
                tracing::info!(version = %deployed.key, %error, "an environment does not begin");
                self.with(|state, now| {
                    // One that was deleted meanwhile is nobody's concern.
                    if state.versions.contains_key(&deployed.key) {
                        state.faults.insert(deployed.key.clone(), error);
                    }
                    state.decisions.handle_init_failed(now, environment.id, cause);
                });
            }
        }
    }

    async fn wire_and_load(
        &self,
        environment: &Environment,
        deployed: &Deployed,
    ) -> Result<Vec<Timed>, (InvokeError, Cause)> {
        let app = self.app().ok_or_else(|| broken("the daemon ends"))?;
        let wiring = app.wiring(&deployed.key.function).map_err(denied)?;
        let assignment = deployed.assignment(&wiring);
        let patience = deployed.timeout + GRACE;
        let mut load = pin!(timeout(patience, load(environment, assignment)));
        let mut attach = pin!(attach(&app, environment, &deployed.key.function, &wiring));
        let (loaded, attached) = tokio::select! {
            // The code's mount first: another thread does it while the connectors are attached.
            biased;
            loaded = &mut load => (loaded, attach.await?),
            // What may not be used is not worth loading a handler for. What is being attached is attached to the end, to be taken back.
            attached = &mut attach => {
                let attached = attached?;
                (load.await, attached)
            }
        };
        let mut parts = loaded.unwrap_or_else(|_| Err(timed_out(patience)))?;
        parts.push(attached);
        Ok(parts)
    }
}

impl Deployed {
    fn assignment(&self, wiring: &Wiring) -> Assignment {
        Assignment {
            function: self.key.function.name.to_string(),
            version: self.key.version,
            handler: self.handler.clone(),
            command: self.command.clone(),
            environment: self.environment.clone(),
            code: self.code,
            memory_mb: self.terms.memory_mb,
            timeout: self.timeout,
            dns_servers: wiring.dns_servers.clone(),
        }
    }
}

async fn load(environment: &Environment, assignment: Assignment) -> Result<Vec<Timed>, (InvokeError, Cause)> {
    let started = Instant::now();
    let assigned = environment.container.assign(assignment).await.map_err(|error| match error {
        // It ended in the moment in which it was chosen, which is no fault of the function's.
        AssignError::NotWarm => (InvokeError::Refused(Reason::NoEnvironment), Cause::Ended),
        other => broken(&other.to_string()),
    })?;
    let loading = Instant::now();
    environment.container.initialised().await.map_err(|fault| {
        let cause = match fault {
            Fault::OutOfMemory { .. } => Cause::OutOfMemory,
            Fault::TimedOut { .. } => Cause::TimedOut,
            Fault::Exited(_) => Cause::Ended,
            _ => Cause::InitFailed,
        };
        (InvokeError::NotLoaded(fault), cause)
    })?;
    let mount = Timed { name: "mount", start: started, took: assigned.mount };
    Ok(vec![mount, Timed { name: "load", start: loading, took: loading.elapsed() }])
}

/// Whoever removes the container waits until this is done.
async fn attach(
    app: &App,
    environment: &Environment,
    function: &FullName,
    wiring: &Wiring,
) -> Result<Timed, (InvokeError, Cause)> {
    let start = Instant::now();
    let mut adopted = environment.adopted.lock().await;
    if matches!(*adopted, Adopted::Over) {
        return Err((InvokeError::Refused(Reason::NoEnvironment), Cause::Ended));
    }
    *adopted = Adopted::As(FullName::new(&function.tenant, &environment.spec.name));
    let (spec, link) = (environment.spec.clone(), environment.link.clone());
    app.adopt_environment(function, spec, link, &wiring.connectors).await.map_err(denied)?;
    Ok(Timed { name: "attach", start, took: start.elapsed() })
}

fn denied(problem: Problem) -> (InvokeError, Cause) {
    (InvokeError::Denied(problem), Cause::InitFailed)
}

fn broken(detail: &str) -> (InvokeError, Cause) {
    (InvokeError::Broken(detail.to_owned()), Cause::InitFailed)
}

fn timed_out(after: Duration) -> (InvokeError, Cause) {
    (InvokeError::NotLoaded(Fault::TimedOut { after }), Cause::TimedOut)
}
