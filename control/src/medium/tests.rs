//! What every medium promises, and what only the one on a disk does.

mod damage;
pub(crate) mod faults;
mod kill;
mod room;
mod steps;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// Everything in a medium.
type Contents = Vec<(Table, Vec<(String, Vec<u8>)>)>;

fn contents(medium: &dyn Medium) -> Result<Contents, MediumError> {
    Table::ALL.into_iter().map(|table| Ok((table, medium.load(table)?))).collect()
}

fn put(table: Table, key: &str, value: &str) -> Write {
    Write { table, key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn record(number: usize, value: &str) -> Write {
    put(Table::Records, &format!("containers/default/c{number:05}"), value)
}

fn take(table: Table, key: &str) -> Write {
    Write { table, key: key.to_owned(), value: None }
}

fn owned(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.to_owned(), value.as_bytes().to_vec())
}

/// Numbers that look random, and are the same for the same seed.
struct Numbers(u64);

impl Numbers {
    /// Up to `bound`, by splitmix64 (S. Vigna).
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// How many rounds a random test takes: `normally`, or what the environment says for the long run.
fn rounds(normally: usize) -> usize {
    std::env::var("WHARF_STORE_ROUNDS").map_or(normally, |text| text.parse().expect("a number of rounds"))
}

fn keeps_what_was_written(medium: &dyn Medium) {
    let writes = [
        put(Table::Records, "vpcs/default/b", "1"),
        put(Table::Records, "vpcs/default/a", "2"),
        put(Table::Records, "vpcs/default/c", "3"),
        put(Table::Changes, "00000000000000000010", "4"),
        put(Table::Changes, "00000000000000000009", "5"),
        // The later of two writes counts, and taking out what is not there is no error.
        put(Table::Records, "vpcs/default/b", "6"),
        take(Table::Records, "vpcs/default/c"),
        take(Table::Audit, "00000000000000000001"),
    ];
    medium.write(&writes).unwrap();
    let records = vec![owned("vpcs/default/a", "2"), owned("vpcs/default/b", "6")];
    let changes = vec![owned("00000000000000000009", "5"), owned("00000000000000000010", "4")];
    let expected = vec![
        (Table::Records, records),
        (Table::Changes, changes),
        (Table::Audit, Vec::new()),
        (Table::Replays, Vec::new()),
    ];
    assert_eq!(contents(medium).unwrap(), expected);
    medium.write(&[]).unwrap();
    assert_eq!(contents(medium).unwrap(), expected);
}

#[test]
fn a_medium_keeps_what_was_written_in_order_of_keys() {
    let directory = tempfile::tempdir().unwrap();
    keeps_what_was_written(&Redb::open(directory.path()).unwrap());
}

#[test]
fn a_store_is_what_it_was_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Redb::open(directory.path()).unwrap();
    keeps_what_was_written(&store);
    let before = contents(&store).unwrap();
    drop(store);
    assert_eq!(contents(&Redb::open(directory.path()).unwrap()).unwrap(), before);
}

#[test]
fn only_its_user_can_read_a_store() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("some").join("where");
    let store = Redb::open(&directory).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("wharf.redb"))), (0o700, 0o600));
    assert!(!directory.join("wharf.redb.new").exists());
    drop(store);
    // What somebody has decided about a directory that is there is theirs.
    std::fs::set_permissions(&directory, Permissions::from_mode(0o750)).unwrap();
    drop(Redb::open(&directory).unwrap());
    assert_eq!(mode(&directory), 0o750);
}

#[test]
fn a_store_has_one_user_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = Redb::open(directory.path()).unwrap();
    let refused = Redb::open(directory.path()).unwrap_err();
    assert!(matches!(refused, MediumError::Locked { .. }), "{refused}");
    first.write(&[record(1, "1")]).unwrap();
    drop(first);
    assert_eq!(Redb::open(directory.path()).unwrap().load(Table::Records).unwrap().len(), 1);
}

#[test]
#[should_panic(expected = "no key of records")]
fn a_key_that_no_export_could_have_is_a_programmers_error() {
    let directory = tempfile::tempdir().unwrap();
    let _ = Redb::open(directory.path()).unwrap().write(&[put(Table::Records, "vpcs/orders", "1")]);
}
