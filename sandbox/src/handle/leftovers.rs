//! What an earlier process has left when it was killed.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{OpenError, step};
use crate::Settings;
use crate::cgroup::{Group, Hierarchies};
use crate::container_helper;
use crate::limits::KILL_TIME;
use crate::rootfs;

/// Ends every process in the sandbox's control groups, and removes them, the directories of their containers and
/// root filesystems that are not whole.
pub(super) fn remove(settings: &Settings, hierarchies: &Hierarchies) -> Result<(), OpenError> {
    let groups = || -> Vec<_> {
        hierarchies.children(&settings.cgroup).iter().map(|name| hierarchies.group(name)).collect()
    };
    // A container that is being made has its helper's lock too.
    let _alone = wait_for_helpers(&settings.run, || groups().iter().for_each(Group::kill))
        .map_err(step("wait for an earlier daemon's helpers".to_owned()))?;
    let groups = groups();
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

/// Waits until no helper makes a container any more. One that comes later finds its daemon gone. One that does not end is not waited for
/// without end: what it has made is in the control groups.
fn wait_for_helpers(run: &Path, kill: impl Fn()) -> io::Result<Option<Flock<File>>> {
    let (started, mut file) = (Instant::now(), container_helper::making(run)?);
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(Some(locked)),
            Err((_, error)) if error != Errno::EWOULDBLOCK => return Err(error.into()),
            Err(_) if started.elapsed() > KILL_TIME => {
                tracing::warn!("an earlier daemon's helper does not end");
                return Ok(None);
            }
            Err((file, _)) => file,
        };
        kill();
        std::thread::sleep(PAUSE);
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

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
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
