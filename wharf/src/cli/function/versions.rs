//! `wharf function versions` and `delete-version`

use clap::Args;

use super::shown::{Shown, Version};
use crate::cli::mutation::{Mutation, done};
use crate::cli::resource;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell};

/// The versions of a function.
#[derive(Debug, Args)]
pub(in crate::cli) struct Versions {
    /// The function's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
}

/// A version to be deleted.
#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteVersion {
    /// The function's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// The version's number
    version: u64,
    #[command(flatten)]
    mutation: Mutation,
}

impl Versions {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let path = format!("{}/versions", resource::path::<Shown>(&self.name));
        let items = resource::items(client.get(&path).await?);
        match format {
            Format::Json => output::json(&items)?,
            Format::Table => table(&resource::read::<Vec<Version>>(items)?).print()?,
        }
        Ok(())
    }
}

impl DeleteVersion {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let (Self { name, version, .. }, run) = (&self, self.mutation.run());
        let path = format!("{}/versions/{version}", resource::path::<Shown>(name));
        client.delete(&path, run).await?;
        if format == Format::Table {
            output::line(format_args!("version {version} of function {name} {}", done(run, "deleted")))?;
        }
        Ok(())
    }
}

fn table(versions: &[Version]) -> Table {
    let mut table = Table::new(["VERSION", "DEPLOYED", "RUNTIME", "HANDLER", "CODE", "SIZE"]);
    for version in versions {
        table.row([
            cell(version.number),
            cell(version.created()),
            cell(&version.runtime),
            cell(version.entry()),
            cell(version.code()),
            cell(output::bytes(version.code_bytes)),
        ]);
    }
    table
}
