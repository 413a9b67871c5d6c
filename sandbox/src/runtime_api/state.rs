//! What one container's runtime API knows, and what may happen next. No I/O: whoever drives it wakes those who wait after a change.
//!
//! ```text
//!   bootstrap   Starting ─► Asks ─► Assigned
//!   handler     Loading ─► Loaded | Failed
//!   event       offered ─► handed: Running ─┬─► Answered
//!                  ▲          │             ├─► Streaming ─► Answered
//!                  └──────────┘             └─► Abandoned
//!               the client vanished         forgotten, or the runtime asked for another one
//! ```
//!
//! An event has exactly one outcome, or its taker has forgotten it. The next one may be offered while a stream is being
//! written, and is handed over after it.

use std::sync::Arc;
use std::time::Duration;

use crate::{Assignment, Fault, FunctionError, Invocation};

/// `A` is what an answer is.
#[derive(Debug)]
pub(super) struct State<A> {
    bootstrap: Bootstrap,
    handler: Handler,
    offered: Option<Event>,
    handed: Option<Handed>,
    outcome: Option<(Ticket, Result<A, Fault>)>,
    ended: Option<Fault>,
    tickets: u64,
}

/// One offer of one event. Ids are the caller's, these are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

/// An event on its way to the runtime.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub ticket: Ticket,
    pub invocation: Invocation,
    /// How long it had when it was offered.
    pub time: Duration,
    /// Whom it is for.
    pub function: Option<Arc<Assignment>>,
}

/// Why a request of the runtime is refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No event with this id is waiting for its answer.
    UnknownId,
    /// It was answered before, or it is too late or too early for this.
    WrongState,
}

#[derive(Debug)]
enum Bootstrap {
    Starting,
    Asks,
    Assigned(Arc<Assignment>),
}

#[derive(Debug)]
enum Handler {
    Loading,
    Loaded,
    Failed(FunctionError),
}

/// The last event that the runtime was given.
#[derive(Debug)]
struct Handed {
    event: Event,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The runtime has it.
    Running,
    /// It writes the answer.
    Streaming,
    /// It has answered.
    Answered,
    /// Nobody wants its answer any more.
    Abandoned,
}

impl<A> Default for State<A> {
    fn default() -> Self {
        Self {
            bootstrap: Bootstrap::Starting,
            handler: Handler::Loading,
            offered: None,
            handed: None,
            outcome: None,
            ended: None,
            tickets: 0,
        }
    }
}

/// What the bootstrap does, and what it becomes.
impl<A> State<A> {
    /// The bootstrap asks what it shall become.
    pub(super) fn bootstrap_asks(&mut self) {
        if matches!(self.bootstrap, Bootstrap::Starting) {
            self.bootstrap = Bootstrap::Asks;
        }
    }

    /// Whether it has asked.
    pub(super) const fn is_warm(&self) -> bool {
        !matches!(self.bootstrap, Bootstrap::Starting)
    }

    /// Makes it a function's. `false`, and nothing changed, if it is one's, has not asked, or has ended.
    pub(super) fn assign(&mut self, assignment: Assignment) -> bool {
        let takes = matches!(self.bootstrap, Bootstrap::Asks) && self.ended.is_none();
        if takes {
            self.bootstrap = Bootstrap::Assigned(Arc::new(assignment));
        }
        takes
    }

    /// What it has become.
    pub(super) fn assignment(&self) -> Option<Arc<Assignment>> {
        match &self.bootstrap {
            Bootstrap::Assigned(assignment) => Some(assignment.clone()),
            Bootstrap::Starting | Bootstrap::Asks => None,
        }
    }

    /// The runtime says that the handler cannot be loaded.
    pub(super) fn init_failed(&mut self, error: FunctionError) -> Result<(), Refusal> {
        if !matches!(self.handler, Handler::Loading) {
            return Err(Refusal::WrongState);
        }
        self.handler = Handler::Failed(error);
        Ok(())
    }

    /// Whether the handler is loaded, as soon as that is known.
    pub(super) fn initialised(&self) -> Option<Result<(), Fault>> {
        match (self.fault(), &self.handler) {
            (Some(fault), _) => Some(Err(fault)),
            (None, Handler::Loaded) => Some(Ok(())),
            (None, _) => None,
        }
    }
}

/// What the runtime does.
impl<A> State<A> {
    /// It asks for an event. If it still had one, it has given that up.
    pub(super) fn ask(&mut self) -> Result<(), Refusal> {
        match self.handler {
            Handler::Failed(_) => return Err(Refusal::WrongState),
            Handler::Loading => self.handler = Handler::Loaded,
            Handler::Loaded => {}
        }
        if let Some(handed) = self.handed.as_mut().filter(|handed| handed.is_open()) {
            if handed.stage == Stage::Running {
                self.outcome = Some((handed.event.ticket, Err(Fault::Reported(no_response()))));
            }
            handed.stage = Stage::Abandoned;
        }
        Ok(())
    }

    /// Hands over what is offered, unless an earlier event is still open.
    pub(super) fn take(&mut self) -> Option<Event> {
        if self.handed.as_ref().is_some_and(Handed::is_open) {
            return None;
        }
        let event = self.offered.take()?;
        self.handed = Some(Handed { event: event.clone(), stage: Stage::Running });
        Some(event)
    }

    /// The event did not get to the runtime; whoever asks next has it.
    pub(super) fn undelivered(&mut self, ticket: Ticket) {
        if let Some(handed) =
            self.handed.take_if(|handed| handed.event.ticket == ticket && handed.stage == Stage::Running)
        {
            self.offered = Some(handed.event);
        }
    }

    /// Which event an answer with this id would be for.
    pub(super) fn running(&self, id: &str) -> Result<&Event, Refusal> {
        let handed = self.handed.as_ref().filter(|handed| handed.event.invocation.id == id);
        let handed = handed.ok_or(Refusal::UnknownId)?;
        match handed.stage {
            Stage::Running => Ok(&handed.event),
            Stage::Streaming | Stage::Answered => Err(Refusal::WrongState),
            Stage::Abandoned => Err(Refusal::UnknownId),
        }
    }

    /// It has answered.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Result<A, Fault>) -> Result<(), Refusal> {
        self.advance(ticket, Stage::Running, Stage::Answered)?;
        self.outcome = Some((ticket, answer));
        Ok(())
    }

    /// It begins to answer.
    pub(super) fn begin_stream(&mut self, ticket: Ticket, answer: A) -> Result<(), Refusal> {
        self.advance(ticket, Stage::Running, Stage::Streaming)?;
        self.outcome = Some((ticket, Ok(answer)));
        Ok(())
    }

    /// It has answered all of it, or as much as it ever will.
    pub(super) fn end_stream(&mut self, ticket: Ticket) {
        // Refused if the runtime has given it up before: that is no news then.
        _ = self.advance(ticket, Stage::Streaming, Stage::Answered);
    }

    /// Why a stream that has begun will not be completed.
    pub(super) fn stream_fault(&self, ticket: Ticket) -> Option<Fault> {
        let streams =
            self.handed.as_ref().is_some_and(|h| h.event.ticket == ticket && h.stage == Stage::Streaming);
        self.fault().or_else(|| (!streams).then(|| Fault::Reported(no_response())))
    }

    fn advance(&mut self, ticket: Ticket, from: Stage, to: Stage) -> Result<(), Refusal> {
        let handed = self.handed.as_mut().filter(|handed| handed.event.ticket == ticket);
        let handed = handed.filter(|handed| handed.stage != Stage::Abandoned).ok_or(Refusal::UnknownId)?;
        if handed.stage != from {
            return Err(Refusal::WrongState);
        }
        handed.stage = to;
        Ok(())
    }
}

/// What the container's owner does.
impl<A> State<A> {
    /// Offers an event, of which nobody has to have another one under way, that has `time` left.
    pub(super) fn offer(&mut self, invocation: Invocation, time: Duration) -> Result<Ticket, Fault> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let running = self.handed.as_ref().is_some_and(|handed| handed.stage == Stage::Running);
        assert!(self.offered.is_none() && !running, "one event at a time");
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.offered = Some(Event { ticket, invocation, time, function: self.assignment() });
        Ok(ticket)
    }

    /// What became of it, once.
    pub(super) fn outcome(&mut self, ticket: Ticket) -> Option<Result<A, Fault>> {
        let outcome = self.outcome.take_if(|(of, _)| *of == ticket).map(|(_, outcome)| outcome);
        outcome.or_else(|| self.fault().map(Err))
    }

    /// Nobody waits for its outcome any more; an answer that still comes is refused.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.offered.take_if(|event| event.ticket == ticket);
        self.outcome.take_if(|(of, _)| *of == ticket);
        // Refused if it is not the runtime's, or is answered.
        _ = self.advance(ticket, Stage::Running, Stage::Abandoned);
    }

    /// Nothing happens any more, for this reason. The first one stays.
    pub(super) fn end(&mut self, fault: Fault) {
        self.ended.get_or_insert(fault);
    }

    /// Why nothing happens any more.
    pub(super) fn fault(&self) -> Option<Fault> {
        match &self.handler {
            Handler::Failed(error) => Some(Fault::Init(error.clone())),
            Handler::Loading | Handler::Loaded => self.ended.clone(),
        }
    }
}

impl Handed {
    const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Streaming)
    }
}

/// The runtime asked for another event, and did not answer this one.
fn no_response() -> FunctionError {
    FunctionError::new(
        "Runtime.NoResponse",
        "the runtime asked for another event before it answered this one",
    )
}

#[cfg(test)]
mod tests;
