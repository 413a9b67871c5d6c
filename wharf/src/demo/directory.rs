//! The directory of the demo's daemon. Its name says whose it is, so that what a killed demo left can be told:
//! `wharf-demo-PID-…`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

const MARK: &str = "wharf-demo-";

/// A directory that is removed when this is dropped.
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes one.
    pub(super) fn make() -> io::Result<Self> {
        let made = tempfile::Builder::new().prefix(&format!("{MARK}{}-", process::id())).tempdir();
        made.map(|directory| Self(directory.keep()))
    }

    /// Those of demos that were killed.
    pub(super) fn left_behind() -> Vec<Self> {
        left_in(&std::env::temp_dir()).into_iter().map(Self).collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A leftover that cannot be removed does no harm, so that nothing fails for it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn left_in(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let left = entries.filter(|entry| entry.file_name().to_str().and_then(owner).is_some_and(has_ended));
    left.map(|entry| entry.path()).collect()
}

/// The process that made a directory of this name; `None` if it is not one of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(MARK)?.split_once('-')?.0.parse().ok()
}

fn has_ended(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_killed_demo_left_is_taken_for_left() {
        let parent = tempfile::tempdir().unwrap();
        let mut ended = process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let (ended, running) = (ended.id(), process::id());
        let left = format!("{MARK}{ended}-x");
        let others = [
            format!("{MARK}{running}-x"),
            format!("{MARK}{ended}"),
            format!("{MARK}-{ended}-x"),
            "other".into(),
        ];
        for name in others.iter().chain([&left]) {
            fs::create_dir(parent.path().join(name)).unwrap();
            fs::write(parent.path().join(name).join("log"), "").unwrap();
        }
        assert_eq!(left_in(parent.path()), [parent.path().join(&left)]);
        drop(Directory(parent.path().join(&left)));
        assert!(!parent.path().join(left).exists());
        for name in others {
            assert!(parent.path().join(&name).join("log").exists(), "{name}");
        }
    }

    #[test]
    fn our_own_name_tells_that_we_run() {
        let directory = Directory::make().unwrap();
        let name = directory.path().file_name().and_then(|name| name.to_str()).unwrap();
        assert_eq!(owner(name), Some(process::id()));
    }
}
