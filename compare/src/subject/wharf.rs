//! Wharf as its users have it: the daemon, driven by its REST API.

use std::path::{Path, PathBuf};
use std::process::Command;

use netlab::{Lab, Namespace, Process};
use serde_json::json;

use super::ending::Ending;
use super::stand::{EXTERNAL, SERVER, Site, Stand, VPC};
use super::{Subject, SubjectError};
use crate::end::{Able, MTU};
use crate::rest::{Rest, RestError};

const LOG: &str = "wharf.log";

/// A daemon with one VPC, whose uplink is the server's device, and a connector to it.
#[derive(Debug)]
pub struct Daemon {
    /// It runs.
    pub process: Process,
    /// A connection to it.
    pub rest: Rest,
    socket: PathBuf,
}

/// Name of the VPC and of the connector.
pub const NAME: &str = "vpc";

pub(super) fn stand(site: Site, program: &Path) -> Result<Stand, SubjectError> {
    let mut daemon = Daemon::start(&site, program)?;
    daemon.container("client", &site.client)?;
    daemon.attach("client")?;
    site.stands(Subject::Wharf, [Able::Offload; 2], &[], EXTERNAL, vec![("wharf", daemon.process)])
}

impl Daemon {
    /// Starts it, and makes the VPC and the connector.
    pub fn start(site: &Site, program: &Path) -> Result<Self, SubjectError> {
        let socket = site.directory.join("wharf.sock");
        let mut command = command(program, &socket)?;
        command.args(["--log", "warn", "--state", "none", "--functions", "off"]);
        Self::run(site, command, socket)
    }

    /// The same of a daemon that keeps its resources in a directory, and does everything else as it does by default, but for
    /// functions: their containers would be made while others are measured, and outlive a daemon that is killed.
    pub fn keeping(site: &Site, program: &Path, state: &Path) -> Result<Self, SubjectError> {
        let socket = site.directory.join("wharf.sock");
        let mut command = command(program, &socket)?;
        command.args(["--functions", "off", "--state"]).arg(state);
        Self::run(site, command, socket)
    }

    /// The same with functions. Its containers are gone when it has ended by itself, which it does when `last` is removed: before
    /// the site's lab, therefore, and `last` is to be newer.
    pub fn with_functions(
        site: &Site,
        program: &Path,
        state: &Path,
        last: &Lab,
    ) -> Result<Self, SubjectError> {
        let socket = site.directory.join("wharf.sock");
        let mut command = command(program, &socket)?;
        command.arg("--state").arg(state);
        let process = site.start(command, LOG)?;
        let ending = Ending::of(&process);
        let ready = ready(site, &process, &socket);
        if ready.is_err() {
            ending.ask();
        }
        last.on_removal(move || ending.ask());
        Ok(Self { rest: ready?, process, socket })
    }

    fn run(site: &Site, command: Command, socket: PathBuf) -> Result<Self, SubjectError> {
        let process = site.start(command, LOG)?;
        let rest = ready(site, &process, &socket)?;
        Ok(Self { process, rest, socket })
    }

    /// Starts it again, after its process has ended, with what it has kept. Returns when there is a process, which is not ready yet.
    pub fn start_again(&mut self, site: &Site, program: &Path, state: &Path) -> Result<(), SubjectError> {
        let mut command = command(program, &self.socket)?;
        command.args(["--functions", "off", "--state"]).arg(state);
        self.process = site.start(command, LOG)?;
        Ok(())
    }

    /// Gives a namespace a link to the gateway.
    pub fn container(&mut self, name: &str, namespace: &Namespace) -> Result<(), RestError> {
        self.rest.make("containers", &json!({"name": name, "netns": {"name": namespace.name()}, "mtu": MTU}))
    }

    /// Lets the container reach the server.
    pub fn attach(&mut self, container: &str) -> Result<(), RestError> {
        self.rest.put(&format!("/v1/containers/{container}/connectors/{NAME}")).map(drop)
    }

    /// Takes the container's link away.
    pub fn remove_container(&mut self, name: &str) -> Result<(), RestError> {
        self.rest.delete(&format!("/v1/containers/{name}")).map(drop)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Waits for a daemon, and makes the VPC and the connector.
fn ready(site: &Site, process: &Process, socket: &Path) -> Result<Rest, SubjectError> {
    let connect = || Rest::connect(socket).and_then(|mut rest| rest.get("/readyz").map(|_| rest));
    let mut answering = None;
    site.wait("wharf", process, LOG, || {
        answering = connect().ok();
        answering.is_some()
    })?;
    let mut rest = answering.expect("it was there when the wait ended");
    let uplink = json!({
        "kind": "tap", "netns": {"name": site.server.name()}, "device": "eth0", "address": format!("{SERVER}/16"),
    });
    let vpc = json!({"name": NAME, "cidr": VPC, "external_addresses": [EXTERNAL], "uplink": uplink});
    rest.make("vpcs", &vpc)?;
    rest.post("/v1/connectors", &json!({"name": NAME, "vpc": NAME}))?;
    Ok(rest)
}

fn command(program: &Path, socket: &Path) -> Result<Command, SubjectError> {
    if !program.exists() {
        let reason = "build it with `cargo build --release -p wharf`".into();
        return Err(SubjectError::Missing { program: program.display().to_string(), reason });
    }
    let mut command = Command::new(program);
    command.args(["serve", "--color", "never", "--socket"]).arg(socket);
    Ok(command)
}
