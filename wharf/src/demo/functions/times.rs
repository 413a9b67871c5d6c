//! When what happened in an invocation, from three clocks that are one: the caller's, the server's and the handler's are all
//! the kernel's monotonic clock. The daemon's spans count from when the request was with it.

use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::Value;

use crate::demo::api::Invoked;
use crate::output::chart::Span;

/// What each bar is, and who says so.
pub(super) const FOOTNOTE: &str = "\
trigger       until the daemon begins with an environment
mount, load   the code into the container; the handler's module
attach        the VPC's connector, meanwhile
first packet  until the VPC's web server has the connection; by the server
first byte    until the handler has the head of the page; by the handler
answer        the database, and the way back; by the caller
The first four are the daemon's own times, from when it had the request.";

/// Parts of a trace that make up an environment's beginning.
pub(super) const BEGINNING: [&str; 3] = ["mount", "load", "attach"];

/// An invocation's trace, as the API shows it.
#[derive(Deserialize)]
pub(super) struct Trace {
    /// What took how long in the daemon.
    pub(super) spans: Vec<Span>,
}

impl Trace {
    /// Reads it from what the API shows.
    pub(super) fn of(invocation: &Value) -> Self {
        let spans = serde_json::from_value(invocation["spans"].clone()).unwrap_or_default();
        Self { spans }
    }

    /// One part of it.
    pub(super) fn part(&self, name: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.name == name)
    }
}

/// From the trigger to the answer: each part begins where what it waits for ends.
pub(super) fn timeline(
    trace: &Trace,
    invoked: &Invoked,
    connected: Instant,
    first_byte_ns: u64,
) -> Vec<Span> {
    let beginning: Vec<_> = BEGINNING.iter().filter_map(|name| trace.part(name)).cloned().collect();
    let end = |span: &Span| span.start_us + span.duration_us;
    let handler = trace.part("handler").map_or(0, |span| span.start_us);
    let begun = beginning.iter().map(|span| span.start_us).min().unwrap_or(handler);
    let ready = beginning.iter().map(end).max().unwrap_or(handler);
    let total = invoked.took.as_micros() as u64;
    let connected = connected.saturating_duration_since(invoked.sent).as_micros() as u64;
    let first_byte = since(invoked.sent, first_byte_ns);
    let between = |name: &str, start_us: u64, end_us: u64| Span {
        name: name.to_owned(),
        start_us,
        duration_us: end_us.saturating_sub(start_us),
    };
    let mut spans = vec![between("trigger", 0, begun)];
    spans.extend(beginning);
    spans.push(between("first packet", ready, connected));
    spans.push(between("first byte", connected, first_byte));
    spans.push(between("answer", first_byte, total));
    spans
}

/// Microseconds from an instant to a reading of the kernel's monotonic clock, which is what [`Instant`] is made of.
fn since(instant: Instant, reading_ns: u64) -> u64 {
    let then_ns = now_ns().saturating_sub(instant.elapsed().as_nanos() as u64);
    reading_ns.saturating_sub(then_ns) / 1_000
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn reading(at: Instant) -> u64 {
        now_ns() - at.elapsed().as_nanos() as u64
    }

    #[test]
    fn parts_follow_each_other_from_the_trigger_to_the_answer() {
        let ms = Duration::from_millis;
        let sent = Instant::now().checked_sub(ms(20)).unwrap();
        let invoked = Invoked { id: String::new(), answer: String::new(), sent, took: ms(10) };
        let span = |name, start, took| json!({"name": name, "start_us": start, "duration_us": took});
        let spans = json!({"spans": [
            span("queue", 0, 100), span("mount", 100, 50), span("load", 150, 2_000), span("attach", 160, 100), span("handler", 2_200, 7_000),
        ]});
        let spans = timeline(&Trace::of(&spans), &invoked, sent + ms(4), reading(sent + ms(6)));
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["trigger", "mount", "load", "attach", "first packet", "first byte", "answer"]);
        let starts: Vec<_> = spans.iter().map(|span| span.start_us).collect();
        assert_eq!(starts[..5], [0, 100, 150, 160, 2_150]);
        // The clock was read at another moment than `Instant`'s.
        assert!(starts[5] == 4_000 && starts[6].abs_diff(6_000) < 1_000, "{starts:?}");
        assert_eq!(spans[6].start_us + spans[6].duration_us, 10_000);
    }

    #[test]
    fn an_environment_that_is_there_has_no_beginning() {
        let sent = Instant::now();
        let took = Duration::from_millis(1);
        let invoked = Invoked { id: String::new(), answer: String::new(), sent, took };
        let spans = json!({"spans": [{"name": "handler", "start_us": 80, "duration_us": 700}]});
        let spans = timeline(&Trace::of(&spans), &invoked, sent, reading(sent));
        assert_eq!((spans.len(), spans[0].duration_us, spans[1].start_us), (4, 80, 80));
    }
}
