//! What containers come from.

use std::path::Path;
use std::process::ExitCode;

use crate::{CodeStore, Container, Settings};

/// Makes containers. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Sandbox {
    _private: (),
}

/// What a container needs before it is one: namespaces, and in them its runtime API. Dropped, it is removed.
#[derive(Debug)]
pub struct Prepared {
    _private: (),
}

/// Why the sandbox cannot be used. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The machine lacks something.
    #[error("{0}")]
    Unsupported(String),
    /// A system call failed.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Why there is no container. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// No runtime has this name.
    #[error("there is no runtime named {0}")]
    UnknownRuntime(String),
    /// The runtime cannot be used on this machine.
    #[error("runtime {runtime} is not available: {detail}")]
    Unavailable {
        /// Which one.
        runtime: String,
        /// What is missing.
        detail: String,
    },
    /// The OCI runtime refused.
    #[error("the OCI runtime failed: {0}")]
    Oci(String),
    /// The first process ended, or did not become warm in time.
    #[error("the container did not become warm: {0}")]
    NotWarm(String),
    /// A system call failed.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl Sandbox {
    /// Opens the sandbox. Whatever an earlier process has left in its directories and control groups is removed first.
    pub async fn open(_settings: Settings) -> Result<Self, OpenError> {
        todo!()
    }

    /// Names of its runtimes, and why one cannot be used on this machine.
    pub fn runtimes(&self) -> Vec<(String, Result<(), String>)> {
        todo!()
    }

    /// Its store of code.
    pub fn code(&self) -> &CodeStore {
        todo!()
    }

    /// Makes the namespaces of a new container of this runtime, and its runtime API's listener in there.
    pub async fn prepare(&self, _runtime: &str) -> Result<Prepared, CreateError> {
        todo!()
    }
}

impl Prepared {
    /// The container's id, which it will keep.
    pub fn id(&self) -> &str {
        todo!()
    }

    /// The container's network namespace.
    pub fn netns(&self) -> &Path {
        todo!()
    }

    /// Starts its processes and waits until it is warm.
    pub async fn start(self) -> Result<Container, CreateError> {
        todo!()
    }
}

/// What the helper program does: makes one container and ends. [`Settings::helper`] says how it is started. Call it before there is any
/// other thread.
pub fn container_helper(_arguments: &[String]) -> ExitCode {
    todo!()
}
