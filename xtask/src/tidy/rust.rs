//! A Rust file as a sequence of paths: what it names, and on which line.
//!
//! Rules look for names, so they must not be misled by comments and literals, and must not miss a name because it was
//! imported in a group. The compiler's own token rules (proc-macro2) take care of the former, [`Names`] of the latter:
//! `use std::{fs, time::Duration}` names `std::fs` and `std::time::Duration`.

use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// What a Rust file names.
pub(super) struct RustFile {
    /// Relative to the workspace's root.
    pub path: Utf8PathBuf,
    /// Every path, keyword and macro call in it, in order.
    pub names: Vec<Name>,
    /// Lines that hold more than comments and spaces.
    pub code_lines: usize,
    /// The line at which it stops being Rust tokens, from 1.
    pub broken_at: Option<usize>,
}

/// One path, such as `std::time::Instant`, `unsafe` or `println!`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Segments joined by `::`; a macro call ends in `!`.
    pub path: String,
    /// From 1.
    pub line: usize,
}

impl RustFile {
    /// Takes a file apart.
    pub(super) fn read(path: &Utf8Path, text: &str) -> Self {
        let mut names = Names::default();
        let mut broken_at = None;
        match text.parse::<TokenStream>() {
            Ok(tokens) => names.read(tokens, ""),
            Err(error) => broken_at = Some(error.span().start().line),
        }
        let code_lines =
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count();
        Self { path: path.to_owned(), names: names.found, code_lines, broken_at }
    }
}

impl Name {
    /// Whether `pattern` is a run of whole segments of this path: `std::fs` is in `std::fs::File`, not in `std::fs_x`.
    ///
    /// A pattern that ends in `::` is in a path that begins with it.
    pub(super) fn has(&self, pattern: &str) -> bool {
        if pattern.ends_with("::") {
            return self.path.starts_with(pattern);
        }
        format!("::{}::", self.path).contains(&format!("::{pattern}::"))
    }
}

/// Collects names; `path` is the one being read.
#[derive(Default)]
struct Names {
    found: Vec<Name>,
    path: String,
    line: usize,
    colons: u8,
}

impl Names {
    /// Reads tokens whose paths continue `prefix`, which is empty or ends in `::`.
    fn read(&mut self, tokens: TokenStream, prefix: &str) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) => {
                    if self.colons != 2 || self.path.is_empty() {
                        self.end();
                        self.path.push_str(prefix);
                        self.line = ident.span().start().line;
                    } else {
                        self.path.push_str("::");
                    }
                    self.path.push_str(ident.to_string().trim_start_matches("r#"));
                    self.colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => self.colons += 1,
                TokenTree::Punct(punct) if punct.as_char() == '!' && punct.spacing() == Spacing::Alone => {
                    if matches!(tokens.peek(), Some(TokenTree::Group(_) | TokenTree::Ident(_)))
                        && !self.path.is_empty()
                    {
                        self.path.push('!');
                    }
                    self.end();
                }
                TokenTree::Group(group) => self.read_group(&group),
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.end(),
            }
        }
        self.end();
    }

    /// `a::{b, c}` continues the path before it; any other group begins anew.
    fn read_group(&mut self, group: &Group) {
        let continues = group.delimiter() == Delimiter::Brace && self.colons == 2 && !self.path.is_empty();
        let prefix = if continues { format!("{}::", self.path) } else { String::new() };
        if continues {
            self.path.clear();
        }
        self.end();
        self.read(group.stream(), &prefix);
    }

    fn end(&mut self) {
        self.colons = 0;
        if !self.path.is_empty() {
            self.found.push(Name { path: std::mem::take(&mut self.path), line: self.line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, usize)> {
        let file = RustFile::read(Utf8Path::new("a.rs"), text);
        file.names.into_iter().map(|name| (name.path, name.line)).collect()
    }

    #[test]
    fn imports_in_groups_are_whole_paths() {
        let found = names("use std::{fs, time::{Duration,\n SystemTime as T}, net::Ipv4Addr};");
        for (path, line) in [
            ("std::fs", 1),
            ("std::time::Duration", 1),
            ("std::time::SystemTime", 2),
            ("std::net::Ipv4Addr", 2),
        ] {
            assert!(found.contains(&(path.to_owned(), line)), "{path} in {found:?}");
        }
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        let text = "// a\n/* unsafe */ /// fs\nfn f<'unsafe_>() { let _ = (\"todo!()\", r#\"std::fs\"#, 'x', b\"y\"); }";
        let found = names(text);
        assert!(
            !found.iter().any(|(path, _)| path == "unsafe" || path == "todo!" || path == "std::fs"),
            "{found:?}"
        );
    }

    #[test]
    fn macro_calls_are_told_from_negation_and_inequality() {
        let found = names("fn f() { println!(\"\"); a != b; c && !d; macro_rules! e {} }");
        let called: Vec<_> =
            found.iter().filter(|(path, _)| path.ends_with('!')).map(|(p, _)| p.as_str()).collect();
        assert_eq!(called, ["println!", "macro_rules!"]);
    }

    #[test]
    fn patterns_match_whole_segments() {
        let name = Name { path: "std::fs::File".to_owned(), line: 1 };
        for (pattern, expected) in
            [("std::fs", true), ("fs::File", true), ("std::f", false), ("std::", true), ("fs::", false)]
        {
            assert_eq!(name.has(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_file_that_is_not_rust_says_where() {
        assert!(RustFile::read(Utf8Path::new("a.rs"), "fn a() {}\nfn b( {}").broken_at.is_some());
    }
}
