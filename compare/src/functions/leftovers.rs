//! What is left of containers that were not ended by whoever started them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program;

/// Where control groups are: version 2 itself, or the hierarchies of version 1 below it.
const GROUPS: &str = "/sys/fs/cgroup";

/// How often it is tried to remove a control group whose processes were killed, with a pause in between.
const TRIES: u32 = 200;

const PAUSE: Duration = Duration::from_millis(10);

/// Removes all containers that `runc` has in `state`, and control groups whose names begin so, with the processes in them.
pub fn remove(state: &Path, prefix: &str) {
    for id in names(state) {
        let _ =
            program::output(Command::new("runc").arg("--root").arg(state).args(["delete", "--force", &id]));
    }
    for group in groups(Path::new(GROUPS), prefix) {
        for _ in 0..TRIES {
            let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for pid in processes.lines().filter_map(|line| line.parse().ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if fs::remove_dir(&group).is_ok() || !group.exists() {
                break;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Control groups at the root of any hierarchy whose names begin so.
fn groups(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let hierarchies = names(root).into_iter().map(|name| root.join(name)).chain([root.to_owned()]);
    let groups = hierarchies.flat_map(|hierarchy| {
        let found = names(&hierarchy).into_iter().filter(|name| name.starts_with(prefix));
        found.map(move |name| hierarchy.join(name))
    });
    groups.filter(|group| group.is_dir()).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_in_every_hierarchy_and_only_by_their_beginning() {
        let root = tempfile::tempdir().unwrap();
        for group in
            ["memory/wharf-compare-7-1", "pids/wharf-compare-7-1", "wharf-compare-7-2", "memory/other"]
        {
            fs::create_dir_all(root.path().join(group)).unwrap();
        }
        fs::write(root.path().join("memory/wharf-compare-7-file"), "").unwrap();
        let mut found = groups(root.path(), "wharf-compare-7-");
        found.sort();
        let expected = ["memory/wharf-compare-7-1", "pids/wharf-compare-7-1", "wharf-compare-7-2"];
        assert_eq!(found, expected.map(|group| root.path().join(group)));
        assert_eq!(groups(root.path(), "wharf-compare-70-"), Vec::<PathBuf>::new());
    }
}
