//! What functions need of the machine.

use control_core::Name;
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

impl Functions {
    /// Names of its runtimes, those that are names.
    pub(crate) fn names(&self) -> Vec<Name> {
        let names = self.runtimes.iter().map(|(name, _)| Name::parse("runtime", name.clone()));
        names.filter_map(Result::ok).collect()
    }
}

impl From<Sandbox> for Functions {
    fn from(sandbox: Sandbox) -> Self {
        Self { code: sandbox.code().clone(), runtimes: sandbox.runtimes(), sandbox: Some(sandbox) }
    }
}
