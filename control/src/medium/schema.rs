//! The form of what is stored, by number, and the way from each form to the next.
//!
//! | schema | keys of records |
//! | --- | --- |
//! | 1 | `kind/name` |
//! | 2 | `kind/tenant/name`; what was there belongs to the tenant `default` |

use ::redb::{Database, Error, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::Table;

/// The schema that this version writes.
pub(crate) const SCHEMA: u64 = 1 + STEPS.len() as u64;

/// What a step makes of the key of one entry; `None` if no store of the schema before has such a key.
type Step = fn(Table, &str) -> Option<String>;

/// Step `n` leads from schema `n + 1` to the one after.
const STEPS: [Step; 1] = [tenants];

/// Everything that a transaction needs to know about a table.
pub(crate) const fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table.name())
}

/// Facts about the store itself.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Key in [`META`].
const KEY: &str = "schema";

/// The key that an entry with `key` in a store of schema `from` has today.
pub(crate) fn current_key(from: u64, table: Table, key: &str) -> Option<String> {
    let steps = STEPS.get(usize::try_from(from.checked_sub(1)?).ok()?..)?;
    steps.iter().try_fold(key.to_owned(), |key, step| step(table, &key))
}

/// Whether tables outlive a change of the schema and belong into backups. The others are about the time just past.
pub(crate) const fn is_lasting(table: Table) -> bool {
    matches!(table, Table::Records | Table::Audit)
}

/// The schema that the store says it has; `None` if it says nothing.
pub(crate) fn read(database: &Database) -> Result<Option<u64>, Error> {
    let meta = match database.begin_read()?.open_table(META) {
        Err(::redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    Ok(meta.get(KEY)?.map(|number| number.value()))
}

/// Writes down which schema the store has.
pub(crate) fn set(transaction: &WriteTransaction, schema: u64) -> Result<(), Error> {
    transaction.open_table(META)?.insert(KEY, schema)?;
    Ok(())
}

/// Brings a store of schema `from` to the current one, a step at a time; each is carried out whole or not at all, and its number
/// with it.
pub(super) fn migrate(database: &Database, from: u64) -> Result<(), Error> {
    for (schema, step) in (1..).zip(STEPS).filter(|(schema, _)| *schema >= from) {
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        for table in Table::ALL {
            rewrite(&transaction, table, step)?;
        }
        set(&transaction, schema + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn rewrite(transaction: &WriteTransaction, table: Table, step: Step) -> Result<(), Error> {
    let mut stored = transaction.open_table(definition(table))?;
    let mut entries = Vec::new();
    for entry in stored.iter()? {
        let (key, value) = entry?;
        entries.push((key.value().to_owned(), value.value().to_owned()));
    }
    stored.retain(|_, _| false)?;
    if !is_lasting(table) {
        return Ok(());
    }
    for (key, value) in entries {
        let key = step(table, &key)
            .ok_or_else(|| Error::Corrupted(format!("{} has the key {key:?}", table.name())))?;
        stored.insert(key.as_str(), value.as_slice())?;
    }
    Ok(())
}

/// From 1 to 2: records belong to tenants.
fn tenants(table: Table, key: &str) -> Option<String> {
    if table != Table::Records {
        return Some(key.to_owned());
    }
    let (kind, name) = key.split_once('/')?;
    Some(format!("{kind}/default/{name}"))
}
