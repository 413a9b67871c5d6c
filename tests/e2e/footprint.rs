//! What a daemon takes of the machine: descriptors, memory, devices.

use std::fs;
use std::path::{Path, PathBuf};

use gateway::Netns;
use gateway::io::netns::run_in;
use netlab::Namespace;

/// Descriptors that the process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Connections that the daemon which listens at `socket` has open.
pub(crate) fn connections(socket: &Path) -> usize {
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    // Only its own ends have the path: the listener, and what it accepted.
    table.lines().filter(|line| line.ends_with(socket.to_str().unwrap())).count() - 1
}

/// Memory of the process that is in RAM. Kibibytes.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Names of the namespace's devices, in order.
pub(crate) fn devices(namespace: &Namespace) -> Vec<String> {
    namespace.run(devices_here)
}

/// The same for the gateway's own namespaces, which have no name: the daemon holds them open.
pub(crate) fn staged_devices(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().path());
    let is_netns = |path: &PathBuf| fs::read_link(path).is_ok_and(|to| is_network_namespace(&to));
    let netns = links.filter(is_netns).map(|path| Netns::Path(path).open().unwrap());
    let mut devices: Vec<_> = netns.flat_map(|netns| run_in(netns, devices_here).unwrap()).collect();
    devices.sort();
    devices
}

fn is_network_namespace(target: &Path) -> bool {
    target.to_str().is_some_and(|target| target.starts_with("net:["))
}

fn devices_here() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let rows = table.lines().filter_map(|line| line.split_once(':'));
    let mut devices: Vec<_> = rows.map(|(name, _)| name.trim().to_owned()).collect();
    devices.sort();
    devices
}

/// A counter of the namespace's kernel, such as `Udp` `InCsumErrors`.
pub(crate) fn kernel_counter(namespace: &Namespace, group: &str, counter: &str) -> u64 {
    let table = namespace.run(|| fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let rows = |line: &str| -> Option<Vec<String>> {
        Some(line.strip_prefix(group)?.strip_prefix(": ")?.split(' ').map(str::to_owned).collect())
    };
    let [names, values]: [Vec<String>; 2] =
        table.lines().filter_map(rows).collect::<Vec<_>>().try_into().unwrap();
    let column = names.iter().position(|name| name == counter);
    values[column.unwrap_or_else(|| panic!("no {counter} in {names:?}"))].parse().unwrap()
}
