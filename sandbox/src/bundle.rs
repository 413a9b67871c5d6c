//! The bundle of a container: the OCI runtime specification's `config.json`, which every runtime reads.

use serde_json::{Value, json};

use crate::limits::{
    CONTAINER_USER, CPU_PERIOD_US, CPU_QUOTA_US, CPU_SHARES_WARM, IDS_PER_CONTAINER, OPEN_FILES, TASKS,
    WARM_MEMORY_MB, WARM_TMP_MB,
};
use crate::{Oci, seccomp};

/// What differs from container to container.
pub(crate) struct Bundle<'a> {
    /// What starts in it.
    pub(crate) command: &'a [String],
    /// The process whose user and network namespaces become the container's.
    pub(crate) holder: i32,
    /// The first of its ids on the host.
    pub(crate) first_id: u32,
    /// What makes it.
    pub(crate) oci: &'a Oci,
    /// Its control group.
    pub(crate) cgroup: &'a str,
}

/// Where a helper, in a mount namespace of its own, puts a container's root together. Everybody may go there, whatever the way to our own
/// directories is closed to.
pub(crate) const STAGE: &str = "/mnt";

/// Directories that every root filesystem needs, for others to be mounted on.
pub(crate) const MOUNT_POINTS: [&str; 7] = ["proc", "dev", "sys", "tmp", "var/task", "opt/wharf", "etc"];

impl Bundle<'_> {
    /// `config.json`.
    pub(crate) fn config(&self) -> Value {
        let namespace = |of: &str| format!("/proc/{}/ns/{of}", self.holder);
        let ids = json!([{ "containerID": 0, "hostID": self.first_id, "size": IDS_PER_CONTAINER }]);
        json!({
            "ociVersion": "1.0.2",
            "process": self.process(),
            "root": { "path": STAGE, "readonly": true },
            "hostname": "wharf",
            "mounts": mounts(),
            "linux": {
                "namespaces": [
                    { "type": "user", "path": namespace("user") },
                    { "type": "network", "path": namespace("net") },
                    { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "cgroup" },
                ],
                "uidMappings": ids,
                "gidMappings": ids,
                "cgroupsPath": format!("/{}", self.cgroup),
                "resources": {
                    "devices": [{ "allow": false, "access": "rwm" }],
                    "memory": { "limit": u64::from(WARM_MEMORY_MB) << 20 },
                    "pids": { "limit": TASKS },
                    "cpu": { "shares": CPU_SHARES_WARM, "quota": CPU_QUOTA_US, "period": CPU_PERIOD_US },
                },
                "seccomp": seccomp::filter(self.oci),
                "rootfsPropagation": "private",
                "maskedPaths": MASKED,
                "readonlyPaths": READ_ONLY,
            },
        })
    }

    fn process(&self) -> Value {
        let none: [&str; 0] = [];
        let limit = |name: &str, value: u64| json!({ "type": name, "soft": value, "hard": value });
        json!({
            "terminal": false,
            "user": { "uid": CONTAINER_USER, "gid": CONTAINER_USER },
            "args": self.command,
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", "TZ=:UTC"],
            "cwd": "/",
            "capabilities": {
                "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none,
            },
            "noNewPrivileges": true,
            // When the machine has no memory left, a function goes before anything of the machine's.
            "oomScoreAdj": 1000,
            "rlimits": [limit("RLIMIT_NOFILE", OPEN_FILES), limit("RLIMIT_CORE", 0)],
        })
    }
}

fn mounts() -> Value {
    let tmpfs = |at: &str, options: &[&str]| json!({ "destination": at, "type": "tmpfs", "source": "tmpfs", "options": options });
    let tmp = format!("size={WARM_TMP_MB}m");
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
        tmpfs("/dev", &["nosuid", "strictatime", "mode=755", "size=64k"]),
        tmpfs("/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", &tmp]),
        // Nothing of the machine's hardware is a function's business.
        tmpfs("/sys", &["ro", "nosuid", "noexec", "nodev", "mode=555", "size=4k"]),
        tmpfs("/tmp", &["nosuid", "nodev", "mode=1777", &tmp]),
    ])
}

/// What is hidden of `/proc`: runc's and Docker's defaults.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// What of it can be read only: the same defaults.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
