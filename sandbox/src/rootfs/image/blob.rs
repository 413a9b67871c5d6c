//! Blobs: files that are what their digest says.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use oci_spec::image::{Descriptor, DigestAlgorithm};
use sha2::{Digest, Sha256};

use super::error::ImageError;
use crate::rootfs::hexadecimal;

/// A blob that is being read. It may be used as it comes, if all that was made of it is thrown away when [`Blob::finish`] fails.
pub(super) struct Blob {
    file: io::Take<File>,
    path: String,
    sum: Sha256,
    read: u64,
    digest: String,
    size: u64,
}

impl Blob {
    /// Opens it, if it has the size that it should have.
    pub(super) fn open(layout: &Path, descriptor: &Descriptor) -> Result<Self, ImageError> {
        let path = format!("blobs/sha256/{}", digits(descriptor)?);
        let unreadable = |source| ImageError::Unreadable { file: path.clone(), source };
        let file = File::open(layout.join(&path)).map_err(unreadable)?;
        let actual = file.metadata().map_err(unreadable)?.len();
        let (digest, size) = (descriptor.digest().to_string(), descriptor.size());
        if actual != size {
            return Err(ImageError::Size { digest, declared: size, actual });
        }
        Ok(Self { file: file.take(size), path, sum: Sha256::new(), read: 0, digest, size })
    }

    /// Reads what is left of it, and says whether it was what it should be.
    pub(super) fn finish(mut self) -> Result<(), ImageError> {
        let read = io::copy(&mut self, &mut io::sink());
        read.map_err(|source| ImageError::Unreadable { file: self.path, source })?;
        if self.read != self.size {
            return Err(ImageError::Size { digest: self.digest, declared: self.size, actual: self.read });
        }
        let actual = hexadecimal(&self.sum.finalize());
        if self.digest.strip_prefix("sha256:") != Some(&actual) {
            return Err(ImageError::Digest { declared: self.digest, actual });
        }
        Ok(())
    }

    /// All of it.
    pub(super) fn bytes(mut self) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        let read = self.read_to_end(&mut bytes);
        read.map_err(|source| ImageError::Unreadable { file: self.path.clone(), source })?;
        self.finish().map(|()| bytes)
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.sum.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

/// The digest's digits: 64, lower-case, as the parser has seen to.
pub(super) fn digits(descriptor: &Descriptor) -> Result<&str, ImageError> {
    let digest = descriptor.digest();
    match digest.algorithm() {
        DigestAlgorithm::Sha256 => Ok(digest.digest()),
        _ => Err(ImageError::Algorithm { digest: digest.to_string() }),
    }
}
