//! What images become, and which one is taken.

mod forge;
mod hostile;
mod selection;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use forge::{Forge, device, directory, file, gzip, hard_link, link, long_gnu, long_pax, tar};

use super::ImageError;
use crate::rootfs::{RootfsError, prepare, remove_unfinished};
use crate::{Language, Rootfs, Runtime};

/// Unpacks the only image, and gives its root.
fn unpacked(layers: &[Vec<u8>]) -> (Forge, PathBuf) {
    let mut forge = Forge::new();
    forge.image(layers);
    let root = forge.view(None).unwrap();
    (forge, root)
}

fn read(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn layers_lie_over_each_other() {
    let lowest = tar(&[
        file("kept", "1"),
        file("hidden", "1"),
        file("replaced", "1"),
        directory("d/"),
        file("d/old", "1"),
        directory("d/sub"),
        file("d/sub/old", "1"),
        file("whole/x", "1"),
        link("to", "d"),
        file("was-file", "1"),
        file("was-directory/x", "1"),
    ]);
    // The order within a layer does not matter to what it hides.
    let middle = tar(&[
        file("d/new", "2"),
        file("d/sub/new", "2"),
        file("d/.wh..wh..opq", ""),
        file(".wh.hidden", ""),
        file("replaced", "2"),
        file("back", "2"),
        file(".wh.back", ""),
        file(".wh.whole", ""),
        file(".wh.never-was", ""),
        file("no/such/.wh.x", ""),
        file(".wh..wh.plnk/1.2", ""),
    ]);
    let highest =
        tar(&[directory("to"), file("to/x", "3"), directory("was-file"), file("was-directory", "3")]);
    let (_forge, root) = unpacked(&[lowest, middle, highest]);
    assert_eq!(read(&root, "kept").as_deref(), Some("1"));
    assert_eq!(read(&root, "replaced").as_deref(), Some("2"));
    assert_eq!(read(&root, "back").as_deref(), Some("2"));
    assert_eq!(
        (names(&root.join("d")), names(&root.join("d/sub"))),
        (vec!["new".into(), "sub".into()], vec!["new".into()])
    );
    assert_eq!(names(&root.join("to")), ["x"]);
    assert!(root.join("was-file").is_dir());
    assert_eq!(read(&root, "was-directory").as_deref(), Some("3"));
    let expected = [
        "back",
        "d",
        "dev",
        "etc",
        "kept",
        "opt",
        "proc",
        "replaced",
        "sys",
        "tmp",
        "to",
        "var",
        "was-directory",
        "was-file",
    ];
    assert_eq!(names(&root), expected);
}

#[test]
fn a_compressed_layer_is_the_same() {
    let (one, other) = (gzip(&tar(&[file("a", "1")])), gzip(&tar(&[file("a", "2"), file("b", "2")])));
    let (_forge, root) = unpacked(&[one, other]);
    assert_eq!((read(&root, "a"), read(&root, "b")), (Some("2".into()), Some("2".into())));
}

#[test]
fn everybody_may_read_and_nobody_becomes_another() {
    let modes = [
        ("a", 0o104_755, 0o755),
        ("b", 0o102_700, 0o744),
        ("c", 0o600, 0o644),
        ("d", 0o1_666, 0o644),
        ("e", 0, 0o444),
    ];
    let members: Vec<_> = modes.iter().map(|(name, mode, _)| file(name, "x").mode(*mode)).collect();
    let closed = [directory("closed").mode(0o4_000), file("closed/x", "x")];
    let (_forge, root) = unpacked(&[tar(&[members, closed.to_vec()].concat())]);
    for (name, _, expected) in modes {
        let known = fs::metadata(root.join(name)).unwrap();
        assert_eq!(known.permissions().mode() & 0o7_777, expected, "{name}");
        // Compiled Python is compared with its source's time.
        assert_eq!(known.mtime(), forge::MODIFIED, "{name}");
    }
    for directory in ["", "closed", "var/task"] {
        let mode = fs::metadata(root.join(directory)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7_777, 0o755, "{directory}");
    }
}

#[test]
fn long_names_of_both_kinds_are_known() {
    let long = ["x".repeat(100).as_str(); 9].join("/");
    let (gnu, pax) = (format!("gnu/{long}"), format!("pax/{long}"));
    let layer = tar(&[long_gnu(&gnu, file("short", "1")), long_pax(&pax, file("short", "2"))]);
    let (_forge, root) = unpacked(&[layer]);
    assert_eq!((read(&root, &gnu), read(&root, &pax)), (Some("1".into()), Some("2".into())));
}

#[test]
fn links_are_kept_as_they_are() {
    let members = [
        file("usr/bin/python3.12", "x"),
        link("usr/bin/python3", "python3.12"),
        link("bin", "/usr/bin"),
        hard_link("usr/bin/py", "usr/bin/python3.12"),
        hard_link("usr/bin/link", "bin/python3"),
        // Through the link, which leads to the root's own directory.
        file("bin/sh", "y"),
    ];
    let (_forge, root) = unpacked(&[tar(&members)]);
    assert_eq!(fs::read_link(root.join("usr/bin/python3")).unwrap(), Path::new("python3.12"));
    assert_eq!(fs::read_link(root.join("usr/bin/link")).unwrap(), Path::new("python3.12"));
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("/usr/bin"));
    assert_eq!(read(&root, "usr/bin/sh").as_deref(), Some("y"));
    let inode = |path| fs::metadata(root.join(path)).unwrap().ino();
    assert_eq!(inode("usr/bin/py"), inode("usr/bin/python3.12"));
}

#[test]
fn devices_are_left_out() {
    let (_forge, root) = unpacked(&[tar(&[
        device("dev/null", b'3'),
        device("disk", b'4'),
        device("pipe", b'6'),
        file("a", "1"),
    ])]);
    assert_eq!((names(&root.join("dev")).len(), read(&root, "a").as_deref()), (0, Some("1")));
    assert_eq!(names(&root), ["a", "dev", "etc", "opt", "proc", "sys", "tmp", "var"]);
}

#[test]
fn a_link_in_the_place_of_the_resolver_becomes_a_file() {
    for target in ["../run/systemd/resolve/stub-resolv.conf", "/etc/hosts"] {
        let (_forge, root) = unpacked(&[tar(&[link("etc/resolv.conf", target), file("etc/hosts", "x")])]);
        assert!(fs::symlink_metadata(root.join("etc/resolv.conf")).unwrap().is_file());
        assert_eq!(read(&root, "etc/hosts").as_deref(), Some("x"));
    }
}

#[test]
fn an_image_is_unpacked_once() {
    let mut forge = Forge::new();
    let layer = forge.image(&[tar(&[file("a", "1")])]);
    let root = forge.view(None).unwrap();
    assert_eq!(forge.roots(), [root.file_name().unwrap().to_str().unwrap()]);
    forge.remove_blob(&layer[0]);
    assert_eq!(forge.view(None).unwrap(), root);
    assert_eq!(forge.roots().len(), 1);
}

#[test]
fn a_program_of_an_image_runs() {
    let mut forge = Forge::new();
    let runtime = Runtime { name: String::new(), language: Language::Provided, rootfs: Rootfs::Host };
    let host = prepare(&runtime, &forge.layout()).unwrap();
    let packed = Command::new("tar").arg("-C").arg(&host).args(["-cz", "."]).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    forge.image(&[packed.stdout]);
    let rootfs = Rootfs::Image { layout: forge.layout(), tag: None };
    let root = prepare(&Runtime { rootfs, ..runtime }, &forge.data()).unwrap();
    let script = "echo \"$(id -u) $(ls -d /var/task)\"";
    let ran = Command::new("chroot")
        .arg("--userspec=1000:1000")
        .arg(&root)
        .args(["/bin/sh", "-c", script])
        .output();
    let ran = ran.unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "1000 /var/task\n", "{ran:?}");
}

#[test]
fn what_was_begun_and_not_finished_is_removed_later() {
    let mut forge = Forge::new();
    forge.image(&[tar(&[file("a", "1")])]);
    forge.view(None).unwrap();
    let roots = forge.data().join("rootfs");
    let ours = format!(".unfinished-{}-x", std::process::id());
    fs::create_dir_all(roots.join(".unfinished-4194305-x/y")).unwrap();
    fs::create_dir_all(roots.join(&ours)).unwrap();
    remove_unfinished(&forge.data()).unwrap();
    assert_eq!((forge.roots().len(), &forge.roots()[0]), (2, &ours));
    remove_unfinished(&roots).unwrap();
}
