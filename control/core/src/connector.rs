//! Connectors: named permissions that join containers to a VPC.

mod fit;
mod resource;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use fit::Fitted;
pub use resource::{Connector, ConnectorState, ConnectorView, Initialised, MayJoin};

use crate::limits::{DESTINATIONS, DNS_SERVERS, EXTERNAL_ADDRESSES, LINGER_DEFAULT_S, LINGER_MAX_S, USERS};
use crate::{
    Code, Faults, FullName, Name, NewPublication, NewRates, NewRule, Policy, Problem, PublicationSpec,
    address, cidr,
};

/// A requested connector.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewConnector {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "orders-db")]
    pub name: String,
    /// The VPC that it joins; `tenant/name` for one of another tenant, which has to approve.
    #[schema(example = "orders")]
    pub vpc: String,
    /// Which containers of the tenant may use it: names, or beginnings of names with `*`; at most 64. All unless this or `functions`
    /// is given.
    #[schema(example = json!(["web-*", "cron"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<String>>,
    /// Which functions of the tenant may use it: names, or beginnings of names with `*`; at most 64. All unless this or `users` is
    /// given.
    #[schema(example = json!(["orders-*"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<String>>,
    /// Prefixes that may be reached, 1 to 64; all of the VPC's own unless given. `0.0.0.0/0` and `::/0` are everything routable of
    /// their family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
    /// Which packets go through: the first rule that matches decides, and what none matches is denied; at most 100. Everything to
    /// the destinations unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<NewRule>>,
    /// How much all containers may do together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<NewRates>,
    /// Addresses that containers appear as: external addresses that the VPC reserves for connectors, which this one then has alone for
    /// as long as it is in use; the VPC's pool unless given.
    #[schema(example = json!(["10.1.0.20"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_addresses: Option<Vec<String>>,
    /// DNS servers among the destinations, at most 3: containers are told of them, and rules let their port 53 through.
    #[schema(example = json!(["10.1.0.53"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_servers: Option<Vec<String>>,
    /// Seconds that it keeps its addresses while nothing is attached, 0 to 86400; 60 unless given.
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 86_400)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linger_s: Option<i64>,
    /// Which packets of a container's endpoint have their external endpoint in common: all (`endpoint_independent`, the default),
    /// those to one address (`address_dependent`), those to one endpoint (`address_and_port_dependent`; not in a VPC with
    /// `port_blocks`).
    #[schema(example = "endpoint_independent")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// Who there may send to what a container has opened: `endpoint_independent`, `address_dependent` (the default) or
    /// `address_and_port_dependent` (the only one with that mapping).
    #[schema(example = "address_dependent")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filtering: Option<String>,
    /// The same for UDP, if it shall differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_filtering: Option<String>,
    /// Which packets keep a UDP session alive: the container's (`outbound`, the default), or the remote's too (`both`).
    #[schema(example = "outbound")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_refresh: Option<String>,
    /// Whether the VPC sees an external address in place of the container's; it does unless given. Without translation there is no
    /// mapping, quota or publication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translation: Option<bool>,
    /// Most external ports of all containers together; of sessions with the mapping `address_and_port_dependent`, whose ports serve
    /// many.
    #[schema(value_type = Option<u32>, minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_quota: Option<i64>,
    /// The same of each container.
    #[schema(value_type = Option<u32>, minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_quota_per_container: Option<i64>,
    /// What the ends of a live TCP session hear of a detach: a RST each (`reset`, the default), or nothing (`silent`).
    #[schema(example = "reset")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_detach: Option<String>,
    /// External endpoints that lead to the container, at most 64. Only the connector's destinations may call them. They come into
    /// force when the connector is attached, which it can be to one container only if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publications: Option<Vec<NewPublication>>,
}

/// A valid connector, of a VPC that was not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorSpec {
    /// Its name.
    pub name: Name,
    /// The VPC that it joins.
    pub vpc: VpcRef,
    /// Which containers may use it; `None` for all of the tenant, or for none if it is for functions.
    pub users: Option<Vec<Pattern>>,
    /// Which functions may use it; `None` for all of the tenant, or for none if it is for containers.
    pub functions: Option<Vec<Pattern>>,
    /// Prefixes that may be reached, all different; `None` for all of the VPC's own.
    pub destinations: Option<Vec<IpNet>>,
    /// Addresses that containers appear as; `None` for the VPC's pool.
    pub external_addresses: Option<Vec<IpAddr>>,
    /// DNS servers.
    pub dns_servers: Vec<IpAddr>,
    /// Seconds that it keeps its addresses while nothing is attached.
    pub linger_s: u64,
    /// What it says about sessions.
    pub policy: Policy,
    /// External endpoints that lead to the container; none without translation.
    pub publications: Vec<PublicationSpec>,
    /// What was asked for, as it is kept.
    pub asked: NewConnector,
}

/// A VPC as a connector names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcRef {
    /// Whose it is; `None` for the connector's own tenant.
    pub tenant: Option<Name>,
    /// Its name there.
    pub name: Name,
}

/// Names of containers or functions: one, or all that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl NewConnector {
    /// Checks everything that can be checked without looking at other resources.
    pub fn validate(self) -> Result<ConnectorSpec, Problem> {
        let asked = self.clone();
        let mut faults = Faults::default();
        let policy = faults.take(Policy::parse(&self));
        let name = faults.take(Name::parse("name", self.name));
        let vpc = faults.take(VpcRef::parse("vpc", &self.vpc));
        let users = faults.take(self.users.map(|all| parse_users("users", all)).transpose());
        let functions = self.functions.map(|all| parse_users("functions", all));
        let functions = faults.take(functions.transpose());
        let destinations = faults.take(self.destinations.as_deref().map(parse_destinations).transpose());
        let external = self.external_addresses.as_deref().map(parse_external);
        let external = faults.take(external.transpose());
        let dns_servers = faults.take(parse_dns_servers(self.dns_servers.as_deref().unwrap_or_default()));
        let linger_s = faults.take(parse_linger(self.linger_s));
        let publications = faults.take(PublicationSpec::parse_all(self.publications.unwrap_or_default()));
        let spec = || {
            Some(ConnectorSpec {
                name: name?,
                vpc: vpc?,
                users: users?,
                functions: functions?,
                destinations: destinations?,
                external_addresses: external?,
                dns_servers: dns_servers?,
                linger_s: linger_s?,
                policy: policy?,
                publications: publications?,
                asked,
            })
        };
        let spec = spec();
        faults.end(spec)
    }
}

impl NewConnector {
    /// Whether the owner of the VPC sees no difference: who uses it, and how long it lingers, is its own owner's business.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        let seen = |new: &Self| Self { users: None, functions: None, linger_s: None, ..new.clone() };
        seen(self) == seen(other)
    }
}

impl ConnectorSpec {
    /// Whether a container of this name may use it.
    pub fn may_be_used_by(&self, container: &Name) -> bool {
        names(self.users.as_deref(), self.functions.as_deref(), container)
    }

    /// Whether a function of this name may use it.
    pub fn may_be_used_by_function(&self, function: &Name) -> bool {
        names(self.functions.as_deref(), self.users.as_deref(), function)
    }
}

/// Whether these patterns mean the name. Without any they mean all, unless somebody else is named: then they mean nobody.
fn names(patterns: Option<&[Pattern]>, others: Option<&[Pattern]>, name: &Name) -> bool {
    match patterns {
        Some(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        None => others.is_none(),
    }
}

impl VpcRef {
    /// Reads `name` or `tenant/name`, blaming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let name = |text: &str| Name::parse(field, text.to_owned());
        match text.split_once('/') {
            None => Ok(Self { tenant: None, name: name(text)? }),
            Some((tenant, vpc)) => Ok(Self { tenant: Some(name(tenant)?), name: name(vpc)? }),
        }
    }

    /// The VPC that a connector of `tenant` means.
    pub fn of(&self, tenant: &Name) -> FullName {
        FullName::new(self.tenant.as_ref().unwrap_or(tenant), &self.name)
    }
}

impl Pattern {
    fn parse(field: &str, text: String) -> Result<Self, Problem> {
        // What comes before the asterisk can end with a hyphen, as a name cannot.
        let beginning = text.strip_suffix('*').map(|beginning| format!("{beginning}x"));
        match beginning {
            Some(name) if name == "x" => Ok(Self(text)),
            Some(name) => Name::parse(field, name).map(|_| Self(text)),
            None => Name::parse(field, text.clone()).map(|_| Self(text)),
        }
    }

    fn matches(&self, name: &Name) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.as_str().starts_with(beginning),
            None => name.as_str() == self.0,
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse_users(field: &str, patterns: Vec<String>) -> Result<Vec<Pattern>, Problem> {
    if patterns.len() > USERS {
        let detail = format!("a connector names at most {USERS} {field}, not {}", patterns.len());
        return Err(Problem::new(Code::InvalidPolicy, detail).at(field));
    }
    let mut faults = Faults::default();
    let parse = |(i, text)| faults.take(Pattern::parse(&format!("{field}[{i}]"), text));
    let parsed = patterns.into_iter().enumerate().filter_map(parse).collect();
    faults.end(Some(parsed))
}

fn parse_destinations(texts: &[String]) -> Result<Vec<IpNet>, Problem> {
    if !(1..=DESTINATIONS).contains(&texts.len()) {
        let detail = format!("a connector has 1 to {DESTINATIONS} destinations, not {}", texts.len());
        return Err(Problem::new(Code::InvalidCidr, detail).at("destinations"));
    }
    let mut faults = Faults::default();
    let mut destinations = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let field = format!("destinations[{i}]");
        let Some(destination) = faults.take(cidr::parse(&field, text)) else { continue };
        if destinations.contains(&destination) {
            let detail = format!("{destination} is listed twice; list each prefix once");
            faults.note(cidr::invalid(&field, detail));
        }
        destinations.push(destination);
    }
    faults.end(Some(destinations))
}

fn parse_external(texts: &[String]) -> Result<Vec<IpAddr>, Problem> {
    if !(1..=EXTERNAL_ADDRESSES).contains(&texts.len()) {
        let detail =
            format!("a connector has 1 to {EXTERNAL_ADDRESSES} addresses of its own, not {}", texts.len());
        return Err(Problem::new(Code::InvalidAddress, detail).at("external_addresses"));
    }
    parse_addresses("external_addresses", texts)
}

fn parse_dns_servers(texts: &[String]) -> Result<Vec<IpAddr>, Problem> {
    if texts.len() > DNS_SERVERS {
        let detail = format!("a resolver asks at most {DNS_SERVERS} servers, not {}", texts.len());
        return Err(Problem::new(Code::InvalidAddress, detail).at("dns_servers"));
    }
    parse_addresses("dns_servers", texts)
}

/// Reads addresses, all different.
fn parse_addresses(list: &str, texts: &[String]) -> Result<Vec<IpAddr>, Problem> {
    let mut faults = Faults::default();
    let mut addresses = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let field = format!("{list}[{i}]");
        let Some(address) = faults.take(address::parse(&field, text)) else { continue };
        if addresses.contains(&address) {
            let detail = format!("{address} is listed twice; list each address once");
            faults.note(Problem::new(Code::DuplicateAddress, detail).at(field));
        }
        addresses.push(address);
    }
    faults.end(Some(addresses))
}

fn parse_linger(seconds: Option<i64>) -> Result<u64, Problem> {
    let Some(seconds) = seconds else { return Ok(LINGER_DEFAULT_S) };
    u64::try_from(seconds).ok().filter(|&s| s <= LINGER_MAX_S).ok_or_else(|| {
        let detail = format!("addresses are kept for 0 to {LINGER_MAX_S} seconds, not {seconds}");
        Problem::new(Code::InvalidPolicy, detail).at("linger_s")
    })
}

#[cfg(test)]
mod tests;
