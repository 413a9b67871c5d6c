//! How a network namespace is written on the command line: `NAME`, `/path` or `pid:123`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// For every `--netns`.
pub(super) const VALUE: &str = "NAME|/PATH|pid:PID";

/// A network namespace, as the API takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Netns {
    /// As `ip netns` names it.
    Name(String),
    /// A file that is a namespace.
    Path(String),
    /// The namespace of a process.
    Pid(u32),
}

impl FromStr for Netns {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(pid) = text.strip_prefix("pid:") {
            return match pid.parse() {
                Ok(pid) if pid > 0 => Ok(Self::Pid(pid)),
                _ => Err("pid: must be followed by a process id, such as pid:123"),
            };
        }
        match text {
            "" => Err("is empty; write a name, an absolute path or pid:123"),
            "." | ".." => Err("is not a namespace's name"),
            path if path.starts_with('/') => Ok(Self::Path(path.to_owned())),
            relative if relative.contains('/') => Err("is a relative path; write an absolute one"),
            name => Ok(Self::Name(name.to_owned())),
        }
    }
}

impl std::fmt::Display for Netns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(text) | Self::Path(text) => f.write_str(text),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
        }
    }
}
