//! pasta: the namespace's packets become sockets of the namespace between.

use std::process::Command;

use super::stand::{EXTERNAL, SERVER, Site, Stand, anywhere, path};
use super::{Subject, SubjectError};
use crate::end::{Able, MTU};
use crate::program;

const LOG: &str = "pasta.log";

pub(super) fn stand(site: Site) -> Result<Stand, SubjectError> {
    site.join_server()?;
    // It takes addresses and routes from the device with the default route.
    site.middle.route(anywhere(), SERVER)?;
    let mut command = Command::new("pasta");
    command.args(["--foreground", "--quiet", "--config-net", "--ns-ifname", "eth0", "--ipv4-only"]);
    // As root it would become `nobody`, who may not enter a namespace of root's. The server is the gateway here, and no
    // other name for our loopback device.
    command.args(["--runas", "0", "--no-map-gw", "--mtu", &MTU.to_string()]);
    command.args(["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"]);
    command.arg("--netns").arg(path(&site.client));
    let process = site.start(command, LOG)?;
    let has_route = || {
        let shown = program::output(site.client.command("ip").args(["route", "show", "default"]));
        shown.is_ok_and(|shown| shown.contains("eth0"))
    };
    site.wait("pasta", &process, LOG, has_route)?;
    site.stands(Subject::Pasta, [Able::Nothing, Able::Offload], &["out0"], EXTERNAL, vec![("pasta", process)])
}
