//! One layer over the other.
//!
//! What a layer hides is of the layers below it only, wherever in the archive it says so. So a layer is read twice: first it hides,
//! then it adds. The lowest has nothing to hide.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use oci_spec::image::Descriptor;

use super::error::{ImageError, LayerFault};
use super::layout::{Compression, Layout};
use super::member::{self, Broken, Kind, Member, Used, Whiteout};
use crate::rootfs::beneath::{self, Beneath};

/// An image that is being unpacked.
pub(super) struct Unpacking<'a> {
    root: &'a Beneath,
    used: Used,
    layers: usize,
}

impl<'a> Unpacking<'a> {
    /// Into an empty directory.
    pub(super) fn new(root: &'a Beneath) -> Self {
        Self { root, used: Used::default(), layers: 0 }
    }

    /// Puts a layer on top.
    pub(super) fn add(&mut self, layout: &Layout<'_>, layer: &Descriptor) -> Result<(), ImageError> {
        let root = self.root;
        if self.layers > 0 {
            // Counted when it is read again.
            let mut used = self.used;
            read(layout, layer, &mut used, |member, _, _| hide(root, member))?;
        }
        self.layers += 1;
        read(layout, layer, &mut self.used, |member, content, used| put(root, member, content, used))
    }
}

/// Reads all of a layer. That it is another one than its digest says matters more than what is wrong in it.
fn read(
    layout: &Layout<'_>,
    layer: &Descriptor,
    used: &mut Used,
    visit: impl FnMut(&Member, &mut dyn Read, &mut Used) -> Result<(), LayerFault>,
) -> Result<(), ImageError> {
    let (mut blob, compression) = layout.layer(layer)?;
    let packed = BufReader::with_capacity(CHUNK, &mut blob);
    let walked = match compression {
        Compression::None => member::each(packed, used, visit),
        Compression::Gzip => member::each(MultiGzDecoder::new(packed), used, visit),
    };
    blob.finish()?;
    let of = |Broken { entry, fault }| ImageError::Layer { layer: layer.digest().to_string(), entry, fault };
    walked.map_err(of)
}

/// Removes what the member hides, if it is there.
fn hide(root: &Beneath, member: &Member) -> Result<(), LayerFault> {
    let Some(whiteout) = member.whiteout()? else { return Ok(()) };
    let directory = match root.directory(parent(member)) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        found => found.map_err(LayerFault::System)?,
    };
    let removed = match whiteout {
        Whiteout::All => beneath::empty(&directory),
        Whiteout::One(name) => beneath::remove(&directory, name),
        Whiteout::Nothing => Ok(()),
    };
    removed.map_err(LayerFault::System)
}

/// Makes what the member is, in the place of what is there.
fn put(root: &Beneath, member: &Member, content: &mut dyn Read, used: &mut Used) -> Result<(), LayerFault> {
    if member.whiteout()?.is_some() {
        return Ok(());
    }
    let Some(name) = member.path.file_name() else {
        // The root is there already.
        return if member.kind == Kind::Directory { Ok(()) } else { Err(LayerFault::NoName) };
    };
    if let Kind::Special(letter) = member.kind {
        let kind = char::from(letter);
        tracing::info!(path = %member.path.display(), %kind, "left out of an image: it is no file, directory or link");
        return Ok(());
    }
    let made = root.make(parent(member)).map_err(system)?;
    used.entries(made.count)?;
    let parent = &made.directory;
    match &member.kind {
        Kind::Directory => put_directory(root, parent, name).map_err(system),
        Kind::File => {
            beneath::remove(parent, name).map_err(system)?;
            write(member, content, parent, name)
        }
        Kind::Link(target) => {
            let replaced = beneath::remove(parent, name);
            replaced.and_then(|()| beneath::make_link(parent, name, target)).map_err(system)
        }
        Kind::HardLink(target) => put_hard_link(root, target, parent, name).map_err(system),
        Kind::Special(_) => Ok(()),
    }
}

/// A directory that is there keeps what is in it; a link to one does not count.
fn put_directory(root: &Beneath, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    if beneath::is_directory(parent, name)? {
        return Ok(());
    }
    beneath::remove(parent, name)?;
    root.make_in(parent, name).map(drop)
}

fn put_hard_link(root: &Beneath, target: &Path, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let from = root.directory(target.parent().unwrap_or(Path::new("")))?;
    let of = target.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    beneath::remove(parent, name)?;
    beneath::make_hard_link((&from, of), (parent, name))
}

fn write(member: &Member, content: &mut dyn Read, parent: &OwnedFd, name: &OsStr) -> Result<(), LayerFault> {
    let mut file = beneath::make_file(parent, name).map_err(system)?;
    let mut written = 0;
    let mut chunk = [0; COPIED];
    loop {
        let count = match content.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(LayerFault::Malformed(error)),
        };
        file.write_all(&chunk[..count]).map_err(system)?;
        written += count as u64;
    }
    if written != member.size {
        return Err(LayerFault::CutOff);
    }
    if let Some(at) = member.modified {
        file.set_modified(at).map_err(system)?;
    }
    // Everybody may read it, nobody but root could write it, and it makes nobody anybody else.
    file.set_permissions(Permissions::from_mode(member.mode & 0o755 | 0o444)).map_err(system)
}

fn parent(member: &Member) -> &Path {
    member.path.parent().unwrap_or(Path::new(""))
}

fn system(error: io::Error) -> LayerFault {
    if error.raw_os_error() == Some(libc::ENAMETOOLONG) {
        LayerFault::TooDeep
    } else {
        LayerFault::System(error)
    }
}

/// Bytes of a blob that are read at a time.
const CHUNK: usize = 64 << 10;
/// Bytes that are copied at a time.
const COPIED: usize = 16 << 10;
