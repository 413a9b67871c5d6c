//! From a store to lines.

use std::io::{self, Write};
use std::path::Path;

use ::redb::{Database, Error};

use super::line::{self, LASTING};
use crate::medium::{Directory, MediumError, Table, contained, redb};

/// Why there is no export. What has been written so far is not one, for want of its last line.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// The export cannot be written.
    #[error("cannot write the export: {0}")]
    Output(#[source] io::Error),
}

/// Writes the store in `directory` to `out`, and says how many entries there were. The store keeps the schema that it has, and the
/// export is of that schema.
///
/// Every page of the store is checked before. That needs a file that can be written; of a disk that is read-only, export a copy.
pub fn export(directory: &Path, out: &mut dyn Write) -> Result<u64, ExportError> {
    let directory = Directory::lock(directory)?;
    let path = directory.file();
    let (database, schema) = redb::open_any(&path)?;
    let written = contained("read", &path, || Ok(write(&database, schema, out)))?;
    let closed = contained("close", &path, || Ok(database.close()?));
    let entries = written.map_err(|stop| match stop {
        Stop::Redb(error) => ExportError::Medium(MediumError::of_redb("read", &path, error)),
        Stop::Output(error) => ExportError::Output(error),
    })?;
    closed?;
    Ok(entries)
}

/// Why writing stopped.
enum Stop {
    Redb(Error),
    Output(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Redb(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn write(database: &Database, schema: u64, out: &mut dyn Write) -> Result<u64, Stop> {
    writeln!(out, "{}", line::header(schema))?;
    let mut entries = 0;
    for table in LASTING {
        redb::each(database, table, |key, value| {
            let line = line::entry(table, key, value).ok_or_else(|| no_json(table, key))?;
            entries += 1;
            Ok::<(), Stop>(writeln!(out, "{line}")?)
        })?;
    }
    writeln!(out, "{}", line::end(entries))?;
    out.flush()?;
    Ok(entries)
}

fn no_json(table: Table, key: &str) -> Stop {
    Stop::Redb(Error::Corrupted(format!("the value of {key:?} in {} is no JSON", table.name())))
}
