//! The workspace as the rules see it: its members' manifests and the text of its files, read once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{MetadataCommand, Package};
use ignore::WalkBuilder;

use super::rust::RustFile;
use crate::cargo::{self, RunError};

/// A workspace.
pub(super) struct Tree {
    /// Where it is.
    pub root: Utf8PathBuf,
    /// Its members.
    pub members: Vec<Package>,
    /// Every text file that git would track, by its path relative to the root.
    pub texts: BTreeMap<Utf8PathBuf, String>,
    /// Of the texts, those that are Rust.
    pub rust: Vec<RustFile>,
}

impl Tree {
    /// Reads the workspace at `root`; `None` for the one that we run in.
    pub(super) fn read(root: Option<&Path>) -> Result<Self, RunError> {
        let metadata = match root {
            None => cargo::metadata()?,
            Some(root) => MetadataCommand::new().no_deps().manifest_path(root.join("Cargo.toml")).exec()?,
        };
        let members = metadata.workspace_packages().into_iter().cloned().collect();
        let root = metadata.workspace_root;
        let texts = read_texts(&root)?;
        let rust = texts.iter().filter(|(path, _)| path.extension() == Some("rs"));
        let rust = rust.map(|(path, text)| RustFile::read(path, text)).collect();
        Ok(Self { root, members, texts, rust })
    }

    /// Where a member's manifest is, relative to the root.
    pub(super) fn manifest<'a>(&self, member: &'a Package) -> &'a Utf8Path {
        member.manifest_path.strip_prefix(&self.root).unwrap_or(&member.manifest_path)
    }

    /// Rust files below a member's folder.
    pub(super) fn rust_of<'a>(&'a self, member: &'a Package) -> impl Iterator<Item = &'a RustFile> {
        let folder = self.manifest(member).parent().unwrap_or(Utf8Path::new(""));
        self.rust.iter().filter(move |file| file.path.starts_with(folder))
    }

    /// The first line of a text that contains `part`, from 1; 1 if there is none.
    pub(super) fn line_of(&self, path: &Utf8Path, part: &str) -> usize {
        let text = self.texts.get(path).map_or("", String::as_str);
        text.lines().position(|line| line.contains(part)).map_or(1, |index| index + 1)
    }
}

/// Files that git would track, whether or not there is a repository; what is not UTF-8 is no text.
fn read_texts(root: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, String>, ignore::Error> {
    let mut walk = WalkBuilder::new(root);
    walk.hidden(false).require_git(false).git_global(false).filter_entry(|entry| entry.file_name() != ".git");
    let mut texts = BTreeMap::new();
    for entry in walk.build() {
        let entry = entry?;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let Some(path) = Utf8Path::from_path(entry.path()) else { continue };
        // A file that vanishes between the listing and here is not ours to complain about.
        let Ok(text) = fs::read_to_string(path) else { continue };
        texts.insert(path.strip_prefix(root).unwrap_or(path).to_owned(), text);
    }
    Ok(texts)
}
