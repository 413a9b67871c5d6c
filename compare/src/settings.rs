//! What the numbers were made with.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::arguments::Plan;
use crate::bout;
use crate::crowd;
use crate::end::{End, MTU, Offloads};
use crate::packages::{self, Package};
use crate::program;
use crate::subject::{Programs, SYSCTLS, Stand, Subject};

/// Everything but the subjects' devices: the machine, the versions, the plan.
pub fn of(plan: &Plan, programs: &Programs, command: &str) -> Map<String, Value> {
    let settings = json!({
        "date": said(Command::new("date").args(["--utc", "+%Y-%m-%dT%H:%M:%SZ"])),
        "command": command,
        "commit": said(Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12"])),
        "machine": machine(),
        "mtu": MTU,
        "pinning": format!(
            "none: every program and thread may run on any of the processors {}",
            field("/proc/self/status", "Cpus_allowed_list").unwrap_or_default(),
        ),
        "sysctls": SYSCTLS.map(|(key, value)| format!("{key} = {value}")).join(", "),
        "rounds": plan.rounds,
        "attachments": plan.attachments,
        "lengths_s": plan.lengths,
        "tcp_streams": bout::STREAMS,
        "crr": {"threads": bout::CONNECTORS.0, "concurrent_per_thread": bout::CONNECTORS.1},
        "cpu_s_per_mpkt_offered_pps": bout::PACED,
        "sessions": crowd::describe(),
        "versions": versions(&plan.subjects, programs),
        "subjects": plan.subjects.iter().map(|s| (s.name().to_owned(), s.describe().into())).collect::<Map<_, _>>(),
        "devices": {},
    });
    match settings {
        Value::Object(settings) => settings,
        _ => unreachable!("it was written as an object"),
    }
}

/// The devices of a subject, as they are before the first run.
pub fn devices(stand: &Stand) -> Value {
    let describe = |end: &End| {
        let mut device = end.look().map_or(Value::Null, |look| json!(look));
        device["offloads"] = end.describe(Offloads::Used);
        device["offloads_in_nooffload"] = end.describe(Offloads::Unused);
        (format!("{} {}", end.at, end.device), device)
    };
    stand.ends().map(describe).collect::<Map<_, _>>().into()
}

fn machine() -> Value {
    let kernel = nix::sys::utsname::uname().ok();
    let kernel = kernel.map(|uname| format!("{} {}", uname.sysname().display(), uname.release().display()));
    json!({
        "kernel": kernel,
        "processor": field("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map(usize::from).ok(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "tcp_rmem": line("/proc/sys/net/ipv4/tcp_rmem"),
        "tcp_wmem": line("/proc/sys/net/ipv4/tcp_wmem"),
        "default_qdisc": line("/proc/sys/net/core/default_qdisc"),
        "netdev_max_backlog": line("/proc/sys/net/core/netdev_max_backlog"),
        "nf_conntrack_buckets": line("/proc/sys/net/netfilter/nf_conntrack_buckets"),
    })
}

fn versions(subjects: &[Subject], programs: &Programs) -> Value {
    let mut versions = Map::new();
    let package =
        |package: &Package| Value::from(packages::version(package).unwrap_or_else(|| "not installed".into()));
    for subject in subjects {
        for Package { name, .. } in subject.packages() {
            versions.insert((*name).into(), package(&Package { name, programs: &[] }));
        }
    }
    for known in packages::CNI.iter().chain([&packages::RUNC]) {
        versions.insert(known.name.into(), package(known));
    }
    versions.insert("python3".into(), said(Command::new("python3").arg("--version")).into());
    versions.insert("wharf".into(), said(Command::new(&programs.wharf).arg("--version")).into());
    versions.into()
}

/// What a program prints; `None` if it fails.
fn said(command: &mut Command) -> Option<String> {
    program::output(command).ok()
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The first value of that name in a file of `name: value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}
