//! `wharf attach` and `wharf detach`.

use clap::Args;
use serde::Deserialize;

use super::mutation::{Mutation, done};
use super::resource;
use crate::client::{Client, Run, escaped};
use crate::failure::Failure;
use crate::output::{self, Format};

const ATTACH_EXAMPLES: &str = "\
Examples:
  wharf attach c1 orders-db     works as soon as this returns
  wharf attach c1 billing       a second VPC for the same container
Attaching twice changes nothing.";

const DETACH_EXAMPLES: &str = "\
Example:
  wharf detach c1 orders-db     sessions have ended when this returns";

/// `wharf attach`.
#[derive(Debug, Args)]
#[command(after_help = ATTACH_EXAMPLES)]
pub(super) struct Attach {
    #[command(flatten)]
    pair: Pair,
    #[command(flatten)]
    mutation: Mutation,
}

/// `wharf detach`.
#[derive(Debug, Args)]
#[command(after_help = DETACH_EXAMPLES)]
pub(super) struct Detach {
    #[command(flatten)]
    pair: Pair,
    #[command(flatten)]
    mutation: Mutation,
}

#[derive(Debug, Args)]
struct Pair {
    /// The container's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    container: String,
    /// The connector's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    connector: String,
}

#[derive(Deserialize)]
struct Attached {
    attached_in_us: u64,
}

#[derive(Deserialize)]
struct Detached {
    sessions_ended: u64,
}

impl Attach {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let run = self.mutation.run();
        let answer = client.put(&self.pair.path(), run).await?;
        match format {
            Format::Json => output::json(&answer)?,
            Format::Table => {
                let Attached { attached_in_us } = resource::read(answer)?;
                let Pair { container, connector } = &self.pair;
                let attached = done(run, "attached");
                match run {
                    Run::Real => output::line(format_args!(
                        "{container} {attached} to {connector} in {attached_in_us} µs"
                    ))?,
                    Run::Dry => output::line(format_args!("{container} {attached} to {connector}"))?,
                }
            }
        }
        Ok(())
    }
}

impl Detach {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let run = self.mutation.run();
        let answer = client.delete(&self.pair.path(), run).await?;
        match format {
            Format::Json => output::json(&answer)?,
            Format::Table => {
                let Detached { sessions_ended } = resource::read(answer)?;
                let Pair { container, connector } = &self.pair;
                let detached = done(run, "detached");
                match run {
                    Run::Real => output::line(format_args!(
                        "{container} {detached} from {connector}; sessions ended: {sessions_ended}"
                    ))?,
                    Run::Dry => output::line(format_args!("{container} {detached} from {connector}"))?,
                }
            }
        }
        Ok(())
    }
}

impl Pair {
    fn path(&self) -> String {
        format!("/v1/containers/{}/connectors/{}", escaped(&self.container), escaped(&self.connector))
    }
}
