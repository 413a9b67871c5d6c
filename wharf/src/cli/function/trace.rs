//! `wharf function trace`: what took how long in an invocation.

use clap::Args;
use serde_json::Value;

use super::invocations::{self, Shown, time};
use crate::cli::resource;
use crate::client::{Client, escaped};
use crate::failure::{Exit, Failure};
use crate::output::chart::Chart;
use crate::output::{self, Format};

pub(super) const EXAMPLES: &str = "\
Examples:
  wharf function trace users                          of the latest invocation
  wharf function trace users 019aa7c2-6f0e-7a52-8c1d-0d5e6f7a8b9c
  wharf function trace users -o json | jq .spans";

/// `wharf function trace`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Trace {
    /// The function's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// The invocation; the latest unless set
    id: Option<String>,
}

impl Trace {
    pub(crate) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let path = invocations::path(&self.name);
        let found = match &self.id {
            Some(id) => client.get(&format!("{path}/{}", escaped(id))).await?,
            None => latest(client.get(&format!("{path}?limit=1")).await?, &self.name)?,
        };
        if format == Format::Json {
            return Ok(output::json(&found)?);
        }
        let shown = resource::read::<Shown>(found)?;
        let Shown { id, version, state, accepted_at_ms, spans, fault, .. } = &shown;
        let at = time(*accepted_at_ms);
        output::line(format_args!("{id}  version {version}  {state}  {at}"))?;
        if let Some(fault) = fault {
            output::line(fault)?;
        }
        if spans.is_empty() {
            return Ok(output::line("no attempt of it has ended")?);
        }
        Ok(output::line(Chart::of_stdout().text(spans))?)
    }
}

fn latest(list: Value, name: &str) -> Result<Value, Failure> {
    let none =
        || Failure::new(Exit::NotFound, format_args!("no invocation of function {name} is remembered"));
    resource::items(list).get_mut(0).map(Value::take).ok_or_else(none)
}
