//! The lines of an export.

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::medium::{KEY_BYTES, SCHEMA, Table, VALUE_BYTES, current_key};

/// What is wrong with one line of an export.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The first line does not say that this is an export.
    #[error("this is no export of a store")]
    NotAnExport,
    /// A newer version wrote the export. Import it with that one.
    #[error("the export has schema {found}, and this version knows schemas up to {known}")]
    Newer {
        /// Schema of the export.
        found: u64,
        /// The newest schema that this version knows.
        known: u64,
    },
    /// The line is longer than any that an export has.
    #[error("the line is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// The line is not JSON, or neither an entry nor the end.
    #[error("this is neither an entry nor the end: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The line has some of an entry's fields, or those of the end too.
    #[error("an entry has table, key and value, and the end has nothing but its count")]
    Fields,
    /// No table of this name is in exports.
    #[error("exports have no table {table:?}")]
    Table {
        /// The name.
        table: String,
    },
    /// No entry of the table has such a key.
    #[error("no entry of this table has the key {key:?}")]
    Key {
        /// The key.
        key: String,
    },
    /// The value is longer than that of any entry.
    #[error("the value is longer than {max} bytes")]
    ValueTooLong {
        /// The bound.
        max: usize,
    },
    /// An earlier line has the same table and key.
    #[error("{key:?} is there twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// There are more entries than a store has.
    #[error("there are more than {max} entries")]
    TooMany {
        /// The bound.
        max: u64,
    },
    /// The last line counts other entries than there are: some are missing.
    #[error("there are {found} entries, and the end says {said}")]
    Count {
        /// Entries that were read.
        found: u64,
        /// Entries that the last line speaks of.
        said: u64,
    },
    /// The export ends without its last line: it was cut off.
    #[error("the export ends without its last line")]
    CutOff,
    /// The export goes on after its last line.
    #[error("there is something after the end")]
    AfterEnd,
}

/// The tables that exports have.
pub(super) const LASTING: [Table; 2] = [Table::Records, Table::Audit];

/// Longest line. The longest entry fits.
pub(super) const LINE_BYTES: usize = 1 << 20;
// Six bytes are the longest escape of one; the rest is for the names of fields and table.
const _: () = assert!(VALUE_BYTES + 6 * KEY_BYTES + 256 <= LINE_BYTES);

/// Most entries of an export: fifty times what one daemon is made for.
pub(super) const ENTRIES_MAX: u64 = 1_000_000;

/// The first line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    wharf: String,
    schema: u64,
}

/// Any other line. Not an enum, as those that serde tells apart by their fields cannot have a raw value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    table: Option<String>,
    key: Option<String>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    end: Option<u64>,
}

#[derive(Serialize)]
struct Written<'a> {
    table: &'static str,
    key: &'a str,
    value: &'a RawValue,
}

/// A line that is no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// An entry, with the key that it has in the current schema.
    Entry { table: Table, key: String, value: Vec<u8> },
    /// The end, after so many entries.
    End(u64),
}

/// The first line of an export of a store with this schema.
pub(super) fn header(schema: u64) -> String {
    format!(r#"{{"wharf":"store","schema":{schema}}}"#)
}

/// The line of an entry; `None` if its value is no JSON.
pub(super) fn entry(table: Table, key: &str, value: &[u8]) -> Option<String> {
    // Between the tokens of JSON, and nowhere else, a line may end.
    let broken = value.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    let joined: Vec<u8>;
    let value = if broken {
        joined = value.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect();
        &joined
    } else {
        value
    };
    let value = serde_json::from_slice(value).ok()?;
    serde_json::to_string(&Written { table: table.name(), key, value }).ok()
}

/// The last line of an export of so many entries.
pub(super) fn end(entries: u64) -> String {
    format!(r#"{{"end":{entries}}}"#)
}

/// The schema that a first line tells.
pub(super) fn read_header(line: &[u8]) -> Result<u64, LineError> {
    match serde_json::from_slice(line) {
        Ok(Header { wharf, schema: found }) if wharf == "store" && found > SCHEMA => {
            Err(LineError::Newer { found, known: SCHEMA })
        }
        Ok(Header { wharf, schema: found @ 1.. }) if wharf == "store" => Ok(found),
        Ok(_) | Err(_) => Err(LineError::NotAnExport),
    }
}

/// Reads a line of an export of a store with this `schema`.
pub(super) fn read(schema: u64, line: &[u8]) -> Result<Line, LineError> {
    let fields: Fields<'_> = serde_json::from_slice(line)?;
    let (table, key, value) = match fields {
        Fields { table: None, key: None, value: None, end: Some(entries) } => return Ok(Line::End(entries)),
        Fields { table: Some(table), key: Some(key), value: Some(value), end: None } => (table, key, value),
        _ => return Err(LineError::Fields),
    };
    let Some(table) = LASTING.into_iter().find(|known| known.name() == table) else {
        return Err(LineError::Table { table });
    };
    let current = current_key(schema, table, &key).filter(|key| key.len() <= KEY_BYTES && table.admits(key));
    let Some(key) = current else {
        return Err(LineError::Key { key });
    };
    let value = value.get();
    if value.len() > VALUE_BYTES {
        return Err(LineError::ValueTooLong { max: VALUE_BYTES });
    }
    // A raw value may be deeper, and have greater numbers, than what will be read from the store.
    serde_json::from_str::<Value>(value)?;
    Ok(Line::Entry { table, key, value: value.as_bytes().to_owned() })
}

/// The next line without its end, in `buffer`; `false` if there is none.
pub(super) fn next(
    input: &mut dyn BufRead,
    buffer: &mut Vec<u8>,
) -> Result<Result<bool, LineError>, io::Error> {
    buffer.clear();
    let bound = LINE_BYTES as u64 + 1;
    let length = input.take(bound).read_until(b'\n', buffer)?;
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
    } else if length > LINE_BYTES {
        return Ok(Err(LineError::TooLong { max: LINE_BYTES }));
    }
    Ok(Ok(length > 0))
}
