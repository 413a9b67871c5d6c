//! `wharf audit`: who changed what.

use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use serde::Deserialize;

use super::resource;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell};

const EXAMPLES: &str = "\
Examples:
  wharf audit                       the last 100 changes of the tenant, newest first
  wharf audit --limit 1000 --before 4711
  wharf audit -o json | jq -r '.[] | select(.action == \"revoke\")'
REQUEST is x-request-id of the answer, and in the daemon's log.";

/// `wharf audit`. For admins.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those before the one of this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
}

/// An entry as the API shows it.
#[derive(Deserialize)]
struct Entry {
    number: u64,
    at_ms: u64,
    principal: String,
    action: String,
    target: String,
    request: String,
}

impl Audit {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let before = self.before.map_or_else(String::new, |number| format!("&before={number}"));
        let items = resource::items(client.get(&format!("/v1/audit?limit={}{before}", self.limit)).await?);
        match format {
            Format::Json => output::json(&items)?,
            Format::Table => table(&resource::read::<Vec<Entry>>(items)?).print()?,
        }
        Ok(())
    }
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new(["NUMBER", "AT", "WHO", "ACTION", "TARGET", "REQUEST"]);
    for entry in entries {
        table.row([
            cell(entry.number),
            cell(output::time(UNIX_EPOCH.checked_add(Duration::from_millis(entry.at_ms)))),
            cell(&entry.principal),
            cell(&entry.action),
            cell(&entry.target),
            cell(&entry.request),
        ]);
    }
    table
}
