//! `wharf container`: containers and their links.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::mutation::Creation;
use super::netns::{self, Netns};
use super::resource::{self, Name, Names, Resource};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, joined, some_joined};

const ADD_EXAMPLES: &str = "\
Examples:
  A namespace made by `ip netns add c1`:
    wharf container add c1 --netns c1
  A container that a runtime started; $PID is its first process:
    wharf container add c2 --netns pid:$PID --device net0
  An address of its own choice; any number of containers may have the same:
    wharf container add c3 --netns c3 --address 10.1.0.5
  IPv6 too:
    wharf container add c4 --netns c4 --address6 fd00:1::2";

/// Subcommands of `wharf container`.
#[derive(Debug, Subcommand)]
pub(super) enum Container {
    /// Add a container: makes its device, with address and default route
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<Add>),
    /// List containers
    #[command(after_help = "Example:\n  wharf container list")]
    List,
    /// Show one container
    #[command(after_help = "Example:\n  wharf container show c1")]
    Show(Name),
    /// Delete containers: ends their sessions and removes their devices
    #[command(after_help = "Example:\n  wharf container delete c1 c2 c3")]
    Delete(Names),
}

/// A container to be added.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: letters a-z, digits and dashes
    name: String,
    /// Its network namespace
    #[arg(long, value_name = netns::VALUE)]
    netns: Netns,
    /// Name for its device, eth0 unless set
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Its address, 169.254.1.2 unless set
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The gateway's address on its link, 169.254.1.1 unless set
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<String>,
    /// Its IPv6 address; it has no IPv6 unless set
    #[arg(long, value_name = "ADDRESS")]
    address6: Option<String>,
    /// The gateway's IPv6 address on its link, a link-local one; fe80::1 unless set
    #[arg(long, value_name = "ADDRESS", requires = "address6")]
    gateway6: Option<String>,
    /// MAC address for its device; a random local one unless set
    #[arg(long, value_name = "MAC")]
    mac: Option<String>,
    /// MTU of its device, 1500 unless set
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,
    #[command(flatten)]
    creation: Creation,
}

impl Container {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Add(add) => resource::add::<Shown>(client, format, &add.body(), &add.creation).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Add {
    fn body(&self) -> serde_json::Value {
        let mut body = json!({ "name": self.name, "netns": self.netns });
        resource::set(&mut body, "device", self.device.as_ref());
        resource::set(&mut body, "address", self.address.as_ref());
        resource::set(&mut body, "gateway", self.gateway.as_ref());
        resource::set(&mut body, "address6", self.address6.as_ref());
        resource::set(&mut body, "gateway6", self.gateway6.as_ref());
        resource::set(&mut body, "mac", self.mac.as_ref());
        resource::set(&mut body, "mtu", self.mtu);
        body
    }
}

/// A container as the API shows it.
#[derive(Deserialize)]
struct Shown {
    name: String,
    netns: Netns,
    device: String,
    address: String,
    gateway: String,
    address6: Option<String>,
    gateway6: Option<String>,
    mac: Option<String>,
    mtu: u16,
    #[serde(default)]
    state: String,
    worker: Option<u16>,
    #[serde(default)]
    offloads: Vec<String>,
    #[serde(default)]
    connectors: Vec<String>,
    #[serde(default)]
    dns_servers: Vec<String>,
    function: Option<String>,
    revision: Option<u64>,
}

impl Shown {
    fn addresses(&self) -> Vec<String> {
        std::iter::once(&self.address).chain(&self.address6).cloned().collect()
    }
}

impl Resource for Shown {
    const KIND: &'static str = "container";
    const PATH: &'static str = "/v1/containers";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["NAME", "STATE", "NETNS", "DEVICE", "ADDRESS", "WORKER", "CONNECTORS"]);
        for container in items {
            table.row([
                cell(&container.name),
                output::state(&container.state),
                cell(&container.netns),
                cell(&container.device),
                output::list(&container.addresses()),
                cell(container.worker.map_or_else(|| "-".to_owned(), |w| w.to_string())),
                output::list(&container.connectors),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        table
            .property("name", &self.name)
            .property("state", &self.state)
            .property("netns", &self.netns)
            .property("device", &self.device)
            .property("address", &self.address)
            .property("gateway", &self.gateway)
            .property_if("address6", self.address6.as_ref())
            .property_if("gateway6", self.gateway6.as_ref())
            .property_if("mac", self.mac.as_ref())
            .property("mtu", self.mtu)
            .property_if("worker", self.worker)
            .property("offloads", joined(&self.offloads))
            .property("connectors", joined(&self.connectors))
            .property_if("dns servers", some_joined(&self.dns_servers))
            .property_if("function", self.function.as_ref())
            .property_if("revision", self.revision);
        table
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        format!("{} in {}, address {}", self.device, self.netns, joined(&self.addresses()))
    }
}
