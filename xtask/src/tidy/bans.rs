//! Clippy's bans in the cores: the files that hold them, and that clippy is run.

use cargo_metadata::camino::Utf8Path;
use toml::{Table, Value};

use super::edges::core_members;
use super::finding::Finding;
use super::tree::Tree;

/// Every core has a `clippy.toml` with at least [`METHODS`] and [`TYPES`].
pub(super) fn cores_keep_their_clippy_bans(tree: &Tree) -> Vec<Finding> {
    core_members(tree)
        .flat_map(|member| missing_bans(tree, &tree.manifest(member).with_file_name("clippy.toml")))
        .collect()
}

/// `.ci/run` lints everything and takes warnings for errors, and nothing makes clippy look for its bans elsewhere.
pub(super) fn continuous_integration_runs_clippy(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let run = Utf8Path::new(".ci/run");
    let lints = tree.texts.get(run).is_some_and(|text| text.lines().any(|line| line.contains(CLIPPY)));
    if !lints {
        let what = "clippy is not run over the whole workspace";
        findings.push(Finding::new(
            run,
            1,
            what,
            "run `cargo clippy --workspace --all-targets -- -D warnings`",
        ));
    }
    for path in [run, Utf8Path::new(".cargo/config.toml")] {
        if tree.texts.get(path).is_some_and(|text| text.contains(ELSEWHERE)) {
            let what = format!("{ELSEWHERE} makes clippy pass over the cores' bans");
            findings.push(Finding::new(path, tree.line_of(path, ELSEWHERE), what, "take it out"));
        }
    }
    findings
}

fn missing_bans(tree: &Tree, path: &Utf8Path) -> Vec<Finding> {
    let text = tree.texts.get(path).map_or("", String::as_str);
    let Ok(table) = text.parse::<Table>() else {
        return vec![Finding::new(path, 1, "this is not TOML", "mend it; clippy cannot read it either")];
    };
    let mut findings = Vec::new();
    for (key, required) in [("disallowed-methods", METHODS), ("disallowed-types", TYPES)] {
        let banned = banned_paths(&table, key);
        let missing = required.iter().filter(|path| !banned.contains(path));
        findings.extend(missing.map(|missing| {
            let what = format!("{key} does not ban {missing}");
            Finding::new(path, tree.line_of(path, key), what, "put the ban back; the core stays pure")
        }));
    }
    findings
}

/// The paths in an array of either strings or tables with a `path`.
fn banned_paths<'a>(table: &'a Table, key: &str) -> Vec<&'a str> {
    let entries = table.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    entries.iter().filter_map(|entry| entry.as_str().or_else(|| entry.get("path")?.as_str())).collect()
}

const CLIPPY: &str = "cargo clippy --workspace --all-targets -- -D warnings";

/// The variable by which clippy would read one `clippy.toml` for all crates.
const ELSEWHERE: &str = "CLIPPY_CONF_DIR";

const METHODS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::hash::RandomState::new",
];

const TYPES: &[&str] = &[
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::os::unix::net::UnixStream",
    "std::os::unix::net::UnixListener",
    "std::fs::File",
    "std::thread::JoinHandle",
    "std::hash::RandomState",
];
