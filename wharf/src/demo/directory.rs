//! The directory of the demo's daemon. Its name says whose it is, so that what a killed demo left can be told:
//! `wharf-demo-PID-…`.

use std::fs;
use std::io;
use std::path::Path;
use std::process;

use tempfile::TempDir;

const MARK: &str = "wharf-demo-";

/// Makes one, which is removed when it is dropped, and removes those of demos that were killed.
pub(super) fn make() -> io::Result<TempDir> {
    sweep(&std::env::temp_dir());
    tempfile::Builder::new().prefix(&format!("{MARK}{}-", process::id())).tempdir()
}

/// A leftover that cannot be removed does no harm, so that nothing fails for it.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().and_then(owner).is_some_and(has_ended) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
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
    fn only_what_a_killed_demo_left_is_removed() {
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
        sweep(parent.path());
        assert!(!parent.path().join(left).exists());
        for name in others {
            assert!(parent.path().join(&name).join("log").exists(), "{name}");
        }
    }

    #[test]
    fn our_own_name_tells_that_we_run() {
        let directory = make().unwrap();
        let name = directory.path().file_name().and_then(|name| name.to_str()).unwrap();
        assert_eq!(owner(name), Some(process::id()));
    }
}
