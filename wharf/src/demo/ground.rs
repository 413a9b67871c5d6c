//! What both demos stand on: two VPCs with equal addresses, each a namespace whose uplink the daemon makes.

use std::net::{Ipv4Addr, SocketAddrV4};

use netlab::Namespace;
use netlab::traffic::Http;
use serde_json::{Value, json};

use super::api::Api;
use super::error::DemoError;

/// The VPCs' names; their connectors have the same.
pub(super) const VPCS: [&str; 2] = ["orders", "billing"];
/// The prefix of both VPCs.
pub(super) const CIDR: &str = "10.1.0.0/16";
/// The servers' address in both VPCs.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// What containers appear as in both VPCs.
pub(super) const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);
/// Where the web servers listen.
pub(super) const WEB: SocketAddrV4 = SocketAddrV4::new(SERVER, 80);

/// Adds a VPC, a connector to it, and a web server in it.
pub(super) fn add_vpc(api: &mut Api, name: &str, namespace: &Namespace) -> Result<Http, DemoError> {
    api.post("/v1/vpcs", &vpc(name, namespace))?;
    api.post("/v1/connectors", &json!({ "name": name, "vpc": name }))?;
    Http::start(namespace, WEB, name).map_err(DemoError::system("start a web server"))
}

/// Without IPv6, whose kernels ask for routers all the time: the drops that are shown shall be the demo's own.
pub(super) fn quiet(namespace: Namespace) -> Namespace {
    // A kernel that was built without IPv6 has no such setting, and needs none.
    let _ = namespace.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
    namespace
}

fn vpc(name: &str, namespace: &Namespace) -> Value {
    json!({
        "name": name,
        "cidr": CIDR,
        "external_addresses": [EXTERNAL.to_string()],
        "uplink": {
            "kind": "tap",
            "netns": { "name": namespace.name() },
            "device": "wharf0",
            "address": format!("{SERVER}/16"),
        },
    })
}
