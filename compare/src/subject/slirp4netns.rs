//! slirp4netns: the namespace's packets end in a TCP stack of its own, which uses sockets of the namespace between.

use std::process::Command;

use super::stand::{EXTERNAL, SERVER, Site, Stand, anywhere, path};
use super::{Subject, SubjectError};
use crate::end::{Able, MTU};
use crate::program;

const LOG: &str = "slirp4netns.log";

pub(super) fn stand(site: Site) -> Result<Stand, SubjectError> {
    site.join_server()?;
    site.middle.route(anywhere(), SERVER)?;
    let mut command = Command::new("slirp4netns");
    command.arg("--configure").arg(format!("--mtu={MTU}"));
    command.args(["--disable-host-loopback", "--disable-dns", "--netns-type=path"]);
    command.arg(path(&site.client)).arg("eth0");
    let process = site.start(command, LOG)?;
    let has_route = || {
        let shown = program::output(site.client.command("ip").args(["route", "show", "default"]));
        shown.is_ok_and(|shown| shown.contains("eth0"))
    };
    site.wait("slirp4netns", &process, LOG, has_route)?;
    site.stands(
        Subject::Slirp4netns,
        [Able::Nothing, Able::Offload],
        &["out0"],
        EXTERNAL,
        vec![("slirp4netns", process)],
    )
}
