//! Deliveries in a file, by redb, as the resources' store is one: commits in two phases, every page checked when it is opened, and nothing but
//! an error comes of damage.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::redb::backends::FileBackend;
use ::redb::{Database, Error, ReadableDatabase, ReadableTable, TableDefinition};
use bytes::Bytes;
use control_core::InvocationId;

use super::{Keep, Part, Put, record};
use crate::medium::redb::{Opener, builder};
use crate::medium::{MediumError, contained, schema};

/// Keeps everything in one file. Its directory is locked by whoever has the resources' store open.
pub(super) struct File {
    path: PathBuf,
    opener: Box<Opener>,
    /// Nothing after an error: a database can do nothing more then, and is opened again for the next call.
    database: Option<Database>,
}

/// Name of the file.
pub(super) const FILE: &str = "invocations.redb";

/// Name of the file while it is being made.
const NEW_FILE: &str = "invocations.redb.new";

/// The form of what is kept.
const SCHEMA: u64 = 1;

type Definition = TableDefinition<'static, &'static str, &'static [u8]>;

const RECORDS: Definition = TableDefinition::new("records");
const EVENTS: Definition = TableDefinition::new("events");
const ANSWERS: Definition = TableDefinition::new("answers");

impl File {
    /// Opens the file in `directory`, and makes it if it does not exist.
    pub(super) fn open(directory: &Path) -> Result<Self, MediumError> {
        Self::open_with(directory, Box::new(|path| builder().open(path)))
    }

    pub(super) fn open_with(directory: &Path, opener: Box<Opener>) -> Result<Self, MediumError> {
        let path = directory.join(FILE);
        if !path.try_exists().map_err(|e| MediumError::system("look for", &path, e))? {
            make(directory, &path)?;
        }
        let mut file = Self { path, opener, database: None };
        file.with("open", |_| Ok(()))?;
        Ok(file)
    }

    /// Does `step` with the database, which is opened before if it has to be, and closed after an error.
    fn with<T>(
        &mut self,
        step: &'static str,
        run: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, MediumError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path, &*self.opener)?,
        };
        let done = contained(step, &self.path, || run(&database));
        match done {
            Ok(_) => self.database = Some(database),
            Err(_) => close(&self.path, database),
        }
        done
    }
}

impl Keep for File {
    fn load(&mut self) -> Result<Vec<(InvocationId, Vec<u8>)>, MediumError> {
        let kept = self.with("read", |database| {
            let records = database.begin_read()?.open_table(RECORDS)?;
            let mut kept = Vec::new();
            for entry in records.iter()? {
                let (key, value) = entry?;
                kept.push((key.value().to_owned(), value.value().to_owned()));
            }
            Ok(kept)
        })?;
        let wrong = |key: &str| MediumError::Corrupted {
            path: self.path.clone(),
            problem: format!("{key:?} is the id of no invocation"),
        };
        let known = |(key, value): (String, Vec<u8>)| {
            InvocationId::parse(&key).map(|id| (id, value)).ok_or_else(|| wrong(&key))
        };
        kept.into_iter().map(known).collect()
    }

    fn write(&mut self, puts: &[Put]) -> Result<(), MediumError> {
        self.with("write", |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_two_phase_commit(true);
            {
                let mut records = transaction.open_table(RECORDS)?;
                let mut events = transaction.open_table(EVENTS)?;
                let mut answers = transaction.open_table(ANSWERS)?;
                for put in puts {
                    match put {
                        Put::Record(id, value) => _ = records.insert(&*id.to_string(), &**value)?,
                        Put::Event(id, bytes) => _ = events.insert(&*id.to_string(), &**bytes)?,
                        Put::Answer(id, bytes) => _ = answers.insert(&*id.to_string(), &**bytes)?,
                        Put::Done(id) => _ = events.remove(&*id.to_string())?,
                        Put::Gone(id) => {
                            let key = id.to_string();
                            records.remove(&*key)?;
                            events.remove(&*key)?;
                            answers.remove(&*key)?;
                        }
                    }
                }
            }
            Ok(transaction.commit()?)
        })
    }

    fn read(&mut self, part: Part, id: InvocationId) -> Result<Option<Bytes>, MediumError> {
        let table = match part {
            Part::Event => EVENTS,
            Part::Answer => ANSWERS,
        };
        self.with("read", |database| {
            let found = database.begin_read()?.open_table(table)?.get(&*id.to_string())?;
            Ok(found.map(|found| Bytes::copy_from_slice(found.value())))
        })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            close(&self.path, database);
        }
    }
}

/// Makes an empty file. It becomes the one that counts by a rename, so that it is never there in part.
fn make(directory: &Path, path: &Path) -> Result<(), MediumError> {
    let new = directory.join(NEW_FILE);
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(MediumError::system("remove", &new, e)),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new);
    let file = file.map_err(|e| MediumError::system("make", &new, e))?;
    contained("make", &new, || {
        let database = builder().create_with_backend(FileBackend::new(file)?)?;
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        for table in [RECORDS, EVENTS, ANSWERS] {
            transaction.open_table(table)?;
        }
        schema::set(&transaction, SCHEMA)?;
        transaction.commit()?;
        Ok(database.close()?)
    })?;
    std::fs::rename(&new, path)
        .and_then(|()| std::fs::File::open(directory)?.sync_all())
        .map_err(|e| MediumError::system("put in place", path, e))
}

fn open(path: &Path, opener: &Opener) -> Result<Database, MediumError> {
    let (database, found) = contained("open", path, || {
        let database = opener(path)?;
        let found = schema::read(&database)?;
        Ok((database, found))
    })?;
    let refusal = match found {
        Some(SCHEMA) => return Ok(database),
        Some(found) if found > SCHEMA => MediumError::Newer { path: path.to_owned(), found, known: SCHEMA },
        Some(_) | None => record::corrupted(path, "it does not say which schema it has"),
    };
    close(path, database);
    Err(refusal)
}

fn close(path: &Path, database: Database) {
    if let Err(error) = contained("close", path, || Ok(database.close()?)) {
        // What was written is; the next one that opens it has more to check.
        tracing::debug!(%error, "the invocations' file was not closed well");
    }
}
