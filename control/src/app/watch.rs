//! Watching: what changes from a revision on, as it is when it is told.

use control_core::{Caller, FullName, Kind, Operation, Problem, Resources};
use serde_json::Value;
use tokio::sync::watch::Receiver;

use super::App;
use crate::registry::{Event, TooOld};

/// Events told in one go.
const PART: usize = 64;

/// A watch over one kind of a tenant's resources.
pub(crate) struct Watching {
    app: App,
    caller: Caller,
    kind: Kind,
    reached: u64,
    latest: Receiver<u64>,
}

/// A change as a watcher hears of it.
pub(crate) struct Told {
    /// The revision, if nothing else of it follows.
    pub(crate) revision: Option<u64>,
    /// `created`, `changed` or `deleted`.
    pub(crate) event: &'static str,
    /// The resource as it is now; of a deleted one only its name.
    pub(crate) data: Value,
}

impl App {
    /// Watches what changes after a revision; after the latest if none is given.
    pub(crate) fn watch(&self, caller: Caller, kind: Kind, since: Option<u64>) -> Result<Watching, TooOld> {
        let changes = self.registry().changes();
        let reached = since.unwrap_or_else(|| changes.latest());
        changes.after(reached, 1)?;
        Ok(Watching { app: self.clone(), caller, kind, reached, latest: changes.subscribe() })
    }

    fn resource(&self, resources: &Resources, kind: Kind, name: &FullName) -> Option<Value> {
        let value = match kind {
            Kind::Vpc => serde_json::to_value(resources.vpc_view(resources.vpc(name).ok()?)),
            Kind::Connector => {
                serde_json::to_value(self.connector_view(resources, resources.connector(name).ok()?))
            }
            Kind::Container => {
                serde_json::to_value(resources.container_view(resources.container(name).ok()?))
            }
            Kind::Function => serde_json::to_value(resources.function_view(resources.function(name).ok()?)),
            Kind::Tenant | Kind::Token | Kind::Pool => return None,
        };
        value.ok()
    }
}

impl Watching {
    /// Waits for the next changes. What is not remembered any more by then is too old.
    pub(crate) async fn next(&mut self) -> Result<Vec<Told>, TooOld> {
        loop {
            // Before the look, so that nothing that comes in between is missed.
            self.latest.borrow_and_update();
            // Who may not look any more hears nothing more.
            if !self.app.knows(&self.caller) {
                return Ok(Vec::new());
            }
            let (events, reached) = self.app.registry().changes().after(self.reached, PART)?;
            self.reached = reached;
            let told = self.told(events);
            if !told.is_empty() {
                return Ok(told);
            }
            if self.latest.changed().await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    fn told(&self, events: Vec<Event>) -> Vec<Told> {
        let ours = |event: &Event| event.kind == self.kind && event.name.tenant == self.caller.tenant;
        let events: Vec<_> = events.into_iter().filter(ours).collect();
        self.app.read(|resources| {
            let told = events.iter().enumerate().map(|(i, Event { revision, kind, name, operation })| {
                let is_last = events.get(i + 1).is_none_or(|next| next.revision != *revision);
                let found = self.app.resource(resources, *kind, name);
                let gone = || serde_json::json!({ "name": name.name.to_string() });
                let event = match (operation, &found) {
                    (Operation::Deleted, _) | (_, None) => "deleted",
                    (Operation::Created, Some(_)) => "created",
                    (Operation::Changed, Some(_)) => "changed",
                };
                let data = if event == "deleted" { gone() } else { found.unwrap_or_else(gone) };
                Told { revision: is_last.then_some(*revision), event, data }
            });
            told.collect()
        })
    }
}

impl From<TooOld> for Problem {
    fn from(TooOld: TooOld) -> Self {
        let detail =
            "not all that has changed since is remembered; list again, and watch from the list's revision";
        Self::new(control_core::Code::RevisionTooOld, detail)
    }
}
