//! What containers are made from, and with what.

use std::path::PathBuf;

/// Of a sandbox.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What outlives the process: code, root filesystems. Made if it is not there.
    pub data: PathBuf,
    /// What does not outlive the machine: namespaces and bundles of live containers. Made if it is not there; no two daemons share it.
    pub run: PathBuf,
    /// The control group below which every container has its own, relative to each hierarchy's root: `wharf`.
    pub cgroup: String,
    /// What makes containers.
    pub oci: Oci,
    /// What containers can be made of, by different names.
    pub runtimes: Vec<Runtime>,
    /// How to start the program that makes containers with the embedded library: this program, and the argument by which it knows
    /// that it shall call [`crate::container_helper`].
    pub helper: Vec<String>,
}

/// What makes containers out of bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oci {
    /// The embedded library.
    Embedded,
    /// A program with runc's command line: `runc`, `crun`. Not `runsc`, whose containers have mounts and a loopback of their own.
    Program(PathBuf),
}

/// What containers are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its name: `python3`, `nodejs`, `provided`, or one of the operator's.
    pub name: String,
    /// What waits in the container.
    pub language: Language,
    /// Its root filesystem.
    pub rootfs: Rootfs,
}

/// What waits in a warm container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Python 3 with our bootstrap.
    Python3,
    /// Node with our bootstrap.
    Nodejs,
    /// Nothing: the code has an executable `bootstrap` that speaks the runtime API.
    Provided,
}

/// Where a root filesystem comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rootfs {
    /// What the language needs of this machine's own files, and no more.
    Host,
    /// This directory, read-only to containers. Places for mounts that are missing in it are made once.
    Directory(PathBuf),
    /// An OCI image layout, unpacked once.
    Image {
        /// The directory that has `oci-layout` and `index.json`.
        layout: PathBuf,
        /// Which of its images; needed if there are several.
        tag: Option<String>,
    },
}
