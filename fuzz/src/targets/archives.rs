//! Any bytes as an archive of code: it is refused and nothing is left, or what is there is bounded and stays inside.

use std::fs;
use std::path::{Path, PathBuf};

use sandbox::{CodeStore, limits};
use tempfile::TempDir;

/// Adds the archive to an empty store, twice if it can be.
pub fn archives(data: &[u8]) {
    let around = around();
    let directory = around.path().join("store");
    let store = CodeStore::open(&directory).expect("an empty store");
    let added = store.add(data);
    assert_eq!(names(around.path()), ["store"], "nothing is made beside the store");
    let Ok(added) = added else {
        assert_eq!(names(&directory), [""; 0], "nothing is left of what is refused");
        return;
    };
    assert_eq!(names(&directory), [added.id.to_string()]);
    let files = store.path(added.id).expect("it was added");
    let files = files.canonicalize().expect("it is there");
    let (mut bytes, mut entries) = (0, 0);
    let mut ahead = vec![files.clone()];
    while let Some(directory) = ahead.pop() {
        for name in names(&directory) {
            let path = directory.join(name);
            let metadata = fs::symlink_metadata(&path).expect("it is listed");
            entries += 1;
            if metadata.is_dir() {
                ahead.push(path);
                continue;
            }
            bytes += metadata.len();
            assert!(metadata.is_file() || metadata.is_symlink(), "{path:?}: {metadata:?}");
            let leads_to = path.canonicalize();
            assert!(leads_to.as_ref().map_or(true, |to| to.starts_with(&files)), "{path:?} is {leads_to:?}");
        }
    }
    assert_eq!((bytes, entries), (added.bytes, added.entries), "it is measured right");
    assert!(bytes <= limits::UNPACKED_BYTES && entries <= limits::CODE_ENTRIES);
    assert_eq!(store.add(data).expect("it is there"), added);
    let store = CodeStore::open(&directory).expect("the same store");
    assert_eq!(store.retain(|_| false).expect("it can be removed"), 1);
    assert_eq!(names(&directory), [""; 0]);
}

/// A directory of its own, in memory if there is such a filesystem.
fn around() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { PathBuf::from(memory) } else { std::env::temp_dir() };
    TempDir::new_in(parent).expect("a temporary directory")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|e| e.expect("an entry").file_name().into_string().expect("names are UTF-8")).collect()
}
