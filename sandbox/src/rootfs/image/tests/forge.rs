//! Layouts and layers by hand, so that they can be wrong.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{ImageError, RootfsError, names};
use crate::rootfs::hexadecimal;
use crate::rootfs::image::error::LayerFault;
use crate::rootfs::image::view;

/// When every member was changed.
pub(super) const MODIFIED: i64 = 1_600_000_000;

/// A layout, and where its images are unpacked, side by side in a directory.
pub(super) struct Forge {
    around: TempDir,
    index: Vec<Value>,
}

impl Forge {
    pub(super) fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        let forge = Self { around, index: vec![] };
        fs::create_dir_all(forge.layout().join("blobs/sha256")).unwrap();
        forge.write("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }));
        forge
    }

    pub(super) fn layout(&self) -> PathBuf {
        self.around.path().join("layout")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.around.path().join("data")
    }

    /// A directory that nothing of an image may touch, and a file in it.
    pub(super) fn outside(&self) -> PathBuf {
        let outside = self.around.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("secret"), "untouched").unwrap();
        outside
    }

    pub(super) fn write(&self, name: &str, document: &Value) {
        fs::write(self.layout().join(name), document.to_string()).unwrap();
    }

    /// Adds a blob, and gives its descriptor.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = hexadecimal(&Sha256::digest(bytes));
        fs::write(self.layout().join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    pub(super) fn blob_path(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        self.layout().join("blobs/sha256").join(digest)
    }

    pub(super) fn remove_blob(&self, descriptor: &Value) {
        fs::remove_file(self.blob_path(descriptor)).unwrap();
    }

    pub(super) fn layer(&self, bytes: &[u8]) -> Value {
        let suffix = if bytes.starts_with(&[0x1f, 0x8b]) { "+gzip" } else { "" };
        self.blob(&format!("application/vnd.oci.image.layer.v1.tar{suffix}"), bytes)
    }

    /// An image's manifest for an architecture.
    pub(super) fn manifest(&self, layers: &[Value], architecture: &str) -> Value {
        let config = json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())
    }

    pub(super) fn index_blob(&self, manifests: &[Value]) -> Value {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        self.blob("application/vnd.oci.image.index.v1+json", index.to_string().as_bytes())
    }

    /// Puts it into `index.json`.
    pub(super) fn list(&mut self, descriptor: Value) {
        self.index.push(descriptor);
        self.write("index.json", &json!({ "schemaVersion": 2, "manifests": self.index }));
    }

    /// Adds an image for this machine, and gives its layers' descriptors.
    pub(super) fn image(&mut self, layers: &[Vec<u8>]) -> Vec<Value> {
        let layers: Vec<_> = layers.iter().map(|layer| self.layer(layer)).collect();
        self.list(self.manifest(&layers, &here()));
        layers
    }

    pub(super) fn view(&self, tag: Option<&str>) -> Result<PathBuf, RootfsError> {
        view(&self.layout(), tag, &self.data())
    }

    /// Why an image is refused; of which nothing is left.
    pub(super) fn refused(&self, tag: Option<&str>) -> ImageError {
        let error = self.view(tag).expect_err("it is refused");
        assert_eq!(self.roots(), [""; 0], "{error}");
        match error {
            RootfsError::Image { fault, .. } => *fault,
            other => panic!("{other}"),
        }
    }

    /// What is there of unpacked images.
    pub(super) fn roots(&self) -> Vec<String> {
        names(&self.data().join("rootfs"))
    }
}

/// Why an image with these layers is refused, and at which entry.
pub(super) fn refused(layers: &[Vec<u8>]) -> (String, LayerFault) {
    let mut forge = Forge::new();
    forge.image(layers);
    match forge.refused(None) {
        ImageError::Layer { entry, fault, .. } => (entry, fault),
        other => panic!("{other}"),
    }
}

/// This machine's architecture, as images call it.
pub(super) fn here() -> String {
    oci_spec::image::Arch::default().to_string()
}

/// A member of an archive, with what stands before it.
#[derive(Clone)]
pub(super) struct Member {
    before: Vec<u8>,
    name: Vec<u8>,
    letter: u8,
    target: Vec<u8>,
    mode: u32,
    size: Option<u64>,
    content: Vec<u8>,
}

impl Member {
    pub(super) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Says another size than it has.
    pub(super) fn size(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..self.name.len()].copy_from_slice(&self.name);
        header.as_old_mut().linkname[..self.target.len()].copy_from_slice(&self.target);
        header.as_old_mut().linkflag = [self.letter];
        header.set_mode(self.mode);
        header.set_size(self.size.unwrap_or(self.content.len() as u64));
        header.set_mtime(MODIFIED as u64);
        header.set_cksum();
        let padding = vec![0; self.content.len().next_multiple_of(512) - self.content.len()];
        [&self.before[..], header.as_bytes(), &self.content, &padding].concat()
    }
}

pub(super) fn member(name: &str, letter: u8, target: &str, content: &[u8]) -> Member {
    let (name, target) = (name.into(), target.into());
    Member { before: vec![], name, letter, target, mode: 0o755, size: None, content: content.into() }
}

pub(super) fn file(name: &str, content: &str) -> Member {
    member(name, b'0', "", content.as_bytes())
}

pub(super) fn directory(name: &str) -> Member {
    member(name, b'5', "", b"")
}

pub(super) fn link(name: &str, target: impl AsRef<Path>) -> Member {
    member(name, b'2', target.as_ref().to_str().unwrap(), b"")
}

pub(super) fn hard_link(name: &str, target: impl AsRef<Path>) -> Member {
    member(name, b'1', target.as_ref().to_str().unwrap(), b"")
}

pub(super) fn device(name: &str, letter: u8) -> Member {
    member(name, letter, "", b"")
}

/// The member under a name that GNU's extension has.
pub(super) fn long_gnu(name: &str, of: Member) -> Member {
    let before = member("././@LongLink", b'L', "", format!("{name}\0").as_bytes()).bytes();
    Member { before, ..of }
}

/// The member under a name that a pax header has, among values with anything in them.
pub(super) fn long_pax(name: &str, of: Member) -> Member {
    pax(&[("SCHILY.xattr.user.x", "a\nb=\n\n"), ("path", name), ("mtime", "1.5")], of)
}

/// The member with a pax header.
pub(super) fn pax(records: &[(&str, &str)], of: Member) -> Member {
    let records: String = records.iter().map(|(key, value)| record(key, value)).collect();
    Member { before: member("pax", b'x', "", records.as_bytes()).bytes(), ..of }
}

/// Its length counts its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let length = (1..9).map(|digits| rest + digits).find(|it| rest + it.to_string().len() == *it).unwrap();
    format!("{length} {key}={value}\n")
}

pub(super) fn tar(members: &[Member]) -> Vec<u8> {
    let mut archive: Vec<u8> = members.iter().flat_map(Member::bytes).collect();
    archive.extend([0; 1024]);
    archive
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}
