//! `wharf connector`: the named permissions that join containers to VPCs.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::resource::{self, Name, Names, Resource};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, joined};

const ADD_EXAMPLES: &str = "\
Examples:
  Everything in the VPC's own prefix:
    wharf connector add orders --vpc orders
  One server and one subnet:
    wharf connector add orders-db --vpc orders \\
        --destination 10.1.0.1/32 --destination 10.1.7.0/24
  Everything routable, by the VPC's next hop:
    wharf connector add internet --vpc edge --destination 0.0.0.0/0";

/// Subcommands of `wharf connector`.
#[derive(Debug, Subcommand)]
pub(super) enum Connector {
    /// Add a connector to a VPC
    #[command(after_help = ADD_EXAMPLES)]
    Add(Add),
    /// List connectors
    #[command(after_help = "Example:\n  wharf connector list")]
    List,
    /// Show one connector
    #[command(after_help = "Example:\n  wharf connector show orders-db")]
    Show(Name),
    /// Delete connectors; containers have to be detached first
    #[command(after_help = "Example:\n  wharf connector delete orders-db")]
    Delete(Names),
}

/// A connector to be added.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: letters a-z, digits and dashes
    name: String,
    /// The VPC that it leads to
    #[arg(long, value_name = "NAME")]
    vpc: String,
    /// Prefix that containers may reach; the VPC's own unless set. Can be given several times
    #[arg(long = "destination", value_name = "CIDR", value_delimiter = ',')]
    destinations: Vec<String>,
    /// Who there may send to what a container has opened, besides those that it sent to: anybody, other ports of
    /// their addresses, or nobody; address_dependent unless set
    #[arg(long, value_name = "POLICY", value_parser = FILTERING)]
    filtering: Option<String>,
}

/// As the API writes them.
const FILTERING: [&str; 3] = ["endpoint_independent", "address_dependent", "address_and_port_dependent"];

impl Connector {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Add(add) => resource::add::<Shown>(client, format, &add.body()).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Add {
    fn body(&self) -> serde_json::Value {
        let mut body = json!({ "name": self.name, "vpc": self.vpc });
        let destinations = Some(&self.destinations).filter(|d| !d.is_empty());
        resource::set(&mut body, "destinations", destinations);
        resource::set(&mut body, "filtering", self.filtering.as_ref());
        body
    }
}

/// A connector as the API shows it.
#[derive(Deserialize)]
struct Shown {
    name: String,
    vpc: String,
    destinations: Vec<String>,
    filtering: String,
    #[serde(default)]
    containers: Vec<String>,
}

impl Resource for Shown {
    const KIND: &'static str = "connector";
    const PATH: &'static str = "/v1/connectors";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["NAME", "VPC", "DESTINATIONS", "CONTAINERS"]);
        for connector in items {
            table.row([
                cell(&connector.name),
                cell(&connector.vpc),
                output::list(&connector.destinations),
                output::list(&connector.containers),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        table
            .property("name", &self.name)
            .property("vpc", &self.vpc)
            .property("destinations", joined(&self.destinations))
            .property("filtering", &self.filtering)
            .property("containers", joined(&self.containers));
        table
    }

    fn summary(&self) -> String {
        format!("connector {} added: vpc {}, {}", self.name, self.vpc, joined(&self.destinations))
    }
}
