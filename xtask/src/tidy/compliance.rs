//! The table of requirements: every row is there, says how it stands, and names tests that exist.

use std::collections::BTreeSet;

use cargo_metadata::camino::Utf8Path;

use super::finding::Finding;
use super::tree::Tree;

const PAGE: &str = "docs/rfc-compliance.md";

/// How a requirement can stand. What is met is shown by a test.
const MET: &str = "met";
const STATUSES: [&str; 4] = [MET, "met by configuration", "not met", "not met yet"];

/// Requirements that the page has to speak of: the RFC's number, then those of its requirements.
const REQUIREMENTS: &[(&str, &[&str])] = &[
    (
        "4787",
        &[
            "1", "2", "3", "3a", "4", "5", "5b", "5c", "6", "6a", "7", "8", "9", "9a", "10", "11", "12",
            "12a", "13", "13a", "14", "14a",
        ],
    ),
    ("5382", &["1", "2", "2a", "3", "3b", "4", "4a", "5", "6", "7", "8", "9", "10"]),
    ("5508", &["1", "1a", "2", "2a", "3", "3a", "3b", "3c", "3d", "4", "5", "6", "7", "8", "10"]),
    ("7857", &["2", "2.1", "2.2", "3", "4", "5", "6", "7", "7.1", "8", "9", "10"]),
    (
        "6888",
        &[
            "1", "2", "3", "3 size", "4", "5", "6", "7", "8", "9", "9 PCP", "10", "11", "11b", "11c", "12",
            "13", "13 short", "14", "15",
        ],
    ),
    ("768", &["checksum"]),
    ("1191", &["4"]),
    ("1624", &["3"]),
    ("1812", &["4.3", "5.3.1"]),
    ("3022", &["6.3"]),
    ("4443", &["2.4"]),
    ("4861", &["6.2", "7.2"]),
    ("4884", &["5"]),
    ("5722", &["4"]),
    ("6056", &["3"]),
    ("6691", &["2"]),
    ("6864", &["5.3.1"]),
    ("8200", &["4", "4.5", "8.1"]),
    ("8201", &["4"]),
];

/// Rows begin `| RFC NUMBER REQUIREMENT |`, then level, meaning, status and, in backticks, the names of tests.
pub(super) fn requirements_name_their_tests(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.texts.get(Utf8Path::new(PAGE)) else { return Vec::new() };
    let tests = test_names(tree);
    let mut findings = Vec::new();
    let mut missing: BTreeSet<String> = REQUIREMENTS
        .iter()
        .flat_map(|(rfc, rows)| rows.iter().map(move |row| format!("RFC {rfc} {row}")))
        .collect();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("| RFC ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let mut find = |what: String, fix| findings.push(Finding::new(PAGE, index + 1, what, fix));
        let [row, _, _, status, shown] = cells[..] else {
            find("a row has five cells".into(), "requirement, level, meaning, status, tests");
            continue;
        };
        if !missing.remove(row) {
            find(format!("`{row}` is no requirement, or stands twice"), "see xtask/src/tidy/compliance.rs");
        }
        if !STATUSES.iter().any(|known| status == *known || status.starts_with(&format!("{known}: "))) {
            find(
                format!("`{status}` is no status"),
                "met, met by configuration, not met (yet), and why after a colon",
            );
        }
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        if status == MET && named.is_empty() {
            find(format!("`{row}` is met, and nothing shows it"), "name a test");
        }
        for name in named.into_iter().filter(|name| !tests.contains(*name)) {
            find(format!("no test is called `{name}`"), "name one that there is");
        }
    }
    findings.extend(
        missing.iter().map(|row| Finding::new(PAGE, 1, format!("`{row}` is missing"), "add its row")),
    );
    findings
}

/// Names of functions behind `#[test]`.
fn test_names(tree: &Tree) -> BTreeSet<&str> {
    let sources = tree.texts.iter().filter(|(path, _)| path.extension() == Some("rs"));
    let mut names = BTreeSet::new();
    for (_, text) in sources {
        for after in text.split("#[test]").skip(1) {
            let name = after.trim_start().strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            names.extend(name);
        }
    }
    names
}
