//! What functions need of the machine.

use sandbox::{CodeStore, Sandbox};

/// What functions need of the machine. Without it, functions can be looked at and deleted, and nothing else.
#[derive(Clone, Debug)]
pub struct Functions {
    /// Where their code is.
    pub code: CodeStore,
    /// Names of runtimes, and why one cannot be used on this machine.
    pub runtimes: Vec<(String, Result<(), String>)>,
    /// What makes their containers; without it they can be deployed, and not invoked.
    pub sandbox: Option<Sandbox>,
}

impl From<Sandbox> for Functions {
    fn from(sandbox: Sandbox) -> Self {
        Self { code: sandbox.code().clone(), runtimes: sandbox.runtimes(), sandbox: Some(sandbox) }
    }
}
