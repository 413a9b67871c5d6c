//! Reading of zip archives (PKWARE APPNOTE 6.3), by what the central directory says.
//!
//! Our own, because a library makes its own table of everything before we could look, and keeps one of two entries of the same
//! name. Local headers are used for nothing but where an entry's bytes begin, so it does not matter what else they say.
//!
//! ```text
//!   local header, name, extra, bytes │ … │ central directory: headers, names, extras, comments │ (zip64 end, locator) │ end
//!   ▲ offset in the header           │   │ ▲ offset in the end                                 │
//! ```

use std::io::{self, BufRead, Write};
use std::ops::Range;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::error::{Bound, CodeError};
use crate::limits;

/// An archive whose central directory is where its end says, with as many entries as it may have.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    directory: Range<usize>,
    entries: u64,
}

/// What the central directory says of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// As it is in the archive.
    pub(super) name: &'a [u8],
    /// Type and permissions, if the archive is from a Unix.
    pub(super) mode: Option<u32>,
    /// Bytes, unpacked.
    pub(super) size: u64,
    flags: u16,
    method: u16,
    checksum: u32,
    packed: u64,
    offset: u64,
}

impl<'a> Archive<'a> {
    /// Finds the central directory. Allocates nothing.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, CodeError> {
        within(Bound::Archive, bytes.len() as u64, limits::ARCHIVE_BYTES)?;
        let begun = bytes.starts_with(&LOCAL.to_le_bytes());
        let end = End::find(bytes).ok_or(if begun { CodeError::Truncated } else { CodeError::NotZip })?;
        within(Bound::Entries, end.entries, limits::CODE_ENTRIES)?;
        let malformed = CodeError::Malformed { offset: end.at as u64 };
        let (Ok(from), Ok(size)) = (usize::try_from(end.offset), usize::try_from(end.size)) else {
            return Err(malformed);
        };
        match from.checked_add(size) {
            Some(to) if to <= end.at && end.is_whole => {
                Ok(Self { bytes, directory: from..to, entries: end.entries })
            }
            _ => Err(malformed),
        }
    }

    /// All entries in order, and that there is nothing but them.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, CodeError>> {
        let mut fields = Fields(&self.bytes[self.directory.clone()]);
        let mut left = self.entries;
        std::iter::from_fn(move || {
            let offset = (self.directory.end - fields.0.len()) as u64;
            if left == 0 {
                let rest = std::mem::take(&mut fields.0);
                return (!rest.is_empty()).then_some(Err(CodeError::Malformed { offset }));
            }
            left -= 1;
            let entry = Entry::read(&mut fields);
            if entry.is_none() {
                (left, fields) = (0, Fields(&[]));
            }
            Some(entry.ok_or(CodeError::Malformed { offset }))
        })
    }

    /// Where the entry is, header and bytes.
    pub(super) fn span(&self, entry: &Entry<'_>) -> Result<Range<usize>, CodeError> {
        let malformed = || CodeError::Malformed { offset: entry.offset };
        let start = usize::try_from(entry.offset).map_err(|_| malformed())?;
        let packed = usize::try_from(entry.packed).map_err(|_| malformed())?;
        let data = self.data_start(start).ok_or_else(malformed)?;
        let end =
            data.checked_add(packed).filter(|&end| end <= self.directory.start).ok_or_else(malformed)?;
        Ok(start..end)
    }

    /// Writes the entry's bytes, unless there are more than it declares, and compares their checksum.
    pub(super) fn copy(&self, entry: &Entry<'_>, to: &mut impl Write) -> Result<(), CodeError> {
        let malformed = CodeError::Malformed { offset: entry.offset };
        let span = self.span(entry)?;
        let data = self.data_start(span.start).ok_or(malformed)?;
        let packed = &self.bytes[data..span.end];
        match entry.method {
            STORED => entry.copy(packed, to),
            DEFLATED => entry.copy(io::BufReader::with_capacity(CHUNK, DeflateDecoder::new(packed)), to),
            method => Err(CodeError::Method { entry: entry.shown(), method }),
        }
    }

    fn data_start(&self, header: usize) -> Option<usize> {
        let mut fields = Fields(self.bytes.get(header..self.directory.start)?);
        (fields.u32()? == LOCAL).then_some(())?;
        fields.take(22)?;
        let (name, extra) = (fields.u16()?, fields.u16()?);
        Some(header + LOCAL_BYTES + usize::from(name) + usize::from(extra))
    }
}

impl<'a> Entry<'a> {
    /// APPNOTE 4.3.12.
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        (fields.u32()? == CENTRAL).then_some(())?;
        let (made_by, _needed) = (fields.u16()?, fields.u16()?);
        let (flags, method) = (fields.u16()?, fields.u16()?);
        let (_modified, checksum) = (fields.u32()?, fields.u32()?);
        let (packed, size) = (fields.u32()?, fields.u32()?);
        let [name, extra, comment, _disk, _internal] =
            [fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?];
        let (external, offset) = (fields.u32()?, fields.u32()?);
        let name = fields.take(name.into())?;
        let mut long = Long(zip64(fields.take(extra.into())?));
        fields.take(comment.into())?;
        let is_unix = matches!(made_by >> 8, UNIX | MACOS);
        // The order is that of the extra field: size, packed, offset.
        Some(Self {
            name,
            mode: is_unix.then_some(external >> 16),
            size: long.widen(size)?,
            flags,
            method,
            checksum,
            packed: long.widen(packed)?,
            offset: long.widen(offset)?,
        })
    }

    /// Refuses what we could not unpack.
    pub(super) fn check(&self) -> Result<(), CodeError> {
        if self.flags & ENCRYPTED != 0 {
            return Err(CodeError::Encrypted { entry: self.shown() });
        }
        if ![STORED, DEFLATED].contains(&self.method) {
            return Err(CodeError::Method { entry: self.shown(), method: self.method });
        }
        Ok(())
    }

    /// Its name for people, at most so long that it can be read.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name[..self.name.len().min(SHOWN_BYTES)]).into_owned()
    }

    fn copy(&self, from: impl BufRead, to: &mut impl Write) -> Result<(), CodeError> {
        let mut from = from.take(self.size.saturating_add(1));
        let (mut checksum, mut written) = (Crc::new(), 0);
        loop {
            let chunk = from.fill_buf().map_err(|_| CodeError::Corrupt { entry: self.shown() })?;
            if chunk.is_empty() {
                break;
            }
            let count = chunk.len();
            written += count as u64;
            if written > self.size {
                break;
            }
            checksum.update(chunk);
            to.write_all(chunk).map_err(CodeError::system("write a file of the archive"))?;
            from.consume(count);
        }
        let actual = checksum.sum();
        if written != self.size {
            return Err(CodeError::Size { entry: self.shown(), declared: self.size });
        }
        if actual != self.checksum {
            return Err(CodeError::Checksum { entry: self.shown(), declared: self.checksum, actual });
        }
        Ok(())
    }
}

/// Refuses what is more than it may be.
pub(super) fn within(bound: Bound, is: u64, most: u64) -> Result<(), CodeError> {
    if is <= most { Ok(()) } else { Err(CodeError::TooLarge { bound, is, most }) }
}

/// What the archive's end says.
struct End {
    /// Where the records of the end begin.
    at: usize,
    entries: u64,
    size: u64,
    offset: u64,
    /// The archive is in one part.
    is_whole: bool,
}

impl End {
    /// The last record that ends, with its comment, where the archive ends. APPNOTE 4.3.16.
    fn find(bytes: &[u8]) -> Option<Self> {
        let last = bytes.len().checked_sub(END_BYTES)?;
        let first = last.saturating_sub(u16::MAX.into());
        (first..=last).rev().find_map(|at| {
            let mut fields = Fields(&bytes[at..]);
            (fields.u32()? == END).then_some(())?;
            let [disk, directory_disk, here, entries] =
                [fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?];
            let (size, offset) = (fields.u32()?, fields.u32()?);
            let comment = fields.u16()?;
            (fields.0.len() == usize::from(comment)).then_some(())?;
            let short = Self {
                at,
                entries: entries.into(),
                size: size.into(),
                offset: offset.into(),
                is_whole: disk == 0 && directory_disk == 0 && here == entries,
            };
            let is_long = entries == u16::MAX || size == u32::MAX || offset == u32::MAX;
            is_long.then(|| Self::find_long(bytes, at)).flatten().or(Some(short))
        })
    }

    /// The zip64 record, by the locator in front of the end. APPNOTE 4.3.14, 4.3.15.
    fn find_long(bytes: &[u8], end: usize) -> Option<Self> {
        let mut locator = Fields(bytes.get(end.checked_sub(LOCATOR_BYTES)?..end)?);
        (locator.u32()? == LOCATOR).then_some(())?;
        let (_disk, offset) = (locator.u32()?, locator.u64()?);
        let at = usize::try_from(offset).ok()?;
        let mut fields = Fields(bytes.get(at..end - LOCATOR_BYTES)?);
        (fields.u32()? == END_LONG).then_some(())?;
        let (_size, _versions) = (fields.u64()?, fields.u32()?);
        let (disk, directory_disk) = (fields.u32()?, fields.u32()?);
        let (here, entries) = (fields.u64()?, fields.u64()?);
        let (size, offset) = (fields.u64()?, fields.u64()?);
        Some(Self {
            at,
            entries,
            size,
            offset,
            is_whole: disk == 0 && directory_disk == 0 && here == entries,
        })
    }
}

/// The extra field with what does not fit into 32 bits; empty if there is none. APPNOTE 4.5.3.
fn zip64(extra: &[u8]) -> &[u8] {
    let mut fields = Fields(extra);
    while let (Some(id), Some(length)) = (fields.u16(), fields.u16()) {
        match fields.take(length.into()) {
            Some(value) if id == 1 => return value,
            Some(_) => {}
            None => break,
        }
    }
    &[]
}

/// Values of the zip64 extra field, each there only if it is needed.
struct Long<'a>(&'a [u8]);

impl Long<'_> {
    /// The value itself, or the next one if it says so. `None` if that is missing.
    fn widen(&mut self, value: u32) -> Option<u64> {
        if value != u32::MAX {
            return Some(value.into());
        }
        let mut fields = Fields(self.0);
        let wide = fields.u64();
        self.0 = fields.0;
        wide
    }
}

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_LONG: u32 = 0x0606_4b50;
const LOCATOR: u32 = 0x0706_4b50;

/// Of a local header, without name and extra field.
const LOCAL_BYTES: usize = 30;
/// Of the end, without comment.
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Flags: encrypted, strongly encrypted, names hidden (APPNOTE 4.4.4).
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// Systems whose archives say a mode (APPNOTE 4.4.2).
const UNIX: u16 = 3;
const MACOS: u16 = 19;

/// Bytes that are decompressed at a time.
const CHUNK: usize = 64 << 10;

/// Bytes of a name in an error.
const SHOWN_BYTES: usize = 256;
