//! Why code is refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why an archive is refused, or cannot be made. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The disk failed, or is full.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What is to be packed cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It is no zip archive.
    #[error("this is no zip archive")]
    NotZip,
    /// It begins as a zip archive, but its end is not there.
    #[error("the archive is cut off")]
    Truncated,
    /// There is something else where a part of the archive should be.
    #[error("the archive is malformed at byte {offset}")]
    Malformed {
        /// Where.
        offset: u64,
    },
    /// It has no entries.
    #[error("the archive is empty")]
    Empty,
    /// It exceeds a bound of [`crate::limits`].
    #[error("{bound} is {is}, more than {most}")]
    TooLarge {
        /// Which one.
        bound: Bound,
        /// What it is, or would become.
        is: u64,
        /// What it may be.
        most: u64,
    },
    /// An entry is encrypted.
    #[error("entry {entry:?} is encrypted")]
    Encrypted {
        /// Its name.
        entry: String,
    },
    /// An entry is compressed by another method than deflate.
    #[error("entry {entry:?} is compressed by method {method}; only deflate and none are known")]
    Method {
        /// Its name.
        entry: String,
        /// The method's number (APPNOTE 4.4.5).
        method: u16,
    },
    /// An entry has a name that cannot be had.
    #[error("the name {entry:?} {fault}")]
    Name {
        /// The name.
        entry: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// Two entries are the same path, or one is a part of the other's path and no directory.
    #[error("entry {entry:?} is there twice, or is below something that is no directory")]
    Duplicate {
        /// The later one's path.
        entry: String,
    },
    /// An entry is neither a file, nor a directory, nor a symbolic link.
    #[error("entry {entry:?} is a device, pipe or socket (mode {mode:o})")]
    Special {
        /// Its name.
        entry: String,
        /// Its mode.
        mode: u32,
    },
    /// A symbolic link leads to where it must not.
    #[error("the link {entry:?} to {target:?} {fault}")]
    Link {
        /// Its path.
        entry: String,
        /// What it leads to.
        target: String,
        /// What is wrong with it.
        fault: LinkFault,
    },
    /// The bytes of an entry are also those of another one, or of the archive's directory.
    #[error("entry {entry:?} overlaps another one")]
    Overlap {
        /// Its path.
        entry: String,
    },
    /// What an entry is compressed to makes no sense.
    #[error("entry {entry:?} cannot be decompressed")]
    Corrupt {
        /// Its path.
        entry: String,
    },
    /// An entry has more or fewer bytes than it declares. What is more has not been looked at.
    #[error("entry {entry:?} does not have the {declared} bytes that it declares")]
    Size {
        /// Its path.
        entry: String,
        /// What it declares.
        declared: u64,
    },
    /// An entry's checksum is not that of its bytes.
    #[error("entry {entry:?} declares the checksum {declared:08x} and has {actual:08x}")]
    Checksum {
        /// Its path.
        entry: String,
        /// What it declares.
        declared: u32,
        /// What its bytes have.
        actual: u32,
    },
}

impl CodeError {
    /// Its stable name, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::System { .. } | Self::Unreadable { .. } => "internal",
            Self::TooLarge { .. } => "code_too_large",
            _ => "invalid_code",
        }
    }

    /// Makes an error of the kernel's answer to `step`.
    pub(super) fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { step, source: source.into() }
    }
}

/// What an archive may have only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The archive itself, in bytes.
    Archive,
    /// All that is in it, in bytes.
    Unpacked,
    /// Files, directories and links.
    Entries,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "the archive's size in bytes",
            Self::Unpacked => "the unpacked size in bytes",
            Self::Entries => "the number of files and directories",
        })
    }
}

/// Why a name cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It, or a part of it, is empty.
    Empty,
    /// It is not UTF-8.
    NotUtf8,
    /// It contains NUL.
    Nul,
    /// It contains a backslash: some would read it as a slash.
    Backslash,
    /// It begins with a slash.
    Absolute,
    /// A part of it is `..`.
    Parent,
    /// It, or a part of it, is too long.
    TooLong,
    /// It has too many parts.
    TooDeep,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty or has an empty part",
            Self::NotUtf8 => "is not UTF-8",
            Self::Nul => "contains NUL",
            Self::Backslash => "contains a backslash",
            Self::Absolute => "is absolute",
            Self::Parent => "contains `..`",
            Self::TooLong => "is too long",
            Self::TooDeep => "has too many parts",
        })
    }
}

/// Why a symbolic link cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Its target is empty, not UTF-8, or contains NUL.
    Unusable,
    /// Its target begins with a slash.
    Absolute,
    /// It leads out of the archive, by itself or through other links.
    Leaves,
    /// It leads to itself, or through too many links to be followed.
    Loops,
    /// Its target is too long, by itself or through other links.
    TooLong,
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unusable => "is no path",
            Self::Absolute => "is absolute",
            Self::Leaves => "leaves the archive",
            Self::Loops => "leads through too many links",
            Self::TooLong => "is too long",
        })
    }
}
