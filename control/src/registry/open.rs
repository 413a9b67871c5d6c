//! The start: what was kept is taken up again.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use control_core::{FullName, Kind, Name, Operation, Resources, RestoreError, Stored};
use serde::{Deserialize, Serialize};

use super::audit::{Audit, Entry};
use super::changes::{Changes, Event};
use super::replays::{Replay, ReplayKey, Replays};
use super::writer::{self, Writer};
use super::{Registry, Shared};
use crate::medium::{Medium, MediumError, Table};

/// Why the registry could not be opened. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The medium failed.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// An entry is not what this version writes.
    #[error("the store's entry {key} is not what this version writes: {problem}")]
    Entry {
        /// Which one.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A resource cannot be taken up again.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The writer's thread could not be started.
    #[error("cannot start the store's thread: {0}")]
    Thread(std::io::Error),
}

/// Where revisions go on after the next start: past every one that was given out.
pub(super) const CEILING: &str = "ceiling";

/// Revisions between two moves of the ceiling.
pub(super) const CEILING_STEP: u64 = 100_000;

/// An event as it is kept.
#[derive(Deserialize, Serialize)]
pub(super) struct KeptEvent {
    pub(super) kind: String,
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) operation: String,
}

impl Registry {
    /// Takes up what the medium has kept.
    pub(crate) fn open(medium: Box<dyn Medium>) -> Result<Self, OpenError> {
        let (resources, newest) = resources(&*medium)?;
        let mut audit = Audit::default();
        for (key, value) in medium.load(Table::Audit)? {
            let number = key.parse().map_err(|_| wrong(&key, "its key is no number"))?;
            audit.restore(number, read::<Entry>(&key, &value)?);
        }
        let mut replays: Vec<(String, Replay)> = Vec::new();
        for (key, value) in medium.load(Table::Replays)? {
            replays.push((key.clone(), read(&key, &value)?));
        }
        replays.sort_by_key(|(_, replay)| replay.at_s);
        let mut remembered = Replays::default();
        for (key, replay) in replays {
            remembered.keep(ReplayKey::kept(key), replay);
        }
        let (events, complete_after, ceiling, kept) = events(&*medium)?;
        // An import has no ceiling, but what was imported has revisions.
        let ceiling = if ceiling < newest { newest + CEILING_STEP } else { ceiling };
        let complete_after = if events.is_empty() { ceiling } else { complete_after };
        let shared = Arc::new(Shared {
            resources: RwLock::new(resources),
            changes: Changes::new(events, complete_after, ceiling),
            audit: Mutex::new(audit),
            replays: Mutex::new(remembered),
            failing: AtomicBool::new(false),
        });
        let writer = Writer::new(medium, Arc::clone(&shared), ceiling, kept);
        let writer = writer::start(writer).map_err(OpenError::Thread)?;
        Ok(Self { shared, writer })
    }
}

/// Resources as they were kept, and the latest revision among them.
fn resources(medium: &dyn Medium) -> Result<(Resources, u64), OpenError> {
    let mut newest = 0;
    let mut by_kind: BTreeMap<u8, Vec<(FullName, Stored)>> = BTreeMap::new();
    for (key, value) in medium.load(Table::Records)? {
        let stored: Stored = read(&key, &value)?;
        let name = parse_key(&key).ok_or_else(|| wrong(&key, "its key is no kind, tenant and name"))?;
        newest = newest.max(stored.revision);
        // Each refers only to what comes before it.
        let order = match stored.record.kind() {
            Kind::Tenant => 0,
            Kind::Token => 1,
            Kind::Vpc => 2,
            Kind::Connector => 3,
            Kind::Container => 4,
            Kind::Function => 5,
            Kind::Pool => 6,
        };
        by_kind.entry(order).or_default().push((name, stored));
    }
    let mut resources = Resources::new();
    for (name, stored) in by_kind.into_values().flatten() {
        resources.restore(&name, stored)?;
    }
    Ok((resources, newest))
}

/// Events that were kept, what they are complete after, where revisions go on, and the keys of all of them.
#[allow(clippy::type_complexity, reason = "four things that are found in one look")]
fn events(
    medium: &dyn Medium,
) -> Result<(Vec<Event>, u64, u64, std::collections::VecDeque<String>), OpenError> {
    let mut events = Vec::new();
    let mut keys = std::collections::VecDeque::new();
    let mut ceiling = 0;
    for (key, value) in medium.load(Table::Changes)? {
        if key == CEILING {
            ceiling = read(&key, &value)?;
            continue;
        }
        let number = key.split('-').next().unwrap_or_default();
        let revision = number.parse().map_err(|_| wrong(&key, "its key is no number"))?;
        for kept in read::<Vec<KeptEvent>>(&key, &value)? {
            events.extend(kept.event(revision));
        }
        keys.push_back(key);
    }
    // A store without events has forgotten all, or never had any: whoever watched it lists again.
    let complete_after = events.first().map_or(ceiling, |event| event.revision);
    Ok((events, complete_after, ceiling, keys))
}

/// The key of a resource's record.
pub(super) fn key(kind: Kind, name: &FullName) -> String {
    format!("{}/{}/{}", kind.as_str(), name.tenant, name.name)
}

fn parse_key(key: &str) -> Option<FullName> {
    let mut parts = key.split('/').skip(1);
    let mut name = || Name::parse("name", parts.next()?.to_owned()).ok();
    let full = FullName { tenant: name()?, name: name()? };
    parts.next().is_none().then_some(full)
}

impl KeptEvent {
    pub(super) fn new(kind: Kind, name: &FullName, operation: Operation) -> Self {
        let operation = match operation {
            Operation::Created => "created",
            Operation::Changed => "changed",
            Operation::Deleted => "deleted",
        };
        let (tenant, name) = (name.tenant.to_string(), name.name.to_string());
        Self { kind: kind.as_str().to_owned(), tenant, name, operation: operation.to_owned() }
    }

    /// `None` if it is of a kind that this version does not know.
    fn event(self, revision: u64) -> Option<Event> {
        let kinds = [Kind::Vpc, Kind::Connector, Kind::Container, Kind::Function];
        let kind = kinds.into_iter().find(|kind| kind.as_str() == self.kind)?;
        let operation = match &*self.operation {
            "created" => Operation::Created,
            "changed" => Operation::Changed,
            _ => Operation::Deleted,
        };
        let name = |text| Name::parse("name", text).ok();
        let name = FullName { tenant: name(self.tenant)?, name: name(self.name)? };
        Some(Event { revision, kind, name, operation })
    }
}

fn read<T: serde::de::DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, OpenError> {
    serde_json::from_slice(value).map_err(|error| wrong(key, &error.to_string()))
}

fn wrong(key: &str, problem: &str) -> OpenError {
    OpenError::Entry { key: key.to_owned(), problem: problem.to_owned() }
}
