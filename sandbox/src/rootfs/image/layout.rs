//! Which image of a layout is meant, and what it is made of.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Descriptor, ImageIndex, ImageManifest, MediaType, OciLayout, Os, Platform,
};
use serde::de::DeserializeOwned;

use super::blob::Blob;
use super::error::ImageError;
use crate::limits;

/// A directory with `oci-layout`.
pub(super) struct Layout<'a>(&'a Path);

/// What a descriptor in an index can lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leads {
    ToImage,
    ToIndex,
    Elsewhere,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
}

impl<'a> Layout<'a> {
    pub(super) fn open(directory: &'a Path) -> Result<Self, ImageError> {
        let layout = Self(directory);
        let known: OciLayout = layout.file("oci-layout")?;
        if known.image_layout_version() != VERSION {
            return Err(ImageError::Version { version: known.image_layout_version().clone() });
        }
        Ok(layout)
    }

    /// The manifest of the image with this tag, or of the only one, for this machine.
    pub(super) fn image(&self, tag: Option<&str>) -> Result<Descriptor, ImageError> {
        let index: ImageIndex = self.file("index.json")?;
        let images: Vec<_> = index.manifests().iter().filter(|it| leads(it) != Leads::Elsewhere).collect();
        if images.is_empty() {
            return Err(ImageError::Empty);
        }
        let meant = |it: &&&Descriptor| tag.is_none() || name(it) == tag;
        let meant: Vec<_> = images.iter().filter(meant).copied().collect();
        if let (Some(tag), true) = (tag, meant.is_empty()) {
            return Err(ImageError::UnknownTag { tag: tag.to_owned(), tags: tags(&images) });
        }
        let mut fitting: Vec<_> = meant.iter().filter(|it| it.platform().as_ref().is_none_or(fits)).collect();
        fitting.sort_by(|one, other| one.digest().as_ref().cmp(other.digest().as_ref()));
        fitting.dedup_by(|one, other| one.digest() == other.digest());
        match (fitting.as_slice(), tag) {
            ([], _) => Err(for_others(meant.iter().copied())),
            ([one], _) => self.follow((**one).clone()),
            (_, Some(tag)) => Err(ImageError::Ambiguous { tag: tag.to_owned() }),
            (_, None) => Err(ImageError::TagNeeded { tags: tags(&images) }),
        }
    }

    /// The layers of an image, lowest first, if it is for this machine.
    pub(super) fn layers(&self, manifest: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
        let manifest: ImageManifest = self.document(manifest)?;
        let config = manifest.config();
        if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type().as_ref()) {
            return Err(unknown("the configuration", config, "that of an image"));
        }
        // Has the fields of a platform among others.
        let platform: Platform = self.document(config)?;
        if !fits(&platform) {
            return Err(ImageError::Platform { wanted: wanted(), offered: shown(&platform) });
        }
        let layers = manifest.layers();
        if layers.len() > limits::IMAGE_LAYERS {
            return Err(ImageError::Layers { count: layers.len() });
        }
        Ok(layers.clone())
    }

    /// A layer, and how to read it.
    pub(super) fn layer(&self, layer: &Descriptor) -> Result<(Blob, Compression), ImageError> {
        let compression = match layer.media_type() {
            MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => Compression::None,
            MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => Compression::Gzip,
            MediaType::Other(other) if other == DOCKER_LAYER => Compression::Gzip,
            _ => return Err(unknown("the layer", layer, "only tar and tar+gzip")),
        };
        Ok((Blob::open(self.0, layer)?, compression))
    }

    /// From an index's entry to the manifest, through other indexes.
    fn follow(&self, from: Descriptor) -> Result<Descriptor, ImageError> {
        let mut at = from;
        for _ in 0..=limits::IMAGE_INDEXES {
            match leads(&at) {
                Leads::ToImage => return Ok(at),
                Leads::ToIndex => at = choose(&self.document(&at)?)?,
                Leads::Elsewhere => return Err(unknown("the entry", &at, "only images and indexes")),
            }
        }
        Err(ImageError::Nested)
    }

    /// A file that is there by its name, not by its digest.
    fn file<T: DeserializeOwned>(&self, name: &str) -> Result<T, ImageError> {
        let unreadable = |source| ImageError::Unreadable { file: name.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(self.0.join(name)).map_err(unreadable)?;
        file.take(limits::IMAGE_DOCUMENT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > limits::IMAGE_DOCUMENT_BYTES {
            return Err(ImageError::Large { file: name.to_owned() });
        }
        parsed(name, &bytes)
    }

    fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, ImageError> {
        let name = descriptor.digest().to_string();
        if descriptor.size() > limits::IMAGE_DOCUMENT_BYTES {
            return Err(ImageError::Large { file: name });
        }
        parsed(&name, &Blob::open(self.0, descriptor)?.bytes()?)
    }
}

/// What an index has for this machine: the first that says so, or else the first that says nothing. image-spec: the first that fits.
fn choose(index: &ImageIndex) -> Result<Descriptor, ImageError> {
    let images = || index.manifests().iter().filter(|it| leads(it) != Leads::Elsewhere);
    let fitting = images().find(|it| it.platform().as_ref().is_some_and(fits));
    let chosen = fitting.or_else(|| images().find(|it| it.platform().is_none()));
    chosen.cloned().ok_or_else(|| for_others(images()))
}

fn leads(descriptor: &Descriptor) -> Leads {
    match descriptor.media_type() {
        MediaType::ImageManifest => Leads::ToImage,
        MediaType::ImageIndex => Leads::ToIndex,
        MediaType::Other(other) if other == DOCKER_MANIFEST => Leads::ToImage,
        MediaType::Other(other) if other == DOCKER_INDEX => Leads::ToIndex,
        _ => Leads::Elsewhere,
    }
}

/// This machine can run it. A variant other than the one that all machines of the architecture have is left to others.
fn fits(platform: &Platform) -> bool {
    let is_basic = match platform.architecture() {
        Arch::Amd64 => platform.variant().as_deref().is_none_or(|variant| variant == "v1"),
        Arch::ARM64 => platform.variant().as_deref().is_none_or(|variant| variant == "v8"),
        _ => true,
    };
    *platform.os() == Os::Linux && *platform.architecture() == Arch::default() && is_basic
}

fn wanted() -> String {
    format!("{}/{}", Os::Linux, Arch::default())
}

fn shown(platform: &Platform) -> String {
    let base = format!("{}/{}", platform.os(), platform.architecture());
    platform.variant().as_ref().map_or(base.clone(), |variant| format!("{base}/{variant}"))
}

fn for_others<'a>(images: impl Iterator<Item = &'a Descriptor>) -> ImageError {
    let offered = list(images.filter_map(|it| it.platform().as_ref()).map(shown));
    ImageError::Platform { wanted: wanted(), offered }
}

fn name(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations().as_ref()?.get(ANNOTATION_REF_NAME).map(String::as_str)
}

fn tags(images: &[&Descriptor]) -> String {
    list(images.iter().filter_map(|it| name(it)).map(str::to_owned))
}

/// The first of them, in order.
fn list(names: impl Iterator<Item = String>) -> String {
    let names: BTreeSet<_> = names.collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut shown: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    shown.extend((names.len() > SHOWN).then_some("…"));
    shown.join(", ")
}

fn unknown(what: &'static str, descriptor: &Descriptor, known: &'static str) -> ImageError {
    let (digest, media_type) = (descriptor.digest().to_string(), descriptor.media_type().to_string());
    ImageError::Type { what, digest, media_type, known }
}

fn parsed<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Malformed { file: file.to_owned(), source })
}

/// Of the layout; image-spec has no other.
pub(super) const VERSION: &str = "1.0.0";

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

// Docker's types (Image Manifest V2, Schema 2) are the same documents under other names; some tools keep them in a layout.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Tags or platforms in an error.
const SHOWN: usize = 20;
