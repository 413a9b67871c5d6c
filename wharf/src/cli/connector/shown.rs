//! A connector as the API shows it, for people.

use serde::Deserialize;

use super::policy::{DEPENDENCE, ON_DETACH, UDP_REFRESH};
use super::publication::Publication;
use super::rate::Rates;
use super::rule::Rule;
use crate::cli::resource::Resource;
use crate::output::{self, Table, cell, joined, some_joined};

/// A connector as the API shows it.
#[derive(Deserialize)]
pub(in crate::cli) struct Shown {
    name: String,
    #[serde(default)]
    tenant: String,
    vpc: String,
    #[serde(default)]
    state: String,
    failure: Option<String>,
    users: Option<Vec<String>>,
    functions: Option<Vec<String>>,
    destinations: Vec<String>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    rate_limits: Rates,
    #[serde(default)]
    external_addresses: Vec<String>,
    #[serde(default)]
    dns_servers: Vec<String>,
    linger_s: Option<u64>,
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
    revision: Option<u64>,
}

const fn yes() -> bool {
    true
}

/// Seconds that a connector lingers when nobody chooses.
const LINGER_S: u64 = 60;

impl Shown {
    /// What is not as it is when nobody chooses, by its name in the API.
    fn chosen(&self) -> Vec<(&'static str, String)> {
        let word = |default: &str, word: Option<&String>| word.filter(|word| *word != default).cloned();
        let number = |number: Option<u32>| number.map(|n| n.to_string());
        let all = [
            ("users", self.users.as_deref().map(joined)),
            ("functions", self.functions.as_deref().map(joined)),
            ("external_addresses", some_joined(&self.external_addresses)),
            ("dns_servers", some_joined(&self.dns_servers)),
            ("translation", (!self.translation).then(|| "no".to_owned())),
            ("mapping", word(DEPENDENCE[0], self.mapping.as_ref())),
            ("filtering", word(DEPENDENCE[1], Some(&self.filtering))),
            ("udp_filtering", self.udp_filtering.clone()),
            ("udp_refresh", word(UDP_REFRESH[0], self.udp_refresh.as_ref())),
            ("port_quota", number(self.port_quota)),
            ("port_quota_per_container", number(self.port_quota_per_container)),
            ("linger_s", self.linger_s.filter(|&s| s != LINGER_S).map(|s| s.to_string())),
            ("on_detach", word(ON_DETACH[0], self.on_detach.as_ref())),
        ];
        let chosen = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        chosen.chain(self.rate_limits.all().map(|(name, rate)| (name, rate.to_string()))).collect()
    }

    /// The same in one cell.
    fn policy(&self) -> Vec<String> {
        let mut policy: Vec<_> = self.rules.iter().map(Rule::to_string).collect();
        policy.extend(self.chosen().iter().map(|(name, value)| format!("{name}={value}")));
        policy.extend(self.publications.iter().map(|publication| format!("publish={publication}")));
        policy
    }

    /// Those of a VPC, of whichever tenant.
    pub(in crate::cli) fn joining(items: &[Self]) -> Table {
        let mut table = Table::new(["CONNECTOR", "STATE", "DESTINATIONS", "POLICY"]);
        for connector in items {
            table.row([
                cell(format_args!("{}/{}", connector.tenant, connector.name)),
                output::state(&connector.state),
                output::list(&connector.destinations),
                output::list(&connector.policy()),
            ]);
        }
        table
    }
}

impl Resource for Shown {
    const KIND: &'static str = "connector";
    const PATH: &'static str = "/v1/connectors";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["NAME", "STATE", "VPC", "DESTINATIONS", "POLICY", "CONTAINERS"]);
        for connector in items {
            table.row([
                cell(&connector.name),
                output::state(&connector.state),
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
            .property("state", &self.state)
            .property_if("failure", self.failure.as_ref())
            .property("vpc", &self.vpc)
            .property("destinations", joined(&self.destinations))
            .property("filtering", &self.filtering);
        for (name, value) in self.chosen().iter().filter(|(name, _)| *name != "filtering") {
            table.property(&name.replace('_', " "), value);
        }
        for rule in &self.rules {
            table.property("rule", rule);
        }
        for publication in &self.publications {
            table.property("publication", publication);
        }
        table
            .property_if("ports used", self.ports_used)
            .property("containers", joined(&self.containers))
            .property_if("revision", self.revision);
        table
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        let destinations = joined(&self.destinations);
        match &*self.state {
            "requested" => format!("vpc {}, {destinations}; waits for `wharf approve`", self.vpc),
            _ => format!("vpc {}, {destinations}", self.vpc),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_chosen_is_shown() {
        let mut connector = json!({
            "name": "k", "tenant": "default", "vpc": "v", "state": "ready", "destinations": ["10.1.0.0/16"],
            "rules": [], "rate_limits": {}, "dns_servers": [], "linger_s": 60, "translation": true,
            "mapping": "endpoint_independent", "filtering": "address_dependent", "udp_refresh": "outbound",
            "on_detach": "reset", "publications": [], "containers": [], "revision": 7,
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
        connector["rules"] = json!([
            {"action": "allow", "protocol": "tcp", "destination": "fd00::/64", "ports": {"first": 80, "last": 90}},
        ]);
        connector["rate_limits"] = json!({"bits_per_second": 100_000_000});
        connector["users"] = json!(["web-*", "cron"]);
        connector["state"] = "failed".into();
        connector["failure"] = "no memory".into();
        let chosen = shown(&connector);
        let policy = [
            "allow:tcp:[fd00::/64]:80-90",
            "users=web-*,cron",
            "port_quota=100",
            "on_detach=silent",
            "bits_per_second=100M",
            "publish=tcp:[fd00::10]:80:8080",
        ];
        assert_eq!(chosen.policy(), policy);
        let properties = chosen.properties().text();
        for present in
            ["on detach", "port quota", "42", "tcp:[fd00::10]:80:8080", "failed", "no memory", "100M", "7"]
        {
            assert!(properties.contains(present), "{properties}");
        }
        for absent in ["udp refresh", "linger", "dns"] {
            assert!(!properties.contains(absent), "{properties}");
        }
    }
}
