//! `wharf function`: code that runs when somebody asks for it.

mod deploy;
mod invocations;
mod invoke;
mod logs;
mod shown;
mod source;
mod trace;
mod versions;

use clap::Subcommand;

use self::deploy::Deploy;
use self::shown::Shown;
use self::versions::{DeleteVersion, Versions};
use super::resource::{self, Name, Names};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Format;

/// Subcommands of `wharf function`.
#[derive(Debug, Subcommand)]
pub(super) enum Function {
    /// Deploy code: adds a function, or a version of one
    #[command(after_help = deploy::EXAMPLES)]
    Deploy(Box<Deploy>),
    /// List functions
    #[command(after_help = "Example:\n  wharf function list")]
    List,
    /// Show one function
    #[command(after_help = "Example:\n  wharf function show users")]
    Show(Name),
    /// List the versions of a function
    #[command(after_help = "Example:\n  wharf function versions users")]
    Versions(Versions),
    /// Delete a version of a function that is not the latest
    #[command(after_help = "Example:\n  wharf function delete-version users 3")]
    DeleteVersion(DeleteVersion),
    /// Delete functions with all of their versions; what runs of them is ended
    #[command(after_help = "Example:\n  wharf function delete users")]
    Delete(Names),
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
            Self::Deploy(deploy) => deploy.run(client, format).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Versions(versions) => versions.run(client, format).await,
            Self::DeleteVersion(delete) => delete.run(client, format).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
            Self::Invoke(invoke) => invoke.run(client, format).await,
            Self::Logs(logs) => logs.run(client, format).await,
            Self::Trace(trace) => trace.run(client, format).await,
            Self::Invocations(invocations) => invocations.run(client, format).await,
        }
    }
}
