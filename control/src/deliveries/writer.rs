//! The one thread that changes deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use control_core::{
    Accepted, Code, Delivery, DeliveryFault, DeliveryOutcome, DeliveryState, FullName, InvocationId,
    NewDelivery, Retry, TraceSpan,
};
use tokio::sync::oneshot;

use super::{Begun, DeliveryError, Keep, Part, Put, Shared, now_ms, record};
use crate::medium::MediumError;

/// What the thread is told.
pub(super) enum Message {
    /// An invocation wants in.
    Accept { new: Box<NewDelivery>, event: Bytes, reply: Answered<Accepted> },
    /// Whatever is due is to begin.
    Begin { reply: Answered<Vec<Begun>> },
    /// An attempt has ended.
    End {
        id: InvocationId,
        outcome: Box<DeliveryOutcome>,
        answer: Option<Bytes>,
        spans: Vec<TraceSpan>,
        reply: Reply<()>,
    },
    /// A function is no more, and everything of it goes.
    Forget { function: FullName, reply: Reply<()> },
    /// What a function has answered.
    Answer { id: InvocationId, reply: Answered<Option<Bytes>> },
}

type Reply<T> = oneshot::Sender<T>;

type Answered<T> = Reply<Result<T, DeliveryError>>;

/// Messages in one write.
const BATCH: usize = 256;

/// Between two tries to write what could not be written.
const AGAIN: Duration = Duration::from_secs(1);

/// Between two looks for what is to be forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// Decides on deliveries and writes them down.
pub(super) struct Writer {
    keep: Box<dyn Keep>,
    shared: Arc<Shared>,
    /// What is not on the medium as it is in memory.
    late: BTreeSet<InvocationId>,
    /// Answers that are not on the medium.
    answers: BTreeMap<InvocationId, Bytes>,
}

/// What is decided and not yet durable.
#[derive(Default)]
struct Batch {
    messages: usize,
    events: BTreeMap<InvocationId, Bytes>,
    accepted: Vec<(Accepted, Answered<Accepted>)>,
    begun: Vec<(Vec<InvocationId>, Answered<Vec<Begun>>)>,
    ended: Vec<Reply<()>>,
}

/// Starts the thread. It ends when nobody can tell it anything any more.
pub(super) fn start(mut writer: Writer) -> std::io::Result<(Sender<Message>, JoinHandle<()>)> {
    let (sender, messages) = mpsc::channel();
    let run = move || {
        if catch_unwind(AssertUnwindSafe(|| writer.run(&messages))).is_err() {
            // Nobody would know what is durable. Whoever starts it again finds all that is.
            tracing::error!("the invocations' thread has panicked; the daemon ends");
            std::process::abort();
        }
    };
    let thread = std::thread::Builder::new().name("wharf-invoked".into()).spawn(run)?;
    Ok((sender, thread))
}

impl Writer {
    pub(super) fn new(keep: Box<dyn Keep>, shared: Arc<Shared>) -> Self {
        Self { keep, shared, late: BTreeSet::new(), answers: BTreeMap::new() }
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        // What was running when the daemon before ended.
        self.finish(Batch::default());
        loop {
            let patience = if self.late.is_empty() { IDLE } else { AGAIN };
            let mut batch = Batch::default();
            let mut next = match messages.recv_timeout(patience) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.finish(batch),
            };
            while let Some(message) = next {
                self.take(&mut batch, message);
                next = if batch.messages < BATCH { messages.try_recv().ok() } else { None };
            }
            self.shared.backlog().expire(now_ms());
            self.finish(batch);
        }
    }

    /// Decides on one message.
    fn take(&mut self, batch: &mut Batch, message: Message) {
        batch.messages += 1;
        let mut backlog = self.shared.backlog();
        match message {
            Message::Accept { new, event, reply } => match backlog.accept(now_ms(), *new) {
                Ok(accepted) => {
                    if let Accepted::New(id) = accepted {
                        batch.events.insert(id, event);
                    }
                    batch.accepted.push((accepted, reply));
                }
                Err(refused) => _ = reply.send(Err(refused.into())),
            },
            Message::Begin { reply } => {
                let now_ms = now_ms();
                let begun: Vec<_> = std::iter::from_fn(|| backlog.begin(now_ms)).collect();
                batch.begun.push((begun, reply));
            }
            Message::Forget { function, reply } => {
                let all: Vec<_> = backlog.of(&function).map(|delivery| delivery.id).collect();
                for id in all {
                    backlog.forget(id);
                }
                batch.ended.push(reply);
            }
            Message::End { id, outcome, answer, spans, reply } => {
                backlog.end(now_ms(), id, *outcome, spans);
                self.answers.extend(answer.map(|answer| (id, answer)));
                batch.ended.push(reply);
            }
            Message::Answer { id, reply } => {
                drop(backlog);
                _ = reply.send(self.read(Part::Answer, id).map_err(DeliveryError::of));
            }
        }
    }

    /// Writes what was touched, and answers.
    fn finish(&mut self, mut batch: Batch) {
        let puts = self.puts(&batch);
        let written = if puts.is_empty() { Ok(()) } else { self.keep.write(&puts) };
        match written {
            Ok(()) => {
                self.late.clear();
                self.answers.clear();
                if self.shared.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("invocations can be kept again");
                }
                self.settle(&mut batch);
            }
            Err(error) => {
                self.shared.failing.store(true, Ordering::Relaxed);
                tracing::error!(%error, writes = puts.len(), "invocations cannot be kept; none is accepted or begun");
                self.take_back(&mut batch, &DeliveryError::of(error));
            }
        }
        for reply in batch.ended {
            _ = reply.send(());
        }
    }

    /// The state of everything that is not on the medium as it is.
    fn puts(&mut self, batch: &Batch) -> Vec<Put> {
        let mut backlog = self.shared.backlog();
        self.late.append(&mut backlog.take_touched());
        let mut puts = Vec::new();
        for &id in &self.late {
            let Some(delivery) = backlog.find(id) else {
                puts.push(Put::Gone(id));
                continue;
            };
            puts.push(Put::Record(id, record::write(delivery)));
            puts.extend(batch.events.get(&id).map(|event| Put::Event(id, event.clone())));
            if delivery.ended_at_ms().is_some() {
                puts.push(Put::Done(id));
            }
            if matches!(delivery.state, DeliveryState::Succeeded { .. }) {
                puts.extend(self.answers.get(&id).map(|answer| Put::Answer(id, answer.clone())));
            }
        }
        puts
    }

    fn settle(&mut self, batch: &mut Batch) {
        if !batch.accepted.is_empty() {
            self.shared.wake.notify_one();
        }
        for (accepted, reply) in batch.accepted.drain(..) {
            _ = reply.send(Ok(accepted));
        }
        for (ids, reply) in std::mem::take(&mut batch.begun) {
            let begun: Vec<_> = ids.iter().filter_map(|id| self.begun(*id, &batch.events)).collect();
            if let Err(Ok(unheard)) = reply.send(Ok(begun)) {
                for Begun { delivery, .. } in unheard {
                    self.end(delivery.id, DeliveryOutcome::Dropped);
                }
            }
        }
    }

    /// What is to be run; nothing, and its end, if that cannot be found.
    fn begun(&mut self, id: InvocationId, events: &BTreeMap<InvocationId, Bytes>) -> Option<Begun> {
        let delivery: Delivery = self.shared.backlog().find(id).cloned()?;
        let read = match events.get(&id) {
            Some(event) => Ok(Some(event.clone())),
            None => self.read(Part::Event, id),
        };
        let (detail, retry) = match read {
            Ok(Some(event)) => return Some(Begun { delivery, event }),
            Ok(None) => ("the event is not in the store".to_owned(), Retry::Never),
            Err(error) => (error.to_string(), Retry::Platform),
        };
        tracing::error!(%id, detail, "an invocation's event cannot be read");
        self.end(
            id,
            DeliveryOutcome::Failed(DeliveryFault {
                code: Code::StoreUnavailable,
                detail,
                report: None,
                retry,
            }),
        );
        None
    }

    fn end(&mut self, id: InvocationId, outcome: DeliveryOutcome) {
        self.shared.backlog().end(now_ms(), id, outcome, Vec::new());
        self.late.insert(id);
    }

    /// What could not be kept was not accepted, and does not begin. What has ended has ended all the same.
    fn take_back(&mut self, batch: &mut Batch, error: &DeliveryError) {
        for (accepted, reply) in batch.accepted.drain(..) {
            if let Accepted::New(id) = accepted {
                self.shared.backlog().forget(id);
                self.late.insert(id);
            }
            _ = reply.send(Err(error.clone()));
        }
        for (ids, reply) in batch.begun.drain(..) {
            for id in ids {
                self.end(id, DeliveryOutcome::Dropped);
            }
            _ = reply.send(Err(error.clone()));
        }
    }

    fn read(&mut self, part: Part, id: InvocationId) -> Result<Option<Bytes>, MediumError> {
        match self.answers.get(&id).filter(|_| part == Part::Answer) {
            Some(answer) => Ok(Some(answer.clone())),
            None => self.keep.read(part, id),
        }
    }
}

impl DeliveryError {
    fn of(error: MediumError) -> Self {
        Self::Medium(Arc::new(error))
    }
}
