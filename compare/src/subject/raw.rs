//! A forwarder without a thought: what two TAP devices can carry at most.

use std::path::Path;
use std::process::Command;

use super::stand::{EXTERNAL, SERVER, Site, Stand, within_vpc};
use super::{Subject, SubjectError};
use crate::end::{Able, MTU};

const LOG: &str = "raw.log";

pub(super) fn stand(site: Site, program: &Path) -> Result<Stand, SubjectError> {
    if !program.exists() {
        let reason = "build it with `cargo build --release -p benches --bin raw`".into();
        return Err(SubjectError::Missing { program: program.display().to_string(), reason });
    }
    let mut command = Command::new(program);
    command.arg("--left").arg(format!("{}:eth0", site.client.name()));
    command.arg("--right").arg(format!("{}:eth0", site.server.name()));
    command.args(["--mtu", &MTU.to_string()]);
    let process = site.start(command, LOG)?;
    let log = site.directory.join(LOG);
    let is_ready =
        || std::fs::read_to_string(&log).is_ok_and(|said| said.lines().any(|line| line == "ready"));
    site.wait("raw", &process, LOG, is_ready)?;
    site.client.address("eth0", within_vpc(EXTERNAL))?;
    site.server.address("eth0", within_vpc(SERVER))?;
    site.stands(Subject::Raw, [Able::Offload; 2], &[], EXTERNAL, vec![("raw", process)])
}
