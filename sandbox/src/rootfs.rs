//! Root filesystems: made once per runtime, read by all its containers, written by none.

mod copy;
mod host;
mod libraries;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bundle::MOUNT_POINTS;
use crate::settings::{Rootfs, Runtime};

/// Why a runtime has no root filesystem.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootfsError {
    /// This machine has not got the language.
    #[error("{program} is not on this machine; install it, or give the runtime a directory or an image")]
    Missing {
        /// What was looked for.
        program: &'static str,
    },
    /// The language does not say what it needs.
    #[error("{program} does not say what it needs: {detail}")]
    Mute {
        /// What was asked.
        program: String,
        /// What it said instead.
        detail: String,
    },
    /// The directory lacks what is mounted on.
    #[error("{directory} has no directory {missing}, and it cannot be made: {source}")]
    Incomplete {
        /// Which root.
        directory: String,
        /// What it lacks.
        missing: &'static str,
        /// Why it cannot be made.
        source: io::Error,
    },
    /// A system call failed.
    #[error("{path}: {source}")]
    System {
        /// Which file.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// The root filesystem of a runtime; made below `data` if there is none yet.
pub(crate) fn prepare(runtime: &Runtime, data: &Path) -> Result<PathBuf, RootfsError> {
    match &runtime.rootfs {
        Rootfs::Host => host::view(runtime.language, data),
        Rootfs::Directory(directory) => complete(directory),
        Rootfs::Image { .. } => todo!("image"),
    }
}

/// Whether the runtime can be used on this machine, as far as one look tells.
pub(crate) fn check(runtime: &Runtime) -> Result<(), RootfsError> {
    match &runtime.rootfs {
        Rootfs::Host => host::check(runtime.language),
        Rootfs::Directory(path) | Rootfs::Image { layout: path, .. } => {
            fs::metadata(path).map(drop).map_err(failed(path))
        }
    }
}

/// A directory that has everything that is mounted on.
fn complete(directory: &Path) -> Result<PathBuf, RootfsError> {
    for missing in MOUNT_POINTS {
        fs::create_dir_all(directory.join(missing)).map_err(|source| RootfsError::Incomplete {
            directory: directory.display().to_string(),
            missing,
            source,
        })?;
    }
    let resolv_conf = directory.join("etc/resolv.conf");
    if fs::symlink_metadata(&resolv_conf).is_err() {
        fs::write(&resolv_conf, "").map_err(|source| RootfsError::Incomplete {
            directory: directory.display().to_string(),
            missing: "etc/resolv.conf",
            source,
        })?;
    }
    Ok(directory.to_owned())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RootfsError {
    let path = path.display().to_string();
    move |source| RootfsError::System { path, source }
}
