//! What functions write, and what is written about their invocations, in the form that people know from AWS Lambda.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use control_core::FullName;
use control_core::fleet::{EnvironmentId, VersionKey};
use sandbox::{OutputLine, Stream};
use tokio::sync::broadcast;

use super::environment::Environment;
use crate::app::{LogLineView, LogTail};

/// Lines of one function that are kept.
const LINES: usize = 10_000;

/// The same in bytes of text.
const BYTES: usize = 4 << 20;

/// Lines that somebody who follows may be behind.
const BEHIND: usize = 1_024;

/// The logs of all functions.
#[derive(Default)]
pub(crate) struct Logs(Mutex<HashMap<FullName, Log>>);

/// The log of one function.
#[derive(Default)]
struct Log {
    lines: VecDeque<LogLineView>,
    bytes: usize,
    /// There is room for as many lines as they may be behind, so only as long as there are some.
    followers: Option<broadcast::Sender<LogLineView>>,
}

/// What an invocation has used.
pub(super) struct Report<'a> {
    pub(super) id: &'a str,
    pub(super) duration: Duration,
    /// How long it took to load the handler, if this is the first invocation since.
    pub(super) init: Option<Duration>,
    pub(super) memory_mb: u32,
    pub(super) memory_peak_bytes: u64,
    /// What went wrong, in the words that people know.
    pub(super) fault: Option<String>,
}

impl Logs {
    /// From now on the function has a log.
    pub(super) fn open(&self, function: &FullName) {
        self.all().entry(function.clone()).or_default();
    }

    /// What comes after its function is gone is dropped.
    pub(super) fn add(&self, key: &VersionKey, line: LogLineView) {
        if let Some(log) = self.all().get_mut(&key.function) {
            log.add(line);
        }
    }

    /// The last lines of a function that has a log, oldest first, and those to come if somebody follows.
    pub(crate) fn read(&self, function: &FullName, most: usize, follows: bool) -> Option<LogTail> {
        self.all().get_mut(function).map(|log| log.read(most, follows))
    }

    pub(super) fn forget(&self, function: &FullName) {
        self.all().remove(function);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<FullName, Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn add(&mut self, line: LogLineView) {
        self.bytes += line.text.len();
        self.lines.push_back(line.clone());
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
        // Nobody has to follow it.
        self.followers.take_if(|followers| followers.send(line).is_err());
    }

    fn read(&mut self, most: usize, follows: bool) -> LogTail {
        self.followers.take_if(|followers| followers.receiver_count() == 0);
        let lines = self.tail(most);
        let mut follow = || self.followers.get_or_insert_with(|| broadcast::Sender::new(BEHIND)).subscribe();
        LogTail { lines, live: follows.then(&mut follow) }
    }

    fn tail(&self, most: usize) -> Vec<LogLineView> {
        let skipped = self.lines.len().saturating_sub(most);
        self.lines.iter().skip(skipped).cloned().collect()
    }
}

/// A line that a function has written.
pub(super) fn of_output(environment: &Environment, line: OutputLine) -> LogLineView {
    let stream = match line.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let invocation = environment.current().clone();
    view(environment.id, line.at, invocation, stream, line.text)
}

/// A line about an invocation, written now.
pub(super) fn of_platform(environment: EnvironmentId, invocation: &str, text: String) -> LogLineView {
    view(environment, SystemTime::now(), Some(invocation.to_owned()), "platform", text)
}

fn view(
    environment: EnvironmentId,
    at: SystemTime,
    invocation: Option<String>,
    stream: &'static str,
    text: String,
) -> LogLineView {
    let at_ms = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    LogLineView { at_ms, environment: environment.0.to_string(), invocation, stream, text }
}

/// The line with which an invocation begins.
pub(super) fn start_line(id: &str, version: u64) -> String {
    format!("START RequestId: {id} Version: {version}")
}

impl Report<'_> {
    /// The lines with which it ends.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { id, duration, init, memory_mb, memory_peak_bytes, fault } = self;
        let ms = |time: &Duration| time.as_secs_f64() * 1_000.0;
        let billed = duration.as_nanos().div_ceil(1_000_000);
        let peak_mb = memory_peak_bytes.div_ceil(1 << 20);
        let mut report = format!(
            "REPORT RequestId: {id}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {memory_mb} MB\tMax Memory Used: {peak_mb} MB",
            ms(duration)
        );
        if let Some(init) = init {
            report = format!("{report}\tInit Duration: {:.2} ms", ms(init));
        }
        let fault = fault.iter().map(|fault| format!("RequestId: {id} Error: {fault}"));
        fault.chain([format!("END RequestId: {id}"), report]).collect()
    }
}

#[cfg(test)]
mod tests {
    use control_core::Name;

    use super::*;

    fn key() -> VersionKey {
        let name = Name::parse("name", "f".into()).unwrap();
        VersionKey { function: FullName::new(&name, &name), version: 3 }
    }

    fn line(text: String) -> LogLineView {
        of_platform(EnvironmentId(7), "i", text)
    }

    #[test]
    fn the_last_lines_are_kept_within_both_bounds() {
        let logs = Logs::default();
        logs.open(&key().function);
        for n in 0..LINES + 5 {
            logs.add(&key(), line(n.to_string()));
        }
        let tail = |most| logs.read(&key().function, most, false).unwrap().lines;
        let all = tail(usize::MAX);
        assert_eq!((all.len(), all[0].text.as_str()), (LINES, "5"));
        assert_eq!(tail(1)[0].text, (LINES + 4).to_string());
        for _ in 0..8 {
            logs.add(&key(), line("x".repeat(BYTES / 4)));
        }
        assert_eq!(tail(usize::MAX).len(), 4);
        logs.forget(&key().function);
        logs.add(&key(), line("late".into()));
        assert!(logs.read(&key().function, 1, true).is_none());
    }

    #[tokio::test]
    async fn who_follows_misses_and_repeats_nothing() {
        let logs = Logs::default();
        logs.open(&key().function);
        logs.add(&key(), line("a".into()));
        let LogTail { lines, live } = logs.read(&key().function, 10, true).unwrap();
        logs.add(&key(), line("b".into()));
        assert_eq!((lines.len(), lines[0].text.as_str()), (1, "a"));
        assert_eq!(live.unwrap().recv().await.unwrap().text, "b");
    }

    #[test]
    fn reports_are_as_people_know_them() {
        let report = Report {
            id: "i-1",
            duration: Duration::from_micros(12_345),
            init: Some(Duration::from_millis(80)),
            memory_mb: 128,
            memory_peak_bytes: 30 << 20,
            fault: Some("task timed out after 1.00 seconds".into()),
        };
        assert_eq!(start_line("i-1", 3), "START RequestId: i-1 Version: 3");
        assert_eq!(
            report.lines(),
            [
                "RequestId: i-1 Error: task timed out after 1.00 seconds",
                "END RequestId: i-1",
                "REPORT RequestId: i-1\tDuration: 12.35 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 80.00 ms",
            ]
        );
    }
}
