//! What a warm container takes of memory: its processes, what its control group counts, and what the daemon has for it.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::ground::Ground;
use super::pool::Filled;
use crate::load::memory::{self, ProcessMemory};
use crate::subject::SubjectError;

/// What containers take on average. Bytes.
#[derive(Clone, Debug)]
pub struct OfWarm {
    containers: usize,
    processes: usize,
    /// Of the processes of one.
    each: ProcessMemory,
    /// As its control group counts, which has what it shares with others in it if it was the first to read that.
    group: f64,
    /// By which the daemon is larger for one.
    daemon: f64,
    /// Of the processes of each, without what is shared.
    private: Vec<u64>,
}

/// What they take that are warm now.
pub fn of_warm(ground: &Ground, filled: &Filled) -> Result<OfWarm, SubjectError> {
    let containers = containers(ground.pid());
    let expected = filled.warm.len();
    if containers.len() != expected {
        let said = format!("{} control groups with processes instead of {expected}", containers.len());
        return Err(SubjectError::NotReady { program: "wharf", said });
    }
    let mut all = ProcessMemory { rss: 0, pss: 0, private: 0 };
    let mut private = Vec::new();
    for pids in containers.values() {
        let mut own = 0;
        for pid in pids {
            let ProcessMemory { rss, pss, private } = memory::process(*pid)?;
            (all.rss, all.pss, all.private, own) =
                (all.rss + rss, all.pss + pss, all.private + private, own + private);
        }
        private.push(own);
    }
    let count = expected.max(1) as u64;
    let each = ProcessMemory { rss: all.rss / count, pss: all.pss / count, private: all.private / count };
    let groups: u64 = filled.warm.iter().filter_map(|one| one.memory_bytes).sum();
    let grown = filled.after.private.saturating_sub(filled.before.private);
    Ok(OfWarm {
        containers: expected,
        processes: containers.values().map(Vec::len).sum(),
        each,
        group: megabytes(groups / count),
        daemon: megabytes(grown / count),
        private,
    })
}

impl OfWarm {
    /// Of the processes of one, without what is shared. Megabytes.
    pub fn private_mb(&self) -> f64 {
        megabytes(self.each.private)
    }

    /// All of it, for the record.
    pub fn describe(&self) -> Value {
        json!({
            "containers": self.containers, "processes": self.processes, "private_mb": self.private_mb(),
            "rss_mb": megabytes(self.each.rss), "pss_mb": megabytes(self.each.pss), "control_group_mb": self.group,
            "daemon_private_mb_per_container": self.daemon,
            "private_mb_of_each": self.private.iter().map(|bytes| megabytes(*bytes)).collect::<Vec<_>>(),
        })
    }
}

/// The processes of each container of the daemon. Their control groups are named after it and counted: `w4242-7`.
fn containers(daemon: u32) -> BTreeMap<String, Vec<u32>> {
    let prefix = format!("w{daemon}-");
    let mut containers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let named = groups.lines().filter_map(|line| line.rsplit('/').next());
        if let Some(name) = named.into_iter().find(|name| name.starts_with(&prefix)) {
            containers.entry(name.to_owned()).or_default().push(pid);
        }
    }
    containers
}

#[expect(clippy::cast_precision_loss, reason = "a size of memory")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
