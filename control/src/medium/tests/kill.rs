//! A writer that is killed at any time.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Where the writer is to write.
const DIRECTORY: &str = "WHARF_KILLED_STORE";

/// Entries of one batch.
const BATCH: usize = 10;

/// Batches that are there at a time.
const KEPT: usize = 5;

fn entry(batch: usize, number: usize) -> (String, Vec<u8>) {
    let value = format!("{{\"batch\":{batch},\"number\":{number},\"pad\":\"{}\"}}", "x".repeat(batch % 700));
    (format!("batches/{batch:020}/{number}"), value.into_bytes())
}

/// All there has to be after `batch`.
fn after(batch: usize) -> Vec<(String, Vec<u8>)> {
    let kept = (batch + 1).saturating_sub(KEPT).max(1)..=batch;
    kept.flat_map(|batch| (0..BATCH).map(move |number| entry(batch, number))).collect()
}

/// The newest batch.
fn newest(records: &[(String, Vec<u8>)]) -> usize {
    records.last().map_or(0, |(key, _)| key.split('/').nth(1).unwrap().parse().unwrap())
}

#[test]
#[ignore = "the process that the test below kills"]
fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = Redb::open(directory.as_ref()).unwrap();
    let mut batch = newest(&store.load(Table::Records).unwrap());
    loop {
        batch += 1;
        let new = (0..BATCH).map(|number| entry(batch, number));
        let new = new.map(|(key, value)| Write { table: Table::Records, key, value: Some(value) });
        let old = batch.checked_sub(KEPT).filter(|&old| old > 0);
        let old = old.into_iter().flat_map(|old| (0..BATCH).map(move |number| entry(old, number).0));
        let old = old.map(|key| take(Table::Records, &key));
        store.write(&new.chain(old).collect::<Vec<_>>()).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "wrote {batch}").and_then(|()| out.flush()).unwrap();
    }
}

fn writer(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "medium::tests::kill::writes_until_it_is_killed", "--ignored", "--nocapture"]);
    command.env(DIRECTORY, directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Passes some time without giving the processor away, so that the kill comes at no special instruction.
fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9_and_every_batch_is_whole_or_absent() {
    let directory = tempfile::tempdir().unwrap();
    let seed = 9;
    let numbers = &mut Numbers(seed);
    let (mut acknowledged, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds(100) {
        let mut child = writer(directory.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // One in four is killed at or before its start, while it makes, opens or repairs the store.
        let wanted = if round % 4 == 0 { 0 } else { 1 + numbers.below(20) };
        let mut acknowledge = |line: &str| {
            let number = line.split_once("wrote ").map(|(_, number)| number.parse().expect("a number"));
            acknowledged = number.unwrap_or(acknowledged);
            number.is_some()
        };
        let mut heard = 0;
        while heard < wanted {
            heard += usize::from(acknowledge(&lines.next().expect("the writer goes on").unwrap()));
        }
        let longest = if wanted == 0 { 20_000 } else { 1_000 };
        spin(Duration::from_micros(numbers.below(longest) as u64));
        child.kill().unwrap();
        // A line may have been cut off only if its batch was not acknowledged in full.
        for line in lines.map_while(Result::ok) {
            acknowledge(&line);
        }
        child.wait().unwrap();
        let began = Instant::now();
        let store = Redb::open(directory.path()).unwrap();
        slowest = slowest.max(began.elapsed());
        let records = store.load(Table::Records).unwrap();
        let found = newest(&records);
        let what = format!("seed {seed}, round {round}: {acknowledged} acknowledged, {found} found");
        assert!((acknowledged..=acknowledged + 1).contains(&found), "{what}");
        assert!(records == after(found), "{what}: a batch is there in part");
        acknowledged = found;
    }
    println!("{acknowledged} batches, slowest opening {slowest:?}");
    assert!(acknowledged > 0, "nothing was written at all");
}
