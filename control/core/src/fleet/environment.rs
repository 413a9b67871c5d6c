//! One environment: where it is in its life, and how it came there.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{RequestId, VersionKey};
use crate::Name;
use crate::limits::TRANSITIONS_PER_ENVIRONMENT;

/// An environment's number. No other gets it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvironmentId(pub u64);

/// Where an environment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentState {
    /// Its container is being made.
    Creating,
    /// The language runtime waits; it has no function.
    Warm,
    /// It has a function, whose handler is being loaded.
    Init,
    /// It waits for an invocation.
    Idle,
    /// It serves one.
    Busy,
    /// It serves nothing any more, and is being removed.
    Draining,
    /// Nothing of it is left.
    Gone,
}

/// Why an environment went from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The pool had fewer than it shall have.
    Refill,
    /// A request would have found none.
    Demand,
    /// Its container is there.
    Created,
    /// Its container could not be made.
    CreationFailed,
    /// A request needs one more for its function.
    Triggered,
    /// The handler is loaded.
    Initialised,
    /// The handler could not be loaded.
    InitFailed,
    /// It was given a request.
    Invoked,
    /// The function answered, or reported an error.
    Finished,
    /// The function did not answer in time.
    TimedOut,
    /// The function used more memory than it may.
    OutOfMemory,
    /// Its process ended by itself, or somebody ended it.
    Ended,
    /// Its link or its namespace disappeared.
    LinkLost,
    /// Nobody needed it for its keep-alive.
    KeptLongEnough,
    /// The pool has more than it may have.
    Surplus,
    /// Another function needs its memory.
    MadeRoom,
    /// Its function has a newer version.
    Replaced,
    /// What its function may use has changed.
    Renewed,
    /// Its version is deleted.
    Deleted,
    /// An administrator asked for it.
    Asked,
    /// The daemon ends.
    Shutdown,
    /// It is removed.
    Removed,
}

/// One step of an environment's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When, since the fleet's start.
    pub at: Duration,
    /// Whose.
    pub environment: EnvironmentId,
    /// What it was; nothing before its creation.
    pub from: Option<EnvironmentState>,
    /// What it is from then on.
    pub to: EnvironmentState,
    /// Why.
    pub cause: Cause,
}

/// One environment.
#[derive(Clone, Debug)]
pub struct Environment {
    id: EnvironmentId,
    runtime: Name,
    state: EnvironmentState,
    since: Duration,
    history: VecDeque<Transition>,
    /// What it became; never changes after it is set.
    pub(super) version: Option<VersionKey>,
    /// What it serves.
    pub(super) request: Option<RequestId>,
    /// It leaves as soon as it has done what it does.
    pub(super) leaving: Option<Cause>,
    /// What it is counted as. MiB.
    pub(super) charge_mb: u32,
    /// How long it stays while it is idle.
    pub(super) keep_until: Duration,
}

impl Environment {
    pub(super) fn new(id: EnvironmentId, runtime: Name, charge_mb: u32) -> Self {
        let (since, history, keep_until) = Default::default();
        let (version, request, leaving) = Default::default();
        let state = EnvironmentState::Creating;
        Self { id, runtime, state, since, history, version, request, leaving, charge_mb, keep_until }
    }

    /// Its number.
    pub const fn id(&self) -> EnvironmentId {
        self.id
    }

    /// What its container is made of.
    pub const fn runtime(&self) -> &Name {
        &self.runtime
    }

    /// What it serves; nothing while it is warm.
    pub const fn version(&self) -> Option<&VersionKey> {
        self.version.as_ref()
    }

    /// Where it is in its life.
    pub const fn state(&self) -> EnvironmentState {
        self.state
    }

    /// Since when, since the fleet's start.
    pub const fn since(&self) -> Duration {
        self.since
    }

    /// What it serves at the moment.
    pub const fn request(&self) -> Option<RequestId> {
        self.request
    }

    /// Its last steps, oldest first.
    pub fn transitions(&self) -> impl Iterator<Item = &Transition> {
        self.history.iter()
    }

    /// Takes a step, and remembers it.
    pub(super) fn step(&mut self, at: Duration, to: EnvironmentState, cause: Cause) -> Transition {
        let from = (!self.history.is_empty()).then_some(self.state);
        let transition = Transition { at, environment: self.id, from, to, cause };
        if self.history.len() == TRANSITIONS_PER_ENVIRONMENT {
            self.history.pop_front();
        }
        self.history.push_back(transition);
        (self.state, self.since) = (to, at);
        transition
    }
}

impl EnvironmentState {
    /// As clients read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Warm => "warm",
            Self::Init => "init",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }
}

impl Cause {
    /// As clients read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refill => "refill",
            Self::Demand => "demand",
            Self::Created => "created",
            Self::CreationFailed => "creation_failed",
            Self::Triggered => "triggered",
            Self::Initialised => "initialised",
            Self::InitFailed => "init_failed",
            Self::Invoked => "invoked",
            Self::Finished => "finished",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Ended => "ended",
            Self::LinkLost => "link_lost",
            Self::KeptLongEnough => "kept_long_enough",
            Self::Surplus => "surplus",
            Self::MadeRoom => "made_room",
            Self::Replaced => "replaced",
            Self::Renewed => "renewed",
            Self::Deleted => "deleted",
            Self::Asked => "asked",
            Self::Shutdown => "shutdown",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for EnvironmentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
