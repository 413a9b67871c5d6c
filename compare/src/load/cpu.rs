//! The time that all processors of the machine are busy, which is the only account in which every subject's work appears:
//! a kernel gateway works on the time of whoever sends, a program on its own.

use std::fs;
use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, sysconf};

use super::LoadError;

/// Processor time of the whole machine within a span.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    /// Everything but idle, waiting for disks, and stolen. Seconds, of all processors together.
    pub busy: f64,
    /// What the hypervisor gave to others while we wanted to run. Seconds.
    pub steal: f64,
    /// How long the span was.
    pub span: Duration,
}

/// Runs from [`Self::start`] to [`Self::stop`].
///
/// The kernel counts in ticks of 10 ms, so that a span of seconds is known to about a percent.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    since: Instant,
    ticks: Ticks,
}

impl Meter {
    /// Begins a span.
    pub fn start() -> Result<Self, LoadError> {
        Ok(Self { since: Instant::now(), ticks: Ticks::read()? })
    }

    /// Ends the span; the meter itself goes on.
    pub fn stop(&self) -> Result<CpuTime, LoadError> {
        let (now, span) = (Ticks::read()?, self.since.elapsed());
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
        // The kernel may take back a tick of one processor when it wakes up from idling.
        let seconds = |now: u64, then: u64| now.saturating_sub(then) as f64 / per_second;
        Ok(CpuTime {
            busy: seconds(now.busy, self.ticks.busy),
            steal: seconds(now.steal, self.ticks.steal),
            span,
        })
    }
}

/// Sums over all processors since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    steal: u64,
}

impl Ticks {
    fn read() -> Result<Self, LoadError> {
        let text = fs::read_to_string(STAT).map_err(LoadError::system(format!("read {STAT}")))?;
        let missing = || LoadError::Unreadable { file: STAT.into(), field: "cpu".into() };
        Self::parse(&text).ok_or_else(missing)
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest nice. Guests' time is part
    /// of user's and nice's (proc_stat(5)).
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
        let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields[..] else { return None };
        Some(Self { busy: user + nice + system + irq + softirq, steal })
    }
}

const STAT: &str = "/proc/stat";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_everything_but_idle_and_stolen_and_counts_guests_once() {
        let text = "cpu  1 20 300 4000 50000 600000 7000000 80000000 1 20\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
        assert_eq!(Ticks::parse(text), Some(Ticks { busy: 7_600_321, steal: 80_000_000 }));
    }

    #[test]
    fn a_line_without_its_fields_is_refused() {
        for text in ["", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3", "cpu  1 2 x 4 5 6 7 8"] {
            assert_eq!(Ticks::parse(text), None, "{text}");
        }
    }
}
