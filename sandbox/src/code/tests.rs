//! What the store keeps, and what archives become.

mod forge;
mod hostile;
mod packed;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{CodeId, CodeStore, InvalidCodeId};
use forge::{archive, file, link};

/// A store alone in a directory.
struct Opened {
    store: CodeStore,
    around: TempDir,
}

impl Opened {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        Self { store: CodeStore::open(&around.path().join("store")).unwrap(), around }
    }

    fn directory(&self) -> PathBuf {
        self.around.path().join("store")
    }

    fn again(&self) -> CodeStore {
        CodeStore::open(&self.directory()).unwrap()
    }

    /// What is in the store's directory.
    fn names(&self) -> Vec<String> {
        names(&self.directory())
    }

    /// What is beside it.
    fn outside(&self) -> Vec<String> {
        names(self.around.path())
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What is at a path, as far as it is kept.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Directory,
    File { content: Vec<u8>, executable: bool },
    Link(PathBuf),
}

/// All that is below it.
fn tree(root: &Path) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(directory) = ahead.pop() {
        for name in names(&directory) {
            let path = directory.join(name);
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_dir() {
                ahead.push(path.clone());
                Found::Directory
            } else if metadata.is_symlink() {
                Found::Link(fs::read_link(&path).unwrap())
            } else {
                let executable = metadata.permissions().mode() & 0o111 != 0;
                Found::File { content: fs::read(&path).unwrap(), executable }
            };
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), what);
        }
    }
    found
}

#[test]
fn what_is_added_is_there_read_only() {
    let opened = Opened::new();
    let program = forge::entry("bin/bootstrap", 0o100_700, b"#!/bin/sh\n");
    let added = opened.store.add(&archive(&[file("a.py"), program, link("bin/a", "../a.py")])).unwrap();
    assert_eq!((added.bytes, added.entries), (7 + 10 + 7, 4));
    let files = opened.store.path(added.id).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&files), 0o040_555);
    assert_eq!(mode(&files.join("bin")), 0o040_555);
    assert_eq!(mode(&files.join("a.py")), 0o100_444);
    assert_eq!(mode(&files.join("bin/bootstrap")), 0o100_555);
    assert_eq!(fs::read(files.join("bin/a")).unwrap(), b"content");
    assert_eq!(mode(&opened.directory()), 0o040_700, "no other user of the machine reads code");
}

#[test]
fn what_is_there_is_found_and_not_written_again() {
    let opened = Opened::new();
    let bytes = archive(&[file("a")]);
    let added = opened.store.add(&bytes).unwrap();
    let files = opened.store.path(added.id).unwrap();
    let modified = fs::metadata(files.join("a")).unwrap().modified().unwrap();
    assert_eq!(opened.store.add(&bytes).unwrap(), added);
    assert_eq!(opened.again().add(&bytes).unwrap(), added, "after a restart too");
    assert_eq!(fs::metadata(files.join("a")).unwrap().modified().unwrap(), modified);
    assert_eq!(opened.names(), [added.id.to_string()]);
    assert_eq!(opened.store.path(CodeId::of(b"")), None);
}

#[test]
fn one_of_many_adds_of_the_same_archive_is_kept() {
    let opened = Opened::new();
    let bytes = archive(&(0..50).map(|i| file(format!("{i}/x"))).collect::<Vec<_>>());
    let added: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| opened.store.add(&bytes).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(added.iter().all(|one| *one == added[0]));
    assert_eq!(opened.names(), [added[0].id.to_string()]);
    assert_eq!(tree(&opened.store.path(added[0].id).unwrap()).len(), 100);
}

#[test]
fn more_files_than_are_synced_one_by_one_are_all_there() {
    let opened = Opened::new();
    let added =
        opened.store.add(&archive(&(0..300).map(|i| file(format!("{i}"))).collect::<Vec<_>>())).unwrap();
    let files = opened.store.path(added.id).unwrap();
    assert_eq!(tree(&files).len(), 300);
    assert_eq!(fs::metadata(files).unwrap().permissions().mode(), 0o040_555);
}

#[test]
fn what_was_begun_and_not_finished_is_gone_after_a_restart() {
    let opened = Opened::new();
    let added = opened.store.add(&archive(&[file("a")])).unwrap();
    for name in [".new-abc", ".old-abc"] {
        let sealed = opened.directory().join(name).join("files/deep");
        fs::create_dir_all(&sealed).unwrap();
        fs::write(sealed.join("x"), b"").unwrap();
        fs::set_permissions(&sealed, Permissions::from_mode(0o555)).unwrap();
    }
    let store = opened.again();
    assert_eq!(opened.names(), [added.id.to_string()]);
    assert!(store.path(added.id).is_some());
}

#[test]
fn what_is_not_needed_goes() {
    let opened = Opened::new();
    let [kept, gone] = ["kept", "gone"].map(|name| opened.store.add(&archive(&[file(name)])).unwrap().id);
    let store = opened.again();
    assert_eq!(store.retain(|id| id == kept).unwrap(), 1);
    assert_eq!((store.path(kept).is_some(), store.path(gone)), (true, None));
    assert_eq!(opened.names(), [kept.to_string()]);
    assert_eq!(store.retain(|id| id == kept).unwrap(), 0);
}

#[test]
fn what_has_just_been_added_or_found_is_spared_once() {
    let opened = Opened::new();
    let bytes = archive(&[file("a")]);
    let id = opened.store.add(&bytes).unwrap().id;
    assert_eq!(opened.store.retain(|_| false).unwrap(), 0, "the first that begins after it was added");
    opened.store.add(&bytes).unwrap();
    assert_eq!(opened.store.retain(|_| false).unwrap(), 0, "it was found since");
    assert_eq!(opened.store.clone().retain(|_| false).unwrap(), 1);
    assert_eq!(opened.store.path(id), None);
    // Seen to be needed in between, and then no more.
    opened.store.add(&bytes).unwrap();
    assert_eq!(opened.store.retain(|_| true).unwrap(), 0);
    assert_eq!(opened.store.retain(|_| false).unwrap(), 1);
}

#[test]
fn what_is_added_while_the_unneeded_goes_stays() {
    let opened = Opened::new();
    let [found, new] = ["found", "new"].map(|name| archive(&[file(name)]));
    opened.store.add(&found).unwrap();
    let store = opened.again();
    let adding = |_| {
        // After the answer that it is not needed could have been made up, and before it is acted upon.
        for bytes in [&found, &new] {
            store.add(bytes).unwrap();
        }
        false
    };
    assert_eq!(store.retain(adding).unwrap(), 0);
    // This call was on its way when they came; the next one is the first after that.
    assert_eq!(store.retain(|_| false).unwrap(), 0);
    assert_eq!(store.retain(|_| false).unwrap(), 2);
}

#[test]
fn archives_of_another_program_are_unpacked() {
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("x.zip");
    let status = Command::new("/usr/bin/python3").arg("-c").arg(PYTHON).arg(&path).status().unwrap();
    assert!(status.success());
    let opened = Opened::new();
    let added = opened.store.add(&fs::read(&path).unwrap()).unwrap();
    let found = tree(&opened.store.path(added.id).unwrap());
    let file = |content: &[u8], executable| Found::File { content: content.into(), executable };
    let expected = [
        ("deep", Found::Directory),
        ("deep/er", Found::Directory),
        ("deep/er/grün.txt", file(&b"text\n".repeat(10_000), false)),
        ("empty", Found::Directory),
        ("long", file(b"zip64", false)),
        ("run", file(b"#!/bin/sh\n", true)),
        ("to", Found::Link("deep/er".into())),
    ];
    assert_eq!(found, expected.map(|(path, what)| (path.to_owned(), what)).into());
}

/// With deflate and without, streamed (so with sizes behind the contents), with a zip64 extra field and a comment.
const PYTHON: &str = r##"
import sys, zipfile
class Stream:
    def __init__(self, file): self.file = file
    def write(self, data): return self.file.write(data)
    def flush(self): self.file.flush()
def info(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry
with open(sys.argv[1], "wb") as file, zipfile.ZipFile(Stream(file), "w") as z:
    z.writestr("deep/er/grün.txt", "text\n" * 10000, zipfile.ZIP_DEFLATED)
    z.writestr(info("empty/", 0o40755), "")
    z.writestr(info("run", 0o100755), "#!/bin/sh\n")
    z.writestr(info("to", 0o120777), "deep/er")
    with z.open(info("long", 0o100600), "w", force_zip64=True) as long: long.write(b"zip64")
    z.comment = b"PK\x05\x06 a comment"
"##;

#[test]
fn an_id_is_text_and_back() {
    let id = CodeId::of(b"abc");
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(id.to_string(), text);
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<CodeId>(&format!("\"{text}\"")).unwrap(), id);
    for wrong in ["", &text[1..], &text.to_uppercase(), &text.replace('b', "g"), &format!("{text}00")] {
        assert_eq!(wrong.parse::<CodeId>(), Err(InvalidCodeId), "{wrong}");
    }
}
