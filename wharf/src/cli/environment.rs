//! `wharf environment`: the containers that serve functions.

use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;
use serde::Deserialize;

use super::resource::{self, Name, Names, Resource};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, bytes, cell, state};

/// Subcommands of `wharf environment`.
#[derive(Debug, Subcommand)]
pub(super) enum Environment {
    /// List environments
    #[command(
        after_help = "Examples:\n  wharf environment list\n  wharf environment list -o json | jq 'group_by(.state)'"
    )]
    List,
    /// Show one environment, and how it came to be as it is
    #[command(after_help = "Example:\n  wharf environment show 7")]
    Show(Name),
    /// Give environments nothing more to do, and remove them when they are done
    #[command(after_help = "Example:\n  wharf environment delete 7 8")]
    Delete(Names),
}

/// An environment as the API shows it.
#[derive(Deserialize)]
struct Shown {
    id: String,
    runtime: String,
    state: String,
    since_ms: u64,
    function: Option<String>,
    version: Option<u64>,
    container: Option<String>,
    invocations: u64,
    memory_bytes: Option<u64>,
    memory_limit_mb: Option<u32>,
    #[serde(default)]
    transitions: Vec<Transition>,
}

/// A step of its life.
#[derive(Deserialize)]
struct Transition {
    at_ms: u64,
    from: Option<String>,
    to: String,
    cause: String,
}

impl Environment {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::List => resource::print::<Shown>(resource::items(client.get(Shown::PATH).await?), format),
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Resource for Shown {
    const KIND: &'static str = "environment";
    const PATH: &'static str = "/v1/environments";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["ID", "RUNTIME", "STATE", "SINCE", "FUNCTION", "INVOCATIONS", "MEMORY"]);
        for item in items {
            table.row([
                cell(&item.id),
                cell(&item.runtime),
                state(&item.state),
                cell(time(item.since_ms)),
                cell(item.serves()),
                cell(item.invocations),
                cell(item.memory()),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        table.property("id", &self.id).property("runtime", &self.runtime);
        table.row([cell("state"), state(&self.state)]).property("since", time(self.since_ms));
        table.property("function", self.serves()).property_if("container", self.container.as_ref());
        table.property("invocations", self.invocations).property("memory", self.memory());
        for Transition { at_ms, from, to, cause } in &self.transitions {
            let from = from.as_deref().unwrap_or("-");
            table.property(&time(*at_ms), format_args!("{from} → {to}, {cause}"));
        }
        table
    }

    fn name(&self) -> &str {
        &self.id
    }

    fn summary(&self) -> String {
        format!("{} {}", self.state, self.serves())
    }
}

impl Shown {
    fn serves(&self) -> String {
        match (&self.function, self.version) {
            (Some(function), Some(version)) => format!("{function} version {version}"),
            (Some(function), None) => function.clone(),
            (None, _) => "-".to_owned(),
        }
    }

    fn memory(&self) -> String {
        let used = self.memory_bytes.map_or_else(|| "-".to_owned(), bytes);
        self.memory_limit_mb.map_or_else(|| used.clone(), |limit| format!("{used} of {limit} MiB"))
    }
}

fn time(at_ms: u64) -> String {
    output::time(UNIX_EPOCH.checked_add(Duration::from_millis(at_ms)))
}
