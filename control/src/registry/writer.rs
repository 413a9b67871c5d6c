//! The one thread that changes resources.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, PoisonError};

use control_core::{Kind, Resources, Touched, Undo};
use serde::Serialize;
use tokio::sync::oneshot;

use super::audit::ENTRIES;
use super::changes::EVENTS;
use super::open::{CEILING, CEILING_STEP, KeptEvent, key};
use super::{CommitError, Entry, Memory, Request, Shared};
use crate::medium::{Medium, Table, Write};

/// What the thread is told.
pub(super) enum Message {
    /// A change is wanted.
    Commit {
        request: Box<Request>,
        /// Told when it is applied, or refused.
        applied: oneshot::Sender<Result<(), CommitError>>,
        /// Told when it is durable.
        durable: oneshot::Sender<Result<u64, CommitError>>,
    },
    /// The daemon ends.
    Stop,
}

/// Events in one value of the medium: some 200 bytes each.
const EVENTS_OF_A_VALUE: usize = 2_048;

/// Changes in one write.
const BATCH: usize = 256;

/// Applies changes and writes them down.
pub(super) struct Writer {
    medium: Box<dyn Medium>,
    shared: Arc<Shared>,
    revision: u64,
    ceiling: u64,
    /// Keys of the events on the medium, oldest first.
    kept_events: VecDeque<String>,
    /// What is to be taken off the medium with the next write.
    late: Vec<Write>,
}

/// Changes that are applied and not yet durable, in their order.
#[derive(Default)]
struct Batch {
    changes: Vec<Applied>,
    writes: Vec<Write>,
    entries: u64,
    /// Where the ceiling moves to.
    ceiling: Option<u64>,
    /// Keys of events that it writes.
    new_events: Vec<String>,
    /// How many of the oldest events it takes off the medium.
    old_events: usize,
}

struct Applied {
    revision: u64,
    touched: Vec<Touched>,
    undo: Undo,
    audit: Option<Entry>,
    replay: Option<Memory>,
    durable: oneshot::Sender<Result<u64, CommitError>>,
}

/// Starts the thread. It ends when it is told to, or when nobody can tell it any more.
pub(super) fn start(mut writer: Writer) -> std::io::Result<Sender<Message>> {
    let (sender, messages) = mpsc::channel();
    let run = move || {
        let run = std::panic::AssertUnwindSafe(|| writer.run(&messages));
        if std::panic::catch_unwind(run).is_err() {
            // Nothing could be changed any more, and nobody would know what is durable. Whoever starts it again finds all that is.
            tracing::error!("the store's thread has panicked; the daemon ends");
            std::process::abort();
        }
    };
    std::thread::Builder::new().name("wharf-store".into()).spawn(run)?;
    Ok(sender)
}

impl Writer {
    pub(super) fn new(
        medium: Box<dyn Medium>,
        shared: Arc<Shared>,
        revision: u64,
        kept_events: VecDeque<String>,
    ) -> Self {
        Self { medium, shared, revision, ceiling: revision, kept_events, late: Vec::new() }
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Commit { request, applied, durable } => {
                        let outcome = self.apply(&mut batch, *request, durable);
                        _ = applied.send(outcome);
                    }
                    Message::Stop => return self.finish(batch),
                }
                next = if batch.changes.len() < BATCH { messages.try_recv().ok() } else { None };
            }
            self.finish(batch);
        }
    }

    /// Applies one change in memory, and notes what is to be written.
    fn apply(
        &mut self,
        batch: &mut Batch,
        request: Request,
        durable: oneshot::Sender<Result<u64, CommitError>>,
    ) -> Result<(), CommitError> {
        let Request { change, expected, audit, replay } = request;
        if let Some(Memory::Keep(key, new)) = &replay
            && (self.shared.replays().find(key, new.at_s).is_some() || batch.remembers(key.as_str()))
        {
            return Err(CommitError::Repeated);
        }
        tracing::trace!(?change, "commit");
        let revision = self.revision + 1;
        let shared = Arc::clone(&self.shared);
        let mut resources = shared.resources.write().unwrap_or_else(PoisonError::into_inner);
        expected.map_or(Ok(()), |expected| expected.check(&resources))?;
        let (touched, undo) = resources.apply(change, revision)?;
        self.revision = revision;
        self.note(batch, &resources, revision, &touched);
        drop(resources);
        if let Some(entry) = &audit {
            let number = self.shared.audit().number(batch.entries);
            batch.entries += 1;
            batch.put(Table::Audit, format!("{number:020}"), entry);
            if let Some(oldest) = number.checked_sub(ENTRIES as u64) {
                batch.delete(Table::Audit, format!("{oldest:020}"));
            }
        }
        match &replay {
            Some(Memory::Keep(key, replay)) => batch.put(Table::Replays, key.as_str().to_owned(), replay),
            Some(Memory::Forget(key)) => batch.delete(Table::Replays, key.as_str().to_owned()),
            None => {}
        }
        batch.changes.push(Applied { revision, touched, undo, audit, replay, durable });
        Ok(())
    }

    /// Notes what is to be kept of what a change has touched.
    fn note(&mut self, batch: &mut Batch, resources: &Resources, revision: u64, touched: &[Touched]) {
        let kept = touched.iter().filter(|touched| touched.is_kept);
        let mut events = Vec::new();
        for Touched { kind, name, operation, .. } in kept {
            match resources.record(*kind, name) {
                Some(stored) => batch.put(Table::Records, key(*kind, name), &stored),
                None => batch.delete(Table::Records, key(*kind, name)),
            }
            if is_watched(*kind) {
                events.push(KeptEvent::new(*kind, name, *operation));
            }
        }
        // A value of the medium has a bound, and a change can touch everything that there is.
        for (part, events) in events.chunks(EVENTS_OF_A_VALUE).enumerate() {
            let number =
                if part == 0 { format!("{revision:020}") } else { format!("{revision:020}-{part:06}") };
            batch.put(Table::Changes, number.clone(), &events);
            batch.new_events.push(number);
            if self.kept_events.len() + batch.new_events.len() > EVENTS + batch.old_events {
                let oldest = self.kept_events.get(batch.old_events).cloned();
                batch.old_events += 1;
                if let Some(oldest) = oldest {
                    batch.delete(Table::Changes, oldest);
                }
            }
        }
        // Long before it is reached, so that no revision is given out twice, whenever the process ends.
        // What is written anyway takes it along, so that what is not kept hardly ever waits for the disk.
        let ahead = if batch.writes.is_empty() { 0 } else { CEILING_STEP / 2 };
        if revision + ahead > batch.ceiling.unwrap_or(self.ceiling) {
            let ceiling = revision + CEILING_STEP;
            batch.ceiling = Some(ceiling);
            batch.put(Table::Changes, CEILING.to_owned(), &ceiling);
        }
    }

    /// Writes what is to be kept, and answers.
    fn finish(&mut self, mut batch: Batch) {
        if batch.writes.is_empty() {
            return self.settle(batch.changes);
        }
        let nothing_is_kept = batch.ceiling.is_some() && batch.writes.len() == 1;
        let written = batch.writes.len();
        batch.writes.append(&mut self.late);
        match self.medium.write(&batch.writes) {
            Ok(()) => {
                self.ceiling = batch.ceiling.unwrap_or(self.ceiling);
                let old = batch.old_events.min(self.kept_events.len());
                self.kept_events.drain(..old);
                self.kept_events.extend(std::mem::take(&mut batch.new_events));
                if self.shared.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the store can be written again");
                }
                self.settle(batch.changes);
            }
            Err(error) => {
                self.shared.failing.store(true, Ordering::Relaxed);
                let changes = batch.changes.len();
                tracing::error!(%error, changes, "the store cannot be written; what was to be kept is refused");
                self.late = batch.writes.split_off(written);
                if nothing_is_kept {
                    // What only this daemon knows is so, whatever the disk says; the ceiling moves with the next write.
                    return self.settle(batch.changes);
                }
                self.take_back(batch.changes, &Arc::new(error));
            }
        }
    }

    fn settle(&mut self, changes: Vec<Applied>) {
        for Applied { revision, touched, audit, replay, durable, .. } in changes {
            if let Some(entry) = audit {
                self.shared.audit().add(entry);
            }
            match replay {
                Some(Memory::Keep(key, replay)) => {
                    let oldest = self.shared.replays().keep(key, replay);
                    self.late.extend(oldest.map(|key| Write {
                        table: Table::Replays,
                        key: key.as_str().to_owned(),
                        value: None,
                    }));
                }
                Some(Memory::Forget(key)) => self.shared.replays().forget(&key),
                None => {}
            }
            let told = touched.into_iter().filter(|touched| is_watched(touched.kind)).collect();
            self.shared.changes.tell(revision, told);
            // Nobody waits: it is done all the same.
            _ = durable.send(Ok(revision));
        }
    }

    fn take_back(&mut self, changes: Vec<Applied>, error: &Arc<crate::medium::MediumError>) {
        let mut resources = self.shared.resources.write().unwrap_or_else(PoisonError::into_inner);
        for Applied { undo, durable, .. } in changes.into_iter().rev() {
            resources.undo(undo);
            _ = durable.send(Err(CommitError::Medium(Arc::clone(error))));
        }
    }
}

/// Tenants, tokens and pools are nothing that is watched.
const fn is_watched(kind: Kind) -> bool {
    matches!(kind, Kind::Vpc | Kind::Connector | Kind::Container | Kind::Function)
}

impl Batch {
    fn put(&mut self, table: Table, key: String, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("records are plain data");
        self.writes.push(Write { table, key, value: Some(value) });
    }

    fn delete(&mut self, table: Table, key: String) {
        self.writes.push(Write { table, key, value: None });
    }

    fn remembers(&self, key: &str) -> bool {
        self.writes
            .iter()
            .any(|write| write.table == Table::Replays && write.key == key && write.value.is_some())
    }
}
