//! Why an image is refused.

use std::io;

use crate::limits;

/// Why an image cannot be used. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// The layout is of another version.
    #[error("it is an image layout of version {version:?}, and only {known:?} is known", known = super::layout::VERSION)]
    Version {
        /// What it says.
        version: String,
    },
    /// A file of the layout cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// Its path below the layout's directory.
        file: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{file} makes no sense: {source}")]
    Malformed {
        /// Its path below the layout's directory.
        file: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// An index, manifest or configuration is large enough to be something else.
    #[error("{file} has more than {most} bytes", most = limits::IMAGE_DOCUMENT_BYTES)]
    Large {
        /// Its path below the layout's directory.
        file: String,
    },
    /// There is no image in the layout.
    #[error("it has no images")]
    Empty,
    /// No image has the tag.
    #[error("it has no image {tag:?}; its tags are: {tags}")]
    UnknownTag {
        /// What was asked for.
        tag: String,
        /// What there is.
        tags: String,
    },
    /// There is more than one image.
    #[error("it has several images, so a tag has to say which; its tags are: {tags}")]
    TagNeeded {
        /// What there is.
        tags: String,
    },
    /// There is more than one image of this tag.
    #[error("it has several images {tag:?} for this machine")]
    Ambiguous {
        /// What was asked for.
        tag: String,
    },
    /// The image is for other machines.
    #[error("the image is not for {wanted}, only for: {offered}")]
    Platform {
        /// What this machine is.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// Indexes name indexes, too many of them.
    #[error("more than {most} indexes stand before the image", most = limits::IMAGE_INDEXES)]
    Nested,
    /// A blob is something else than an image can have in its place: a layer with another compression, an artifact.
    #[error("{what} {digest} is of type {media_type}; {known} would be known")]
    Type {
        /// What it is in the image.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// Its type.
        media_type: String,
        /// What it could be.
        known: &'static str,
    },
    /// There are too many layers.
    #[error("it has {count} layers, more than {most}", most = limits::IMAGE_LAYERS)]
    Layers {
        /// How many.
        count: usize,
    },
    /// A digest is not SHA-256.
    #[error("the digest {digest} is not SHA-256, which is the only one known")]
    Algorithm {
        /// The digest.
        digest: String,
    },
    /// A blob has more or fewer bytes than is said of it.
    #[error("blob {digest} should have {declared} bytes and has {actual}")]
    Size {
        /// Its digest.
        digest: String,
        /// What it should have.
        declared: u64,
        /// What it has.
        actual: u64,
    },
    /// A blob is another one than its name says.
    #[error("blob {declared} has the digest sha256:{actual}")]
    Digest {
        /// What it should have.
        declared: String,
        /// What it has, in hexadecimal digits.
        actual: String,
    },
    /// A layer cannot be unpacked.
    #[error("layer {layer}, at entry {entry:?}: {fault}")]
    Layer {
        /// Its digest.
        layer: String,
        /// The entry, or the one before it if it has no name.
        entry: String,
        /// What is wrong with it.
        fault: LayerFault,
    },
}

/// What is wrong with an entry of a layer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerFault {
    /// A path, or that of a hard link's target, goes up.
    #[error("a path must not have `..`")]
    Parent,
    /// A path is too long.
    #[error("a path has more than {most} bytes", most = limits::IMAGE_PATH_BYTES)]
    TooLong,
    /// A path has too many parts, by its text or when links are followed.
    #[error("a path has more than {most} parts, or one that is too long", most = limits::PATH_DEPTH)]
    TooDeep,
    /// A path has a zero byte, or a part of it is not allowed there, or it is that of the root.
    #[error("this is no name")]
    NoName,
    /// A sparse file; image-spec advises against them.
    #[error("sparse files are not known")]
    Sparse,
    /// Two places say different sizes, so readers would disagree about what follows.
    #[error("its headers disagree about its size")]
    Sizes,
    /// The header before it is too long.
    #[error("its extended header has more than {most} bytes", most = limits::IMAGE_EXTENSION_BYTES)]
    Extension,
    /// The layer ends within it.
    #[error("it is cut off")]
    CutOff,
    /// It is no tar archive, or not compressed as it says.
    #[error("it cannot be read: {0}")]
    Malformed(io::Error),
    /// The image is too large.
    #[error("the image has more than {most} bytes", most = limits::IMAGE_BYTES)]
    Bytes,
    /// The image has too much in it.
    #[error("the image has more than {most} entries", most = limits::IMAGE_ENTRIES)]
    Entries,
    /// The kernel refuses it: a parent is no directory, a hard link's target is not there, the disk is full.
    #[error("it cannot be made: {0}")]
    System(io::Error),
}
