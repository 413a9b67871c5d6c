//! `wharf vpc`: private networks and the uplinks to them.

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::netns::{self, Netns};
use super::resource::{self, Name, Names, Resource};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, joined};

const ADD_EXAMPLES: &str = "\
Examples:
  A TAP device that the gateway makes inside the VPC's namespace:
    wharf vpc add orders --cidr 10.1.0.0/16 --external 10.1.0.10 \\
        --uplink tap --netns orders --device wharf0 --address 10.1.0.1/16
  A TAP device on a bridge of this host, and two addresses to appear as:
    wharf vpc add orders --cidr 10.1.0.0/16 --external 10.1.0.10,10.1.0.11 \\
        --uplink tap --device wharf0 --bridge br0
  A device that exists (NIC, veth, VLAN, vxlan), and a router:
    wharf vpc add edge --cidr 10.0.0.0/8 --external 10.2.0.10 \\
        --on-link 10.2.0.0/16 --next-hop 10.2.0.1 --uplink packet --device eth1";

/// Subcommands of `wharf vpc`.
#[derive(Debug, Subcommand)]
pub(super) enum Vpc {
    /// Add a VPC and its uplink
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<Add>),
    /// List VPCs
    #[command(after_help = "Examples:\n  wharf vpc list\n  wharf vpc list -o json | jq -r '.[].name'")]
    List,
    /// Show one VPC
    #[command(after_help = "Example:\n  wharf vpc show orders")]
    Show(Name),
    /// Delete VPCs and their uplinks; connectors to them have to go first
    #[command(after_help = "Example:\n  wharf vpc delete orders billing")]
    Delete(Names),
}

/// A VPC to be added. Values are checked by the daemon, in one place for all clients.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: letters a-z, digits and dashes
    name: String,
    /// Its prefix, such as 10.1.0.0/16
    #[arg(long, value_name = "CIDR")]
    cidr: String,
    /// Addresses that containers appear as in the VPC
    #[arg(long, value_name = "ADDRESS,...", required = true, value_delimiter = ',')]
    external: Vec<String>,
    /// What the uplink is: a TAP device that the gateway makes, or a device that exists
    #[arg(long, value_enum, value_name = "tap|packet", hide_possible_values = true)]
    uplink: Kind,
    /// Namespace of the uplink's device; the daemon's own unless set
    #[arg(long, value_name = netns::VALUE)]
    netns: Option<Netns>,
    /// Name of the uplink's device
    #[arg(long, value_name = "NAME")]
    device: String,
    /// tap: address for the VPC's side of the device
    #[arg(long, value_name = "ADDRESS/BITS", conflicts_with = "bridge")]
    address: Option<String>,
    /// tap: bridge in that namespace to put the device on
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// tap: MTU of the device, 1500 unless set
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,
    /// Prefix that is reached without a router; the VPC's unless set
    #[arg(long, value_name = "CIDR")]
    on_link: Option<String>,
    /// Router for everything else
    #[arg(long, value_name = "ADDRESS")]
    next_hop: Option<String>,
    /// External ports to use, 1024-65535 unless set
    #[arg(long, value_name = "FIRST-LAST", value_parser = ports)]
    ports: Option<Ports>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Tap,
    Packet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ports {
    first: u16,
    last: u16,
}

impl Vpc {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Add(add) => resource::add::<Shown>(client, format, &add.body()?).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Add {
    fn body(&self) -> Result<serde_json::Value, Failure> {
        let mut uplink = json!({ "device": self.device, "kind": self.kind() });
        resource::set(&mut uplink, "netns", self.netns.as_ref());
        resource::set(&mut uplink, "address", self.address.as_ref());
        resource::set(&mut uplink, "bridge", self.bridge.as_ref());
        resource::set(&mut uplink, "mtu", self.mtu);
        if self.uplink == Kind::Packet
            && (self.address.is_some() || self.bridge.is_some() || self.mtu.is_some())
        {
            return Err(Failure::usage("--address, --bridge and --mtu are for --uplink tap")
                .hint("a packet uplink takes its device as it is; set it up with `ip`"));
        }
        let mut body = json!({
            "name": self.name, "cidr": self.cidr, "external_addresses": self.external, "uplink": uplink,
        });
        resource::set(&mut body, "on_link", self.on_link.as_ref());
        resource::set(&mut body, "next_hop", self.next_hop.as_ref());
        resource::set(&mut body, "ports", self.ports);
        Ok(body)
    }

    const fn kind(&self) -> &'static str {
        match self.uplink {
            Kind::Tap => "tap",
            Kind::Packet => "packet",
        }
    }
}

fn ports(text: &str) -> Result<Ports, &'static str> {
    let (first, last) = text.split_once('-').ok_or("is not FIRST-LAST, such as 1024-65535")?;
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Ports { first, last }),
        (Ok(_), Ok(_)) => Err("ends before it begins"),
        _ => Err("ports are numbers up to 65535"),
    }
}

/// A VPC as the API shows it.
#[derive(Deserialize)]
struct Shown {
    name: String,
    cidr: String,
    external_addresses: Vec<String>,
    on_link: Option<String>,
    next_hop: Option<String>,
    ports: Option<Ports>,
    uplink: Uplink,
    #[serde(default)]
    state: String,
    mac: Option<String>,
    mtu: Option<u16>,
    #[serde(default)]
    offloads: Vec<String>,
}

#[derive(Deserialize)]
struct Uplink {
    kind: String,
    netns: Option<Netns>,
    device: String,
    address: Option<String>,
    bridge: Option<String>,
}

impl Uplink {
    fn describe(&self) -> String {
        match &self.netns {
            Some(netns) => format!("{} {} in {netns}", self.kind, self.device),
            None => format!("{} {}", self.kind, self.device),
        }
    }
}

impl Resource for Shown {
    const KIND: &'static str = "vpc";
    const PATH: &'static str = "/v1/vpcs";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["NAME", "STATE", "CIDR", "EXTERNAL", "UPLINK", "MTU"]);
        for vpc in items {
            table.row([
                cell(&vpc.name),
                output::state(&vpc.state),
                cell(&vpc.cidr),
                output::list(&vpc.external_addresses),
                cell(vpc.uplink.describe()),
                cell(vpc.mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string())),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        table
            .property("name", &self.name)
            .property("state", &self.state)
            .property("cidr", &self.cidr)
            .property("external addresses", joined(&self.external_addresses))
            .property_if("external ports", self.ports.map(|p| format!("{}-{}", p.first, p.last)))
            .property_if("on link", self.on_link.as_ref())
            .property_if("next hop", self.next_hop.as_ref())
            .property("uplink", self.uplink.describe())
            .property_if("uplink address", self.uplink.address.as_ref())
            .property_if("uplink bridge", self.uplink.bridge.as_ref())
            .property_if("gateway mac", self.mac.as_ref())
            .property_if("mtu", self.mtu)
            .property("offloads", joined(&self.offloads));
        table
    }

    fn summary(&self) -> String {
        let (uplink, external) = (self.uplink.describe(), joined(&self.external_addresses));
        format!("vpc {} added: {}, {uplink}, containers appear as {external}", self.name, self.cidr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges() {
        assert_eq!(ports("1024-65535"), Ok(Ports { first: 1024, last: 65535 }));
        assert_eq!(ports("7-7"), Ok(Ports { first: 7, last: 7 }));
        for wrong in ["", "1024", "1024-", "-7", "9-8", "1024-65536", "a-b", "1-2-3"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}
