//! Something to fix.

use std::fmt;

use cargo_metadata::camino::Utf8PathBuf;

/// A place that breaks a rule. Ordered by place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// Relative to the workspace's root.
    pub path: Utf8PathBuf,
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: &'static str,
}

impl Finding {
    /// A finding in `path`, at `line` counted from 1.
    pub(super) fn new(
        path: impl Into<Utf8PathBuf>,
        line: usize,
        what: impl Into<String>,
        fix: &'static str,
    ) -> Self {
        Self { path: path.into(), line, what: what.into(), fix }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, fix } = self;
        write!(f, "tidy: {path}:{line}: {what}: {fix}")
    }
}
