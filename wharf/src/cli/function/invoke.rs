//! `wharf function invoke`: an event for a function, and its answer.

use std::io::{IsTerminal, Read, Write};
use std::time::Duration;

use clap::Args;
use hyper::body::Bytes;
use serde_json::Value;

use super::invocations::{self, Shown};
use crate::cli::resource;
use crate::client::{Client, Key, Parts, Reply, Said, escaped};
use crate::failure::{Exit, Failure};
use crate::output::chart::{Chart, Span};
use crate::output::{self, Format};

pub(super) const EXAMPLES: &str = "\
Examples:
  wharf function invoke users                              with the event null
  wharf function invoke users --event '{\"id\": 7}' --timing
  wharf function invoke users --event @event.json --version 3
  jq .user event.json | wharf function invoke users --event -
  wharf function invoke users --async                      prints the id; runs later, at least once
  wharf function invoke users --async --wait               and waits for what comes of it
The answer goes to stdout as the function gave it. If it failed, the command ends with code 1.";

/// `wharf function invoke`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Invoke {
    /// The function's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// The event: JSON, or @FILE, or - for stdin; null unless set
    #[arg(long, value_name = "JSON|@FILE|-")]
    event: Option<String>,
    #[command(flatten)]
    later: Later,
    /// Run this version; the latest unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// Check whether it may be invoked, and do not
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Show on stderr what took how long
    #[arg(long)]
    timing: bool,
}

/// Flags of an invocation that runs later.
#[derive(Debug, Args)]
struct Later {
    /// Have it accepted and run later, at least once, and again after faults
    #[arg(long = "async")]
    is_accepted: bool,
    /// Wait until it has ended, and print the answer
    #[arg(long, requires = "is_accepted")]
    wait: bool,
    /// Tells this invocation from others, so that repeating the command has it accepted once
    #[arg(long, value_name = "KEY", value_parser = Key::new, requires = "is_accepted")]
    idempotency_key: Option<Key>,
}

/// Between two looks at an invocation that is waited for.
const LOOK: Duration = Duration::from_millis(100);

impl Invoke {
    pub(crate) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let event = self.event.as_deref().map_or_else(|| Ok(Bytes::new()), read)?;
        let path = self.path();
        let key = self.later.idempotency_key.as_ref();
        let Reply { id, spans, version, outcome } = client.invoke(&path, event, key).await?;
        let said = match outcome {
            Ok(said) => said,
            Err(error) => {
                self.show_times(&spans);
                return Err(told(error.into(), id.as_deref()));
            }
        };
        match said {
            Said::Answer(parts) => {
                print(parts).await?;
                self.show_times(&spans);
                Ok(())
            }
            Said::Accepted(view) if self.later.wait => self.follow(client, view, format).await,
            Said::Accepted(view) => accepted(&view, format),
            Said::Nothing => {
                let version = version.map_or_else(String::new, |number| format!(": version {number}"));
                Ok(output::line(format_args!("function {} would be invoked{version}", self.name))?)
            }
        }
    }

    fn path(&self) -> String {
        let mode = if self.later.is_accepted { "async" } else { "sync" };
        let version = self.version.map_or_else(String::new, |number| format!("&version={number}"));
        let dry = if self.dry_run { "&dry_run=true" } else { "" };
        format!("{}?mode={mode}{version}{dry}", invocations::path(&self.name))
    }

    /// Looks until it has ended.
    async fn follow(&self, client: &mut Client, view: Value, format: Format) -> Result<(), Failure> {
        let id = resource::read::<Shown>(view)?.id;
        let path = format!("{}/{}", invocations::path(&self.name), escaped(&id));
        let (view, shown) = loop {
            let view = client.get(&path).await?;
            let shown = resource::read::<Shown>(view.clone())?;
            if shown.has_ended() {
                break (view, shown);
            }
            tokio::time::sleep(LOOK).await;
        };
        if format == Format::Json {
            output::json(&view)?;
        } else if let Some(answer) = view.get("answer") {
            output::line(answer)?;
        } else if let Some(answer) = view["answer_base64"].as_str().and_then(decoded) {
            write(&answer)?;
        }
        self.show_times(&shown.spans);
        match shown.fault {
            Some(fault) => Err(told(Failure::new(Exit::Failed, fault), Some(&id))),
            None => Ok(()),
        }
    }

    fn show_times(&self, spans: &[Span]) {
        if self.timing && !spans.is_empty() {
            output::note(Chart::of_stderr().text(spans));
        }
    }
}

/// Where the event is.
fn read(text: &str) -> Result<Bytes, Failure> {
    let event = match text.strip_prefix('@') {
        _ if text == "-" => {
            let mut event = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut event);
            read.map_err(|e| Failure::usage(format_args!("cannot read the event from stdin: {e}")))?;
            event
        }
        Some(file) => std::fs::read(file)
            .map_err(|e| Failure::usage(format_args!("cannot read the event in {file}: {e}")))?,
        None => text.as_bytes().to_vec(),
    };
    // Before it travels; the daemon would say the same.
    serde_json::from_slice::<serde::de::IgnoredAny>(&event)
        .map_err(|e| Failure::usage(format_args!("the event is not JSON: {e}")))?;
    Ok(event.into())
}

/// An answer as it comes in.
async fn print(mut parts: Parts) -> Result<(), Failure> {
    let mut last = None;
    while let Some(part) = parts.next().await? {
        write(&part)?;
        last = part.last().copied().or(last);
    }
    // So that the prompt begins a line of its own.
    if std::io::stdout().is_terminal() && last.is_some_and(|byte| byte != b'\n') {
        output::line("")?;
    }
    Ok(())
}

/// Bytes that may be anything.
fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    Ok(out.write_all(bytes).and_then(|()| out.flush())?)
}

fn accepted(view: &Value, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => Ok(output::json(view)?),
        Format::Table => Ok(output::line(view["id"].as_str().unwrap_or("-"))?),
    }
}

fn told(failure: Failure, id: Option<&str>) -> Failure {
    match id {
        Some(id) => {
            failure.hint(format_args!("invocation {id}; wharf function logs shows what it has written"))
        }
        None => failure,
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.decode(text).ok()
}
