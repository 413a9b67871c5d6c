//! `wharf vpc`: private networks and the uplinks to them.

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::join;
use super::mutation::Creation;
use super::netns::{self, Netns};
use super::ports::{self, Ports, Range};
use super::resource::{self, Name, Names, Resource};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, joined, some_joined};

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
        --on-link 10.2.0.0/16 --next-hop 10.2.0.1 --uplink packet --device eth1
  IPv4 and IPv6, with an address to appear as in each:
    wharf vpc add dual --cidr 10.1.0.0/16 --cidr6 fd00::/64 \\
        --external 10.1.0.10,fd00::10 --uplink tap --netns dual \\
        --device wharf0 --address 10.1.0.1/16 --address6 fd00::1/64
  Ports that others use left alone, and a log that tells of blocks of ports only:
    wharf vpc add edge --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink packet \\
        --device eth1 --exclude-ports 8000-8100,9000 --port-blocks
  An address for one connector alone, and no connector without `wharf approve`:
    wharf vpc add orders --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink packet \\
        --device eth1 --reserved-address 10.1.0.20 --approval manual";

const CONNECTORS_EXAMPLES: &str = "\
Examples:
  wharf vpc connectors orders
  wharf vpc connectors orders -o json | jq -r '.[] | select(.state == \"requested\") | .tenant + \"/\" + .name'
The second lists what waits for `wharf approve`.";

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
    /// List connectors of all tenants that have joined a VPC, or would like to
    #[command(after_help = CONNECTORS_EXAMPLES)]
    Connectors {
        /// The VPC's name
        #[arg(value_name = "VPC", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        vpc: String,
    },
    /// Delete VPCs and their uplinks; connectors to them have to go first
    #[command(after_help = "Example:\n  wharf vpc delete orders billing")]
    Delete(Names),
}

/// A VPC to be added. Values are checked by the daemon, in one place for all clients.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: letters a-z, digits and dashes
    name: String,
    /// Its IPv4 prefix, such as 10.1.0.0/16
    #[arg(long, value_name = "CIDR", required_unless_present = "cidr6")]
    cidr: Option<String>,
    /// Its IPv6 prefix, such as fd00::/64; besides --cidr or in place of it
    #[arg(long, value_name = "CIDR")]
    cidr6: Option<String>,
    /// Addresses that containers appear as in the VPC, of either family
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
    /// tap: IPv6 address for the VPC's side of the device
    #[arg(long, value_name = "ADDRESS/BITS", conflicts_with = "bridge")]
    address6: Option<String>,
    /// tap: bridge in that namespace to put the device on
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// tap: MTU of the device, 1500 unless set
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,
    /// Prefix that is reached without a router; the VPC's unless set
    #[arg(long, value_name = "CIDR")]
    on_link: Option<String>,
    /// IPv6 prefix that is reached without a router; the VPC's unless set
    #[arg(long, value_name = "CIDR")]
    on_link6: Option<String>,
    /// Router for everything else
    #[arg(long, value_name = "ADDRESS")]
    next_hop: Option<String>,
    /// Router for everything else of IPv6, such as fe80::1
    #[arg(long, value_name = "ADDRESS")]
    next_hop6: Option<String>,
    /// External ports to use, 1024-65535 unless set
    #[arg(long, value_name = ports::VALUE)]
    ports: Option<Range>,
    /// External ports not to use, of those. Can be given several times
    #[arg(long, value_name = ports::VALUE, value_delimiter = ',')]
    exclude_ports: Vec<Range>,
    /// Give ports to containers in blocks of 64, so that the log tells of blocks only. An excluded port takes its whole
    /// block with it
    #[arg(long)]
    port_blocks: bool,
    /// What a SYN gets that nobody has asked for: ICMP port unreachable after 6 seconds, or nothing; icmp unless set
    #[arg(long, value_name = "icmp|silent", value_parser = UNSOLICITED_SYN, hide_possible_values = true)]
    unsolicited_syn: Option<String>,
    /// More addresses of that kind, which only connectors appear as that name them by --external-address
    #[arg(long = "reserved-address", value_name = "ADDRESS,...", value_delimiter = ',')]
    reserved: Vec<String>,
    /// Whether connectors of the same tenant may join at once, or wait for `wharf approve`, as those of others always
    /// do; automatic unless set
    #[arg(long, value_name = "automatic|manual", value_parser = APPROVAL, hide_possible_values = true)]
    approval: Option<String>,
    #[command(flatten)]
    creation: Creation,
}

/// As the API writes them; the default first.
const APPROVAL: [&str; 2] = ["automatic", "manual"];

/// As the API writes them; the default first.
const UNSOLICITED_SYN: [&str; 2] = ["icmp", "silent"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Tap,
    Packet,
}

impl Vpc {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Add(add) => resource::add::<Shown>(client, format, &add.body()?, &add.creation).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Connectors { vpc } => join::list(client, format, &vpc).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Add {
    fn body(&self) -> Result<serde_json::Value, Failure> {
        let mut uplink = json!({ "device": self.device, "kind": self.kind() });
        resource::set(&mut uplink, "netns", self.netns.as_ref());
        resource::set(&mut uplink, "address", self.address.as_ref());
        resource::set(&mut uplink, "address6", self.address6.as_ref());
        resource::set(&mut uplink, "bridge", self.bridge.as_ref());
        resource::set(&mut uplink, "mtu", self.mtu);
        let addressed = self.address.is_some() || self.address6.is_some();
        if self.uplink == Kind::Packet && (addressed || self.bridge.is_some() || self.mtu.is_some()) {
            return Err(Failure::usage("--address, --address6, --bridge and --mtu are for --uplink tap")
                .hint("a packet uplink takes its device as it is; set it up with `ip`"));
        }
        let mut body = json!({ "name": self.name, "external_addresses": self.external, "uplink": uplink });
        resource::set(&mut body, "cidr", self.cidr.as_ref());
        resource::set(&mut body, "cidr6", self.cidr6.as_ref());
        resource::set(&mut body, "on_link", self.on_link.as_ref());
        resource::set(&mut body, "on_link6", self.on_link6.as_ref());
        resource::set(&mut body, "next_hop", self.next_hop.as_ref());
        resource::set(&mut body, "next_hop6", self.next_hop6.as_ref());
        resource::set(&mut body, "ports", self.ports());
        resource::set(&mut body, "port_blocks", self.port_blocks.then_some(true));
        resource::set(&mut body, "unsolicited_syn", self.unsolicited_syn.as_ref());
        resource::set_list(&mut body, "reserved_addresses", &self.reserved);
        resource::set(&mut body, "approval", self.approval.as_ref());
        Ok(body)
    }

    fn ports(&self) -> Option<serde_json::Value> {
        let mut ports = self.ports.map(|range| json!(range));
        if !self.exclude_ports.is_empty() {
            ports.get_or_insert_with(|| json!({}))["exclude"] = json!(self.exclude_ports);
        }
        ports
    }

    const fn kind(&self) -> &'static str {
        match self.uplink {
            Kind::Tap => "tap",
            Kind::Packet => "packet",
        }
    }
}

/// A VPC as the API shows it.
#[derive(Deserialize)]
struct Shown {
    name: String,
    cidr: Option<String>,
    cidr6: Option<String>,
    external_addresses: Vec<String>,
    on_link: Option<String>,
    on_link6: Option<String>,
    next_hop: Option<String>,
    next_hop6: Option<String>,
    ports: Option<Ports>,
    #[serde(default)]
    port_blocks: bool,
    unsolicited_syn: Option<String>,
    uplink: Uplink,
    #[serde(default)]
    state: String,
    mac: Option<String>,
    mtu: Option<u16>,
    #[serde(default)]
    offloads: Vec<String>,
    #[serde(default)]
    reserved_addresses: Vec<String>,
    approval: Option<String>,
    revision: Option<u64>,
}

impl Shown {
    fn prefixes(&self) -> Vec<String> {
        self.cidr.iter().chain(&self.cidr6).cloned().collect()
    }
}

#[derive(Deserialize)]
struct Uplink {
    kind: String,
    netns: Option<Netns>,
    device: String,
    address: Option<String>,
    address6: Option<String>,
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
                output::list(&vpc.prefixes()),
                output::list(&vpc.external_addresses),
                cell(vpc.uplink.describe()),
                cell(vpc.mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string())),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        let unsolicited_syn = self.unsolicited_syn.as_ref().filter(|word| *word != UNSOLICITED_SYN[0]);
        let approval = self.approval.as_ref().filter(|word| *word != APPROVAL[0]);
        table
            .property("name", &self.name)
            .property("state", &self.state)
            .property_if("cidr", self.cidr.as_ref())
            .property_if("cidr6", self.cidr6.as_ref())
            .property("external addresses", joined(&self.external_addresses))
            .property_if("reserved addresses", some_joined(&self.reserved_addresses))
            .property_if("approval", approval)
            .property_if("external ports", self.ports.as_ref())
            .property_if("port blocks", self.port_blocks.then_some("yes"))
            .property_if("unsolicited syn", unsolicited_syn)
            .property_if("on link", self.on_link.as_ref())
            .property_if("on link6", self.on_link6.as_ref())
            .property_if("next hop", self.next_hop.as_ref())
            .property_if("next hop6", self.next_hop6.as_ref())
            .property("uplink", self.uplink.describe())
            .property_if("uplink address", self.uplink.address.as_ref())
            .property_if("uplink address6", self.uplink.address6.as_ref())
            .property_if("uplink bridge", self.uplink.bridge.as_ref())
            .property_if("gateway mac", self.mac.as_ref())
            .property_if("mtu", self.mtu)
            .property("offloads", joined(&self.offloads))
            .property_if("revision", self.revision);
        table
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        let (uplink, external) = (self.uplink.describe(), joined(&self.external_addresses));
        let prefixes = joined(&self.prefixes());
        format!("{prefixes}, {uplink}, containers appear as {external}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_set_is_left_to_the_daemon() {
        assert_eq!(body("--cidr 10.1.0.0/16").get("ports"), None);
        let excluded = body("--cidr6 fd00::/64 --exclude-ports 8000-8100,9000 --exclude-ports 1-1");
        let ranges =
            [[8000, 8100], [9000, 9000], [1, 1]].map(|[first, last]| json!({"first": first, "last": last}));
        assert_eq!(excluded["ports"], json!({"exclude": ranges}));
        for absent in ["cidr", "port_blocks", "unsolicited_syn", "next_hop6"] {
            assert_eq!(excluded.get(absent), None, "{absent}");
        }
        let all =
            body("--cidr 10.1.0.0/16 --ports 1-9 --exclude-ports 2-3 --port-blocks --unsolicited-syn silent");
        assert_eq!(all["ports"], json!({"first": 1, "last": 9, "exclude": [{"first": 2, "last": 3}]}));
        assert_eq!((&all["port_blocks"], &all["unsolicited_syn"]), (&json!(true), &json!("silent")));
    }

    /// Of a VPC with these flags and what every VPC has.
    fn body(flags: &str) -> serde_json::Value {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            add: Add,
        }
        let line = format!("add o --external 10.1.0.10 --uplink tap --device wharf0 {flags}");
        let command: Command = clap::Parser::try_parse_from(line.split_whitespace()).unwrap();
        command.add.body().unwrap()
    }

    #[test]
    fn only_what_is_no_default_is_shown() {
        let shown = |extra: serde_json::Value| {
            let mut vpc = json!({
                "name": "o", "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"], "on_link": "10.1.0.0/16",
                "ports": {"first": 1024, "last": 65535}, "port_blocks": false, "unsolicited_syn": "icmp",
                "uplink": {"kind": "packet", "device": "eth1"}, "state": "ready",
            });
            vpc.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value::<Shown>(vpc).unwrap().properties().text()
        };
        let plain = shown(json!({}));
        for absent in ["port blocks", "unsolicited", "cidr6", "without"] {
            assert!(!plain.contains(absent), "{plain}");
        }
        let special = shown(json!({
            "cidr6": "fd00::/64", "port_blocks": true, "unsolicited_syn": "silent",
            "ports": {"first": 1024, "last": 65535, "exclude": [{"first": 8000, "last": 8100}]},
        }));
        for present in ["port blocks", "silent", "fd00::/64", "1024-65535 without 8000-8100"] {
            assert!(special.contains(present), "{special}");
        }
    }
}
