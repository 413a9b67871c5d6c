//! What unpacking an archive would make, checked before anything is made.

use std::collections::BTreeMap;
use std::ops::Range;

use super::archive::{Archive, Entry, within};
use super::error::{Bound, CodeError, LinkFault, NameFault};
use crate::limits;

/// Every path of an archive, without those above it that are no directories.
pub(super) struct Tree<'a> {
    nodes: BTreeMap<String, Node<'a>>,
    bytes: u64,
}

/// What is at a path.
pub(super) enum Node<'a> {
    /// Named by an entry of its own, or only by paths below it.
    Directory(Named),
    /// A file.
    File { entry: Entry<'a>, mode: u32 },
    /// A symbolic link and where it leads.
    Link { target: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    ByItself,
    ByOthers,
}

impl<'a> Tree<'a> {
    /// Checks everything but the contents of files.
    pub(super) fn of(archive: &Archive<'a>) -> Result<Self, CodeError> {
        let mut tree = Self { nodes: BTreeMap::new(), bytes: 0 };
        let mut spans = Vec::new();
        for entry in archive.entries() {
            let entry = entry?;
            entry.check()?;
            spans.push((archive.span(&entry)?, entry));
            tree.add(archive, entry)?;
        }
        if tree.nodes.is_empty() {
            return Err(CodeError::Empty);
        }
        are_apart(spans)?;
        tree.check_links()?;
        Ok(tree)
    }

    /// In an order in which a directory is before what is in it.
    pub(super) fn nodes(&self) -> impl DoubleEndedIterator<Item = (&str, &Node<'a>)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Bytes of all files.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files, directories and links there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn add(&mut self, archive: &Archive<'a>, entry: Entry<'a>) -> Result<(), CodeError> {
        let named = |fault| CodeError::Name { entry: entry.shown(), fault };
        let name = str::from_utf8(entry.name).map_err(|_| named(NameFault::NotUtf8))?;
        let path = path(name).map_err(named)?;
        let is_directory = name.ends_with('/');
        let mode = entry.mode.unwrap_or(0);
        let node = match mode & KIND {
            DIRECTORY => Node::Directory(Named::ByItself),
            0 | FILE if is_directory => Node::Directory(Named::ByItself),
            0 | FILE => Node::File { entry, mode: if mode & EXECUTABLE == 0 { 0o444 } else { 0o555 } },
            LINK if !is_directory => Node::Link { target: target(archive, &entry)? },
            _ => return Err(CodeError::Special { entry: entry.shown(), mode }),
        };
        let Some(path) = path else {
            // The root itself, which some archivers name.
            let is_root = matches!(node, Node::Directory(_));
            return if is_root { Ok(()) } else { Err(named(NameFault::Empty)) };
        };
        if !matches!(node, Node::Directory(_)) {
            self.bytes = self.bytes.saturating_add(entry.size);
            within(Bound::Unpacked, self.bytes, limits::UNPACKED_BYTES)?;
        }
        self.add_parents(&path)?;
        self.insert(path, node)
    }

    /// Directories above it that are not there yet.
    fn add_parents(&mut self, path: &str) -> Result<(), CodeError> {
        let mut missing = Vec::new();
        let mut below = path;
        while let Some((parent, _)) = below.rsplit_once('/') {
            match self.nodes.get(parent) {
                None => missing.push(parent),
                Some(Node::Directory(_)) => break,
                Some(_) => return Err(CodeError::Duplicate { entry: shown(path) }),
            }
            below = parent;
        }
        missing.into_iter().try_for_each(|p| self.insert(p.to_owned(), Node::Directory(Named::ByOthers)))
    }

    fn insert(&mut self, path: String, node: Node<'a>) -> Result<(), CodeError> {
        if let Some(there) = self.nodes.get_mut(&path) {
            let both = (&*there, &node);
            if let (Node::Directory(Named::ByOthers), Node::Directory(Named::ByItself)) = both {
                *there = node;
                return Ok(());
            }
            return Err(CodeError::Duplicate { entry: shown(&path) });
        }
        within(Bound::Entries, self.nodes.len() as u64 + 1, limits::CODE_ENTRIES)?;
        self.nodes.insert(path, node);
        Ok(())
    }

    fn check_links(&self) -> Result<(), CodeError> {
        let mut steps = limits::LINK_STEPS;
        for (path, node) in &self.nodes {
            if let Node::Link { target } = node {
                self.follow(path, target, &mut steps).map_err(|fault| CodeError::Link {
                    entry: shown(path),
                    target: shown(target),
                    fault,
                })?;
            }
        }
        Ok(())
    }

    /// Goes where the kernel would go, and stops where it would leave. What does not exist may be led to.
    fn follow(&self, link: &str, target: &str, steps: &mut u64) -> Result<(), LinkFault> {
        let mut at = link.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        let mut ahead: Vec<&str> = parts_reversed(target)?.collect();
        let mut links = 1;
        while let Some(part) = ahead.pop() {
            *steps = steps.checked_sub(1).ok_or(LinkFault::Loops)?;
            match part {
                "" | "." => continue,
                ".." if at.is_empty() => return Err(LinkFault::Leaves),
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent = at.len();
            at.extend([if at.is_empty() { "" } else { "/" }, part]);
            if at.len() > limits::PATH_BYTES {
                return Err(LinkFault::TooLong);
            }
            if let Some(Node::Link { target }) = self.nodes.get(&at) {
                links += 1;
                if links > limits::LINK_CHAIN {
                    return Err(LinkFault::Loops);
                }
                at.truncate(parent);
                ahead.extend(parts_reversed(target)?);
            }
        }
        Ok(())
    }
}

/// A path as it will be: no slash at its end, no `.`. `None` is the root.
pub(super) fn path(name: &str) -> Result<Option<String>, NameFault> {
    let name = name.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(name);
    match name {
        "" => return Err(NameFault::Empty),
        _ if name.starts_with('/') => return Err(NameFault::Absolute),
        _ if name.contains('\0') => return Err(NameFault::Nul),
        _ if name.contains('\\') => return Err(NameFault::Backslash),
        _ if name.len() > limits::PATH_BYTES => return Err(NameFault::TooLong),
        _ => {}
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" => return Err(NameFault::Empty),
            ".." => return Err(NameFault::Parent),
            "." => {}
            _ if part.len() > limits::NAME_BYTES => return Err(NameFault::TooLong),
            _ if parts.len() == limits::PATH_DEPTH => return Err(NameFault::TooDeep),
            _ => parts.push(part),
        }
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// Where a link leads: its bytes.
fn target(archive: &Archive<'_>, entry: &Entry<'_>) -> Result<String, CodeError> {
    let refused = |target: &[u8], fault| {
        let target = shown(&String::from_utf8_lossy(target));
        CodeError::Link { entry: entry.shown(), target, fault }
    };
    if entry.size > limits::LINK_BYTES as u64 {
        return Err(refused(&[], LinkFault::TooLong));
    }
    let mut target = Vec::new();
    archive.copy(entry, &mut target)?;
    match String::from_utf8(target) {
        Ok(target) if !target.is_empty() && !target.contains('\0') => Ok(target),
        Ok(target) => Err(refused(target.as_bytes(), LinkFault::Unusable)),
        Err(e) => Err(refused(e.as_bytes(), LinkFault::Unusable)),
    }
}

/// The parts of a link's target, the last one first.
fn parts_reversed(target: &str) -> Result<impl Iterator<Item = &str>, LinkFault> {
    if target.starts_with('/') { Err(LinkFault::Absolute) } else { Ok(target.rsplit('/')) }
}

/// No byte belongs to two entries: what is small could be many times what it is.
fn are_apart(mut spans: Vec<(Range<usize>, Entry<'_>)>) -> Result<(), CodeError> {
    spans.sort_by_key(|(span, _)| span.start);
    match spans.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
        Some(pair) => Err(CodeError::Overlap { entry: pair[1].1.shown() }),
        None => Ok(()),
    }
}

/// A path or target for people, at most so long that it can be read.
fn shown(text: &str) -> String {
    text.chars().take(256).collect()
}

/// Types in a mode (`stat.h`).
const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Somebody may execute it.
const EXECUTABLE: u32 = 0o111;
