//! What an earlier process has left when it was killed.

use std::fs;
use std::io;
use std::time::Instant;

use super::{OpenError, step};
use crate::Settings;
use crate::cgroup::{Group, Hierarchies};
use crate::limits::KILL_TIME;
use crate::rootfs;

/// Ends every process in the sandbox's control groups, and removes them, the directories of their containers and
/// root filesystems that are not whole.
pub(super) fn remove(settings: &Settings, hierarchies: &Hierarchies) -> Result<(), OpenError> {
    let groups: Vec<_> =
        hierarchies.children(&settings.cgroup).iter().map(|name| hierarchies.group(name)).collect();
    if !groups.is_empty() {
        tracing::info!(containers = groups.len(), "removing what an earlier daemon has left");
    }
    end(&groups).map_err(step("remove control groups of an earlier daemon".to_owned()))?;
    let entries =
        fs::read_dir(&settings.run).map_err(step(format!("look into {}", settings.run.display())))?;
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
        let path = entry.path();
        fs::remove_dir_all(&path).map_err(step(format!("remove {}", path.display())))?;
    }
    rootfs::remove_unfinished(&settings.data).map_err(step("remove unfinished root filesystems".to_owned()))
}

fn end(groups: &[Group]) -> io::Result<()> {
    let started = Instant::now();
    loop {
        // A process that is being killed can still make others.
        for group in groups {
            group.kill();
        }
        match groups.iter().try_for_each(Group::remove) {
            Ok(()) => return Ok(()),
            Err(error) if started.elapsed() > KILL_TIME => return Err(error),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
}
