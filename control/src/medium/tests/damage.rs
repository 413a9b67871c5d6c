//! Files whose bytes are not those that were written.

use super::*;

/// The one byte of the header that no checksum covers: it says which of the last two commits is the newer one, and whether the file was
/// closed. With it changed, redb believes the older.
const WHICH: usize = 9;

/// Bytes of a store's file.
struct Files {
    /// As a daemon that stops leaves it.
    closed: Vec<u8>,
    /// As one that is killed leaves it.
    killed: Vec<u8>,
    /// What is in either.
    contents: Contents,
}

fn files() -> Files {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wharf.redb");
    let store = Redb::open(directory.path()).unwrap();
    for batch in 0..20 {
        let writes: Vec<Write> =
            (0..20).map(|n| record(batch * 15 + n, &format!("{{\"batch\":{batch}}}"))).collect();
        store.write(&writes).unwrap();
    }
    let contents = contents(&store).unwrap();
    let killed = std::fs::read(&path).unwrap();
    drop(store);
    Files { closed: std::fs::read(&path).unwrap(), killed, contents }
}

/// Opens, reads and writes a store whose file has these bytes. Either it is refused as corrupted, or it is as good as new.
fn meet(bytes: &[u8], contents: &Contents, what: &str) -> Met {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("wharf.redb"), bytes).unwrap();
    let outcome = Redb::open(directory.path()).and_then(|store| {
        let found = super::contents(&store)?;
        store.write(&[record(99_999, "{}")])?;
        assert!(store.load(Table::Records)?.contains(&owned("containers/default/c99999", "{}")), "{what}");
        Ok(found)
    });
    match outcome {
        Ok(found) => {
            assert!(&found == contents, "{what}: the store has lost or changed entries without a word");
            Met::Unharmed
        }
        Err(MediumError::Corrupted { path, .. }) => {
            assert_eq!(path, directory.path().join("wharf.redb"));
            Met::Refused
        }
        Err(other) => panic!("{what}: {other:?}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Unharmed,
    Refused,
}

#[test]
fn flipped_bytes_are_refused_or_do_no_harm() {
    let files = files();
    let seed = 5;
    let numbers = &mut Numbers(seed);
    let (mut refused, rounds) = (0, rounds(200));
    for round in 0..rounds {
        let whole = if round % 2 == 0 { &files.closed } else { &files.killed };
        let mut bytes = whole.clone();
        // Every other time in the part that everything hangs on.
        let within = if round % 4 < 2 { 512 } else { bytes.len() };
        let places: Vec<usize> = (0..=numbers.below(8)).map(|_| numbers.below(within)).collect();
        for &place in places.iter().filter(|&&place| place != WHICH) {
            bytes[place] ^= 1 << numbers.below(8);
        }
        if round % 8 == 7 {
            // A page that was never written.
            let page = 4096 * (1 + numbers.below(bytes.len() / 4096 - 1));
            bytes[page..page + 4096].fill(0);
        }
        let what = format!("seed {seed}, round {round}, bytes {places:?} of {}", bytes.len());
        refused += usize::from(meet(&bytes, &files.contents, &what) == Met::Refused);
    }
    println!("{refused} of {rounds} refused");
    assert!(refused > rounds / 10, "only {refused} of {rounds} were found");
}

#[test]
fn a_file_that_ends_too_early_is_refused_or_complete() {
    let files = files();
    let numbers = &mut Numbers(6);
    for round in 0..rounds(40) {
        let whole = if round % 2 == 0 { &files.closed } else { &files.killed };
        let length = 1 + numbers.below(whole.len() - 1);
        meet(&whole[..length], &files.contents, &format!("round {round}, {length} of {}", whole.len()));
    }
}

#[test]
fn what_is_no_store_is_refused_and_stays() {
    let files = files();
    let mut magic = files.closed.clone();
    magic[0] ^= 0xff;
    let cases: [(&str, &[u8]); 5] = [
        ("nothing", &[]),
        ("zeros", &[0; 10_000]),
        ("text", b"{\"wharf\":\"store\",\"schema\":2}\n{\"end\":0}\n"),
        ("another magic number", &magic),
        ("the magic number only", &files.closed[..9]),
    ];
    for (what, bytes) in cases {
        assert_eq!(meet(bytes, &files.contents, what), Met::Refused, "{what}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wharf.redb");
    std::fs::write(&path, [0; 4096]).unwrap();
    assert!(Redb::open(directory.path()).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), [0; 4096]);
}
