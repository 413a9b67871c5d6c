//! Packing, and packing and unpacking.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::forge::{Forged, archive, file, link, zeros};
use super::{Found, Opened, tree};
use crate::code::{Bound, CodeError, LinkFault, NameFault, pack};
use crate::limits;

fn added(archive: &[u8]) -> Vec<(String, Found)> {
    let opened = Opened::new();
    let added = opened.store.add(archive).unwrap();
    tree(&opened.store.path(added.id).unwrap()).into_iter().collect()
}

#[test]
fn a_single_file_is_packed_by_its_name() {
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("main.py");
    fs::write(&path, b"def handler(): pass").unwrap();
    let content = Found::File { content: b"def handler(): pass".into(), executable: false };
    assert_eq!(added(&pack(&path).unwrap()), [("main.py".to_owned(), content)]);
}

#[test]
fn git_and_pycache_are_left_out_and_nothing_else() {
    let around = tempfile::tempdir().unwrap();
    for directory in [".git/objects", "lib/__pycache__", "lib/.venv", ".github"] {
        fs::create_dir_all(around.path().join(directory)).unwrap();
        fs::write(around.path().join(directory).join("x"), b"").unwrap();
    }
    // Files, as in a worktree, are no directories.
    fs::write(around.path().join("lib/.git"), b"gitdir: x").unwrap();
    let names: Vec<_> = added(&pack(around.path()).unwrap()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [".github", ".github/x", "lib", "lib/.git", "lib/.venv", "lib/.venv/x"]);
}

#[test]
fn the_same_content_is_the_same_archive() {
    let packed = |time: u64, names: [&str; 3]| {
        let around = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(around.path().join(name), name).unwrap();
            let file = fs::File::options().write(true).open(around.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(time)).unwrap();
        }
        fs::set_permissions(around.path().join("a"), Permissions::from_mode(0o600)).unwrap();
        pack(around.path()).unwrap()
    };
    assert_eq!(packed(1_000_000_000, ["a", "b", "c"]), packed(1_700_000_000, ["c", "b", "a"]));
}

#[test]
fn what_could_not_be_added_is_not_packed() {
    let pack_with = |make: &dyn Fn(&Path)| {
        let around = tempfile::tempdir().unwrap();
        fs::write(around.path().join("fine"), b"").unwrap();
        make(around.path());
        pack(around.path()).expect_err("it is refused")
    };
    let error = pack_with(&|path| symlink("/etc/passwd", path.join("l")).unwrap());
    assert!(matches!(error, CodeError::Link { entry, fault: LinkFault::Absolute, .. } if entry == "l"));
    let error = pack_with(&|path| symlink("../x", path.join("l")).unwrap());
    assert!(matches!(error, CodeError::Link { fault: LinkFault::Leaves, .. }));
    let error = pack_with(&|path| drop(UnixListener::bind(path.join("s")).unwrap()));
    assert!(matches!(error, CodeError::Special { entry, .. } if entry == "s"));
    let error = pack_with(&|path| fs::write(path.join("a\\b"), b"").unwrap());
    assert!(matches!(error, CodeError::Name { fault: NameFault::Backslash, .. }));
    let error = pack_with(&|path| fs::write(path.join(OsStr::from_bytes(b"\xff")), b"").unwrap());
    assert!(matches!(error, CodeError::Name { fault: NameFault::NotUtf8, .. }));
    let error = pack_with(&|path| fs::create_dir_all(path.join(["d"; 65].join("/"))).unwrap());
    assert!(matches!(error, CodeError::Name { fault: NameFault::TooDeep, .. }));
    let error = pack_with(&|path| {
        let file = fs::File::create(path.join("sparse")).unwrap();
        file.set_len(limits::UNPACKED_BYTES + 1).unwrap();
    });
    assert!(matches!(error, CodeError::TooLarge { bound: Bound::Unpacked, .. }));
    let missing = pack(Path::new("/no/such/thing")).unwrap_err();
    assert!(matches!(missing, CodeError::Unreadable { path, .. } if path == Path::new("/no/such/thing")));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(pack(empty.path()).unwrap_err(), CodeError::Empty));
}

/// Something to make at a path, if there is room for it.
#[derive(Clone, Debug)]
enum Make {
    Directory,
    File(Vec<u8>, u32),
    Link(String),
}

fn make(root: &Path, path: &str, what: &Make) {
    let path = root.join(path);
    // A path that is taken, or leads through a file, is left as it is; one through a link is not made.
    let parent = path.parent().unwrap();
    if fs::create_dir_all(parent).is_err() || parent.canonicalize().unwrap() != parent {
        return;
    }
    match what {
        _ if fs::symlink_metadata(&path).is_ok() => {}
        Make::Directory => fs::create_dir(&path).unwrap(),
        Make::File(content, mode) => {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
        }
        Make::Link(target) => symlink(target, &path).unwrap(),
    }
}

fn parts(alphabet: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(alphabet), 1..=most).prop_map(|parts| parts.join("/"))
}

fn thing() -> impl Strategy<Value = Make> {
    prop_oneof![
        Just(Make::Directory),
        (prop::collection::vec(any::<u8>(), 0..200), prop::sample::select(&[0o600, 0o644, 0o750, 0o777][..]))
            .prop_map(|(content, mode)| Make::File(content, mode)),
        parts(&["a", "b", "ü", "..", ".", ".."], 4).prop_map(Make::Link),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_and_added_is_the_same_and_stays_inside(
        things in prop::collection::vec((parts(&["a", "b", "ü", "a.py", "a-b"], 4), thing()), 1..12)
    ) {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap();
        for (path, what) in &things {
            make(&root, path, what);
        }
        let Ok(packed) = pack(&root) else { return Ok(()) };
        prop_assert_eq!(&packed, &pack(&root).unwrap());
        let opened = Opened::new();
        let added = opened.store.add(&packed).unwrap();
        let files = opened.store.path(added.id).unwrap().canonicalize().unwrap();
        let found = tree(&files);
        prop_assert_eq!(&found, &tree(&root));
        prop_assert_eq!(added.entries, found.len() as u64);
        for path in found.keys() {
            let leads_to = files.join(path).canonicalize();
            prop_assert!(leads_to.is_err() || leads_to.unwrap().starts_with(&files), "{}", path);
        }
    }

    #[test]
    fn whatever_is_changed_in_an_archive_is_added_or_leaves_nothing(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let zeros = Forged { name: b"d/zeros".to_vec(), ..zeros("", 3000) };
        let mut bytes = archive(&[file("a.py"), zeros, link("d/l", "../a.py"), file("e/f")]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let opened = Opened::new();
        let left = match opened.store.add(&bytes) {
            Ok(added) => vec![added.id.to_string()],
            Err(_) => Vec::new(),
        };
        prop_assert_eq!(opened.names(), left);
        prop_assert_eq!(opened.outside(), ["store"]);
    }
}
