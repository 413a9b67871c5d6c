//! Members of a layer's tar archive (POSIX.1-2001 pax, with GNU's long names).
//!
//! The library splits the archive; what it would read into memory without a bound, extended headers, is read here.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tar::{EntryType, Header};

use super::error::LayerFault;
use crate::limits;

/// What an image has used of its bounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    bytes: u64,
    entries: u64,
}

/// Something that a layer adds or hides.
#[derive(Debug)]
pub(super) struct Member {
    /// Below the root, without `.`, `..` and `/` before it; empty for the root itself.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Permissions, with whatever else is said there.
    pub(super) mode: u32,
    pub(super) modified: Option<SystemTime>,
    /// Bytes of its content.
    pub(super) size: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// A symbolic link, to whatever it says.
    Link(OsString),
    /// Another name of what is at this path below the root.
    HardLink(PathBuf),
    /// A device, pipe, or something unknown, by its letter.
    Special(u8),
}

/// What a member hides of the layers below, image-spec "Whiteouts".
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whiteout<'a> {
    /// All that is in its directory.
    All,
    /// This name in its directory.
    One(&'a OsStr),
    /// Nothing: it is AUFS' own.
    Nothing,
}

/// Where in an archive something went wrong.
#[derive(Debug)]
pub(super) struct Broken {
    /// The entry's name, for people.
    pub(super) entry: String,
    pub(super) fault: LayerFault,
}

impl Used {
    pub(super) fn entries(&mut self, more: u64) -> Result<(), LayerFault> {
        self.entries = self.entries.saturating_add(more);
        if self.entries > limits::IMAGE_ENTRIES { Err(LayerFault::Entries) } else { Ok(()) }
    }

    fn bytes(&mut self, more: u64) -> Result<(), LayerFault> {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > limits::IMAGE_BYTES { Err(LayerFault::Bytes) } else { Ok(()) }
    }
}

/// Calls `visit` for each member in order, with its content.
pub(super) fn each(
    from: impl Read,
    used: &mut Used,
    visit: impl FnMut(&Member, &mut dyn Read, &mut Used) -> Result<(), LayerFault>,
) -> Result<(), Broken> {
    let mut entry = String::new();
    walk(from, used, &mut entry, visit).map_err(|fault| Broken { entry, fault })
}

fn walk(
    from: impl Read,
    used: &mut Used,
    at: &mut String,
    mut visit: impl FnMut(&Member, &mut dyn Read, &mut Used) -> Result<(), LayerFault>,
) -> Result<(), LayerFault> {
    let mut archive = tar::Archive::new(from);
    let mut ahead = Ahead::default();
    for entry in archive.entries().map_err(LayerFault::Malformed)?.raw(true) {
        let mut entry = entry.map_err(LayerFault::Malformed)?;
        *at = ahead.shown(entry.header());
        used.entries(1)?;
        used.bytes(entry.size())?;
        if !ahead.take(&mut entry)? {
            let member = std::mem::take(&mut ahead).member(entry.header(), entry.size())?;
            visit(&member, &mut entry, used)?;
        }
    }
    Ok(())
}

impl Member {
    /// What it hides, if it is there for that.
    pub(super) fn whiteout(&self) -> Result<Option<Whiteout<'_>>, LayerFault> {
        let Some(name) = self.path.file_name() else { return Ok(None) };
        if name == OPAQUE {
            return Ok(Some(Whiteout::All));
        }
        if self.path.iter().any(|part| part.as_bytes().starts_with(AUFS)) {
            return Ok(Some(Whiteout::Nothing));
        }
        match name.as_bytes().strip_prefix(WHITEOUT) {
            None => Ok(None),
            Some(b"" | b"." | b"..") => Err(LayerFault::NoName),
            Some(hidden) => Ok(Some(Whiteout::One(OsStr::from_bytes(hidden)))),
        }
    }
}

/// What extended headers have said of the next member.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Ahead {
    /// Reads an extended header; `false` if it is none.
    fn take<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<bool, LayerFault> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(text(entry)?),
            EntryType::GNULongLink => self.link = Some(text(entry)?),
            EntryType::XHeader => self.records(&extension(entry)?).ok_or_else(malformed)?,
            // Of the archive: the commit that it is of, say.
            EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `length key=value\n`, again and again; values may have anything in them (pax, "Extended Header").
    fn records(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ')?;
            let length: usize = str::from_utf8(&records[..space]).ok()?.parse().ok()?;
            let (record, rest) = records.split_at_checked(length)?;
            let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(str::from_utf8(value).ok()?.parse().ok()?),
                key => self.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
            records = rest;
        }
        Some(())
    }

    fn member(self, header: &Header, size: u64) -> Result<Member, LayerFault> {
        if self.size.is_some_and(|declared| declared != size) {
            return Err(if self.size > Some(limits::IMAGE_BYTES) {
                LayerFault::Bytes
            } else {
                LayerFault::Sizes
            });
        }
        let name = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = || self.link.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default();
        let kind = match header.entry_type() {
            EntryType::GNUSparse => return Err(LayerFault::Sparse),
            _ if self.is_sparse => return Err(LayerFault::Sparse),
            EntryType::Directory => Kind::Directory,
            // Of before POSIX.
            EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Symlink => Kind::Link(OsString::from_vec(link())),
            EntryType::Link => Kind::HardLink(place(&link())?),
            other => Kind::Special(other.as_byte()),
        };
        let modified = header.mtime().ok().map(Duration::from_secs);
        Ok(Member {
            path: place(&name)?,
            kind,
            mode: header.mode().unwrap_or(0),
            modified: modified.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
            size,
        })
    }

    fn shown(&self, header: &Header) -> String {
        let name = self.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
        String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES)]).into_owned()
    }
}

/// A path below the root. Absolute ones count from there, as they do for other tools.
fn place(name: &[u8]) -> Result<PathBuf, LayerFault> {
    if name.len() > limits::IMAGE_PATH_BYTES {
        return Err(LayerFault::TooLong);
    }
    if name.contains(&0) {
        return Err(LayerFault::NoName);
    }
    let mut place = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::ParentDir => return Err(LayerFault::Parent),
            Component::Normal(part) => place.push(part),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if place.iter().count() > limits::PATH_DEPTH { Err(LayerFault::TooDeep) } else { Ok(place) }
}

fn text<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, LayerFault> {
    let mut text = extension(entry)?;
    text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    Ok(text)
}

fn extension<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, LayerFault> {
    let size = entry.size();
    if size > limits::IMAGE_EXTENSION_BYTES {
        return Err(LayerFault::Extension);
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(LayerFault::Malformed)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(LayerFault::CutOff) }
}

fn malformed() -> LayerFault {
    LayerFault::Malformed(io::ErrorKind::InvalidData.into())
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Files of AUFS, for which whiteouts were invented.
const AUFS: &[u8] = b".wh..wh.";

/// Bytes of a name in an error.
const SHOWN_BYTES: usize = 256;
