//! Words that have no place in the repository. They are put together here, so that this file passes its own rules.

use cargo_metadata::camino::Utf8Path;

use super::finding::Finding;
use super::tree::Tree;

/// No notes to oneself, and no code that stands for code to come.
pub(super) fn nothing_is_left_to_do(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts.iter().filter(|(path, _)| is_source(path)) {
        for (index, line) in text.lines().enumerate() {
            findings.extend(NOTES.iter().filter(|note| has_word(line, note)).map(|note| {
                let fix = "do it, or open an issue and take the note out";
                Finding::new(path.clone(), index + 1, format!("`{note}`"), fix)
            }));
        }
    }
    for file in &tree.rust {
        findings.extend(file.names.iter().filter(|name| UNFINISHED.contains(&name.path.as_str())).map(
            |name| {
                let what = format!("`{}`", name.path);
                Finding::new(file.path.clone(), name.line, what, "finish it, or leave it out until it can be")
            },
        ));
    }
    findings
}

/// No path and no package registry that only one machine has.
pub(super) fn nothing_belongs_to_one_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The lock file names the public index as cargo writes it.
    for (path, text) in tree.texts.iter().filter(|(path, _)| path.file_name() != Some("Cargo.lock")) {
        for (index, line) in text.lines().enumerate() {
            findings.extend(PATHS.iter().filter(|start| has_path(line, start)).map(|start| {
                let what = format!("a path of one machine, `{start}…`");
                Finding::new(
                    path.clone(),
                    index + 1,
                    what,
                    "use a relative path, or one that the caller gives",
                )
            }));
            findings.extend(REGISTRIES.iter().filter(|registry| line.contains(*registry)).map(|registry| {
                let what = format!("a package registry, `{registry}`");
                Finding::new(path.clone(), index + 1, what, "leave it to the machine's own configuration")
            }));
        }
    }
    findings
}

fn is_source(path: &Utf8Path) -> bool {
    matches!(path.extension(), Some("rs" | "toml" | "sh" | "py")) || path.starts_with(".ci")
}

/// Whether `word` is in `line` with no letter, digit or `_` beside it.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(joins) && !line[at + word.len()..].starts_with(joins))
}

/// Whether a path in `line` begins with `start`; `start` within a longer path or a URL does not count.
fn has_path(line: &str, start: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || "/._-~}*>".contains(c);
    line.match_indices(start).any(|(at, _)| !line[..at].ends_with(continues))
}

const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

const PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

const REGISTRIES: &[&str] = &[
    concat!("spar", "se+"),
    concat!("replace", "-with"),
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("registry.np", "mjs.org"),
    concat!("py", "pi.org"),
    concat!("proxy.go", "lang.org"),
    concat!("deb.deb", "ian.org"),
    concat!("CARGO_REGI", "STRIES_"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_alone() {
        for (line, expected) in
            [("// NOTE: a", true), ("NOTE", true), ("NOTES", false), ("A_NOTE", false), ("", false)]
        {
            assert_eq!(has_word(line, "NOTE"), expected, "{line}");
        }
    }

    #[test]
    fn a_path_begins_where_nothing_precedes_it() {
        for (line, expected) in [
            ("cd /srv/x", true),
            ("\"/srv/x\"", true),
            ("A=/srv/x", true),
            ("https://example.net/srv/x", false),
            ("../srv/x", false),
            ("$root/srv/x", false),
        ] {
            assert_eq!(has_path(line, "/srv/"), expected, "{line}");
        }
    }
}
