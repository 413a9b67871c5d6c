//! `wharf connector`: the named permissions that join containers to VPCs.

mod publication;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use self::publication::Publication;
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
  Everything routable, by the VPC's next hop; with IPv6 add ::/0:
    wharf connector add internet --vpc edge --destination 0.0.0.0/0
  At most 2000 external ports for all containers, and 100 for each:
    wharf connector add jobs --vpc edge --port-quota 2000 --port-quota-per-container 100
  A server in a container: port 80 of the VPC's address leads to its port 8080, for callers
  inside the destinations:
    wharf connector add web --vpc orders --publish tcp:80:8080
  The same with the address to publish, of either family:
    wharf connector add web --vpc dual --publish tcp:10.1.0.10:80:8080 \\
        --publish 'tcp:[fd00::10]:80:8080'
  Routed: the VPC sees the container's own address, which has to be one of `container add`'s
  --address, and has a route to it by the gateway (`ip route add 10.9.0.5 via 10.1.0.10`):
    wharf connector add plain --vpc orders --no-translation";

/// Subcommands of `wharf connector`.
#[derive(Debug, Subcommand)]
pub(super) enum Connector {
    /// Add a connector to a VPC
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<Add>),
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
    /// Prefix that containers may reach; all of the VPC's own unless set. Can be given several times
    #[arg(long = "destination", value_name = "CIDR", value_delimiter = ',')]
    destinations: Vec<String>,
    /// Which packets from one port of a container show the same external port: all, those to one address, or those to
    /// one port of it; endpoint_independent unless set
    #[arg(long, value_name = "POLICY", value_parser = DEPENDENCE)]
    mapping: Option<String>,
    /// Who there may send to what a container has opened, besides those that it sent to: anybody, other ports of
    /// their addresses, or nobody; address_dependent unless set
    #[arg(long, value_name = "POLICY", value_parser = DEPENDENCE)]
    filtering: Option<String>,
    /// The same for UDP, where it shall differ
    #[arg(long, value_name = "POLICY", value_parser = DEPENDENCE)]
    udp_filtering: Option<String>,
    /// Which packets keep a UDP session alive: the container's, or those of its peer too; outbound unless set
    #[arg(long, value_name = "outbound|both", value_parser = UDP_REFRESH, hide_possible_values = true)]
    udp_refresh: Option<String>,
    /// Show the VPC the container's own address; not the default one, which nobody may route
    #[arg(long)]
    no_translation: bool,
    /// Most external ports of all containers together; of sessions with --mapping address_and_port_dependent
    #[arg(long, value_name = "N")]
    port_quota: Option<u32>,
    /// The same of each container
    #[arg(long, value_name = "N")]
    port_quota_per_container: Option<u32>,
    /// What both ends of a live TCP connection hear of a detach: a RST, or nothing; reset unless set
    #[arg(long, value_name = "reset|silent", value_parser = ON_DETACH, hide_possible_values = true)]
    on_detach: Option<String>,
    /// External port that leads to a port of the container, the same unless set, at one of the VPC's external
    /// addresses, the first IPv4 one unless set. Only the connector's destinations may call it. Best outside of the VPC's
    /// --ports or among its --exclude-ports, where no mapping can have it. Can be given several times
    #[arg(long = "publish", value_name = publication::VALUE, value_delimiter = ',')]
    publications: Vec<Publication>,
}

/// As the API writes them.
const DEPENDENCE: [&str; 3] = ["endpoint_independent", "address_dependent", "address_and_port_dependent"];

/// As the API writes them; the default first.
const UDP_REFRESH: [&str; 2] = ["outbound", "both"];

/// As the API writes them; the default first.
const ON_DETACH: [&str; 2] = ["reset", "silent"];

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
        resource::set(&mut body, "mapping", self.mapping.as_ref());
        resource::set(&mut body, "filtering", self.filtering.as_ref());
        resource::set(&mut body, "udp_filtering", self.udp_filtering.as_ref());
        resource::set(&mut body, "udp_refresh", self.udp_refresh.as_ref());
        resource::set(&mut body, "translation", self.no_translation.then_some(false));
        resource::set(&mut body, "port_quota", self.port_quota);
        resource::set(&mut body, "port_quota_per_container", self.port_quota_per_container);
        resource::set(&mut body, "on_detach", self.on_detach.as_ref());
        let publications = Some(&self.publications).filter(|p| !p.is_empty());
        resource::set(&mut body, "publications", publications);
        body
    }
}

/// A connector as the API shows it.
#[derive(Deserialize)]
struct Shown {
    name: String,
    vpc: String,
    destinations: Vec<String>,
    #[serde(default = "yes")]
    translation: bool,
    mapping: Option<String>,
    filtering: String,
    udp_filtering: Option<String>,
    udp_refresh: Option<String>,
    ports_used: Option<u32>,
    port_quota: Option<u32>,
    port_quota_per_container: Option<u32>,
    on_detach: Option<String>,
    #[serde(default)]
    publications: Vec<Publication>,
    #[serde(default)]
    containers: Vec<String>,
}

const fn yes() -> bool {
    true
}

impl Shown {
    /// What is not as it is when nobody chooses, by its name in the API.
    fn chosen(&self) -> Vec<(&'static str, String)> {
        let word = |default: &str, word: Option<&String>| word.filter(|word| *word != default).cloned();
        let number = |number: Option<u32>| number.map(|n| n.to_string());
        let all = [
            ("translation", (!self.translation).then(|| "no".to_owned())),
            ("mapping", word(DEPENDENCE[0], self.mapping.as_ref())),
            ("filtering", word(DEPENDENCE[1], Some(&self.filtering))),
            ("udp_filtering", self.udp_filtering.clone()),
            ("udp_refresh", word(UDP_REFRESH[0], self.udp_refresh.as_ref())),
            ("port_quota", number(self.port_quota)),
            ("port_quota_per_container", number(self.port_quota_per_container)),
            ("on_detach", word(ON_DETACH[0], self.on_detach.as_ref())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The same in one cell.
    fn policy(&self) -> Vec<String> {
        let mut policy: Vec<_> =
            self.chosen().iter().map(|(name, value)| format!("{name}={value}")).collect();
        policy.extend(self.publications.iter().map(|publication| format!("publish={publication}")));
        policy
    }
}

impl Resource for Shown {
    const KIND: &'static str = "connector";
    const PATH: &'static str = "/v1/connectors";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["NAME", "VPC", "DESTINATIONS", "POLICY", "CONTAINERS"]);
        for connector in items {
            table.row([
                cell(&connector.name),
                cell(&connector.vpc),
                output::list(&connector.destinations),
                output::list(&connector.policy()),
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
            .property("filtering", &self.filtering);
        for (name, value) in self.chosen().iter().filter(|(name, _)| *name != "filtering") {
            table.property(&name.replace('_', " "), value);
        }
        for publication in &self.publications {
            table.property("publication", publication);
        }
        table.property_if("ports used", self.ports_used).property("containers", joined(&self.containers));
        table
    }

    fn summary(&self) -> String {
        format!("connector {} added: vpc {}, {}", self.name, self.vpc, joined(&self.destinations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_set_is_left_to_the_daemon() {
        assert_eq!(body(""), json!({"name": "k", "vpc": "v"}));
        let all = "--mapping address_dependent --filtering endpoint_independent --udp-filtering address_dependent \
            --udp-refresh both --port-quota 9 --port-quota-per-container 3 --on-detach silent --publish tcp:80,udp:53";
        let expected = json!({
            "name": "k", "vpc": "v", "mapping": "address_dependent", "filtering": "endpoint_independent",
            "udp_filtering": "address_dependent", "udp_refresh": "both", "port_quota": 9, "port_quota_per_container": 3,
            "on_detach": "silent", "publications": [
                {"protocol": "tcp", "external_port": 80}, {"protocol": "udp", "external_port": 53},
            ],
        });
        assert_eq!(body(all), expected);
        assert_eq!(body("--no-translation")["translation"], false);
    }

    /// Of a connector with these flags.
    fn body(flags: &str) -> serde_json::Value {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            add: Add,
        }
        let line = format!("add k --vpc v {flags}");
        let command: Command = clap::Parser::try_parse_from(line.split_whitespace()).unwrap();
        command.add.body()
    }

    #[test]
    fn only_what_was_chosen_is_shown() {
        let mut connector = json!({
            "name": "k", "vpc": "v", "destinations": ["10.1.0.0/16"], "translation": true,
            "mapping": "endpoint_independent", "filtering": "address_dependent", "udp_refresh": "outbound",
            "on_detach": "reset", "publications": [], "containers": [],
        });
        let shown =
            |connector: &serde_json::Value| serde_json::from_value::<Shown>(connector.clone()).unwrap();
        assert_eq!(shown(&connector).policy(), Vec::<String>::new());
        connector["on_detach"] = "silent".into();
        connector["port_quota"] = 100.into();
        connector["ports_used"] = 42.into();
        connector["publications"] = json!([
            {"protocol": "tcp", "external_address": "fd00::10", "external_port": 80, "container_port": 8080},
        ]);
        let chosen = shown(&connector);
        assert_eq!(chosen.policy(), ["port_quota=100", "on_detach=silent", "publish=tcp:[fd00::10]:80:8080"]);
        let properties = chosen.properties().text();
        for present in ["on detach", "port quota", "ports used", "42", "tcp:[fd00::10]:80:8080"] {
            assert!(properties.contains(present), "{properties}");
        }
        assert!(!properties.contains("udp refresh"), "{properties}");
    }
}
