//! Every bound of the sandbox, with unit and source, in one place.

use std::time::Duration;

/// Containers at once: the gateway's links are as many.
pub const CONTAINERS: u32 = 16_384;

/// User and group ids that one container has of its own.
pub const IDS_PER_CONTAINER: u32 = 65_536;

/// The first of them on the host: above what /etc/subuid gives out (100,000 and up, shadow-utils) and any ordinary user.
pub const FIRST_HOST_ID: u32 = 1 << 30;

/// The user and group that everything in a container runs as, as the container counts.
pub const CONTAINER_USER: u32 = 1_000;

/// The port of every container's runtime API, on its loopback address.
pub(crate) const RUNTIME_API_PORT: u16 = 9_001;

/// Processes and threads of one container.
pub const TASKS: u64 = 256;

/// Open files of one process.
pub const OPEN_FILES: u64 = 1_024;

/// CPU time of one container in each period. Microseconds of [`CPU_PERIOD_US`]: one CPU.
pub const CPU_QUOTA_US: u64 = 100_000;

/// The period of the CPU quota. Microseconds; the kernel's default (Documentation/scheduler/sched-bwc.rst).
pub const CPU_PERIOD_US: u64 = 100_000;

/// Share of the CPU of a container that starts or waits, as version 1 of control groups counts: when others need it, they come first. The
/// kernel's minimum is 2 (kernel/sched/sched.h: `MIN_SHARES`).
pub const CPU_SHARES_WARM: u64 = 256;

/// The same of a container that has a function: the kernel's default.
pub const CPU_SHARES_USUAL: u64 = 1_024;

/// Memory of a warm container that has no function yet. MiB.
pub const WARM_MEMORY_MB: u32 = 256;

/// Size of a warm container's `/tmp`. A function's has half of its memory. MiB.
pub const WARM_TMP_MB: u32 = 64;

/// How long a container may take to become warm.
pub const WARM_TIME: Duration = Duration::from_secs(30);

/// How long the kernel may take to end a killed container's processes.
pub const KILL_TIME: Duration = Duration::from_secs(10);

/// Bytes of one line of output; what is longer is cut.
pub const LINE_BYTES: usize = 16 * 1024;

/// Lines of output that wait for their taker.
pub const LINES_WAITING: usize = 256;

/// Bytes of what a helper says of a failure.
pub const HELPER_REPORT_BYTES: usize = 16 * 1024;

const _: () = assert!(FIRST_HOST_ID as u64 + CONTAINERS as u64 * IDS_PER_CONTAINER as u64 <= u32::MAX as u64);

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

/// All files of an image, unpacked, those that upper layers hide included; and what else its layers declare. Several times what
/// images with a language and its tools have. Bytes.
pub const IMAGE_BYTES: u64 = 4 << 30;

/// Entries of all layers of an image, directories that only paths name included. Entries.
pub const IMAGE_ENTRIES: u64 = 500_000;

/// Layers of an image: Docker makes 127 at most. Layers.
pub const IMAGE_LAYERS: usize = 256;

/// A path in a layer. Linux: `PATH_MAX` without the zero at its end. Bytes.
pub const IMAGE_PATH_BYTES: usize = 4_095;

/// What a layer says of an entry before it: long names, extended attributes. Go's archive/tar: 1 MiB. Bytes.
pub const IMAGE_EXTENSION_BYTES: u64 = 1 << 20;

/// An index, manifest or configuration of an image. OCI distribution-spec: registries take manifests of 4 MiB. Bytes.
pub const IMAGE_DOCUMENT_BYTES: u64 = 4 << 20;

/// Indexes in indexes of an image. Tools make one or two. Indexes.
pub const IMAGE_INDEXES: usize = 8;
