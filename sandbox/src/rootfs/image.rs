//! Images: an OCI image layout (image-spec 1.1), unpacked once.
//!
//! ```text
//!   <layout>/oci-layout                         <data>/rootfs/image-<digest of the manifest>/…
//!           /index.json ── tag, platform ─┐
//!           /blobs/sha256/… index ◂───────┘
//!                  └─▸ manifest ─▸ configuration: for which machines
//!                             └──▸ layers, lowest first, one over the other
//! ```
//!
//! Every blob is read to its end and is what its digest says, or nothing of the image is kept. What is in a layer may still mean
//! harm: everything is resolved [beneath](super::beneath) the new root, and bounded. Owners, devices, extended attributes and
//! special bits are not kept: all is the machine's root's, and everybody may read it.

mod blob;
mod error;
mod layer;
mod layout;
mod member;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::beneath::{self, Beneath};
use super::{ROOTS, RootfsError, complete, failed, once};
use blob::digits;
pub(super) use error::ImageError;
use layer::Unpacking;
use layout::Layout;

/// The root of an image; made below `data` if it is not there yet.
pub(super) fn view(layout: &Path, tag: Option<&str>, data: &Path) -> Result<PathBuf, RootfsError> {
    let (opened, manifest) = selected(layout, tag).map_err(of(layout))?;
    let name = format!("image-{}", digits(&manifest).map_err(of(layout))?);
    once(data.join(ROOTS).join(name), |root| {
        let beneath = Beneath::open(root).map_err(failed(root))?;
        let mut unpacking = Unpacking::new(&beneath);
        for layer in opened.layers(&manifest).map_err(of(layout))? {
            unpacking.add(&opened, &layer).map_err(of(layout))?;
        }
        remove_link_to_resolver(&beneath).map_err(failed(root))?;
        complete(root)?;
        beneath.sync().map_err(failed(root))
    })
}

/// Whether there is one image that is meant.
pub(super) fn check(layout: &Path, tag: Option<&str>) -> Result<(), RootfsError> {
    selected(layout, tag).map(drop).map_err(of(layout))
}

fn selected<'a>(
    layout: &'a Path,
    tag: Option<&str>,
) -> Result<(Layout<'a>, oci_spec::image::Descriptor), ImageError> {
    let opened = Layout::open(layout)?;
    let manifest = opened.image(tag)?;
    Ok((opened, manifest))
}

/// Images that expect a resolver on the machine have a link there that leads nowhere; a file can be mounted on.
fn remove_link_to_resolver(beneath: &Beneath) -> std::io::Result<()> {
    let etc = beneath.make(Path::new("etc"))?.directory;
    let name = OsStr::new("resolv.conf");
    if beneath::is_file(&etc, name)? { Ok(()) } else { beneath::remove(&etc, name) }
}

fn of(layout: &Path) -> impl FnOnce(ImageError) -> RootfsError {
    let layout = layout.display().to_string();
    move |fault| RootfsError::Image { layout, fault: Box::new(fault) }
}
