//! `wharf vpc connectors`, `wharf approve` and `wharf revoke`: what the owner of a VPC says about those who would like to join it.

use clap::Args;

use super::connector::Shown;
use super::mutation::{Mutation, done};
use super::resource;
use crate::client::{Client, Run, escaped};
use crate::failure::Failure;
use crate::output::{self, Format};

const APPROVE_EXAMPLES: &str = "\
Examples:
  wharf vpc connectors orders       who would like to join
  wharf approve orders acme/web     let in tenant acme's connector web
  wharf approve orders web          one of the VPC's own tenant";

const REVOKE_EXAMPLES: &str = "\
Example:
  wharf revoke orders acme/web      its sessions have ended when this returns";

/// `wharf approve`.
#[derive(Debug, Args)]
#[command(after_help = APPROVE_EXAMPLES)]
pub(super) struct Approve {
    #[command(flatten)]
    pair: Pair,
}

/// `wharf revoke`.
#[derive(Debug, Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub(super) struct Revoke {
    #[command(flatten)]
    pair: Pair,
}

#[derive(Debug, Args)]
struct Pair {
    /// The VPC's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    vpc: String,
    /// The connector's name, with its tenant if that is another one
    #[arg(value_name = "[TENANT/]CONNECTOR", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    connector: String,
    #[command(flatten)]
    mutation: Mutation,
}

impl Approve {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let run = self.pair.mutation.run();
        let answer = client.put(&self.pair.path(), run).await?;
        self.pair.tell(&answer, format, run, "approved")
    }
}

impl Revoke {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let run = self.pair.mutation.run();
        let answer = client.delete(&self.pair.path(), run).await?;
        self.pair.tell(&answer, format, run, "revoked")
    }
}

/// Prints those who have joined `vpc` or would like to.
pub(super) async fn list(client: &mut Client, format: Format, vpc: &str) -> Result<(), Failure> {
    let items = resource::items(client.get(&format!("/v1/vpcs/{}/connectors", escaped(vpc))).await?);
    match format {
        Format::Json => output::json(&items)?,
        Format::Table => Shown::joining(&resource::read::<Vec<_>>(items)?).print()?,
    }
    Ok(())
}

impl Pair {
    fn path(&self) -> String {
        format!("/v1/vpcs/{}/connectors/{}", escaped(&self.vpc), escaped(&self.connector))
    }

    fn tell(
        &self,
        answer: &serde_json::Value,
        format: Format,
        run: Run,
        participle: &str,
    ) -> Result<(), Failure> {
        let Self { vpc, connector, .. } = self;
        match format {
            Format::Json => output::json(answer)?,
            Format::Table => {
                let done = done(run, participle);
                output::line(format_args!("connector {connector} {done} for vpc {vpc}"))?;
            }
        }
        Ok(())
    }
}
