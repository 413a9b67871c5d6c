//! A medium in a file, by redb.
//!
//! Commits are in two phases: with redb's other kind, damage to the newest commit makes it go back to the one before without a word,
//! and an answer that somebody has got would be untrue. Every page is checked when the file is opened, which takes about as long as
//! reading it; redb's quick repair, which would save that after a kill, makes commits slower instead.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::redb::backends::FileBackend;
use ::redb::{Builder, Database, DatabaseError, Error, ReadableDatabase, ReadableTable};

use super::directory::Directory;
use super::error::contained;
use super::schema::{self, SCHEMA, definition};
use super::{KEY_BYTES, Medium, MediumError, Table, VALUE_BYTES, Write};

/// Keeps everything in one file of a directory.
pub(crate) struct Redb {
    opener: Box<Opener>,
    /// The only place where the database is, so that nothing but this decides when it closes.
    state: Mutex<State>,
    /// Dropped after the database.
    directory: Directory,
}

/// How the file is opened.
pub(crate) type Opener = dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync;

/// Values of entries, or that there are none.
type Image = BTreeMap<(Table, String), Option<Vec<u8>>>;

/// A database after an error can do nothing more, and is opened again for the next call.
enum State {
    Open(Database),
    /// Closed by an error, with what the entries were before the write that failed: a disk that fails as the last bytes are written
    /// leaves it open whether they are there.
    Closed {
        before: Image,
    },
}

impl Redb {
    /// Opens the store in `directory`, and makes it if it does not exist. What an older version wrote is brought to the schema of
    /// this one.
    pub(crate) fn open(directory: &Path) -> Result<Self, MediumError> {
        Self::open_with(directory, Box::new(|path| builder().open(path)))
    }

    pub(super) fn open_with(directory: &Path, opener: Box<Opener>) -> Result<Self, MediumError> {
        let directory = Directory::make(directory)?;
        if !directory.is_used()? {
            let new = make(&directory)?;
            contained("make", &directory.new_file(), || Ok(new.close()?))?;
            directory.install()?;
        }
        let database = open_current(&directory.file(), &*opener)?;
        Ok(Self { opener, state: Mutex::new(State::Open(database)), directory })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked was not within redb, whose panics are contained; what is there is as good as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, opened again if an error has closed it.
    fn database<'s>(&self, state: &'s mut State) -> Result<&'s Database, MediumError> {
        if let State::Closed { before } = state {
            let path = self.directory.file();
            let database = open_current(&path, &*self.opener)?;
            contained("write", &path, || restore(&database, before))?;
            *state = State::Open(database);
        }
        match state {
            State::Open(database) => Ok(database),
            State::Closed { .. } => unreachable!("it was opened above"),
        }
    }

    fn close(&self, state: &mut State, before: Image) {
        if let State::Open(database) = std::mem::replace(state, State::Closed { before })
            && let Err(error) = contained("close", &self.directory.file(), || Ok(database.close()?))
        {
            // After the error for which it is closed, one of the closing itself says nothing new.
            tracing::debug!(%error, "the store was closed after an error");
        }
    }
}

impl Medium for Redb {
    fn load(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, MediumError> {
        let state = &mut *self.lock();
        let database = self.database(state)?;
        let mut entries = Vec::new();
        let loaded = contained("read", &self.directory.file(), || {
            each(database, table, |key, value| {
                entries.push((key.to_owned(), value.to_owned()));
                Ok::<(), Error>(())
            })
        });
        if loaded.is_err() {
            self.close(state, Image::new());
        }
        loaded.map(|()| entries)
    }

    fn write(&self, writes: &[Write]) -> Result<(), MediumError> {
        for Write { table, key, value } in writes {
            assert!(table.admits(key), "no key of {}: {key:?}", table.name());
            assert!(key.len() <= KEY_BYTES, "{key:?} is longer than {KEY_BYTES}");
            let length = value.as_ref().map_or(0, Vec::len);
            assert!(length <= VALUE_BYTES, "the value of {key} is longer than {VALUE_BYTES}");
        }
        let state = &mut *self.lock();
        let database = self.database(state)?;
        let mut before = Image::new();
        let written = contained("write", &self.directory.file(), || apply(database, writes, &mut before));
        if written.is_err() {
            self.close(state, before);
        }
        written
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        let mut state = self.lock();
        self.close(&mut state, Image::new());
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// How we open files.
pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// A new store without entries, in the directory's new file.
pub(crate) fn make(directory: &Directory) -> Result<Database, MediumError> {
    let file = directory.begin()?;
    contained("make", &directory.new_file(), || {
        let database = builder().create_with_backend(FileBackend::new(file)?)?;
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        for table in Table::ALL {
            transaction.open_table(definition(table))?;
        }
        schema::set(&transaction, SCHEMA)?;
        transaction.commit()?;
        Ok(database)
    })
}

/// Opens the store's file, whose schema is this version's or an older one.
pub(crate) fn open_any(path: &Path) -> Result<(Database, u64), MediumError> {
    open_by(path, &|path| builder().open(path))
}

fn open_by(path: &Path, opener: &Opener) -> Result<(Database, u64), MediumError> {
    let (database, schema) = contained("open", path, || {
        let database = opener(path)?;
        let schema = schema::read(&database)?;
        Ok((database, schema))
    })?;
    let refusal = match schema {
        Some(found @ 1..=SCHEMA) => return Ok((database, found)),
        Some(found) if found > SCHEMA => MediumError::Newer { path: path.to_owned(), found, known: SCHEMA },
        Some(_) | None => {
            let problem = "it does not say which schema it has".to_owned();
            MediumError::Corrupted { path: path.to_owned(), problem }
        }
    };
    contained("close", path, || Ok(database.close()?))?;
    Err(refusal)
}

fn open_current(path: &Path, opener: &Opener) -> Result<Database, MediumError> {
    let (database, found) = open_by(path, opener)?;
    if found < SCHEMA {
        contained("migrate", path, || schema::migrate(&database, found))?;
        tracing::info!(from = found, to = SCHEMA, "the store has a new schema");
    }
    Ok(database)
}

/// Gives every entry of `table` to `take`, in order of keys.
pub(crate) fn each<E: From<Error>>(
    database: &Database,
    table: Table,
    mut take: impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let stored =
        database.begin_read().map_err(Error::from)?.open_table(definition(table)).map_err(Error::from)?;
    for entry in stored.iter().map_err(Error::from)? {
        let (key, value) = entry.map_err(Error::from)?;
        take(key.value(), value.value())?;
    }
    Ok(())
}

/// Carries out `writes`, and tells what was there `before`.
fn apply(database: &Database, writes: &[Write], before: &mut Image) -> Result<(), Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    for table in Table::ALL {
        let mut writes = writes.iter().filter(|write| write.table == table).peekable();
        if writes.peek().is_none() {
            continue;
        }
        let mut stored = transaction.open_table(definition(table))?;
        for Write { key, value, .. } in writes {
            let old = match value {
                Some(value) => stored.insert(key.as_str(), value.as_slice())?,
                None => stored.remove(key.as_str())?,
            };
            // Of several writes to a key, the first found what was there.
            before.entry((table, key.clone())).or_insert_with(|| old.map(|old| old.value().to_owned()));
        }
    }
    Ok(transaction.commit()?)
}

/// Makes the entries of `image` what they are there, if they are not.
fn restore(database: &Database, image: &Image) -> Result<(), Error> {
    let transaction = database.begin_read()?;
    let mut writes = Vec::new();
    for ((table, key), value) in image {
        let stored = transaction.open_table(definition(*table))?.get(key.as_str())?;
        if stored.as_ref().map(::redb::AccessGuard::value) != value.as_deref() {
            writes.push(Write { table: *table, key: key.clone(), value: value.clone() });
        }
    }
    drop(transaction);
    if writes.is_empty() { Ok(()) } else { apply(database, &writes, &mut Image::new()) }
}

/// What redb keeps of the file in memory. The entries are in ours already, and are read once.
const CACHE_BYTES: usize = 8 << 20;
