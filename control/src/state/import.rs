//! From lines to a store.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use ::redb::{Database, Error, ReadableDatabase, ReadableTableMetadata, Table as Stored};

use super::line::{self, ENTRIES_MAX, LASTING, Line, LineError};
use crate::medium::{Directory, MediumError, Table, contained, definition, redb};

/// What becomes of a store that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is not touched, and there is no import, unless it is empty.
    Keep,
    /// It goes, whatever it is: also one that is corrupted, or of a newer version.
    Replace,
}

/// Why there is no import. The store is as it was, or still not there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store cannot be written.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// There is a store with entries, which was to be kept.
    #[error("the store in {} is not empty", directory.display())]
    NotEmpty {
        /// Where it is.
        directory: PathBuf,
    },
    /// The export cannot be read.
    #[error("cannot read the export: {0}")]
    Input(#[source] io::Error),
    /// The export has a line that it should not have, or none where there should be one.
    #[error("line {line}: {problem}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineError,
    },
}

/// Makes a store in `directory` of the export that `input` gives, and says how many entries it has.
///
/// The store is made beside the one that is there, and takes its place when it is whole and on disk.
pub fn import(directory: &Path, input: &mut dyn BufRead, existing: Existing) -> Result<u64, ImportError> {
    let directory = Directory::make(directory)?;
    if existing == Existing::Keep && directory.is_used()? {
        require_empty(&directory)?;
    }
    let path = directory.new_file();
    let filled = redb::make(&directory).map_err(ImportError::from).and_then(|database| {
        let filled = contained("write", &path, || Ok(fill(&database, input, &path)))?;
        contained("close", &path, || Ok(database.close()?))?;
        filled
    });
    match filled {
        Ok(entries) => {
            directory.install()?;
            Ok(entries)
        }
        Err(error) => {
            // The first error tells more; what is left is removed by the next import.
            let _ = directory.discard();
            Err(error)
        }
    }
}

fn require_empty(directory: &Directory) -> Result<(), ImportError> {
    let path = directory.file();
    let (database, _) = redb::open_any(&path)?;
    let empty = contained("read", &path, || {
        let transaction = database.begin_read()?;
        let mut entries = 0;
        for table in Table::ALL {
            entries += transaction.open_table(definition(table))?.len()?;
        }
        Ok(entries == 0)
    });
    contained("close", &path, || Ok(database.close()?))?;
    if empty? { Ok(()) } else { Err(ImportError::NotEmpty { directory: directory.path().to_owned() }) }
}

/// Puts everything into `database` that `input` has, in one transaction.
fn fill(database: &Database, input: &mut dyn BufRead, path: &Path) -> Result<u64, ImportError> {
    let failed = |error: Error| ImportError::Medium(MediumError::of_redb("write", path, error));
    let mut transaction = database.begin_write().map_err(|e| failed(e.into()))?;
    transaction.set_two_phase_commit(true);
    let open = |table| transaction.open_table(definition(table)).map_err(|e| failed(e.into()));
    let [records, audit] = LASTING;
    let mut tables = [(records, open(records)?), (audit, open(audit)?)];
    let entries = read(input, |table, key, value| {
        let (_, stored) = tables.iter_mut().find(|(t, _)| *t == table).expect("exports have no other table");
        insert(stored, key, value).map_err(failed)
    })?;
    drop(tables);
    transaction.commit().map_err(|e| failed(e.into()))?;
    Ok(entries)
}

/// Puts an entry where none may be yet.
fn insert(stored: &mut Stored<'_, &str, &[u8]>, key: &str, value: &[u8]) -> Result<Seen, Error> {
    let old = stored.insert(key, value)?;
    Ok(if old.is_some() { Seen::Before } else { Seen::First })
}

/// Whether a key was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    First,
    Before,
}

/// Reads an export to its end, and gives each entry to `take`.
fn read(
    input: &mut dyn BufRead,
    mut take: impl FnMut(Table, &str, &[u8]) -> Result<Seen, ImportError>,
) -> Result<u64, ImportError> {
    let mut lines = Lines { input, buffer: Vec::new(), number: 0 };
    let schema = match lines.next()? {
        Some(first) => line::read_header(first).map_err(|problem| lines.wrong(problem))?,
        None => return Err(lines.wrong(LineError::NotAnExport)),
    };
    let mut entries = 0;
    loop {
        let next = lines.next()?.map(|text| line::read(schema, text));
        match next.unwrap_or(Err(LineError::CutOff)).map_err(|problem| lines.wrong(problem))? {
            Line::Entry { .. } if entries == ENTRIES_MAX => {
                return Err(lines.wrong(LineError::TooMany { max: ENTRIES_MAX }));
            }
            Line::Entry { table, key, value } => {
                if take(table, &key, &value)? == Seen::Before {
                    return Err(lines.wrong(LineError::Twice { key }));
                }
                entries += 1;
            }
            Line::End(said) if said != entries => {
                return Err(lines.wrong(LineError::Count { found: entries, said }));
            }
            Line::End(_) => break,
        }
    }
    match lines.next()? {
        Some(_) => Err(lines.wrong(LineError::AfterEnd)),
        None => Ok(entries),
    }
}

/// Lines with their numbers.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    buffer: Vec<u8>,
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<&[u8]>, ImportError> {
        self.number += 1;
        match line::next(self.input, &mut self.buffer).map_err(ImportError::Input)? {
            Ok(true) => Ok(Some(&self.buffer)),
            Ok(false) => Ok(None),
            Err(problem) => Err(self.wrong(problem)),
        }
    }

    /// An error about the line that was read last.
    fn wrong(&self, problem: LineError) -> ImportError {
        ImportError::Line { line: self.number, problem }
    }
}
