//! What is refused, or comes to nothing: one test for each way in which an image means harm.

use std::fs;
use std::path::Path;

use super::forge::{
    Forge, Member, directory, file, gzip, hard_link, link, long_gnu, long_pax, member, pax, refused, tar,
};
use super::{ImageError, names, read, unpacked};
use crate::limits;
use crate::rootfs::image::error::LayerFault;

fn fault(members: &[Member]) -> LayerFault {
    refused(&[tar(members)]).1
}

/// Sees that an image changes nothing beside it, whether it is refused or not.
fn harmless(layers: impl Fn(&Path) -> Vec<Vec<u8>>) {
    let mut forge = Forge::new();
    let outside = forge.outside();
    forge.image(&layers(&outside));
    let viewed = forge.view(None);
    assert_eq!(names(&outside), ["secret"], "{viewed:?}");
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "untouched", "{viewed:?}");
    assert_eq!(forge.roots().len(), usize::from(viewed.is_ok()));
}

#[test]
fn paths_that_go_up_are_refused() {
    for name in ["..", "../a", "a/../../b", "a/..", "./../a", "/../a"] {
        for of in
            [file(name, "x"), directory(name), link(name, "x"), hard_link(name, "x"), hard_link("x", name)]
        {
            assert!(matches!(fault(&[of]), LayerFault::Parent), "{name}");
        }
        assert!(matches!(fault(&[long_pax(name, file("a", ""))]), LayerFault::Parent), "{name}");
        assert!(matches!(fault(&[long_gnu(name, file("a", ""))]), LayerFault::Parent), "{name}");
    }
    let (entry, _) = refused(&[tar(&[file("fine", ""), file("../a", "")])]);
    assert_eq!(entry, "../a");
}

#[test]
fn absolute_paths_count_from_the_root() {
    let (_forge, root) =
        unpacked(&[tar(&[file("/a", "1"), file("//b/c", "2"), hard_link("d", "/a"), directory("/")])]);
    assert_eq!((read(&root, "a"), read(&root, "b/c")), (Some("1".into()), Some("2".into())));
    assert_eq!(read(&root, "d").as_deref(), Some("1"));
}

#[test]
fn nothing_is_written_through_a_link() {
    let up = "../../../../../../../../..";
    harmless(|outside| vec![tar(&[link("out", outside), file("out/new", "x"), file("out/secret", "x")])]);
    harmless(|outside| vec![tar(&[link("out", outside)]), tar(&[file("out/secret", "x")])]);
    harmless(|outside| {
        let through = format!("{up}{}", outside.display());
        vec![tar(&[link("out", &through), directory("out/new"), link("out/other", "x")])]
    });
    // The file itself is a link.
    harmless(|outside| vec![tar(&[link("a", outside.join("secret")), file("a", "x")])]);
    harmless(|outside| vec![tar(&[link("a", outside.join("secret"))]), tar(&[file("a", "x").mode(0o777)])]);
    // Links that only together leave.
    harmless(|outside| {
        let chain =
            [link("one", up), link("two", format!("one{}", outside.display())), file("two/secret", "x")];
        vec![tar(&chain)]
    });
    // A directory's place is taken by the link later on.
    harmless(|outside| {
        vec![tar(&[directory("a"), file("a/b", "x"), link("a", outside), file("a/secret", "x")])]
    });
}

#[test]
fn a_link_leads_to_its_place_below_the_root() {
    let mut forge = Forge::new();
    let outside = forge.outside();
    let there = outside.to_str().unwrap().trim_start_matches('/').to_owned();
    forge.image(&[tar(&[directory(&there), link("out", &outside), file("out/secret", "x")])]);
    let root = forge.view(None).unwrap();
    assert_eq!(read(&root, &format!("{there}/secret")).as_deref(), Some("x"));
    assert_eq!(read(&outside, "secret").as_deref(), Some("untouched"));
}

#[test]
fn nothing_is_removed_through_a_link() {
    for whiteout in ["out/.wh.secret", "out/.wh..wh..opq"] {
        harmless(|outside| vec![tar(&[link("out", outside)]), tar(&[file(whiteout, "")])]);
        harmless(|outside| vec![tar(&[link("out", outside.parent().unwrap())]), tar(&[file(whiteout, "")])]);
    }
    harmless(|outside| vec![tar(&[link("out", outside)]), tar(&[file(".wh.out", "")])]);
    harmless(|outside| vec![tar(&[link("d/out", outside)]), tar(&[file("d/.wh..wh..opq", "")])]);
    harmless(|outside| vec![tar(&[link("d/out", outside)]), tar(&[file("d", "")])]);
}

#[test]
fn whiteouts_of_no_name_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh...", "d/.wh.."] {
        assert!(matches!(fault(&[file(name, "")]), LayerFault::NoName), "{name}");
        let (_, fault) = refused(&[tar(&[file("d/x", "")]), tar(&[file(name, "")])]);
        assert!(matches!(fault, LayerFault::NoName), "{name}");
    }
}

#[test]
fn mount_points_are_made_beneath_the_root_only() {
    for name in ["proc", "dev", "sys", "tmp", "var", "var/task", "opt", "opt/wharf", "etc"] {
        harmless(|outside| vec![tar(&[link(name, outside)])]);
        let up = "../../../../../../../../..";
        harmless(|outside| vec![tar(&[link(name, format!("{up}{}", outside.display()))])]);
    }
    harmless(|outside| vec![tar(&[link("etc/resolv.conf", outside.join("new"))])]);
    harmless(|outside| vec![tar(&[link("etc/resolv.conf", outside.join("secret"))])]);
}

#[test]
fn hard_links_out_of_the_root_are_refused() {
    let mut forge = Forge::new();
    let secret = forge.outside().join("secret");
    forge.image(&[tar(&[hard_link("a", &secret)])]);
    assert!(matches!(forge.refused(None), ImageError::Layer { fault: LayerFault::System(_), .. }));
    for through in
        [forge.outside(), Path::new("../../../..").join(forge.outside().strip_prefix("/").unwrap())]
    {
        let mut forge = Forge::new();
        forge.image(&[tar(&[link("out", through), hard_link("a", "out/secret")])]);
        assert!(matches!(forge.refused(None), ImageError::Layer { fault: LayerFault::System(_), .. }));
    }
    // A name for the link is not one for what it leads to.
    harmless(|outside| vec![tar(&[link("a", outside.join("secret")), hard_link("b", "a"), file("b", "x")])]);
    assert!(matches!(fault(&[hard_link("a", "")]), LayerFault::System(_)));
    assert!(matches!(fault(&[directory("d"), hard_link("a", "d")]), LayerFault::System(_)));
}

#[test]
fn what_is_below_a_file_is_refused() {
    assert!(matches!(fault(&[file("a", ""), file("a/b", "")]), LayerFault::System(_)));
    assert!(matches!(fault(&[link("a", "a"), file("a/b", "")]), LayerFault::System(_)));
    assert!(matches!(fault(&[link("a", "nowhere"), file("a/b", "")]), LayerFault::System(_)));
    assert!(matches!(fault(&[file("", "")]), LayerFault::NoName));
    assert!(matches!(fault(&[link("./", "x")]), LayerFault::NoName));
    assert!(matches!(fault(&[link("a", "")]), LayerFault::System(_)));
}

#[test]
fn paths_beyond_the_bounds_are_refused() {
    let long = "x/".repeat(limits::IMAGE_PATH_BYTES / 2 + 1);
    assert!(matches!(fault(&[long_pax(&long, file("a", ""))]), LayerFault::TooLong));
    let deep = vec!["x"; limits::PATH_DEPTH + 1].join("/");
    assert!(matches!(fault(&[long_pax(&deep, file("a", ""))]), LayerFault::TooDeep));
    assert!(matches!(fault(&[long_pax(&"x".repeat(256), file("a", ""))]), LayerFault::TooDeep));
    assert!(matches!(fault(&[long_pax("a\0b", file("a", ""))]), LayerFault::NoName));
    // Each path is short; the links make them long.
    let half = vec!["x"; limits::PATH_DEPTH / 2 + 1].join("/");
    let ladder = [directory(&half), link("l", &half), long_pax(&format!("l/{half}"), directory("a"))];
    assert!(matches!(fault(&ladder), LayerFault::TooDeep));
}

#[test]
fn extended_headers_beyond_the_bound_are_not_read() {
    for letter in [b'x', b'L', b'K'] {
        let bomb = member("a", letter, "", b"").size(limits::IMAGE_EXTENSION_BYTES + 1);
        assert!(matches!(fault(&[bomb]), LayerFault::Extension));
        let cut = member("a", letter, "", b"x").size(limits::IMAGE_EXTENSION_BYTES);
        assert!(matches!(fault(&[cut]), LayerFault::CutOff));
    }
}

#[test]
fn more_bytes_than_the_bound_are_refused_unread() {
    let most = limits::IMAGE_BYTES;
    for size in [most + 1, 1 << 40, u64::MAX - 1024] {
        assert!(matches!(fault(&[file("a", "").size(size)]), LayerFault::Bytes));
        // What is not kept counts as well: it has to be read.
        assert!(matches!(fault(&[member("a", b'3', "", b"").size(size)]), LayerFault::Bytes));
        assert!(matches!(fault(&[member("a", b'g', "", b"").size(size)]), LayerFault::Bytes));
        assert!(matches!(fault(&[pax(&[("size", &size.to_string())], file("a", ""))]), LayerFault::Bytes));
    }
    let (entry, fault) = refused(&[tar(&[file("a", "x")]), tar(&[file("b", "").size(most)])]);
    assert!(matches!(fault, LayerFault::Bytes), "{entry}");
}

#[test]
fn more_entries_than_the_bound_are_refused() {
    let one = directory("x").bytes();
    let mut many = one.repeat(usize::try_from(limits::IMAGE_ENTRIES).unwrap());
    many.extend([0; 1024]);
    let lowest = gzip(&many);
    drop(many);
    let (entry, fault) = refused(&[lowest, tar(&[file("one-more", "")])]);
    assert!(matches!(fault, LayerFault::Entries));
    assert_eq!(entry, "one-more");
}

#[test]
fn what_readers_would_disagree_about_is_refused() {
    assert!(matches!(fault(&[pax(&[("size", "0")], file("a", "xyz"))]), LayerFault::Sizes));
    assert!(matches!(fault(&[pax(&[("GNU.sparse.major", "1")], file("a", ""))]), LayerFault::Sparse));
    assert!(matches!(fault(&[member("a", b'S', "", b"")]), LayerFault::Sparse));
    for records in
        ["x", "5 a=b", "99 path=x\n", "6 path\n", "-1 a=b\n", "0 path=x\n", "18446744073709551616 a=b\n"]
    {
        let broken = member("a", b'x', "", records.as_bytes());
        assert!(matches!(fault(&[broken, file("a", "")]), LayerFault::Malformed(_)), "{records}");
    }
}

#[test]
fn archives_that_are_none_are_refused() {
    let whole = tar(&[file("a", &"x".repeat(1000)), file("b", "y")]);
    assert!(matches!(refused(&[whole[..700].to_vec()]).1, LayerFault::CutOff));
    assert!(matches!(refused(&[whole[..100].to_vec()]).1, LayerFault::Malformed(_)));
    assert!(matches!(refused(&[vec![b'x'; 2048]]).1, LayerFault::Malformed(_)));
    let packed = gzip(&whole);
    let cut = packed[..packed.len() / 2].to_vec();
    assert!(matches!(refused(&[cut]).1, LayerFault::Malformed(_) | LayerFault::CutOff));
    let mut spoilt = packed;
    spoilt[12..20].fill(0xff);
    assert!(matches!(refused(&[spoilt]).1, LayerFault::Malformed(_)));
}

#[test]
fn blobs_that_are_others_are_refused() {
    let layer = tar(&[file("a", "1")]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut forge = Forge::new();
        let layers = forge.image(&[tar(&[file("b", "1")]), layer.clone()]);
        let path = forge.blob_path(&layers[1]);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
        forge.refused(None)
    };
    // In a content, in a header (which is then none), and behind the archive's end.
    for at in [512, 0, layer.len() - 1] {
        let error = changed(&|bytes| bytes[at] ^= 1);
        assert!(matches!(error, ImageError::Digest { .. }), "{error}");
    }
    let error = changed(&|bytes| bytes.truncate(bytes.len() - 1));
    assert!(matches!(error, ImageError::Size { declared: 2048, actual: 2047, .. }), "{error}");
    assert!(matches!(changed(&|bytes| bytes.push(0)), ImageError::Size { actual: 2049, .. }));
    assert!(matches!(changed(&Vec::clear), ImageError::Size { actual: 0, .. }));
    let mut forge = Forge::new();
    let layers = forge.image(&[layer]);
    forge.remove_blob(&layers[0]);
    assert!(matches!(forge.refused(None), ImageError::Unreadable { .. }));
}
