//! Why a piece of a lab could not be made.

use std::{fmt, io};

use nix::errno::Errno;

/// Why a piece of a lab could not be made. That piece is not there; the rest of the lab is as before.
#[derive(thiserror::Error)]
pub enum LabError {
    /// Namespaces and devices need `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`. Run as root.
    #[error("netlab makes network namespaces and needs root: run this as root")]
    NotPermitted,
    /// The kernel refused, for a reason that none of the above tells.
    #[error("{step} {name}: {source}")]
    Kernel {
        /// What was being done.
        step: &'static str,
        /// To which namespace or device.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A program that was run inside a namespace failed.
    #[error("{program}: {stderr}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said about it.
        stderr: String,
    },
}

/// As people read it: a test or `main` that returns this error prints one clear line.
impl fmt::Debug for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl LabError {
    /// Says what failed, and singles out missing permission.
    pub(crate) fn kernel(step: &'static str, name: &str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM | Errno::EACCES) => Self::NotPermitted,
            _ => Self::Kernel { step, name: name.into(), source },
        }
    }
}
