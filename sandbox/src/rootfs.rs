//! Root filesystems: made once per runtime, read by all its containers, written by none.

mod beneath;
mod copy;
mod host;
mod image;
mod libraries;

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) use beneath::{Beneath, path};
use image::ImageError;

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
    /// The image cannot be used. Nothing of it is left.
    #[error("the image layout {layout}: {fault}")]
    Image {
        /// The layout's directory.
        layout: String,
        /// What is wrong with it.
        fault: Box<ImageError>,
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
        Rootfs::Image { layout, tag } => image::view(layout, tag.as_deref(), data),
    }
}

/// Whether the runtime can be used on this machine, as far as one look tells.
pub(crate) fn check(runtime: &Runtime) -> Result<(), RootfsError> {
    match &runtime.rootfs {
        Rootfs::Host => host::check(runtime.language),
        Rootfs::Directory(path) => fs::metadata(path).map(drop).map_err(failed(path)),
        Rootfs::Image { layout, tag } => image::check(layout, tag.as_deref()),
    }
}

/// A directory that is made once and then stays. It has another name until it is whole.
fn once(root: PathBuf, make: impl FnOnce(&Path) -> Result<(), RootfsError>) -> Result<PathBuf, RootfsError> {
    if root.is_dir() {
        return Ok(root);
    }
    let prefix = format!("{UNFINISHED}{}-", std::process::id());
    let parent = root.parent().expect("it was joined");
    fs::create_dir_all(parent).map_err(failed(parent))?;
    let unfinished = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(failed(parent))?;
    fs::set_permissions(unfinished.path(), fs::Permissions::from_mode(0o755)).map_err(failed(parent))?;
    make(unfinished.path())?;
    match fs::rename(unfinished.path(), &root) {
        Ok(()) => {
            _ = unfinished.keep();
            Ok(root)
        }
        // Somebody else has made it in the meantime.
        Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
            Ok(root)
        }
        Err(error) => Err(failed(&root)(error)),
    }
}

/// Removes what processes that are no more have begun below `data` and not finished.
pub(crate) fn remove_unfinished(data: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(data.join(ROOTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED)?.split_once('-'));
        if maker.is_some_and(|(id, _)| !Path::new("/proc").join(id).exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// A directory that has everything that is mounted on. Its links may be anybody's, so they count only in there.
fn complete(directory: &Path) -> Result<PathBuf, RootfsError> {
    let lacks = |missing| {
        let directory = directory.display().to_string();
        move |source| RootfsError::Incomplete { directory, missing, source }
    };
    let beneath = Beneath::open(directory).map_err(failed(directory))?;
    for missing in MOUNT_POINTS {
        beneath.make(Path::new(missing)).map_err(lacks(missing))?;
    }
    let missing = "etc/resolv.conf";
    beneath.make_empty_file(Path::new(missing)).map_err(lacks(missing))?;
    Ok(directory.to_owned())
}

/// Two lower-case digits for each byte.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RootfsError {
    let path = path.display().to_string();
    move |source| RootfsError::System { path, source }
}

/// Where they are, below the sandbox's directory.
const ROOTS: &str = "rootfs";

/// Then comes the id of the process that makes it, and `-`.
const UNFINISHED: &str = ".unfinished-";
