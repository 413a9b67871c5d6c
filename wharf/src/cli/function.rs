//! `wharf function`: code that runs when somebody asks for it.

mod invocations;
mod invoke;
mod logs;
mod trace;

use clap::Subcommand;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Format;

/// Subcommands of `wharf function`.
#[derive(Debug, Subcommand)]
pub(super) enum Function {
    /// Give a function an event, and print its answer
    Invoke(Box<invoke::Invoke>),
    /// Show what a function has written
    Logs(logs::Logs),
    /// Show what took how long in an invocation
    Trace(trace::Trace),
    /// List the latest invocations of a function
    Invocations(invocations::Invocations),
}

impl Function {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Invoke(invoke) => invoke.run(client, format).await,
            Self::Logs(logs) => logs.run(client, format).await,
            Self::Trace(trace) => trace.run(client, format).await,
            Self::Invocations(invocations) => invocations.run(client, format).await,
        }
    }
}
