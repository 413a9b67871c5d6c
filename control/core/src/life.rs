//! The life of a resource that has a device.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// Where a resource is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The name is reserved; the device is being made.
    Creating,
    /// The device works.
    Ready,
    /// The device is being removed.
    Deleting,
    /// The device or its namespace disappeared, or could not be found after a restart. Delete the resource and create it again.
    Gone,
}

/// A state, and the made link `L` in those states that have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life<L> {
    /// See [`State::Creating`].
    Creating,
    /// See [`State::Ready`].
    Ready(L),
    /// See [`State::Deleting`].
    Deleting(Option<L>),
    /// See [`State::Gone`]; the link as it was, if there has been one since the daemon's start.
    Gone(Option<L>),
}

impl<L> Life<L> {
    /// The state alone.
    pub const fn state(&self) -> State {
        match self {
            Self::Creating => State::Creating,
            Self::Ready(_) => State::Ready,
            Self::Deleting(_) => State::Deleting,
            Self::Gone(_) => State::Gone,
        }
    }

    /// The link, once it was made.
    pub const fn link(&self) -> Option<&L> {
        match self {
            Self::Creating => None,
            Self::Ready(link) => Some(link),
            Self::Deleting(link) | Self::Gone(link) => link.as_ref(),
        }
    }

    /// The link, if it works.
    pub const fn ready(&self) -> Option<&L> {
        if let Self::Ready(link) = self { Some(link) } else { None }
    }
}

impl State {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Deleting => "deleting",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
