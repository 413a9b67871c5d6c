//! A container as long as it is there, and what clients see of it.

use std::sync::OnceLock;
use std::time::Duration;

use control_core::ContainerSpec;
use control_core::FullName;
use control_core::fleet::{Cause, Environment as Decided, EnvironmentId, EnvironmentState, VersionKey};
use gateway::AttachmentInfo;
use sandbox::Container;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::Fleet;
use super::begin::Begun;

/// A container that is there.
pub(super) struct Environment {
    pub(super) id: EnvironmentId,
    pub(super) container: Container,
    pub(super) spec: ContainerSpec,
    pub(super) link: AttachmentInfo,
    /// What it serves, once it does.
    pub(super) version: OnceLock<VersionKey>,
    /// How it came to serve that.
    pub(super) begun: OnceLock<Begun>,
    /// Its name as a tenant's container; held while it gets one.
    pub(super) adopted: Mutex<Option<FullName>>,
}

/// An environment: a container that serves a version of a function, or waits for one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct EnvironmentView {
    /// Its number.
    pub(crate) id: u64,
    /// The name of its container, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<String>,
    /// What it is made of.
    pub(crate) runtime: String,
    /// The tenant whose function it serves, if it serves one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// The function that it serves, if it serves one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    /// Which of its versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    /// Where it is in its life.
    pub(crate) state: EnvironmentState,
    /// Since when. Unix time, milliseconds.
    pub(crate) since_ms: u64,
    /// Memory that it uses now. Bytes.
    pub(crate) memory_bytes: u64,
    /// The most that it ever was. Bytes.
    pub(crate) memory_peak_bytes: u64,
    /// Its last steps, oldest first.
    pub(crate) transitions: Vec<TransitionView>,
}

/// A step of an environment's life.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TransitionView {
    /// When. Unix time, milliseconds.
    pub(crate) at_ms: u64,
    /// What it was; nothing before its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<EnvironmentState>,
    /// What it is from then on.
    pub(crate) to: EnvironmentState,
    /// Why.
    pub(crate) cause: Cause,
}

impl Fleet {
    /// All environments that are not gone, oldest first.
    pub(crate) fn environments(&self) -> Vec<EnvironmentView> {
        let (mut views, containers): (Vec<_>, Vec<_>) = {
            let state = self.state();
            let decided = state.decisions.environments();
            decided
                .map(|found| {
                    let live = state.live.get(&found.id());
                    (self.view(found), live.map(|live| live.container.clone()))
                })
                .unzip()
        };
        // Files are read for it: not under the lock.
        for (view, container) in views.iter_mut().zip(containers) {
            view.look_at(container.as_ref());
        }
        views
    }

    /// One environment.
    pub(crate) fn environment(&self, id: EnvironmentId) -> Option<EnvironmentView> {
        let (mut view, container) = {
            let state = self.state();
            let view = self.view(state.decisions.environment(id)?);
            (view, state.live.get(&id).map(|live| live.container.clone()))
        };
        view.look_at(container.as_ref());
        Some(view)
    }

    fn view(&self, found: &Decided) -> EnvironmentView {
        let key = found.version();
        EnvironmentView {
            id: found.id().0,
            container: None,
            runtime: found.runtime().to_string(),
            tenant: key.map(|key| key.function.tenant.to_string()),
            function: key.map(|key| key.function.name.to_string()),
            version: key.map(|key| key.version),
            state: found.state(),
            since_ms: self.unix_ms(found.since()),
            memory_bytes: 0,
            memory_peak_bytes: 0,
            transitions: found
                .transitions()
                .map(|step| TransitionView {
                    at_ms: self.unix_ms(step.at),
                    from: step.from,
                    to: step.to,
                    cause: step.cause,
                })
                .collect(),
        }
    }

    /// Unix time of a time since the fleet's start.
    fn unix_ms(&self, time: Duration) -> u64 {
        let at = self.0.started_at + time;
        at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
    }
}

impl EnvironmentView {
    fn look_at(&mut self, container: Option<&Container>) {
        let Some(container) = container else { return };
        let usage = container.usage();
        self.container = Some(container.id().to_owned());
        (self.memory_bytes, self.memory_peak_bytes) = (usage.memory_bytes, usage.memory_peak_bytes);
    }
}
