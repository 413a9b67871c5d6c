//! `wharf pool`: containers that wait for functions.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::mutation::Mutation;
use super::resource::{self, Name, Resource, set};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Format, Table, cell};

const SET_EXAMPLES: &str = "\
Examples:
  At least 20 containers of Python wait, and at most 100:
    sudo wharf pool set python3 --min 20 --max 100
  At most 10 new ones a second, and 2 GiB for all environments:
    sudo wharf pool set python3 --refill 10 --memory 2048
  None of Node:
    sudo wharf pool set nodejs --min 0 --max 0";

/// Subcommands of `wharf pool`.
#[derive(Debug, Subcommand)]
pub(super) enum Pool {
    /// List pools: one for each runtime
    #[command(after_help = "Example:\n  wharf pool list")]
    List,
    /// Show a runtime's pool
    #[command(after_help = "Example:\n  wharf pool show python3")]
    Show(Name),
    /// Change a runtime's pool. For root at the daemon
    #[command(after_help = SET_EXAMPLES)]
    Set(Set),
}

/// A pool to be changed.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// The runtime's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    runtime: String,
    /// Containers that wait at least
    #[arg(long, value_name = "N")]
    min: Option<u32>,
    /// Containers that wait at most
    #[arg(long, value_name = "N")]
    max: Option<u32>,
    /// Most new containers a second
    #[arg(long, value_name = "N")]
    refill: Option<u32>,
    /// Memory that all environments of the runtime may have together, in MiB
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Only if this is its revision; the one that it has now unless set
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
    #[command(flatten)]
    mutation: Mutation,
}

impl Pool {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::List => resource::print::<Shown>(resource::items(client.get(Shown::PATH).await?), format),
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Set(set) => set.run(client, format).await,
        }
    }
}

impl Set {
    async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let body = self.body();
        if body == json!({}) {
            return Err(Failure::usage("there is nothing to change")
                .hint("`wharf pool set --help` shows what can be"));
        }
        let etag = self.if_match.map(|revision| format!("\"{revision}\""));
        let (path, run) = (resource::path::<Shown>(&self.runtime), self.mutation.run());
        let changed = client.change(&path, &body, etag.as_deref(), run).await?;
        resource::tell::<Shown>(changed, format, run, "changed")
    }

    fn body(&self) -> Value {
        let mut body = json!({});
        set(&mut body, "min_warm", self.min);
        set(&mut body, "max_warm", self.max);
        set(&mut body, "refill_per_s", self.refill);
        set(&mut body, "memory_mb", self.memory);
        body
    }
}

/// A pool as the API shows it.
#[derive(Deserialize)]
struct Shown {
    runtime: String,
    min_warm: u32,
    max_warm: u32,
    refill_per_s: u32,
    memory_mb: u32,
    unavailable: Option<String>,
    revision: u64,
}

impl Resource for Shown {
    const KIND: &'static str = "pool";
    const PATH: &'static str = "/v1/pools";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["RUNTIME", "MIN", "MAX", "REFILL", "MEMORY", "UNAVAILABLE"]);
        for pool in items {
            table.row([
                cell(&pool.runtime),
                cell(pool.min_warm),
                cell(pool.max_warm),
                cell(format_args!("{}/s", pool.refill_per_s)),
                cell(format_args!("{} MiB", pool.memory_mb)),
                cell(pool.unavailable.as_deref().unwrap_or("-")),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        table
            .property("runtime", &self.runtime)
            .property("min", self.min_warm)
            .property("max", self.max_warm)
            .property("refill", format_args!("{}/s", self.refill_per_s))
            .property("memory", format_args!("{} MiB", self.memory_mb))
            .property_if("unavailable", self.unavailable.as_ref())
            .property("revision", self.revision);
        table
    }

    fn name(&self) -> &str {
        &self.runtime
    }

    fn summary(&self) -> String {
        let Self { min_warm, max_warm, refill_per_s, memory_mb, .. } = self;
        format!("{min_warm} to {max_warm} containers, {refill_per_s} a second, {memory_mb} MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_set_is_changed() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            set: Set,
        }
        let body = |line: &str| {
            <Command as clap::Parser>::try_parse_from(line.split_whitespace()).unwrap().set.body()
        };
        assert_eq!(body("set python3 --min 0"), json!({"min_warm": 0}));
        let all = json!({"min_warm": 1, "max_warm": 2, "refill_per_s": 3, "memory_mb": 4});
        assert_eq!(body("set x --min 1 --max 2 --refill 3 --memory 4"), all);
    }
}
