//! Asynchronous invocations on a disk: what was accepted is run, whatever happens in between.

mod kill;

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use control_core::{DeliveryFault, DeliveryKey, DeliveryState, Name, Retry};

use super::*;
use crate::medium::tests::faults::{Fault, opener};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

fn function(text: &str) -> FullName {
    let name = |text: &str| Name::parse("name", text.into()).unwrap();
    FullName::new(&name("acme"), &name(text))
}

fn new(of: &str, event: &Bytes) -> NewDelivery {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let id = InvocationId::new(now_ms(), random);
    NewDelivery { id, function: function(of), version: 1, event_bytes: event.len() as u64, key: None }
}

async fn accept(
    deliveries: &Deliveries,
    of: &str,
    event: &'static str,
) -> Result<InvocationId, DeliveryError> {
    let event = Bytes::from_static(event.as_bytes());
    match deliveries.accept(new(of, &event), event).await? {
        Accepted::New(id) | Accepted::Before(id) => Ok(id),
    }
}

/// Answers with the event.
async fn echo(_: Delivery, event: Bytes) -> Attempt {
    let spans = vec![TraceSpan { name: "handler".into(), start_us: 1, duration_us: 2 }];
    Attempt { answer: Ok(("application/json".into(), event)), spans }
}

fn failed(retry: Retry) -> Attempt {
    let code = Code::FunctionFailed;
    let report = Some(r#"{"errorType":"KeyError"}"#.to_owned());
    Attempt { answer: Err(DeliveryFault { code, detail: "no".into(), report, retry }), spans: Vec::new() }
}

/// Waits on a level: until this one is in that state.
async fn reaches(deliveries: &Deliveries, id: InvocationId, state: &str) -> Delivery {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = deliveries.find(id).expect("it is kept");
        if found.state.as_str() == state {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{id} is still {found:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_was_accepted_is_there_when_the_file_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let first = Deliveries::open(Some(directory.path())).unwrap();
    let waits = accept(&first, "f", "[1]").await.unwrap();
    let event = Bytes::from_static(b"[2]");
    let key = Some(DeliveryKey { key: "acme/k".into(), fingerprint: "x".into() });
    let keyed = NewDelivery { key, ..new("g", &event) };
    first.accept(keyed.clone(), event.clone()).await.unwrap();
    let before = (first.find(waits), first.of(&function("g"), 10));
    drop(first);
    let second = Deliveries::open(Some(directory.path())).unwrap();
    assert_eq!((second.find(waits), second.of(&function("g"), 10)), before);
    let again = NewDelivery { key: keyed.key.clone(), ..new("g", &event) };
    assert_eq!(second.accept(again, event).await.unwrap(), Accepted::Before(keyed.id));
    let begun = second.begin().await.unwrap();
    let events: Vec<_> = begun.iter().map(|begun| (begun.delivery.id, &*begun.event)).collect();
    assert_eq!(events, [(waits, &b"[1]"[..]), (keyed.id, &b"[2]"[..])]);
}

#[tokio::test]
async fn outcomes_are_kept_with_answer_fault_and_trace() {
    let directory = tempfile::tempdir().unwrap();
    let deliveries = Deliveries::open(Some(directory.path())).unwrap();
    let (good, bad) =
        (accept(&deliveries, "good", "[1]").await.unwrap(), accept(&deliveries, "bad", "[2]").await.unwrap());
    let attempt = |delivery: Delivery, event| async move {
        if delivery.function == function("bad") { failed(Retry::Never) } else { echo(delivery, event).await }
    };
    let runs = tokio::spawn(run(deliveries.clone(), attempt, std::future::pending(), Duration::ZERO));
    reaches(&deliveries, good, "succeeded").await;
    reaches(&deliveries, bad, "failed").await;
    runs.abort();
    _ = runs.await;
    drop(deliveries);
    let deliveries = Deliveries::open(Some(directory.path())).unwrap();
    let found = deliveries.find(good).unwrap();
    assert!(
        matches!(&found.state, DeliveryState::Succeeded { content_type, answer_bytes: 3, .. } if content_type == "application/json")
    );
    assert_eq!((found.attempts, found.spans.len()), (1, 1));
    assert_eq!(deliveries.answer(good).await.unwrap().as_deref(), Some(&b"[1]"[..]));
    let found = deliveries.find(bad).unwrap();
    let fault = found.fault.unwrap();
    assert_eq!((found.state.as_str(), fault.code), ("failed", Code::FunctionFailed));
    assert_eq!(fault.report.as_deref(), Some(r#"{"errorType":"KeyError"}"#));
    assert_eq!(deliveries.answer(bad).await.unwrap(), None);
}

#[tokio::test]
async fn a_fault_is_tried_again_and_a_panic_is_a_fault() {
    let deliveries = Deliveries::open(None).unwrap();
    let (faulty, broken) = (
        accept(&deliveries, "faulty", "[]").await.unwrap(),
        accept(&deliveries, "broken", "[]").await.unwrap(),
    );
    let attempt = |delivery: Delivery, event| async move {
        assert!(delivery.function != function("broken") || delivery.attempts > 1, "as tests do");
        if delivery.attempts == 1 { failed(Retry::Function) } else { echo(delivery, event).await }
    };
    let runs = tokio::spawn(run(deliveries.clone(), attempt, std::future::pending(), Duration::ZERO));
    let found = reaches(&deliveries, faulty, "succeeded").await;
    assert_eq!((found.attempts, found.function_faults, found.fault), (2, 1, None));
    assert_eq!(reaches(&deliveries, broken, "succeeded").await.attempts, 2);
    runs.abort();
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_be_kept_is_a_fault() {
    let deliveries = Deliveries::open(None).unwrap();
    let id = accept(&deliveries, "f", "[]").await.unwrap();
    let attempt = |_, _| async {
        let answer = vec![b' '; control_core::limits::DELIVERY_ANSWER_BYTES + 1];
        Attempt { answer: Ok(("text/plain".into(), answer.into())), spans: Vec::new() }
    };
    let runs = tokio::spawn(run(deliveries.clone(), attempt, std::future::pending(), Duration::ZERO));
    let found = reaches(&deliveries, id, "failed").await;
    assert_eq!((found.attempts, found.fault.unwrap().code), (1, Code::AnswerTooLarge));
    runs.abort();
}

#[tokio::test]
async fn a_shutdown_waits_for_what_ends_soon_and_keeps_the_rest_for_the_next_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let deliveries = Deliveries::open(Some(directory.path())).unwrap();
    let (quick, slow) =
        (accept(&deliveries, "quick", "[]").await.unwrap(), accept(&deliveries, "slow", "[]").await.unwrap());
    let (end, ending) = oneshot::channel::<()>();
    let (go, gone) = tokio::sync::watch::channel(false);
    let attempt = move |delivery: Delivery, event| {
        let mut gone = gone.clone();
        async move {
            if delivery.function == function("slow") {
                return std::future::pending().await;
            }
            _ = gone.wait_for(|gone| *gone).await;
            echo(delivery, event).await
        }
    };
    let shutdown = async { _ = ending.await };
    let runs = tokio::spawn(run(deliveries.clone(), attempt, shutdown, Duration::from_millis(200)));
    reaches(&deliveries, quick, "running").await;
    reaches(&deliveries, slow, "running").await;
    end.send(()).unwrap();
    go.send_replace(true);
    runs.await.unwrap();
    drop(deliveries);
    let next = Deliveries::open(Some(directory.path())).unwrap();
    let states = [quick, slow].map(|id| next.find(id).unwrap());
    assert_eq!(states.each_ref().map(|found| found.state.as_str()), ["succeeded", "queued"]);
    assert_eq!((states[1].attempts, states[1].function_faults), (0, 0), "the daemon has ended it");
}

#[tokio::test]
async fn nothing_begins_at_the_end() {
    let deliveries = Deliveries::open(None).unwrap();
    run(deliveries.clone(), echo, std::future::ready(()), Duration::from_secs(9)).await;
    let id = accept(&deliveries, "f", "[]").await.unwrap();
    assert_eq!(deliveries.find(id).unwrap().attempts, 0, "nobody runs it");
}

#[tokio::test]
async fn a_disk_that_fails_accepts_nothing_and_goes_on_when_it_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let fault = Fault::never();
    let open =
        || Deliveries::over(Box::new(File::open_with(directory.path(), opener(&fault)).unwrap())).unwrap();
    let deliveries = open();
    let kept = accept(&deliveries, "f", "[1]").await.unwrap();
    let mut refused = 0;
    for calls in 0..200 {
        fault.after(calls, nix::libc::ENOSPC);
        let outcome = accept(&deliveries, "f", "[2]").await;
        let failing = deliveries.is_failing();
        fault.mend();
        let Err(error) = outcome else { break };
        refused += 1;
        assert!(failing && matches!(error, DeliveryError::Medium(_)), "{error}");
        assert_eq!(Problem::from(error).code(), Code::StoreUnavailable);
        assert_eq!(deliveries.of(&function("f"), 9).len(), 1, "what was refused is not there");
    }
    assert!(refused > 2, "{refused}");
    assert!(!deliveries.is_failing());
    // What cannot be kept does not begin either.
    fault.after(0, nix::libc::EIO);
    assert!(matches!(deliveries.begin().await, Err(DeliveryError::Medium(_))));
    assert_eq!(deliveries.find(kept).unwrap().attempts, 0);
    fault.mend();
    let begun = deliveries.begin().await.unwrap();
    assert_eq!((begun.len(), &*begun[0].event), (2, &b"[1]"[..]));
    // And what has ended meanwhile is kept later.
    fault.after(0, nix::libc::EIO);
    let outcome = DeliveryOutcome::Answered { content_type: "text/plain".into(), answer_bytes: 2 };
    deliveries.end(kept, outcome, Some(Bytes::from_static(b"ok")), Vec::new()).await.unwrap();
    assert_eq!(deliveries.answer(kept).await.unwrap().as_deref(), Some(&b"ok"[..]));
    fault.mend();
    drop(deliveries);
    let deliveries = open();
    assert_eq!(deliveries.find(kept).unwrap().state.as_str(), "succeeded");
    assert_eq!(deliveries.answer(kept).await.unwrap().as_deref(), Some(&b"ok"[..]));
    assert_eq!(deliveries.of(&function("f"), 9).len(), 2);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    drop(Deliveries::open(Some(directory.path())).unwrap());
    let path = directory.path().join(file::FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[64..512].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let refused = Deliveries::open(Some(directory.path())).err().expect("it is damaged");
    assert!(matches!(refused, MediumError::Corrupted { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn only_its_user_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    drop(Deliveries::open(Some(directory.path())).unwrap());
    let mode = directory.path().join(file::FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn no_invocation_runs_twice_at_a_time_however_many_there_are() {
    let deliveries = Deliveries::open(None).unwrap();
    let seen: Arc<Mutex<std::collections::BTreeMap<InvocationId, usize>>> = Arc::default();
    let counts = Arc::clone(&seen);
    let attempt = move |delivery: Delivery, event: Bytes| {
        *counts.lock().unwrap().entry(delivery.id).or_default() += 1;
        async move {
            tokio::task::yield_now().await;
            echo(delivery, event).await
        }
    };
    let runs = tokio::spawn(run(deliveries.clone(), attempt, std::future::pending(), Duration::ZERO));
    let mut ids = Vec::new();
    for number in 0..500 {
        ids.push(accept(&deliveries, ["a", "b", "c"][number % 3], "[]").await.unwrap());
    }
    for id in &ids {
        reaches(&deliveries, *id, "succeeded").await;
    }
    runs.abort();
    let seen = seen.lock().unwrap();
    assert!(ids.iter().all(|id| seen[id] == 1) && seen.len() == ids.len());
}
