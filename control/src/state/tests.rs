//! Exports that are good, and all kinds that are not.

use std::fs;
use std::io::{self, BufRead as _, Read, Write};
use std::path::Path;

use proptest::prelude::*;

use super::line::LINE_BYTES;
use super::*;
use crate::medium::{Medium, Redb, Table, VALUE_BYTES, Write as Entry};

fn put(table: Table, key: &str, value: &str) -> Entry {
    Entry { table, key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

/// A store with something in every table.
fn store(directory: &Path) {
    let entries = [
        put(
            Table::Records,
            "vpcs/default/orders",
            r#"{"b":1,"a":[1.50,"\u0000\n"],"c":18446744073709551616}"#,
        ),
        put(Table::Records, "containers/default/c\"1", "{\n  \"name\": \"two lines\"\r\n}"),
        put(Table::Audit, "00000000000000000017", r#"{"who":"root"}"#),
        put(Table::Changes, "00000000000000000017", "{}"),
        put(Table::Replays, "some", "{}"),
    ];
    Redb::open(directory).unwrap().write(&entries).unwrap();
}

fn exported(directory: &Path) -> String {
    let mut out = Vec::new();
    export(directory, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn records(directory: &Path) -> Vec<String> {
    Redb::open(directory).unwrap().load(Table::Records).unwrap().into_iter().map(|(key, _)| key).collect()
}

const EXPORT: &str = r#"{"wharf":"store","schema":2}
{"table":"records","key":"containers/default/c\"1","value":{   "name": "two lines"  }}
{"table":"records","key":"vpcs/default/orders","value":{"b":1,"a":[1.50,"\u0000\n"],"c":18446744073709551616}}
{"table":"audit","key":"00000000000000000017","value":{"who":"root"}}
{"end":3}
"#;

#[test]
fn an_export_has_records_and_audit_line_by_line_and_comes_back_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("a"), directory.path().join("b"));
    store(&first);
    assert_eq!(exported(&first), EXPORT);
    assert_eq!(import(&second, &mut EXPORT.as_bytes(), Existing::Keep).unwrap(), 3);
    assert_eq!(exported(&second), EXPORT);
    // What depends on the store as it ran is not in it.
    let store = Redb::open(&second).unwrap();
    assert!(store.load(Table::Changes).unwrap().is_empty() && store.load(Table::Replays).unwrap().is_empty());
}

#[test]
fn an_export_of_an_older_schema_is_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let text = concat!(
        "{\"wharf\":\"store\",\"schema\":1}\n",
        "{\"table\":\"records\",\"key\":\"vpcs/orders\",\"value\":{}}\n",
        "{\"end\":1}"
    );
    import(directory.path(), &mut text.as_bytes(), Existing::Keep).unwrap();
    assert_eq!(records(directory.path()), ["vpcs/default/orders"]);
}

#[test]
fn a_store_with_entries_goes_only_if_it_is_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    drop(Redb::open(path).unwrap());
    import(path, &mut EXPORT.as_bytes(), Existing::Keep).unwrap();
    let empty = "{\"wharf\":\"store\",\"schema\":2}\n{\"end\":0}\n";
    let refused = import(path, &mut empty.as_bytes(), Existing::Keep).unwrap_err();
    assert!(matches!(refused, ImportError::NotEmpty { .. }), "{refused}");
    assert_eq!(exported(path), EXPORT);
    import(path, &mut empty.as_bytes(), Existing::Replace).unwrap();
    assert_eq!(exported(path), empty);
    // A store that cannot be read can be replaced, and nothing else can be done with it.
    fs::write(path.join("wharf.redb"), "nonsense").unwrap();
    let refused = import(path, &mut EXPORT.as_bytes(), Existing::Keep).unwrap_err();
    assert!(matches!(refused, ImportError::Medium(MediumError::Corrupted { .. })), "{refused}");
    let refused = export(path, &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, ExportError::Medium(MediumError::Corrupted { .. })), "{refused}");
    import(path, &mut EXPORT.as_bytes(), Existing::Replace).unwrap();
    assert_eq!(exported(path), EXPORT);
}

#[test]
fn a_store_that_is_open_is_neither_exported_nor_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Redb::open(directory.path()).unwrap();
    daemon.write(&[put(Table::Records, "a/b/c", "1")]).unwrap();
    let refused = export(directory.path(), &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, ExportError::Medium(MediumError::Locked { .. })), "{refused}");
    let refused = import(directory.path(), &mut EXPORT.as_bytes(), Existing::Replace).unwrap_err();
    assert!(matches!(refused, ImportError::Medium(MediumError::Locked { .. })), "{refused}");
    drop(daemon);
    assert_eq!(records(directory.path()), ["a/b/c"]);
}

#[test]
fn what_does_not_exist_is_not_made_by_an_export() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path(), &directory.path().join("none")] {
        let refused = export(path, &mut Vec::new()).unwrap_err();
        assert!(matches!(refused, ExportError::Medium(MediumError::Absent { .. })), "{refused}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn an_export_that_cannot_be_written_says_so() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let directory = tempfile::tempdir().unwrap();
    store(directory.path());
    let refused = export(directory.path(), &mut Closed).unwrap_err();
    assert!(matches!(refused, ExportError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe));
    assert_eq!(exported(directory.path()), EXPORT);
}

#[test]
fn a_wrong_export_is_refused_with_its_line_and_changes_nothing() {
    const HEAD: &str = "{\"wharf\":\"store\",\"schema\":2}\n";
    const ENTRY: &str = "{\"table\":\"records\",\"key\":\"vpcs/default/a\",\"value\":{}}\n";
    let long = format!("\"{}\"", "x".repeat(VALUE_BYTES));
    let longer = format!("{HEAD}{}\n", "x".repeat(LINE_BYTES + 1));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let entry = |table: &str, key: &str, value: &str| {
        format!("{HEAD}{{\"table\":\"{table}\",\"key\":\"{key}\",\"value\":{value}}}\n{{\"end\":1}}\n")
    };
    let cases = [
        (String::new(), 1, "no export"),
        ("hello\n".to_owned(), 1, "no export"),
        (HEAD.replace("store", "shop"), 1, "no export"),
        (HEAD.replace('2', "0"), 1, "no export"),
        (HEAD.replace('2', "3"), 1, "schema 3"),
        (HEAD.replace('2', "\"2\""), 1, "no export"),
        (HEAD.to_owned(), 2, "without its last line"),
        (format!("{HEAD}{ENTRY}"), 3, "without its last line"),
        (format!("{HEAD}{ENTRY}{{\"en"), 3, "neither"),
        (format!("{HEAD}{ENTRY}{{\"end\":2}}\n"), 3, "there are 1 entries, and the end says 2"),
        (format!("{HEAD}{ENTRY}{{\"end\":0}}\n"), 3, "there are 1 entries"),
        (format!("{HEAD}{ENTRY}{ENTRY}{{\"end\":2}}\n"), 3, "twice"),
        (format!("{HEAD}{{\"end\":0}}\n\n"), 3, "after the end"),
        (format!("{HEAD}{{\"end\":0}}\n{ENTRY}"), 3, "after the end"),
        (format!("{HEAD}\n{{\"end\":0}}\n"), 2, "neither"),
        (format!("{HEAD}{HEAD}{{\"end\":0}}\n"), 2, "unknown field"),
        (format!("{HEAD}{{}}\n{{\"end\":0}}\n"), 2, "has nothing but"),
        (format!("{HEAD}{{\"table\":\"records\",\"end\":0}}\n"), 2, "has nothing but"),
        (entry("records", "a/b/c", "null"), 2, "has nothing but"),
        (entry("records", "a/b/c", "{},\"value\":{}"), 2, "duplicate field"),
        (entry("records", "a/b/c", "{},\"more\":{}"), 2, "unknown field"),
        (entry("records", "a/b/c", "1e999"), 2, "out of range"),
        (entry("records", "a/b/c", &deep), 2, "recursion limit"),
        (entry("records", "a/b/c", &long), 2, "value is longer"),
        (longer, 2, "longer than 1048576 bytes"),
        (entry("changes", "00000000000000000001", "{}"), 2, "no table \"changes\""),
        (entry("meta", "schema", "2"), 2, "no table \"meta\""),
        (entry("records", "vpcs/orders", "{}"), 2, "key \"vpcs/orders\""),
        (entry("records", "vpcs//orders", "{}"), 2, "key"),
        (entry("records", &format!("vpcs/default/{}", "x".repeat(600)), "{}"), 2, "key"),
        (entry("audit", "17", "{}"), 2, "key \"17\""),
    ];
    let directory = tempfile::tempdir().unwrap();
    store(directory.path());
    let fresh = directory.path().join("fresh");
    for (text, at, says) in &cases {
        let start: String = text.chars().take(120).collect();
        for (path, existing) in [(directory.path(), Existing::Replace), (&fresh, Existing::Keep)] {
            match import(path, &mut text.as_bytes(), existing) {
                Err(ImportError::Line { line, problem }) => {
                    let problem = problem.to_string();
                    assert!(line == *at && problem.contains(says), "{start:?}: line {line}: {problem}");
                }
                other => panic!("{start:?}: {other:?}"),
            }
        }
        assert_eq!(fs::read_dir(&fresh).unwrap().count(), 0, "{start:?}");
    }
    assert_eq!(exported(directory.path()), EXPORT);
}

#[test]
fn an_input_that_fails_changes_nothing() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(nix::libc::EIO))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    store(directory.path());
    let (half, _) = EXPORT.split_at(EXPORT.len() / 2);
    let mut input = io::BufReader::new(half.as_bytes().chain(Failing));
    assert!(!input.fill_buf().unwrap().is_empty());
    let refused = import(directory.path(), &mut input, Existing::Replace).unwrap_err();
    assert!(matches!(refused, ImportError::Input(_)), "{refused}");
    assert_eq!(exported(directory.path()), EXPORT);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a line is, reading it ends, and what is taken for an entry can be written and read back as the same.
    #[test]
    fn any_line_is_refused_or_means_the_same_when_written_again(
        schema in 1..=2_u64,
        line in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "\\{\"(table|key|value|end)\":(\"records\"|\"audit\"|\"a/b/c\"|[0-9]{1,21}|null|\\{\\})(,\"(key|value|end)\":(\"a/b\"|\"a/b/c\"|[0-9]|\\[\\]))*\\}".prop_map(String::into_bytes),
            "\\{\"table\":\"records\",\"key\":\"\\PC{0,9}/\\PC{1,9}/\\PC{0,9}\",\"value\":[^\n]{0,30}\\}".prop_map(String::into_bytes),
        ],
    ) {
        if let Ok(line::Line::Entry { table, key, value }) = line::read(schema, &line) {
            prop_assert!(table.admits(&key));
            let written = line::entry(table, &key, &value).expect("JSON");
            let again = line::read(crate::medium::SCHEMA, written.as_bytes()).expect("an entry");
            prop_assert_eq!(again, line::Line::Entry { table, key, value });
        }
    }

    /// An export with some bytes changed, added or missing is refused, or it is one in which only values have changed.
    #[test]
    fn a_garbled_export_is_whole_or_refused(
        at in 0..EXPORT.len(), removed in 0..40_usize, inserted in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = EXPORT.as_bytes().to_vec();
        let end = (at + removed).min(bytes.len());
        bytes.splice(at..end, inserted);
        let directory = tempfile::tempdir().unwrap();
        match import(directory.path(), &mut bytes.as_slice(), Existing::Keep) {
            Ok(entries) => prop_assert_eq!((entries, exported(directory.path()).lines().count()), (3, 5)),
            Err(ImportError::Line { line, .. }) => prop_assert!((1..=6).contains(&line)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
