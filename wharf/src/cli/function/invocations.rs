//! `wharf function invocations`: the latest invocations of a function.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::resource;
use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::output::chart::{Span, duration};
use crate::output::{self, Format, Table, cell, state};

pub(super) const EXAMPLES: &str = "\
Examples:
  wharf function invocations users                    the newest first
  wharf function invocations users -o json | jq '.[] | select(.state == \"failed\")'
Asynchronous ones are kept for a day, others for a while.";

/// `wharf function invocations`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Invocations {
    /// The function's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// An invocation as the API shows it.
#[derive(Deserialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) mode: String,
    pub(super) state: String,
    pub(super) attempts: u32,
    pub(super) accepted_at_ms: u64,
    pub(super) begun_at_ms: Option<u64>,
    pub(super) ended_at_ms: Option<u64>,
    pub(super) spans: Vec<Span>,
    pub(super) fault: Option<Fault>,
}

/// Why an attempt failed.
#[derive(Deserialize)]
pub(super) struct Fault {
    pub(super) code: String,
    detail: String,
    #[serde(default)]
    function_error: Value,
}

impl Invocations {
    pub(crate) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let items = client.get(&format!("{}?limit={}", path(&self.name), self.limit)).await?;
        let items = resource::items(items);
        match format {
            Format::Json => output::json(&items)?,
            Format::Table => table(&resource::read::<Vec<Shown>>(items)?).print()?,
        }
        Ok(())
    }
}

fn table(all: &[Shown]) -> Table {
    let mut table = Table::new(["ID", "VERSION", "MODE", "STATE", "ATTEMPTS", "AT", "TOOK", "FAULT"]);
    for shown in all {
        table.row([
            cell(&shown.id),
            cell(shown.version),
            cell(&shown.mode),
            state(&shown.state),
            cell(shown.attempts),
            cell(time(shown.accepted_at_ms)),
            cell(shown.took()),
            cell(shown.fault.as_ref().map_or("-", |fault| &fault.code)),
        ]);
    }
    table
}

impl Shown {
    /// Whether nothing will change any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended_at_ms.is_some()
    }

    /// How long the last attempt took; a dash if it has not ended.
    pub(super) fn took(&self) -> String {
        let traced = self.spans.iter().map(|span| span.start_us.saturating_add(span.duration_us)).max();
        let measured =
            self.ended_at_ms.zip(self.begun_at_ms).map(|(end, begin)| end.saturating_sub(begin) * 1_000);
        traced.or(measured).map_or_else(|| "-".to_owned(), duration)
    }
}

/// Where the API has a function's invocations.
pub(super) fn path(function: &str) -> String {
    format!("/v1/functions/{}/invocations", escaped(function))
}

/// A moment, in UTC.
pub(super) fn time(at_ms: u64) -> String {
    output::time(UNIX_EPOCH.checked_add(Duration::from_millis(at_ms)))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.detail, self.code)?;
        crate::client::stack_trace(&self.function_error).try_for_each(|line| write!(f, "\n  {line}"))
    }
}
