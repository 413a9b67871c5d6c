//! All asynchronous invocations: which may come in, which is run next, which are forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{Delivery, DeliveryOutcome, DeliveryState, NewDelivery};
use crate::limits;
use crate::{FullName, InvocationId, Name, TraceSpan};

/// All asynchronous invocations. Whoever drives it keeps what [`Backlog::take_touched`] names, before anybody hears of it.
#[derive(Clone, Debug)]
pub struct Backlog {
    limits: BacklogLimits,
    deliveries: BTreeMap<InvocationId, Delivery>,
    queues: BTreeMap<FullName, Queue>,
    /// What has not ended, by tenant.
    open: BTreeMap<Name, Open>,
    /// Of which function the last attempt was; the next one is of the function after it, if that has something to do.
    turn: Option<FullName>,
    /// Those that have ended, the first to be forgotten first.
    ended: BTreeSet<(u64, InvocationId)>,
    by_key: BTreeMap<String, InvocationId>,
    running: usize,
    /// Of all of them.
    bytes: u64,
    /// Of those that have ended.
    ended_bytes: u64,
    touched: BTreeSet<InvocationId>,
}

/// Bounds of a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Invocations, those that have ended included.
    pub deliveries: usize,
    /// What it takes to keep them. Bytes.
    pub bytes: u64,
    /// Invocations of one tenant that have not ended.
    pub deliveries_per_tenant: usize,
    /// What it takes to keep those. Bytes.
    pub bytes_per_tenant: u64,
    /// Invocations of one function that have not ended.
    pub deliveries_per_function: usize,
    /// What it takes to keep those. Bytes.
    pub bytes_per_function: u64,
    /// Attempts at a time.
    pub running: usize,
    /// Attempts at a time of one function.
    pub running_per_function: usize,
}

/// What was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A new invocation.
    New(InvocationId),
    /// The same request has come before, and this is what it led to.
    Before(InvocationId),
}

/// Why an invocation was not accepted. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The function has as much waiting as it may. It gets less by itself.
    #[error("the function has {waiting} invocations waiting; try again when some of them have ended")]
    FunctionFull {
        /// How many.
        waiting: usize,
    },
    /// All functions of the tenant together have.
    #[error(
        "the tenant's functions have {waiting} invocations waiting; try again when some of them have ended"
    )]
    TenantFull {
        /// How many.
        waiting: usize,
    },
    /// All functions together have.
    #[error(
        "{waiting} invocations are waiting, which is as much as is kept; try again when some of them have ended"
    )]
    Full {
        /// How many.
        waiting: usize,
    },
    /// Another request had the same key.
    #[error("the idempotency key was used for another request; choose a new one for each request")]
    KeyReused,
}

/// Invocations that have not ended, and what it takes to keep them.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    count: usize,
    bytes: u64,
}

/// What there is of a function.
#[derive(Clone, Debug, Default)]
struct Queue {
    /// All, by age.
    all: BTreeSet<InvocationId>,
    /// Those that wait, by when they are due.
    waiting: BTreeSet<(u64, InvocationId)>,
    running: usize,
    /// Of those that have not ended.
    bytes: u64,
}

impl Default for BacklogLimits {
    fn default() -> Self {
        Self {
            deliveries: limits::DELIVERIES,
            bytes: limits::DELIVERIES_BYTES,
            deliveries_per_tenant: limits::DELIVERIES_PER_TENANT,
            bytes_per_tenant: limits::DELIVERIES_BYTES_PER_TENANT,
            deliveries_per_function: limits::DELIVERIES_PER_FUNCTION,
            bytes_per_function: limits::DELIVERIES_BYTES_PER_FUNCTION,
            running: limits::DELIVERIES_RUNNING,
            running_per_function: limits::DELIVERIES_RUNNING_PER_FUNCTION,
        }
    }
}

impl Backlog {
    /// One in which there is nothing.
    pub fn new(limits: BacklogLimits) -> Self {
        Self {
            limits,
            deliveries: BTreeMap::new(),
            queues: BTreeMap::new(),
            open: BTreeMap::new(),
            turn: None,
            ended: BTreeSet::new(),
            by_key: BTreeMap::new(),
            running: 0,
            bytes: 0,
            ended_bytes: 0,
            touched: BTreeSet::new(),
        }
    }

    /// Takes up what an earlier daemon has kept. An attempt that was under way has failed.
    pub fn restore(&mut self, now_ms: u64, mut delivery: Delivery) {
        if delivery.state == DeliveryState::Running {
            delivery.resume(now_ms);
            self.touched.insert(delivery.id);
        }
        self.put(delivery);
    }

    /// Accepts an invocation. Those that have ended give way to it, the oldest first.
    pub fn accept(&mut self, now_ms: u64, new: NewDelivery) -> Result<Accepted, NotAccepted> {
        self.expire(now_ms);
        if let Some(before) = self.before(&new)? {
            return Ok(Accepted::Before(before));
        }
        let delivery = Delivery::new(now_ms, new);
        self.admit(&delivery)?;
        let id = delivery.id;
        assert!(!self.deliveries.contains_key(&id), "{id} was given out before");
        self.put(delivery);
        self.touched.insert(id);
        Ok(Accepted::New(id))
    }

    /// Begins an attempt that is due: of each function in turn, within the bounds. `None` if there is none.
    pub fn begin(&mut self, now_ms: u64) -> Option<InvocationId> {
        if self.running >= self.limits.running {
            return None;
        }
        let most = self.limits.running_per_function;
        let due = |queue: &Queue| {
            let (due_ms, id) = *queue.waiting.first().filter(|_| queue.running < most)?;
            (due_ms <= now_ms).then_some(id)
        };
        let after = self.turn.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = self.turn.as_ref().map_or(Bound::Unbounded, Bound::Included);
        let later = self.queues.range((after, Bound::Unbounded));
        let earlier = self.queues.range((Bound::Unbounded, up_to));
        let (function, id) = later.chain(earlier).find_map(|(name, queue)| Some((name, due(queue)?)))?;
        self.turn = Some(function.clone());
        self.change(id, |delivery| {
            delivery.state = DeliveryState::Running;
            delivery.attempts = delivery.attempts.saturating_add(1);
            delivery.begun_at_ms = Some(now_ms);
        });
        Some(id)
    }

    /// Ends the attempt that is under way. Does nothing if none is.
    pub fn end(&mut self, now_ms: u64, id: InvocationId, outcome: DeliveryOutcome, spans: Vec<TraceSpan>) {
        if self.find(id).is_none_or(|delivery| delivery.state != DeliveryState::Running) {
            return;
        }
        self.change(id, |delivery| match outcome {
            DeliveryOutcome::Answered { content_type, answer_bytes } => {
                delivery.state = DeliveryState::Succeeded { at_ms: now_ms, content_type, answer_bytes };
                delivery.fault = None;
                delivery.spans = spans;
            }
            DeliveryOutcome::Failed(fault) => {
                delivery.fail(now_ms, fault);
                delivery.spans = spans;
            }
            DeliveryOutcome::Dropped => {
                delivery.state = DeliveryState::Queued { due_ms: now_ms };
                delivery.attempts = delivery.attempts.saturating_sub(1);
            }
        });
        self.make_room(0);
    }

    /// Forgets what ended long ago.
    pub fn expire(&mut self, now_ms: u64) {
        while let Some(&(at_ms, id)) = self.ended.first() {
            if at_ms.saturating_add(limits::DELIVERY_RETENTION_MS) > now_ms {
                break;
            }
            self.forget(id);
        }
    }

    /// Forgets one, wherever it is in its life: what could not be kept was never accepted.
    pub fn forget(&mut self, id: InvocationId) {
        self.take(id);
        self.touched.insert(id);
    }

    /// When [`Backlog::begin`] is worth another call, if nothing ends or comes in before. Unix time, milliseconds.
    pub fn next_due_ms(&self) -> Option<u64> {
        let may = |queue: &&Queue| queue.running < self.limits.running_per_function;
        let due = |queue: &Queue| queue.waiting.first().map(|(due_ms, _)| *due_ms);
        let all = self.queues.values().filter(may).filter_map(due);
        all.min().filter(|_| self.running < self.limits.running)
    }

    /// One of them.
    pub fn find(&self, id: InvocationId) -> Option<&Delivery> {
        self.deliveries.get(&id)
    }

    /// Those of a function, the newest first.
    pub fn of(&self, function: &FullName) -> impl Iterator<Item = &Delivery> {
        let all = self.queues.get(function).into_iter().flat_map(|queue| queue.all.iter().rev());
        all.filter_map(|id| self.deliveries.get(id))
    }

    /// How many have not ended.
    pub fn waiting(&self) -> usize {
        self.deliveries.len() - self.ended.len()
    }

    /// How many are running.
    pub const fn running(&self) -> usize {
        self.running
    }

    /// Those that have changed since the last call, or are gone.
    pub fn take_touched(&mut self) -> BTreeSet<InvocationId> {
        std::mem::take(&mut self.touched)
    }

    /// What a request with the same key has led to before.
    fn before(&self, new: &NewDelivery) -> Result<Option<InvocationId>, NotAccepted> {
        let Some(key) = &new.key else { return Ok(None) };
        let found = self.by_key.get(&key.key).and_then(|id| self.deliveries.get(id));
        match found {
            Some(found) if found.key.as_ref() == Some(key) => Ok(Some(found.id)),
            Some(_) => Err(NotAccepted::KeyReused),
            None => Ok(None),
        }
    }

    /// Makes room for one more, if there may be one.
    fn admit(&mut self, delivery: &Delivery) -> Result<(), NotAccepted> {
        let bytes = delivery.kept_bytes();
        if let Some(queue) = self.queues.get(&delivery.function) {
            let waiting = queue.waiting.len() + queue.running;
            if waiting >= self.limits.deliveries_per_function
                || queue.bytes + bytes > self.limits.bytes_per_function
            {
                return Err(NotAccepted::FunctionFull { waiting });
            }
        }
        let Open { count: waiting, bytes: kept } =
            self.open.get(&delivery.function.tenant).copied().unwrap_or_default();
        if waiting >= self.limits.deliveries_per_tenant || kept + bytes > self.limits.bytes_per_tenant {
            return Err(NotAccepted::TenantFull { waiting });
        }
        let waiting = self.waiting();
        if waiting >= self.limits.deliveries || self.bytes - self.ended_bytes + bytes > self.limits.bytes {
            return Err(NotAccepted::Full { waiting });
        }
        while self.deliveries.len() >= self.limits.deliveries && self.forget_oldest() {}
        self.make_room(bytes);
        Ok(())
    }

    fn make_room(&mut self, bytes: u64) {
        while self.bytes + bytes > self.limits.bytes && self.forget_oldest() {}
    }

    /// Forgets the one that ended first; `false` if none has.
    fn forget_oldest(&mut self) -> bool {
        let oldest = self.ended.first().map(|(_, id)| *id);
        oldest.map(|id| self.forget(id)).is_some()
    }

    fn change(&mut self, id: InvocationId, change: impl FnOnce(&mut Delivery)) {
        let mut delivery = self.take(id).expect("it was found");
        change(&mut delivery);
        self.put(delivery);
        self.touched.insert(id);
    }

    /// Puts one into everything that counts and orders them.
    fn put(&mut self, delivery: Delivery) {
        let (id, bytes) = (delivery.id, delivery.kept_bytes());
        let queue = self.queues.entry(delivery.function.clone()).or_default();
        queue.all.insert(id);
        match delivery.state {
            DeliveryState::Queued { due_ms } => _ = queue.waiting.insert((due_ms, id)),
            DeliveryState::Running => {
                queue.running += 1;
                self.running += 1;
            }
            DeliveryState::Succeeded { at_ms, .. } | DeliveryState::Failed { at_ms } => {
                self.ended.insert((at_ms, id));
            }
        }
        match delivery.ended_at_ms() {
            None => {
                queue.bytes += bytes;
                let open = self.open.entry(delivery.function.tenant.clone()).or_default();
                (open.count, open.bytes) = (open.count + 1, open.bytes + bytes);
            }
            Some(_) => self.ended_bytes += bytes,
        }
        if let Some(key) = &delivery.key {
            self.by_key.insert(key.key.clone(), id);
        }
        self.bytes += bytes;
        self.deliveries.insert(id, delivery);
    }

    /// The opposite.
    fn take(&mut self, id: InvocationId) -> Option<Delivery> {
        let delivery = self.deliveries.remove(&id)?;
        let bytes = delivery.kept_bytes();
        let queue = self.queues.get_mut(&delivery.function).expect("it has been put there");
        queue.all.remove(&id);
        match delivery.state {
            DeliveryState::Queued { due_ms } => _ = queue.waiting.remove(&(due_ms, id)),
            DeliveryState::Running => {
                queue.running -= 1;
                self.running -= 1;
            }
            DeliveryState::Succeeded { at_ms, .. } | DeliveryState::Failed { at_ms } => {
                self.ended.remove(&(at_ms, id));
            }
        }
        match delivery.ended_at_ms() {
            None => {
                queue.bytes -= bytes;
                let tenant = &delivery.function.tenant;
                let open = self.open.get_mut(tenant).expect("it has been counted");
                (open.count, open.bytes) = (open.count - 1, open.bytes - bytes);
                if open.count == 0 {
                    self.open.remove(tenant);
                }
            }
            Some(_) => self.ended_bytes -= bytes,
        }
        if queue.all.is_empty() {
            self.queues.remove(&delivery.function);
        }
        if let Some(key) = &delivery.key {
            self.by_key.remove(&key.key);
        }
        self.bytes -= bytes;
        Some(delivery)
    }
}
