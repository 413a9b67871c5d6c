//! What the demo is played on: namespaces, a daemon, and a server in each VPC.

use std::net::Ipv4Addr;
use std::path::Path;

use netlab::traffic::Http;
use netlab::{Lab, Namespace};
use serde_json::json;

use crate::demo::api::Api;
use crate::demo::daemon::{Daemon, Serving};
use crate::demo::error::DemoError;
use crate::demo::ground::{VPCS, add_vpc, quiet};

/// The containers' names. The first is attached to the first VPC, the second to the second, the third to none.
pub(super) const CONTAINERS: [&str; 3] = ["c1", "c2", "c3"];
/// The address of all containers.
pub(super) const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);

/// Everything that exists. Fields are dropped in this order: servers hold their namespaces, the daemon its devices.
pub(super) struct Stage {
    /// The web servers, as the VPCs are.
    pub(super) servers: Vec<Http>,
    /// To ask the daemon.
    pub(super) api: Api,
    daemon: Daemon,
    vpcs: [Namespace; 2],
    containers: [Namespace; 3],
    _lab: Lab,
}

/// The namespaces, before anything is in them.
pub(super) struct Ground {
    home: Namespace,
    vpcs: [Namespace; 2],
    containers: [Namespace; 3],
    lab: Lab,
}

impl Ground {
    /// Makes the namespaces.
    pub(super) fn new() -> Result<Self, DemoError> {
        let lab = Lab::new("demo")?;
        let [orders, billing] = VPCS;
        let [c1, c2, c3] = CONTAINERS;
        let namespace = |name| lab.namespace(name).map(quiet);
        Ok(Self {
            home: namespace("wharf")?,
            vpcs: [namespace(orders)?, namespace(billing)?],
            containers: [namespace(c1)?, namespace(c2)?, namespace(c3)?],
            lab,
        })
    }

    /// Starts the daemon.
    pub(super) fn serve(self) -> Result<Stage, DemoError> {
        let (daemon, api) = Daemon::start(&self.home, Serving::Network)?;
        let Self { vpcs, containers, lab, .. } = self;
        Ok(Stage { servers: Vec::new(), api, daemon, vpcs, containers, _lab: lab })
    }
}

impl Stage {
    /// Adds the VPCs, a connector to each, and a server in each.
    pub(super) fn add_vpcs(&mut self) -> Result<(), DemoError> {
        for (name, namespace) in VPCS.into_iter().zip(&self.vpcs) {
            self.servers.push(add_vpc(&mut self.api, name, namespace)?);
        }
        Ok(())
    }

    /// Adds the containers.
    pub(super) fn add_containers(&mut self) -> Result<(), DemoError> {
        for (name, namespace) in CONTAINERS.into_iter().zip(&self.containers) {
            let netns = json!({ "name": namespace.name() });
            let body = json!({ "name": name, "netns": netns, "address": CONTAINER.to_string() });
            self.api.post("/v1/containers", &body)?;
        }
        Ok(())
    }

    /// The containers' namespaces, as [`CONTAINERS`] are.
    pub(super) const fn containers(&self) -> &[Namespace; 3] {
        &self.containers
    }

    /// The VPCs' namespaces, as [`VPCS`] are.
    pub(super) const fn vpcs(&self) -> &[Namespace; 2] {
        &self.vpcs
    }

    /// The daemon's socket.
    pub(super) fn socket(&self) -> &Path {
        self.daemon.socket()
    }
}
