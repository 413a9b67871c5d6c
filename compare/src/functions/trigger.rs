//! One trigger, and what is said of many.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::timing::{self, Span};
use crate::statistics::{Summary, percentile};
use crate::subject::{EXTERNAL, SubjectError};

/// A function that has fetched from the server. Times are since the trigger, by the machine's clock.
#[derive(Clone, Debug)]
pub struct Triggered {
    /// The handler had begun.
    pub handler: Duration,
    /// It was connected.
    pub connected: Duration,
    /// It had the first byte of the server's answer.
    pub first_byte: Duration,
    /// What the daemon says of it.
    pub spans: Vec<Span>,
}

/// What the handler answers.
#[derive(Deserialize)]
struct Fetched {
    started_ns: u64,
    connected_ns: u64,
    first_byte_ns: u64,
    answer: String,
}

impl Triggered {
    /// By the handler's answer. Refused if the server has seen somebody else than the gateway.
    pub fn read(
        trigger: SystemTime,
        answer: &[u8],
        timing: Option<&str>,
        by: &'static str,
    ) -> Result<Self, SubjectError> {
        let wrong = |said| SubjectError::NotReady { program: by, said };
        let fetched: Fetched = serde_json::from_slice(answer)
            .map_err(|_| wrong(format!("the function answered {:?}", String::from_utf8_lossy(answer))))?;
        if !fetched.answer.contains(&format!("\"client\":\"{EXTERNAL}:")) {
            return Err(wrong(format!("the server did not see {EXTERNAL}: {:?}", fetched.answer)));
        }
        let began = trigger.duration_since(UNIX_EPOCH).map_err(io::Error::other);
        let began = began.map_err(SubjectError::system("read the clock"))?;
        let since = |ns| Duration::from_nanos(ns).checked_sub(began);
        let times = [fetched.started_ns, fetched.connected_ns, fetched.first_byte_ns]
            .map(since)
            .into_iter()
            .collect();
        let times: Option<Vec<_>> = times;
        let Some([handler, connected, first_byte]) = times.as_deref() else {
            return Err(wrong("the clock was set".into()));
        };
        let spans = timing.map(timing::spans).unwrap_or_default();
        Ok(Self { handler: *handler, connected: *connected, first_byte: *first_byte, spans })
    }

    /// How long a part of it took, as the daemon says.
    pub fn took(&self, part: &str) -> Option<Duration> {
        self.spans.iter().find(|span| span.name == part).map(|span| span.took)
    }
}

/// All first bytes as they came, and when half of the triggers were how far.
pub fn describe(triggered: &[Triggered]) -> Value {
    let of = |time: &dyn Fn(&Triggered) -> Duration| -> Vec<f64> {
        triggered.iter().map(|one| milliseconds(time(one))).collect()
    };
    let median = |values: Vec<f64>| Summary::of(&values).map(|summary| rounded(summary.median));
    let mut parts = Map::new();
    for Span { name, .. } in triggered.iter().flat_map(|one| &one.spans) {
        if parts.contains_key(name) {
            continue;
        }
        let all = triggered.iter().filter_map(|one| one.spans.iter().find(|span| span.name == *name));
        let (at, took) = all.map(|span| (milliseconds(span.at), milliseconds(span.took))).unzip();
        parts.insert(name.clone(), json!({"at_p50": median(at), "took_p50": median(took)}));
    }
    json!({
        "first_byte_ms": of(&|one| one.first_byte).into_iter().map(rounded).collect::<Vec<_>>(),
        "mount_us": triggered.iter().filter_map(|one| one.took("mount")).map(|took| rounded(took.as_secs_f64() * 1e6)).collect::<Vec<_>>(),
        "p50_ms": {
            "handler": median(of(&|one| one.handler)),
            "connected": median(of(&|one| one.connected)),
            "first_byte": median(of(&|one| one.first_byte)),
            "spans": parts,
        },
    })
}

/// How many of a hundred take how long at most. Microseconds.
pub fn distribution(times: &[Duration]) -> Value {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| percentile(&sorted, percent).map(|time| rounded(time.as_secs_f64() * 1e6));
    let named = PERCENTS.map(|percent| (format!("p{percent}"), json!(at(percent))));
    named.into_iter().collect::<Map<_, _>>().into()
}

const PERCENTS: [usize; 10] = [0, 1, 10, 25, 50, 75, 90, 95, 99, 100];

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// To a thousandth: what comes after is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(client: &str) -> Vec<u8> {
        let page = format!("HTTP/1.1 200 OK\r\n\r\n{{\"server\":\"server\",\"client\":\"{client}\"}}\n");
        let answer = json!({
            "started_ns": 5_004_000_000_u64, "connected_ns": 5_005_000_000_u64, "first_byte_ns": 5_006_500_000_u64,
            "answer": page,
        });
        answer.to_string().into_bytes()
    }

    #[test]
    fn times_are_since_the_trigger_and_the_server_has_seen_the_gateway() {
        let trigger = UNIX_EPOCH + Duration::from_secs(5);
        let timing = "mount;dur=0.126;desc=\"at 1.000\"";
        let seen = format!("{EXTERNAL}:4711");
        let read = |client: &str, trigger| Triggered::read(trigger, &answer(client), Some(timing), "wharf");
        let triggered = read(&seen, trigger).unwrap();
        assert_eq!(triggered.first_byte, Duration::from_micros(6_500));
        assert_eq!(triggered.took("mount"), Some(Duration::from_micros(126)));
        assert_eq!(triggered.took("load"), None);
        let described = describe(&[triggered]);
        assert_eq!(described["first_byte_ms"], json!([6.5]));
        assert_eq!(described["p50_ms"]["spans"]["mount"], json!({"at_p50": 1.0, "took_p50": 0.126}));

        assert!(read("192.168.9.2:80", trigger).is_err());
        assert!(
            read(&seen, trigger + Duration::from_secs(1)).is_err(),
            "the answer is older than the trigger"
        );
        assert!(Triggered::read(trigger, b"{}", None, "cold").is_err());
    }

    #[test]
    fn a_distribution_has_its_ends_and_its_middle() {
        let times: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        let distribution = distribution(&times);
        assert_eq!(
            (&distribution["p0"], &distribution["p50"], &distribution["p100"]),
            (&json!(1.0), &json!(100.0), &json!(200.0))
        );
    }
}
