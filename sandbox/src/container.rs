//! One container, from its first process to its last trace.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use crate::{Answer, Assignment, Exit, Fault, Invocation};

/// A container that runs. Clones are the same one; it does not end with the last of them, but with [`Container::remove`].
#[derive(Clone, Debug)]
pub struct Container {
    _private: (),
}

/// What [`Container::assign`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The code's mount alone.
    pub mount: Duration,
    /// All of it, until the bootstrap was told.
    pub total: Duration,
}

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory of all its processes and its tmpfs. Bytes.
    pub memory_bytes: u64,
    /// The most that it ever was. Bytes.
    pub memory_peak_bytes: u64,
    /// CPU time of all its processes.
    pub cpu: Duration,
    /// How many processes and threads it has.
    pub tasks: u64,
}

/// Where a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a process in the container has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// When it was read.
    pub at: SystemTime,
    /// Where it came from.
    pub stream: Stream,
    /// The line without its end; what is longer than the bound is cut into several. Bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Why a container did not become a function's. It is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// It has a function already, or has ended.
    #[error("the container is not warm any more")]
    NotWarm,
    /// The code is not in the store.
    #[error("the code is not in the store")]
    CodeMissing,
    /// A system call failed.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl Container {
    /// Its name: unique on this machine as long as it exists, and made of a–z, 0–9 and hyphens.
    pub fn id(&self) -> &str {
        todo!()
    }

    /// The name of what it is made of.
    pub fn runtime(&self) -> &str {
        todo!()
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Path {
        todo!()
    }

    /// Its first process, as this process's namespace counts.
    pub fn pid(&self) -> u32 {
        todo!()
    }

    /// Makes it a function's: sets its limits, mounts the code, and tells the bootstrap. Once only.
    pub async fn assign(&self, _assignment: Assignment) -> Result<Assigned, AssignError> {
        todo!()
    }

    /// Waits until the handler is loaded: its runtime asks for the first event.
    pub async fn initialised(&self) -> Result<(), Fault> {
        todo!()
    }

    /// Gives the function an event and waits for its answer, until the deadline at most. One at a time.
    /// After a fault that does not leave it usable ([`Fault::leaves_it_usable`]) the container has to be removed.
    pub async fn invoke(&self, _invocation: Invocation) -> Result<Answer, Fault> {
        todo!()
    }

    /// What it uses now.
    pub fn usage(&self) -> Usage {
        todo!()
    }

    /// What its processes write, from the beginning; for one taker. Ends with the container. Whoever does not keep up loses lines.
    pub fn output(&self) -> Option<mpsc::Receiver<OutputLine>> {
        todo!()
    }

    /// Waits until its first process, and with it every other, has ended.
    pub async fn ended(&self) -> Exit {
        todo!()
    }

    /// Ends every process and removes everything of it. Whoever waits for an answer hears [`Fault::Removed`]. Nothing is left when this returns,
    /// or the log says what; doing it again does nothing.
    pub async fn remove(&self) {
        todo!()
    }
}
