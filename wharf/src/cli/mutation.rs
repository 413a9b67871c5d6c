//! Flags of what changes something.

use clap::Args;

use crate::client::{Key, Run};
use crate::failure::{Exit, Failure};

/// Flags of every command that changes something.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Mutation {
    /// Check everything that needs no machine, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Flags of every command that makes something.
#[derive(Clone, Debug, Args)]
pub(super) struct Creation {
    #[command(flatten)]
    pub(super) mutation: Mutation,
    /// Tells this creation from others, so that repeating the command makes nothing twice; a random one unless set
    #[arg(long, value_name = "KEY", value_parser = Key::new)]
    idempotency_key: Option<Key>,
}

impl Mutation {
    pub(super) const fn run(self) -> Run {
        if self.dry_run { Run::Dry } else { Run::Real }
    }
}

impl Creation {
    pub(super) fn key(&self) -> Result<Key, Failure> {
        let random = || {
            Key::random()
                .map_err(|e| Failure::new(Exit::Failed, format_args!("no randomness for a key: {e}")))
        };
        self.idempotency_key.clone().map_or_else(random, Ok)
    }
}

/// What has happened to something, or would have.
pub(super) fn done(run: Run, participle: &str) -> String {
    match run {
        Run::Real => participle.to_owned(),
        Run::Dry => format!("would be {participle}"),
    }
}
