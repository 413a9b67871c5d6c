//! Every bound and timer of the sandbox, with unit and source, in one place.

/// An archive of code. AWS Lambda quotas: 50 MB for a direct upload. Bytes.
pub const ARCHIVE_BYTES: u64 = 50 << 20;

/// All files of an archive, unpacked. AWS Lambda quotas: 250 MB. Bytes.
pub const UNPACKED_BYTES: u64 = 250 << 20;

/// Files, directories and links of an archive, directories that only paths name included. AWS has no such quota; this is
/// several times what large Python and Node packages have. Entries.
pub const CODE_ENTRIES: u64 = 20_000;

/// A path in an archive: a quarter of Linux' `PATH_MAX`, to be valid wherever it is mounted. Bytes.
pub const PATH_BYTES: usize = 1_024;

/// A part of a path, between slashes. Linux: `NAME_MAX`. Bytes.
pub const NAME_BYTES: usize = 255;

/// Parts of a path.
pub const PATH_DEPTH: usize = 64;

/// The target of a symbolic link. Bytes.
pub const LINK_BYTES: usize = 1_024;

/// Links that lead to links before it counts as a loop. Linux: `MAXSYMLINKS`. Links.
pub const LINK_CHAIN: usize = 40;

/// Parts of paths that are looked up to check all links of an archive: twenty for each entry that it may have.
pub const LINK_STEPS: u64 = 20 * CODE_ENTRIES;

/// Files and directories that are written to the disk one by one; of more, the whole filesystem is. An `fsync` each is quicker
/// for the few files of a usual function, and does not wait for what others write.
pub const SYNCED_ONE_BY_ONE: usize = 256;
