//! `wharf metrics`: what Prometheus is told.

use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  wharf metrics
  wharf metrics | grep drops
Prometheus itself asks GET /metrics, with a token of role reader.";

/// `wharf metrics`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Metrics {}

impl Metrics {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        if format == Format::Json {
            return Err(Failure::usage("metrics are told in Prometheus' own form only")
                .hint("leave -o json out; `wharf stats -o json` has counters as JSON"));
        }
        let text = client.text("/metrics").await?;
        Ok(output::line(text.trim_end())?)
    }
}
