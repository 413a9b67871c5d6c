//! The shape of the code: files that can be read in one go, roots that only point, names that say something.

use cargo_metadata::camino::Utf8Path;

use super::finding::Finding;
use super::tree::Tree;

/// Every Rust file consists of Rust tokens; the other rules would pass over one that does not.
pub(super) fn sources_can_be_read(tree: &Tree) -> Vec<Finding> {
    let broken = tree.rust.iter().filter_map(|file| Some((file, file.broken_at?)));
    broken
        .map(|(file, line)| Finding::new(file.path.clone(), line, "this is not Rust", "close what is open"))
        .collect()
}

/// At most [`CODE_LINES`] lines of code in a file, tests included.
pub(super) fn files_are_short(tree: &Tree) -> Vec<Finding> {
    let long = tree.rust.iter().filter(|file| file.code_lines > CODE_LINES);
    long.map(|file| {
        let what = format!("{} lines of code, more than {CODE_LINES}", file.code_lines);
        Finding::new(file.path.clone(), 1, what, "give one of its parts, or the tests, a file of its own")
    })
    .collect()
}

/// `lib.rs` and `mod.rs` hold docs, `mod` lines and re-exports, so that they read as a table of contents.
pub(super) fn crate_and_module_roots_hold_no_code(tree: &Tree) -> Vec<Finding> {
    let is_root = |path: &Utf8Path| matches!(path.file_name(), Some("lib.rs" | "mod.rs"));
    let roots =
        tree.rust.iter().filter(|file| is_root(&file.path) && !ROOTS_WITH_CODE.contains(&file.path.as_str()));
    roots
        .filter_map(|file| {
            let item = file.names.iter().find(|name| ITEMS.contains(&name.path.as_str()))?;
            let what = format!("`{}` in {}", item.path, file.path.file_name()?);
            Some(Finding::new(
                file.path.clone(),
                item.line,
                what,
                "move it to a module named after what it is",
            ))
        })
        .collect()
}

/// No crate or module is named after the fact that it holds several things.
pub(super) fn names_say_what_is_inside(tree: &Tree) -> Vec<Finding> {
    const FIX: &str = "name it after what it holds, or move each thing to where it is used";
    let mut findings = Vec::new();
    for member in tree.members.iter().filter(|member| DRAWERS.contains(&member.name.as_str())) {
        let what = format!("a crate named `{}`", member.name);
        findings.push(Finding::new(tree.manifest(member), 1, what, FIX));
    }
    for file in &tree.rust {
        let parts = file.path.components().map(|part| part.as_str().trim_end_matches(".rs"));
        let named = parts.filter(|part| DRAWERS.contains(part)).map(|part| (part, 1));
        let declared = file.names.windows(2).filter(|pair| pair[0].path == "mod");
        let declared =
            declared.map(|pair| (pair[1].path.as_str(), pair[1].line)).filter(|(n, _)| DRAWERS.contains(n));
        findings.extend(named.chain(declared).map(|(name, line)| {
            Finding::new(file.path.clone(), line, format!("a module named `{name}`"), FIX)
        }));
    }
    findings
}

/// Lines of code; half of it is the aim.
const CODE_LINES: usize = 600;

/// Roots of crates that nothing depends on, where the one file is the crate.
const ROOTS_WITH_CODE: &[&str] = &["tests/src/lib.rs", "benches/lib.rs"];

/// Keywords of items that are code.
const ITEMS: &[&str] = &["fn", "struct", "enum", "trait", "impl"];

/// Names for a drawer of odd things.
const DRAWERS: &[&str] = &["common", "util", "utils", "helper", "helpers"];
