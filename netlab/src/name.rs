//! Names of namespaces, which say who made them, so that leftovers of a killed process can be told.
//!
//! ```text
//! wl-4242-9876543-1-demo-server
//!    │    │       │ └ what people call it
//!    │    │       └ the how manyeth lab of that process
//!    │    └ when the process started, in clock ticks after boot: process ids are used again
//!    └ process id
//! ```

use std::path::PathBuf;
use std::process;

use gateway::io::netns::NAMED;
use nix::mount::{MntFlags, umount2};
use nix::unistd::unlink;

/// Marks our namespaces among those of others below `/run/netns`.
const MARK: &str = "wl-";

/// What the names of everything in one lab begin with.
pub(crate) fn prefix(lab: u32, topic: &str) -> String {
    let pid = process::id();
    let start = start_time(pid).unwrap_or_default();
    format!("{MARK}{pid}-{start}-{lab}-{topic}")
}

/// The file that makes a namespace known by name.
pub(crate) fn path(name: &str) -> PathBuf {
    [NAMED, name].iter().collect()
}

/// Takes a name off its namespace, which ends as soon as no process, socket or descriptor uses it any more.
pub(crate) fn remove(name: &str) {
    let path = path(name);
    // Another sweep may be at it, so an absent mount or file is as good as removed.
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    let _ = unlink(&path);
}

/// Removes the namespaces of labs whose process was killed before it could remove them itself, and says which.
///
/// [`crate::Lab::new`] does this once in every process.
pub fn sweep() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(NAMED) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let abandoned: Vec<_> = names.filter(|name| owner(name).is_some_and(has_ended)).collect();
    for name in &abandoned {
        remove(name);
    }
    abandoned
}

/// A process: its id, and when it started.
type Owner = (u32, u64);

/// The process that made this namespace; `None` if it is not one of ours.
fn owner(name: &str) -> Option<Owner> {
    let mut parts = name.strip_prefix(MARK)?.splitn(4, '-');
    let owner = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next()?.parse::<u32>().ok()?;
    parts.next().map(|_topic| owner)
}

fn has_ended((pid, start): Owner) -> bool {
    start_time(pid) != Some(start)
}

/// Field 22 of proc(5)'s `stat`. The second field is the program's name, which may hold blanks and parentheses.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_names_tell_that_we_run() {
        let name = format!("{}-server", prefix(1, "topic"));
        let owner = owner(&name).expect("our own name");
        assert_eq!(owner.0, process::id());
        assert!(!has_ended(owner));
    }

    #[test]
    fn a_reused_process_id_is_not_the_owner() {
        let start = start_time(process::id()).unwrap();
        assert!(has_ended((process::id(), start - 1)));
    }

    #[test]
    fn names_of_others_have_no_owner() {
        for name in ["wl-", "wl-1", "wl-1-2", "wl-1-2-3", "wl-a-2-3-x", "wl-1-2-x-y", "server", "xwl-1-2-3-x"]
        {
            assert_eq!(owner(name), None, "{name}");
        }
        assert_eq!(owner("wl-1-2-3-a-b-c"), Some((1, 2)));
    }
}
