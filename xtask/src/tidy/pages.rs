//! Pages that people read: links that lead somewhere, decisions that can be found.

use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};

use super::finding::Finding;
use super::tree::Tree;

/// The index of the decisions links to every decision.
pub(super) fn decisions_are_listed(tree: &Tree) -> Vec<Finding> {
    let folder = Utf8Path::new("docs/decisions");
    let index = folder.join("README.md");
    let listed: Vec<String> =
        tree.texts.get(&index).map_or(Vec::new(), |text| links(text).map(|(_, to)| to).collect());
    let pages = tree.texts.keys().filter(|path| path.parent() == Some(folder) && **path != index);
    pages
        .filter(|path| path.extension() == Some("md"))
        .filter(|path| !listed.iter().any(|to| Some(to.as_str()) == path.file_name()))
        .map(|path| {
            Finding::new(path.clone(), 1, format!("{index} does not list it"), "add a row to the index")
        })
        .collect()
}

/// Relative links of all Markdown pages lead to files or folders of the workspace.
pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts.iter().filter(|(path, _)| path.extension() == Some("md")) {
        let from = path.parent().unwrap_or(Utf8Path::new(""));
        for (line, to) in links(text).filter(|(_, to)| is_relative(to)) {
            let target: Utf8PathBuf =
                [from, Utf8Path::new(to.split('#').next().unwrap_or(""))].iter().collect();
            if !tree.root.join(&target).exists() {
                let what = format!("a link to `{to}`, which is not there");
                findings.push(Finding::new(path.clone(), line, what, "correct the link"));
            }
        }
    }
    findings
}

fn is_relative(to: &str) -> bool {
    !to.starts_with('#') && !to.contains("://") && !to.starts_with("mailto:")
}

/// Targets of inline links, `[text](target)`, with their lines from 1. Code is no link.
fn links(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    text.lines().enumerate().flat_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        let line = if fence || in_code { String::new() } else { without_code(line) };
        line.split("](").skip(1).map(|rest| (index + 1, target(rest))).collect::<Vec<_>>()
    })
}

/// What stands before the closing bracket, without a title.
fn target(rest: &str) -> String {
    let inside = rest.split(')').next().unwrap_or("");
    inside.split_whitespace().next().unwrap_or("").to_owned()
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_with_their_lines_and_code_is_passed_over() {
        let text = "[a](b.md) and [c](d/e.md#f)\n`[x](no)`\n```\n[y](no)\n```\n[g](h.md \"title\")\n";
        let found: Vec<_> = links(text).collect();
        let expected = [(1, "b.md"), (1, "d/e.md#f"), (6, "h.md")].map(|(line, to)| (line, to.to_owned()));
        assert_eq!(found, expected);
    }
}
