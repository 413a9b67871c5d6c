//! Archives byte by byte, with lies that no library would tell.

use std::io::Write;

use flate2::{Compression, Crc, write::DeflateEncoder};

/// An entry. What it says and what it is need not agree.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) name: Vec<u8>,
    /// In the local header; the same if `None`.
    pub(super) local_name: Option<Vec<u8>>,
    pub(super) mode: u32,
    pub(super) system: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) checksum: u32,
    pub(super) data: Vec<u8>,
    pub(super) size: u64,
    /// As many bytes as there are if `None`.
    pub(super) packed: Option<u64>,
    /// Where it is if `None`.
    pub(super) offset: Option<u64>,
    /// No local header and no bytes of its own.
    pub(super) is_in_directory_only: bool,
}

/// What the end says, as what is so.
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
}

pub(super) fn entry(name: impl AsRef<[u8]>, mode: u32, content: &[u8]) -> Forged {
    Forged {
        name: name.as_ref().to_vec(),
        local_name: None,
        mode,
        system: 3,
        flags: 0,
        method: 0,
        checksum: checksum(content),
        data: content.to_vec(),
        size: content.len() as u64,
        packed: None,
        offset: None,
        is_in_directory_only: false,
    }
}

pub(super) fn file(name: impl AsRef<[u8]>) -> Forged {
    entry(name, 0o100_644, b"content")
}

pub(super) fn link(name: &str, target: &str) -> Forged {
    entry(name, 0o120_777, target.as_bytes())
}

/// Zeros, deflated.
pub(super) fn zeros(name: &str, count: u64) -> Forged {
    let chunk = vec![0; 1 << 20];
    let (mut encoder, mut sum) = (DeflateEncoder::new(Vec::new(), Compression::new(1)), Crc::new());
    let mut left = count;
    while left > 0 {
        let now = left.min(chunk.len() as u64) as usize;
        encoder.write_all(&chunk[..now]).expect("memory");
        sum.update(&chunk[..now]);
        left -= now as u64;
    }
    let data = encoder.finish().expect("memory");
    Forged { method: 8, data, size: count, checksum: sum.sum(), ..file(name) }
}

pub(super) fn archive(entries: &[Forged]) -> Vec<u8> {
    archive_with(entries, |_| {})
}

/// With an end that `lie` changes; it is a zip64 one if the numbers need it.
pub(super) fn archive_with(entries: &[Forged], lie: impl FnOnce(&mut End)) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = entry.offset.unwrap_or(bytes.len() as u64);
        if !entry.is_in_directory_only {
            entry.put_local(&mut bytes);
        }
        entry.put_central(&mut directory, offset);
    }
    let mut end =
        End { entries: entries.len() as u64, size: directory.len() as u64, offset: bytes.len() as u64 };
    bytes.extend(directory);
    lie(&mut end);
    end.put(&mut bytes);
    bytes
}

pub(super) fn checksum(content: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(content);
    sum.sum()
}

impl Forged {
    fn put_local(&self, to: &mut Vec<u8>) {
        let name = self.local_name.as_ref().unwrap_or(&self.name);
        put(to, &[0x0403_4b50], 4);
        put(to, &[20, self.flags.into(), self.method.into(), 0, 0x21], 2);
        put(to, &[0, 0, 0], 4);
        put(to, &[name.len() as u64, 0], 2);
        to.extend(name);
        to.extend(&self.data);
    }

    fn put_central(&self, to: &mut Vec<u8>, offset: u64) {
        let long = [self.size, self.packed.unwrap_or(self.data.len() as u64), offset];
        let wide: Vec<u64> = long.into_iter().filter(|&value| value >= u64::from(u32::MAX)).collect();
        put(to, &[0x0201_4b50], 4);
        put(to, &[u64::from(self.system) * 256 + 20, 20, self.flags.into(), self.method.into(), 0, 0x21], 2);
        let [size, packed, offset] = long.map(|value| value.min(u32::MAX.into()));
        put(to, &[self.checksum.into(), packed, size], 4);
        let extra = if wide.is_empty() { 0 } else { 4 + 8 * wide.len() as u64 };
        put(to, &[self.name.len() as u64, extra, 0, 0, 0], 2);
        put(to, &[u64::from(self.mode) << 16, offset], 4);
        to.extend(&self.name);
        if extra != 0 {
            put(to, &[1, extra - 4], 2);
            put(to, &wide, 8);
        }
    }
}

impl End {
    fn put(&self, to: &mut Vec<u8>) {
        let at = to.len() as u64;
        let (most, most_long) = (u64::from(u16::MAX), u64::from(u32::MAX));
        if self.entries >= most || self.size >= most_long || self.offset >= most_long {
            put(to, &[0x0606_4b50], 4);
            put(to, &[44], 8);
            put(to, &[45, 45], 2);
            put(to, &[0, 0], 4);
            put(to, &[self.entries, self.entries, self.size, self.offset], 8);
            put(to, &[0x0706_4b50, 0], 4);
            put(to, &[at], 8);
            put(to, &[1], 4);
        }
        put(to, &[0x0605_4b50], 4);
        put(to, &[0, 0, self.entries.min(most), self.entries.min(most)], 2);
        put(to, &[self.size.min(most_long), self.offset.min(most_long)], 4);
        put(to, &[0], 2);
    }
}

/// Little-endian numbers of `width` bytes.
fn put(to: &mut Vec<u8>, values: &[u64], width: usize) {
    to.extend(values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(width)));
}
