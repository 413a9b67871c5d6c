//! Stores of other schemas.

use ::redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::faults::{Fault, opener};
use super::*;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const CHANGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("changes");
const AUDIT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("audit");

/// A store as a version with this schema would have written it.
fn written(directory: &Path, schema: u64, records: &[&str]) {
    let database = Database::create(directory.join("wharf.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("schema", schema).unwrap();
    let values = |table, keys: &[&str]| {
        let mut table = transaction.open_table(table).unwrap();
        for key in keys {
            table.insert(*key, format!("{{\"of\":\"{key}\"}}").as_bytes()).unwrap();
        }
    };
    values(RECORDS, records);
    values(CHANGES, &["00000000000000000003"]);
    values(AUDIT, &["00000000000000000007"]);
    transaction.commit().unwrap();
}

/// Schema and keys of records of the store, read with nothing of ours.
fn raw(directory: &Path) -> (u64, Vec<String>) {
    let database = Database::open(directory.join("wharf.redb")).unwrap();
    let transaction = database.begin_read().unwrap();
    let schema = transaction.open_table(META).unwrap().get("schema").unwrap().unwrap().value();
    let records = transaction.open_table(RECORDS).unwrap();
    (schema, records.iter().unwrap().map(|entry| entry.unwrap().0.value().to_owned()).collect())
}

const OF_1: [&str; 4] = ["connectors/db", "containers/c1", "containers/c2", "vpcs/orders"];
const OF_2: [&str; 4] =
    ["connectors/default/db", "containers/default/c1", "containers/default/c2", "vpcs/default/orders"];

#[test]
fn records_of_schema_1_belong_to_the_default_tenant() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 1, &OF_1);
    for _ in 0..2 {
        let store = Redb::open(directory.path()).unwrap();
        let records: Vec<_> =
            OF_1.iter().zip(OF_2).map(|(old, new)| owned(new, &format!("{{\"of\":\"{old}\"}}"))).collect();
        assert_eq!(store.load(Table::Records).unwrap(), records);
        let audit = owned("00000000000000000007", "{\"of\":\"00000000000000000007\"}");
        assert_eq!(store.load(Table::Audit).unwrap(), [audit]);
        // What changed lately is told in the form of the version that wrote it.
        assert_eq!(store.load(Table::Changes).unwrap(), []);
        drop(store);
        assert_eq!(raw(directory.path()), (2, OF_2.map(str::to_owned).to_vec()));
    }
}

#[test]
fn a_migration_that_is_interrupted_at_any_call_is_whole_or_has_not_been() {
    let mut outcomes = Vec::new();
    for calls in 0.. {
        let directory = tempfile::tempdir().unwrap();
        written(directory.path(), 1, &OF_1);
        let fault = Fault::never();
        fault.after(calls, nix::libc::EIO);
        let opened = Redb::open_with(directory.path(), opener(&fault)).map(drop);
        fault.mend();
        let (schema, keys) = raw(directory.path());
        let expected = if schema == 1 { OF_1 } else { OF_2 };
        assert_eq!(keys, expected, "call {calls}, schema {schema}");
        outcomes.push(schema);
        let records = Redb::open(directory.path()).unwrap().load(Table::Records).unwrap();
        assert_eq!(records.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), OF_2, "call {calls}");
        if opened.is_ok() && schema == 2 {
            break;
        }
    }
    assert!(outcomes.is_sorted() && outcomes[0] == 1, "{outcomes:?}");
}

#[test]
fn a_migration_that_cannot_be_leaves_the_store_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let keys = ["containers/c1", "nonsense", "vpcs/orders"];
    written(directory.path(), 1, &keys);
    let refused = Redb::open(directory.path()).unwrap_err();
    assert!(
        matches!(&refused, MediumError::Corrupted { problem, .. } if problem.contains("nonsense")),
        "{refused:?}"
    );
    assert_eq!(raw(directory.path()), (1, keys.map(str::to_owned).to_vec()));
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), SCHEMA + 1, &["whatever"]);
    let refused = Redb::open(directory.path()).unwrap_err();
    assert!(
        matches!(refused, MediumError::Newer { found, known: SCHEMA, .. } if found == SCHEMA + 1),
        "{refused:?}"
    );
    assert_eq!(raw(directory.path()), (SCHEMA + 1, vec!["whatever".to_owned()]));
}

#[test]
fn a_database_that_is_no_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(Database::create(directory.path().join("wharf.redb")).unwrap());
    let refused = Redb::open(directory.path()).unwrap_err();
    assert!(matches!(refused, MediumError::Corrupted { .. }), "{refused:?}");
    written(directory.path(), 0, &[]);
    let refused = Redb::open(directory.path()).unwrap_err();
    assert!(matches!(refused, MediumError::Corrupted { .. }), "{refused:?}");
}
