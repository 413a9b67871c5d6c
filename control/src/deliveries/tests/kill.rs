//! A daemon that is killed at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

/// Where the daemon keeps its invocations.
const DIRECTORY: &str = "WHARF_KILLED_INVOCATIONS";

fn say(what: &str, id: InvocationId) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what} {id}").and_then(|()| out.flush()).unwrap();
}

/// Fails now and then, as `delivery` says, so that it can be told what becomes of it.
async fn attempt(delivery: Delivery, event: Bytes) -> Attempt {
    say("began", delivery.id);
    tokio::time::sleep(Duration::from_micros(500)).await;
    let fails = event.len().is_multiple_of(3) && delivery.function_faults == 0;
    if fails { failed(Retry::Never) } else { echo(delivery, event).await }
}

#[tokio::test]
#[ignore = "the process that the test below kills"]
async fn accepts_and_runs_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let deliveries = Deliveries::open(Some(directory.as_ref())).unwrap();
    let runs = run(deliveries.clone(), attempt, std::future::pending(), Duration::ZERO);
    let accepts = async {
        for number in 0.. {
            let event = Bytes::from(vec![b'1'; 1 + number % 2_000]);
            // As many at a time as there may be clients.
            let of = ["a", "b", "c"][number % 3];
            match deliveries.accept(unique(of, &event), event).await {
                Ok(Accepted::New(id) | Accepted::Before(id)) => say("accepted", id),
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::join!(runs, accepts);
}

/// Ids of several processes.
fn unique(of: &str, event: &Bytes) -> NewDelivery {
    let mut random = [0; 10];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut random).unwrap();
    NewDelivery { id: InvocationId::new(now_ms(), random), ..new(of, event) }
}

fn daemon(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = "deliveries::tests::kill::accepts_and_runs_until_it_is_killed";
    command.args(["--exact", name, "--ignored", "--nocapture"]);
    command.env(DIRECTORY, directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What several daemons have said.
#[derive(Default)]
struct Said {
    accepted: BTreeSet<InvocationId>,
    began: BTreeMap<InvocationId, u32>,
}

impl Said {
    fn hear(&mut self, line: &str) -> bool {
        let mut words = line.split_whitespace().rev();
        let Some(id) = words.next().and_then(InvocationId::parse) else { return false };
        match words.next() {
            Some("accepted") => _ = self.accepted.insert(id),
            Some("began") => *self.began.entry(id).or_default() += 1,
            _ => return false,
        }
        true
    }
}

#[tokio::test]
async fn what_was_accepted_is_run_however_often_the_daemon_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for round in 0..20u32 {
        let mut child = daemon(directory.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // One in four is killed at or before its start.
        let wanted = if round % 4 == 0 { 0 } else { 10 * round };
        let mut heard = 0;
        while heard < wanted {
            heard += u32::from(said.hear(&lines.next().expect("the daemon goes on").unwrap()));
        }
        let end = Instant::now() + Duration::from_micros(u64::from(round) * 997 % 9_000);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            said.hear(&line);
        }
        child.wait().unwrap();
        let deliveries = Deliveries::open(Some(directory.path())).unwrap();
        for id in &said.accepted {
            let found = deliveries.find(*id).unwrap_or_else(|| panic!("round {round}: {id} was lost"));
            let began = said.began.get(id).copied().unwrap_or_default();
            assert!(found.attempts >= began, "round {round}: {id} ran {began} times, but {found:?}");
            assert_ne!(found.state, DeliveryState::Running, "round {round}: nobody runs {id}");
        }
    }
    assert!(said.accepted.len() > 100 && said.began.len() > 10, "{} accepted", said.accepted.len());
    let deliveries = Deliveries::open(Some(directory.path())).unwrap();
    let runs = tokio::spawn(run(deliveries.clone(), echo, std::future::pending(), Duration::ZERO));
    for id in &said.accepted {
        let deadline = Instant::now() + Duration::from_secs(60);
        let ended = loop {
            let found = deliveries.find(*id).expect("it is kept");
            if found.ended_at_ms().is_some() {
                break found;
            }
            assert!(Instant::now() < deadline, "{found:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert!(ended.attempts > 0, "{ended:?}");
        assert_eq!(ended.state.as_str() == "failed", ended.fault.is_some());
        let answer = deliveries.answer(*id).await.unwrap();
        assert_eq!(answer.is_some(), ended.state.as_str() == "succeeded", "{ended:?}");
    }
    runs.abort();
}
