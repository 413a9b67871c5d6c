//! CNI's plugins, run as a container runtime runs them.

use netlab::Namespace;
use serde_json::{Value, json};

use crate::end::MTU;
use crate::program::{self, ProgramError};
use crate::subject::{CLIENT_NET, Site};

/// Where the plugins are.
const PLUGINS: &str = "/usr/lib/cni";

/// The network of one container, which `bridge` makes, with `host-local` and masquerade.
#[derive(Debug)]
pub struct Plugins<'a> {
    site: &'a Site,
    /// The container's name.
    name: &'a str,
    namespace: &'a Namespace,
}

impl<'a> Plugins<'a> {
    /// Nothing is run yet. The gateway is the site's middle namespace.
    pub const fn new(site: &'a Site, name: &'a str, namespace: &'a Namespace) -> Self {
        Self { site, name, namespace }
    }

    /// Makes the container's device, with address, routes and masquerade. Returns what the plugin printed.
    pub fn add_bridge(&self) -> Result<String, ProgramError> {
        self.run("ADD", "bridge", &self.bridge())
    }

    /// Takes it away.
    pub fn remove_bridge(&self) -> Result<(), ProgramError> {
        self.run("DEL", "bridge", &self.bridge()).map(drop)
    }

    /// Publishes a port of the container that `add_bridge` said `made` of.
    pub fn add_port(&self, made: &str) -> Result<(), ProgramError> {
        self.run("ADD", "portmap", &portmap(made)).map(drop)
    }

    /// Takes it away.
    pub fn remove_port(&self, made: &str) -> Result<(), ProgramError> {
        self.run("DEL", "portmap", &portmap(made)).map(drop)
    }

    fn bridge(&self) -> Value {
        json!({
            "cniVersion": "0.4.0", "name": "compare", "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
            "mtu": MTU,
            "ipam": {
                "type": "host-local", "dataDir": self.site.directory.join("ipam"),
                "ranges": [[{"subnet": CLIENT_NET.to_string()}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        })
    }

    fn run(&self, command: &str, kind: &str, config: &Value) -> Result<String, ProgramError> {
        let mut plugin = self.site.middle.command(&format!("{PLUGINS}/{kind}"));
        plugin.env("CNI_COMMAND", command).env("CNI_CONTAINERID", self.name).env("CNI_IFNAME", "eth0");
        plugin.env("CNI_NETNS", format!("/run/netns/{}", self.namespace.name())).env("CNI_PATH", PLUGINS);
        program::output_with(&mut plugin, &config.to_string())
    }
}

fn portmap(made: &str) -> Value {
    json!({
        "cniVersion": "0.4.0", "name": "compare", "type": "portmap",
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
        "prevResult": serde_json::from_str::<Value>(made).unwrap_or_default(),
    })
}
