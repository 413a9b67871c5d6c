//! The peers' programs: whether they are here, and getting them from the distribution.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use netlab::Lab;

use crate::program;
use crate::subject::SubjectError;

/// A Debian package, and what we start of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Programs in PATH, or with their whole path.
    pub programs: &'static [&'static str],
}

/// What makes the lab and counts in it, whatever is compared.
pub const LAB: &[Package] = &[
    Package { name: "iproute2", programs: &["ip"] },
    Package { name: "ethtool", programs: &["ethtool"] },
    NFTABLES,
];

/// nftables.
pub const NFTABLES: Package = Package { name: "nftables", programs: &["nft"] };

/// pasta.
pub const PASST: Package = Package { name: "passt", programs: &["pasta"] };

/// slirp4netns.
pub const SLIRP4NETNS: Package = Package { name: "slirp4netns", programs: &["slirp4netns"] };

/// Open vSwitch.
pub const OVS: Package = Package {
    name: "openvswitch-switch",
    programs: &["ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"],
};

/// The reference plugins of CNI, and what `portmap` and masquerade start.
pub const CNI: &[Package] = &[
    Package {
        name: "containernetworking-plugins",
        programs: &["/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/usr/lib/cni/portmap"],
    },
    Package { name: "iptables", programs: &["iptables"] },
];

/// What starts containers without Wharf.
pub const RUNC: Package = Package { name: "runc", programs: &["runc"] };

/// Where Debian looks whether services may be started during an installation (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether all programs of the packages are here.
pub fn check(packages: &[Package]) -> Result<(), SubjectError> {
    let programs = packages.iter().flat_map(|package| package.programs.iter().map(move |p| (package, p)));
    let Some((package, program)) = programs.into_iter().find(|(_, program)| !is_here(program)) else {
        return Ok(());
    };
    let reason = format!("apt-get install {} did not bring it", package.name);
    Err(SubjectError::Missing { program: (*program).to_owned(), reason })
}

/// Installs what is missing of the packages, as far as the distribution has it. What still misses then is found by
/// [`check`], for each subject by itself.
pub fn install(packages: &[Package]) {
    let missing = packages.iter().filter(|package| !package.programs.iter().all(|program| is_here(program)));
    let names: BTreeSet<_> = missing.map(|package| package.name).collect();
    if names.is_empty() {
        return;
    }
    let names: Vec<_> = names.into_iter().collect();
    eprintln!("installing {} with apt-get", names.join(" "));
    // Gone with its lab: at the end of this function, or when a signal arrives in the middle of it.
    let lab = Lab::new("packages");
    if let Ok(lab) = &lab {
        forbid_services(lab);
    }
    let apt_get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        program::output(&mut command).map(drop)
    };
    let arguments = ["install", "--yes", "--no-install-recommends"];
    let outcome = apt_get(&["update"])
        .and_then(|()| apt_get(&arguments.into_iter().chain(names.iter().copied()).collect::<Vec<_>>()));
    if let Err(error) = outcome {
        eprintln!("{error}");
    }
}

/// The version of an installed package; `None` if the distribution does not know it.
pub fn version(package: &Package) -> Option<String> {
    program::output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package.name])).ok()
}

/// No service of a package is started while we install it, unless the machine has a policy of its own.
fn forbid_services(lab: &Lab) {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
    if let Ok(mut file) = file {
        let _ = file.write_all(b"#!/bin/sh\nexit 101\n");
        lab.on_removal(|| drop(fs::remove_file(POLICY)));
    }
}

/// Daemons are in directories that not every PATH has.
fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).collect::<Vec<PathBuf>>();
    directories.iter().any(|directory| is_executable(&directory.join(program)))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let package = Package { name: "some-package", programs: &["/bin/sh", "/no/such/program"] };
        let said = check(&[package]).expect_err("it is missing").to_string();
        assert!(said.contains("/no/such/program") && said.contains("some-package"), "{said}");
        assert!(check(&[Package { name: "dash", programs: &["/bin/sh", "sh"] }]).is_ok());
    }
}
