//! What is refused: one test for each way in which an archive means harm.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use super::forge::{Forged, archive, archive_with, entry, file, link, zeros};
use super::{Opened, tree};
use crate::code::archive::Archive;
use crate::code::{Bound, CodeError, LinkFault, NameFault};
use crate::limits;

/// Adds it, sees that nothing is left, and gives the reason.
fn refused(archive: &[u8]) -> CodeError {
    let opened = Opened::new();
    let error = opened.store.add(archive).expect_err("it is refused");
    assert_eq!(opened.names(), [""; 0], "{error}");
    assert_eq!(opened.outside(), ["store"], "{error}");
    error
}

fn name_fault(name: impl AsRef<[u8]>) -> Option<NameFault> {
    match refused(&archive(&[file("fine"), file(name)])) {
        CodeError::Name { fault, .. } => Some(fault),
        _ => None,
    }
}

fn link_fault(entries: &[Forged]) -> Option<LinkFault> {
    match refused(&archive(entries)) {
        CodeError::Link { fault, .. } => Some(fault),
        _ => None,
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    for bytes in [b"".to_vec(), b"PK".to_vec(), b"#!/bin/sh\n".to_vec(), vec![0; 4096], vec![0xff; 65_600]] {
        assert!(matches!(refused(&bytes), CodeError::NotZip));
    }
    assert_eq!(refused(b"").code(), "invalid_code");
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused() {
    let whole = archive(&[file("a"), file("b/c")]);
    for length in 0..whole.len() {
        let error = refused(&whole[..length]);
        let is_right = if length < 4 {
            matches!(error, CodeError::NotZip)
        } else {
            matches!(error, CodeError::Truncated)
        };
        assert!(is_right, "{length}: {error}");
    }
    // Its beginning is missing.
    for length in 1..whole.len() {
        refused(&whole[length..]);
    }
}

#[test]
fn an_archive_without_entries_is_refused() {
    assert!(matches!(refused(&archive(&[])), CodeError::Empty));
    // Of the root alone.
    assert!(matches!(refused(&archive(&[entry("./", 0o040_755, b"")])), CodeError::Empty));
}

#[test]
fn an_archive_larger_than_the_bound_is_refused_unread() {
    let most = limits::ARCHIVE_BYTES;
    let error = refused(&vec![0; most as usize + 1]);
    assert!(matches!(error, CodeError::TooLarge { bound: Bound::Archive, is, .. } if is == most + 1));
    assert_eq!(error.code(), "code_too_large");
}

#[test]
fn encrypted_entries_are_refused() {
    for flag in [0, 6, 13] {
        let error = refused(&archive(&[Forged { flags: 1 << flag, ..file("a") }]));
        assert!(matches!(error, CodeError::Encrypted { entry } if entry == "a"));
    }
}

#[test]
fn other_compression_than_deflate_is_refused() {
    for method in [1, 9, 12, 14, 93, 95, 99] {
        let error = refused(&archive(&[Forged { method, ..file("a") }]));
        assert!(matches!(error, CodeError::Method { method: m, .. } if m == method));
    }
}

#[test]
fn names_that_lead_elsewhere_or_cannot_be_are_refused() {
    let long = "x".repeat(limits::NAME_BYTES + 1);
    let longer = ["x".repeat(200).as_str(); 6].join("/");
    let deep = vec!["x"; limits::PATH_DEPTH + 1].join("/");
    let cases: [(&[u8], NameFault); 22] = [
        (b"", NameFault::Empty),
        (b".", NameFault::Empty),
        (b"a//b", NameFault::Empty),
        (b"a//", NameFault::Empty),
        (b"/", NameFault::Absolute),
        (b"//", NameFault::Absolute),
        (b"/etc/passwd", NameFault::Absolute),
        (b"//etc/passwd", NameFault::Absolute),
        (b"..", NameFault::Parent),
        (b"../", NameFault::Parent),
        (b"../a", NameFault::Parent),
        (b"a/../../b", NameFault::Parent),
        (b"a/..", NameFault::Parent),
        (b"./../a", NameFault::Parent),
        (b"a\0", NameFault::Nul),
        (b"a\0/../b", NameFault::Nul),
        (b"..\\a", NameFault::Backslash),
        (b"C:\\a", NameFault::Backslash),
        (b"\xff", NameFault::NotUtf8),
        (long.as_bytes(), NameFault::TooLong),
        (longer.as_bytes(), NameFault::TooLong),
        (deep.as_bytes(), NameFault::TooDeep),
    ];
    for (name, fault) in cases {
        assert_eq!(name_fault(name), Some(fault), "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(name_fault("x".repeat(usize::from(u16::MAX))), Some(NameFault::TooLong));
}

#[test]
fn two_entries_of_one_path_are_refused_whatever_they_are() {
    let directory = |name| entry(name, 0o040_755, b"");
    let cases = [
        vec![file("a"), file("a")],
        vec![file("a"), file("./a")],
        vec![directory("a/"), directory("a/")],
        vec![file("a"), directory("a/")],
        vec![directory("a"), file("a")],
        vec![file("a"), link("a", "b")],
        vec![link("a", "b"), file("a")],
        vec![file("a"), file("a/b")],
        vec![file("a/b"), file("a")],
        vec![file("a/b/c"), file("a/b")],
        vec![file("a/b"), file("a/b/c/d")],
    ];
    for case in cases {
        assert!(matches!(refused(&archive(&case)), CodeError::Duplicate { .. }));
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    for target in [".", "b", "../..", "/tmp"] {
        for case in [[link("a", target), file("a/x")], [file("a/x"), link("a", target)]] {
            assert!(matches!(refused(&archive(&case)), CodeError::Duplicate { .. }), "{target}");
        }
    }
}

#[test]
fn links_that_leave_are_refused() {
    for target in ["..", "../", "../a", "b/../../a", "./..", "../../../../etc/passwd", "b/c/../../.."] {
        assert_eq!(link_fault(&[link("a", target)]), Some(LinkFault::Leaves), "{target}");
        assert_eq!(link_fault(&[link("d/a", &format!("../{target}"))]), Some(LinkFault::Leaves), "{target}");
    }
    for target in ["/", "/etc/passwd", "//"] {
        assert_eq!(link_fault(&[link("a", target)]), Some(LinkFault::Absolute), "{target}");
    }
}

#[test]
fn links_that_leave_through_other_links_are_refused() {
    // `d/e/up` is `d`, so `d/e/up/../..` is outside, though by its text it is `d`.
    let up = link("d/e/up", "..");
    assert_eq!(link_fault(&[up.clone(), link("a", "d/e/up/../..")]), Some(LinkFault::Leaves));
    assert_eq!(link_fault(&[link("a", "b"), link("b", "c"), link("c", "../x")]), Some(LinkFault::Leaves));
    // What is missing does not make it better.
    assert_eq!(link_fault(&[link("a", "no/such/../../../x")]), Some(LinkFault::Leaves));
}

#[test]
fn links_without_end_are_refused() {
    assert_eq!(link_fault(&[link("a", "a")]), Some(LinkFault::Loops));
    assert_eq!(link_fault(&[link("a", "b"), link("b", "a")]), Some(LinkFault::Loops));
    let chain: Vec<_> = (0..50).map(|i| link(&format!("l{i}"), &format!("l{}", i + 1))).collect();
    assert_eq!(link_fault(&chain), Some(LinkFault::Loops));
    // Each is fine, all together would take long.
    let long = "./".repeat(500) + "x";
    let many: Vec<_> = (0..1000).map(|i| link(&format!("l{i}"), &long)).collect();
    assert_eq!(link_fault(&many), Some(LinkFault::Loops));
}

#[test]
fn links_to_what_is_no_path_are_refused() {
    assert_eq!(link_fault(&[link("a", "")]), Some(LinkFault::Unusable));
    assert_eq!(link_fault(&[link("a", "b\0")]), Some(LinkFault::Unusable));
    assert_eq!(link_fault(&[entry("a", 0o120_777, b"\xff")]), Some(LinkFault::Unusable));
    assert_eq!(link_fault(&[link("a", &"x".repeat(limits::LINK_BYTES + 1))]), Some(LinkFault::TooLong));
    let far = format!("{}/x", "y".repeat(1000));
    assert_eq!(link_fault(&[link(&format!("{0}/{0}/a", "d".repeat(200)), &far)]), Some(LinkFault::TooLong));
}

#[test]
fn devices_pipes_and_sockets_are_refused() {
    for kind in [0o010_000, 0o020_000, 0o060_000, 0o140_000, 0o150_000, 0o170_000] {
        let error = refused(&archive(&[entry("a", kind | 0o644, b"")]));
        assert!(matches!(error, CodeError::Special { mode, .. } if mode == kind | 0o644), "{kind:o}");
    }
    // A link that calls itself a directory.
    assert!(matches!(refused(&archive(&[link("a/", "b")])), CodeError::Special { .. }));
}

#[test]
fn special_bits_are_not_kept() {
    let opened = Opened::new();
    let added =
        opened.store.add(&archive(&[entry("a", 0o107_755, b""), entry("b", 0o106_644, b"")])).unwrap();
    let files = opened.store.path(added.id).unwrap();
    let mode = |name| fs::metadata(files.join(name)).unwrap().permissions().mode();
    assert_eq!((mode("a"), mode("b")), (0o100_555, 0o100_444));
}

#[test]
fn more_bytes_than_the_bound_are_refused() {
    // It says so.
    let bomb = zeros("zeros", 1 << 30);
    let error = refused(&archive(std::slice::from_ref(&bomb)));
    assert!(matches!(error, CodeError::TooLarge { bound: Bound::Unpacked, is, .. } if is == 1 << 30));
    assert_eq!(error.code(), "code_too_large");
    // It says less, and is written only up to that.
    for declared in [10, limits::UNPACKED_BYTES] {
        let lie = archive(&[Forged { size: declared, ..bomb.clone() }]);
        let started = Archive::open(&lie).unwrap();
        let entry = started.entries().next().unwrap().unwrap();
        let mut sink = Counted(0);
        assert!(matches!(started.copy(&entry, &mut sink), Err(CodeError::Size { .. })));
        assert!(sink.0 <= declared, "{}", sink.0);
        assert!(matches!(refused(&lie), CodeError::Size { declared: d, .. } if d == declared));
    }
    // Many, each below the bound.
    let part = zeros("", 16 << 20);
    let parts: Vec<_> = (0..20u8).map(|i| Forged { name: vec![b'a' + i], ..part.clone() }).collect();
    assert!(matches!(refused(&archive(&parts)), CodeError::TooLarge { bound: Bound::Unpacked, .. }));
}

#[test]
fn an_entry_that_says_ten_gigabytes_is_refused() {
    for size in [10_000_000_000, u64::MAX] {
        let error = refused(&archive(&[file("a"), Forged { size, ..file("b") }]));
        assert!(matches!(error, CodeError::TooLarge { bound: Bound::Unpacked, .. }), "{error}");
    }
    for packed in [10_000_000_000, u64::MAX, u64::from(u32::MAX) - 1] {
        let error = refused(&archive(&[Forged { packed: Some(packed), ..file("b") }]));
        assert!(matches!(error, CodeError::Malformed { .. }), "{error}");
    }
}

#[test]
fn an_entry_with_fewer_bytes_than_it_says_is_refused() {
    for size in [0, 6, 8] {
        assert!(
            matches!(refused(&archive(&[Forged { size, ..file("a") }])), CodeError::Size { .. }),
            "{size}"
        );
    }
}

#[test]
fn a_million_entries_are_refused_before_they_are_read() {
    let one = Forged { is_in_directory_only: true, offset: Some(0), ..file("a") };
    let million = archive(&vec![one.clone(); 1_000_000]);
    let error = refused(&million);
    assert!(matches!(error, CodeError::TooLarge { bound: Bound::Entries, is: 1_000_000, .. }), "{error}");
    // The end says fewer than there are, or more.
    let fewer = archive_with(&[file("a"), file("b"), file("c")], |end| end.entries = 2);
    assert!(matches!(refused(&fewer), CodeError::Malformed { .. }));
    let more = archive_with(&[file("a")], |end| end.entries = 2);
    assert!(matches!(refused(&more), CodeError::Malformed { .. }));
}

#[test]
fn directories_that_only_paths_name_count_too() {
    let deep = |i| file(format!("{i}/{}", vec!["x"; 60].join("/")));
    let error = refused(&archive(&(0..400).map(deep).collect::<Vec<_>>()));
    assert!(matches!(error, CodeError::TooLarge { bound: Bound::Entries, .. }), "{error}");
}

#[test]
fn contents_that_are_not_what_was_packed_are_refused() {
    let error = refused(&archive(&[Forged { checksum: 1, ..file("a") }]));
    assert!(matches!(error, CodeError::Checksum { declared: 1, .. }));
    for data in [&b""[..], b"\xff\xff\xff", &zeros("", 100_000).data[..20]] {
        let lie = Forged { method: 8, data: data.to_vec(), size: 100_000, ..file("a") };
        assert!(matches!(refused(&archive(&[lie])), CodeError::Corrupt { .. } | CodeError::Size { .. }));
    }
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let shared = Forged { is_in_directory_only: true, offset: Some(0), ..file("b") };
    assert!(matches!(refused(&archive(&[file("a"), shared])), CodeError::Overlap { .. }));
    // One that begins inside of another one's contents.
    let inner = archive(&[file("inner")]);
    let outer = entry("outer", 0o100_644, &inner);
    let quoted = Forged { is_in_directory_only: true, offset: Some(30 + 5), ..file("inner") };
    assert!(matches!(refused(&archive(&[outer, quoted])), CodeError::Overlap { .. }));
}

#[test]
fn parts_that_are_not_where_they_should_be_are_refused() {
    for offset in [1, 1000, u64::from(u32::MAX) - 1, u64::MAX] {
        let error = refused(&archive(&[Forged { offset: Some(offset), ..file("a") }]));
        assert!(matches!(error, CodeError::Malformed { .. }), "{error}");
    }
    for offset in [0, 1, 10_000, u64::MAX] {
        let error = refused(&archive_with(&[file("a")], |end| end.offset = offset));
        assert!(matches!(error, CodeError::Malformed { .. }), "{error}");
    }
    for size in [0, 1, 10_000, u64::MAX] {
        let error = refused(&archive_with(&[file("a")], |end| end.size = size));
        assert!(matches!(error, CodeError::Malformed { .. }), "{error}");
    }
}

#[test]
fn what_local_headers_say_does_not_matter() {
    let opened = Opened::new();
    let hidden = Forged { local_name: Some(b"../../evil".to_vec()), ..file("good") };
    let added = opened.store.add(&archive(&[hidden])).unwrap();
    assert_eq!(tree(&opened.store.path(added.id).unwrap()).into_keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn modes_count_only_if_they_are_modes() {
    // FAT: what would be a device's mode is something else.
    let opened = Opened::new();
    let added = opened.store.add(&archive(&[Forged { system: 0, mode: 0o020_777, ..file("a") }])).unwrap();
    let mode = fs::metadata(opened.store.path(added.id).unwrap().join("a")).unwrap().permissions().mode();
    assert_eq!(mode, 0o100_444);
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
