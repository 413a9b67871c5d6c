//! File systems that are full or read-only. Each is a tmpfs in a mount namespace of its own, which ends with its thread.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

/// Runs `test` with an empty file system of this size.
fn on_tmpfs(options: &str, test: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let nothing = None::<&str>;
            mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
            mount(Some("store"), path, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
            test(path);
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn remount_read_only(path: &Path) {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>).unwrap();
}

/// Writes a file until there is no room left.
fn fill(path: &Path) {
    use std::io::{ErrorKind, Write as _};
    let mut file = std::fs::File::create(path).unwrap();
    loop {
        match file.write(&[1; 512]) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::StorageFull => return,
            Err(e) => panic!("{e}"),
        }
    }
}

/// Removes what [`fill`] has written. A process that another test is starting can have it open for a moment, and its room with it.
fn make_room(ballast: &Path) {
    let directory = ballast.parent().unwrap();
    let free = || nix::sys::statvfs::statvfs(directory).unwrap().blocks_available();
    let before = free();
    std::fs::remove_file(ballast).unwrap();
    for _ in 0..1_000 {
        if free() > before {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no room after ten seconds");
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else_until_there_is_room() {
    on_tmpfs("size=8m", |path| {
        let store = Redb::open(path).unwrap();
        store.write(&[record(0, "\"before\"")]).unwrap();
        fill(&path.join("ballast"));
        let long = format!("\"{}\"", "x".repeat(20_000));
        let mut written = 0;
        let refused = loop {
            // What is free within the file can still be used.
            match store.write(&[record(written + 1, &long), record(0, &format!("{written}"))]) {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(&refused, MediumError::Full { path: p } if p.starts_with(path)), "{refused:?}");
        for _ in 0..3 {
            let again = store.write(&[record(written + 1, &long), record(0, "\"never\"")]).unwrap_err();
            assert!(matches!(again, MediumError::Full { .. }), "{again:?}");
        }
        make_room(&path.join("ballast"));
        assert_eq!(store.load(Table::Records).unwrap().len(), written + 1);
        store.write(&[record(written + 1, &long), record(0, "\"after\"")]).unwrap();
        let before = contents(&store).unwrap();
        assert_eq!(before[0].1[0].1, b"\"after\"");
        assert_eq!(before[0].1.len(), written + 2);
        drop(store);
        assert_eq!(contents(&Redb::open(path).unwrap()).unwrap(), before);
    });
}

#[test]
fn a_store_on_a_full_disk_is_opened_or_refused_as_full() {
    on_tmpfs("size=4m", |path| {
        let store = Redb::open(path).unwrap();
        store.write(&[record(0, "1")]).unwrap();
        drop(store);
        fill(&path.join("ballast"));
        match Redb::open(path) {
            Ok(store) => {
                assert_eq!(store.load(Table::Records).unwrap(), [owned("containers/default/c00000", "1")]);
            }
            Err(error) => assert!(matches!(error, MediumError::Full { .. }), "{error:?}"),
        }
        make_room(&path.join("ballast"));
        assert_eq!(Redb::open(path).unwrap().load(Table::Records).unwrap().len(), 1);
    });
}

#[test]
fn a_store_is_not_made_on_a_full_disk_but_later() {
    on_tmpfs("size=256k", |path| {
        let state = path.join("state");
        fill(&path.join("ballast"));
        for _ in 0..2 {
            let refused = Redb::open(&state).unwrap_err();
            assert!(matches!(refused, MediumError::Full { .. }), "{refused:?}");
            assert!(!state.join("wharf.redb").exists());
        }
    });
    on_tmpfs("size=4m", |path| {
        let state = path.join("state");
        Redb::open(&state).map(drop).unwrap();
        // Left by a start that was killed.
        std::fs::rename(state.join("wharf.redb"), state.join("wharf.redb.new")).unwrap();
        Redb::open(&state).map(drop).unwrap();
        assert!(!state.join("wharf.redb.new").exists());
    });
}

#[test]
fn a_read_only_disk_is_refused() {
    on_tmpfs("size=8m", |path| {
        let state = path.join("state");
        let store = Redb::open(&state).unwrap();
        store.write(&[record(0, "1")]).unwrap();
        drop(store);
        let bytes = std::fs::read(state.join("wharf.redb")).unwrap();
        remount_read_only(path);
        for directory in [&state, &path.join("another")] {
            let refused = Redb::open(directory).unwrap_err();
            assert!(
                matches!(&refused, MediumError::ReadOnly { path: p } if p.starts_with(path)),
                "{refused:?}"
            );
        }
        assert_eq!(std::fs::read(state.join("wharf.redb")).unwrap(), bytes);
    });
}
