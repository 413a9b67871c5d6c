//! A function as the API shows it, for people.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use crate::cli::resource::Resource;
use crate::output::{self, Table, cell, joined, some_joined};

/// A function as the API shows it.
#[derive(Deserialize)]
pub(super) struct Shown {
    name: String,
    tenant: String,
    #[serde(flatten)]
    version: Version,
    concurrency: Option<u32>,
    #[serde(default)]
    connectors: Vec<String>,
    keep_alive_s: u64,
    revision: u64,
}

/// A version of one.
#[derive(Deserialize)]
pub(super) struct Version {
    #[serde(rename = "version")]
    pub(super) number: u64,
    pub(super) created_at: u64,
    pub(super) runtime: String,
    pub(super) handler: Option<String>,
    pub(super) command: Option<Vec<String>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    code_sha256: String,
    pub(super) code_bytes: u64,
    timeout_s: u64,
    memory_mb: u64,
}

/// Digits of a hash that tell codes from each other at a glance.
const DIGITS: usize = 12;

impl Version {
    /// What is started or called.
    pub(super) fn entry(&self) -> String {
        match (&self.command, &self.handler) {
            (Some(command), _) => command.join(" "),
            (None, Some(handler)) => handler.clone(),
            (None, None) => "-".to_owned(),
        }
    }

    /// The beginning of its code's hash.
    pub(super) fn code(&self) -> &str {
        self.code_sha256.get(..DIGITS).unwrap_or(&self.code_sha256)
    }

    /// When it was made.
    pub(super) fn created(&self) -> String {
        output::time(UNIX_EPOCH.checked_add(Duration::from_secs(self.created_at)))
    }
}

impl Resource for Shown {
    const KIND: &'static str = "function";
    const PATH: &'static str = "/v1/functions";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new([
            "NAME",
            "VERSION",
            "RUNTIME",
            "HANDLER",
            "MEMORY",
            "TIMEOUT",
            "CONNECTORS",
            "DEPLOYED",
        ]);
        for Self { name, version, connectors, .. } in items {
            table.row([
                cell(name),
                cell(version.number),
                cell(&version.runtime),
                cell(version.entry()),
                cell(format_args!("{} MiB", version.memory_mb)),
                cell(format_args!("{}s", version.timeout_s)),
                output::list(connectors),
                cell(version.created()),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let version = &self.version;
        let variables: Vec<_> =
            version.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut table = Table::properties();
        table
            .property("name", &self.name)
            .property("tenant", &self.tenant)
            .property("version", version.number)
            .property("deployed", version.created())
            .property("runtime", &version.runtime)
            .property_if("handler", version.handler.as_ref())
            .property_if("command", version.command.as_ref().map(|command| command.join(" ")))
            .property_if("environment", (!variables.is_empty()).then(|| variables.join("\n")))
            .property("code", &version.code_sha256)
            .property("code size", output::bytes(version.code_bytes))
            .property("timeout", format_args!("{}s", version.timeout_s))
            .property("memory", format_args!("{} MiB", version.memory_mb))
            .property_if("concurrency", self.concurrency)
            .property("connectors", joined(&self.connectors))
            .property("keep alive", format_args!("{}s", self.keep_alive_s))
            .property("revision", self.revision);
        table
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        let version = &self.version;
        let (number, runtime, entry) = (version.number, &version.runtime, version.entry());
        let (code, size) = (version.code(), output::bytes(version.code_bytes));
        let connectors = some_joined(&self.connectors).map(|all| format!(", connectors {all}"));
        let connectors = connectors.unwrap_or_default();
        format!("version {number}, {runtime} {entry}, code {code} ({size}){connectors}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn function() -> serde_json::Value {
        json!({
            "name": "users", "tenant": "default", "version": 3, "created_at": 86_400, "runtime": "python3",
            "handler": "handler.handler", "environment": {"A": "1", "B": "2"}, "code_sha256": "0123456789abcdef".repeat(4),
            "code_bytes": 2_048, "timeout_s": 3, "memory_mb": 128, "connectors": ["k"], "keep_alive_s": 300, "revision": 7,
        })
    }

    #[test]
    fn a_deployment_is_told_with_version_hash_and_size() {
        let shown: Shown = serde_json::from_value(function()).unwrap();
        let expected = "version 3, python3 handler.handler, code 0123456789ab (2.0 KiB), connectors k";
        assert_eq!(shown.summary(), expected);
        let plain = anstream::adapter::strip_str(&shown.properties().text()).to_string();
        assert!(plain.contains("A=1") && plain.contains("1970-01-02T00:00:00Z"), "{plain}");
        assert!(Shown::table(&[shown]).text().contains("128 MiB"));
    }

    #[test]
    fn a_command_goes_before_a_handler() {
        let mut function = function();
        function["command"] = json!(["/var/task/run", "-v"]);
        let shown: Shown = serde_json::from_value(function).unwrap();
        assert_eq!(shown.version.entry(), "/var/task/run -v");
    }
}
