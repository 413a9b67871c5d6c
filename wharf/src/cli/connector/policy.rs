//! What a connector is asked to be, as flags: the same for `add` and `set`.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::publication::{self, Publication};
use super::rate::{self, Rate};
use super::rule::{self, Rule};
use crate::cli::resource::{set, set_list};

/// Everything about a connector but its name and its VPC.
#[derive(Debug, Args)]
pub(super) struct Policy {
    /// Container that may use it, or NAME* for all whose names begin so; all of the tenant unless this or --function is
    /// set. Can be given several times
    #[arg(long = "user", value_name = "NAME[*]", value_delimiter = ',')]
    users: Vec<String>,
    /// Function that may use it, or NAME* for all whose names begin so; all of the tenant unless this or --user is set.
    /// Can be given several times
    #[arg(long = "function", value_name = "NAME[*]", value_delimiter = ',')]
    functions: Vec<String>,
    /// Prefix that containers may reach; all of the VPC's own unless set. Can be given several times
    #[arg(long = "destination", value_name = "CIDR", value_delimiter = ',')]
    destinations: Vec<String>,
    /// Which packets to the destinations go through: the first rule that matches decides, and what none matches is
    /// denied; all unless set. IPv6 is in brackets. Can be given several times
    #[arg(long = "rule", value_name = rule::VALUE, value_delimiter = ',')]
    rules: Vec<Rule>,
    /// Most packets a second of all containers together, each way
    #[arg(long, value_name = rate::VALUE)]
    packets_per_second: Option<Rate>,
    /// Most bits of IP packets a second of all containers together, each way
    #[arg(long, value_name = rate::VALUE)]
    bits_per_second: Option<Rate>,
    /// Most new sessions a second of all containers together
    #[arg(long, value_name = rate::VALUE)]
    sessions_per_second: Option<Rate>,
    /// Address that containers appear as, one of the VPC's --reserved-address; any of its --external unless set. Can be
    /// given several times
    #[arg(long = "external-address", value_name = "ADDRESS", value_delimiter = ',')]
    external_addresses: Vec<String>,
    /// DNS server among the destinations that containers are told of. Can be given several times
    #[arg(long = "dns-server", value_name = "ADDRESS", value_delimiter = ',')]
    dns_servers: Vec<String>,
    /// How long it keeps its addresses while nothing is attached, in seconds; 60 unless set
    #[arg(long, value_name = "SECONDS")]
    linger: Option<u64>,
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

/// A flag whose effect can be taken back, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Field {
    User,
    Function,
    Destination,
    Rule,
    PacketsPerSecond,
    BitsPerSecond,
    SessionsPerSecond,
    ExternalAddress,
    DnsServer,
    Linger,
    Mapping,
    Filtering,
    UdpFiltering,
    UdpRefresh,
    NoTranslation,
    PortQuota,
    PortQuotaPerContainer,
    OnDetach,
    Publish,
}

/// As the API writes them.
pub(super) const DEPENDENCE: [&str; 3] =
    ["endpoint_independent", "address_dependent", "address_and_port_dependent"];

/// As the API writes them; the default first.
pub(super) const UDP_REFRESH: [&str; 2] = ["outbound", "both"];

/// As the API writes them; the default first.
pub(super) const ON_DETACH: [&str; 2] = ["reset", "silent"];

/// Where the API has the rates.
const RATE_LIMITS: &str = "rate_limits";

impl Policy {
    /// Adds what was set to a body; the rest is left to the daemon.
    pub(super) fn write(&self, body: &mut Value) {
        set_list(body, "users", &self.users);
        set_list(body, "functions", &self.functions);
        set_list(body, "destinations", &self.destinations);
        set_list(body, "rules", &self.rules);
        let mut rates = Value::Object(Map::new());
        set(&mut rates, "packets_per_second", self.packets_per_second);
        set(&mut rates, "bits_per_second", self.bits_per_second);
        set(&mut rates, "sessions_per_second", self.sessions_per_second);
        set(body, RATE_LIMITS, rates.as_object().filter(|rates| !rates.is_empty()));
        set_list(body, "external_addresses", &self.external_addresses);
        set_list(body, "dns_servers", &self.dns_servers);
        set(body, "linger_s", self.linger);
        set(body, "mapping", self.mapping.as_ref());
        set(body, "filtering", self.filtering.as_ref());
        set(body, "udp_filtering", self.udp_filtering.as_ref());
        set(body, "udp_refresh", self.udp_refresh.as_ref());
        set(body, "translation", self.no_translation.then_some(false));
        set(body, "port_quota", self.port_quota);
        set(body, "port_quota_per_container", self.port_quota_per_container);
        set(body, "on_detach", self.on_detach.as_ref());
        set_list(body, "publications", &self.publications);
    }
}

impl Field {
    /// Makes a patch take the field back; `false` if the patch sets it.
    pub(super) fn clear(self, patch: &mut Value) -> bool {
        let (part, field) = match self.rate() {
            Some(rate) => {
                let whole = patch.as_object_mut().expect("a patch is an object");
                (whole.entry(RATE_LIMITS).or_insert_with(|| Value::Object(Map::new())), rate)
            }
            None => (patch, self.name()),
        };
        let free = part.get(field).is_none_or(Value::is_null);
        part[field] = Value::Null;
        free
    }

    /// Its name among the rate limits of the API, if it is one.
    const fn rate(self) -> Option<&'static str> {
        match self {
            Self::PacketsPerSecond => Some("packets_per_second"),
            Self::BitsPerSecond => Some("bits_per_second"),
            Self::SessionsPerSecond => Some("sessions_per_second"),
            _ => None,
        }
    }

    /// Its name in the API.
    const fn name(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Function => "functions",
            Self::Destination => "destinations",
            Self::Rule => "rules",
            Self::PacketsPerSecond | Self::BitsPerSecond | Self::SessionsPerSecond => RATE_LIMITS,
            Self::ExternalAddress => "external_addresses",
            Self::DnsServer => "dns_servers",
            Self::Linger => "linger_s",
            Self::Mapping => "mapping",
            Self::Filtering => "filtering",
            Self::UdpFiltering => "udp_filtering",
            Self::UdpRefresh => "udp_refresh",
            Self::NoTranslation => "translation",
            Self::PortQuota => "port_quota",
            Self::PortQuotaPerContainer => "port_quota_per_container",
            Self::OnDetach => "on_detach",
            Self::Publish => "publications",
        }
    }
}
