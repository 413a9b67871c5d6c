//! One version of a function: who waits for it, what serves it, and whether one more environment would help.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::estimate::Estimate;
use super::{EnvironmentId, RequestId};
use crate::limits::{INIT_PAUSE_MAX, INIT_PAUSE_MIN};
use crate::{FullName, Name};

/// A version of a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionKey {
    /// The function and its tenant.
    pub function: FullName,
    /// Which of its versions: 1, 2, …
    pub version: u64,
}

/// What a version of a function needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionTerms {
    /// What its containers are made of.
    pub runtime: Name,
    /// Most environments of the function at once, all versions together; their memory is kept free for it.
    pub concurrency: Option<u32>,
    /// How long an environment waits for another request before it goes.
    pub keep_alive: Duration,
    /// Most memory of one environment. MiB.
    pub memory_mb: u32,
}

/// A request that nothing serves yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestId,
    pub(super) since: Duration,
    pub(super) until: Duration,
}

/// How new environments come about at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    /// Warm containers that are there.
    pub(super) warm: usize,
    /// How long making one more takes.
    pub(super) creation: Duration,
    /// How long a handler of the runtime takes to load.
    pub(super) init: Duration,
}

/// One version of a function.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) terms: FunctionTerms,
    pub(super) waiting: VecDeque<Waiting>,
    /// Since when each is in its state.
    pub(super) init: BTreeMap<EnvironmentId, Duration>,
    pub(super) busy: BTreeMap<EnvironmentId, Duration>,
    /// Longest idle first.
    pub(super) idle: BTreeSet<(Duration, EnvironmentId)>,
    /// Environments that would help and have not begun.
    pub(super) wanted: usize,
    /// It is not to be invoked any more.
    pub(super) is_deleted: bool,
    pub(super) duration: Estimate,
    pub(super) init_time: Estimate,
    failures: u32,
    paused_until: Duration,
}

/// Initialisations that fail in a row until one answers all who wait.
const FAILURES: u32 = 3;

impl Version {
    pub(super) fn new(terms: FunctionTerms) -> Self {
        let (waiting, init, busy, idle) = Default::default();
        let (wanted, is_deleted, duration, init_time) = Default::default();
        let (failures, paused_until) = Default::default();
        Self {
            terms,
            waiting,
            init,
            busy,
            idle,
            wanted,
            is_deleted,
            duration,
            init_time,
            failures,
            paused_until,
        }
    }

    /// It is to be this. One that was deleted is another that has only its number.
    pub(super) fn set(&mut self, terms: FunctionTerms) {
        if std::mem::take(&mut self.is_deleted) {
            let fresh = Self::new(terms);
            (self.terms, self.duration, self.init_time) = (fresh.terms, fresh.duration, fresh.init_time);
            (self.failures, self.paused_until) = (0, Duration::ZERO);
        } else {
            // What it is made of never changes.
            self.terms = FunctionTerms { runtime: self.terms.runtime.clone(), ..terms };
        }
    }

    /// Whether anything of it is left to be looked after.
    pub(super) fn is_over(&self) -> bool {
        self.is_deleted && !self.is_served() && self.idle.is_empty() && self.waiting.is_empty()
    }

    /// Whether something will be free for who waits.
    pub(super) fn is_served(&self) -> bool {
        !self.init.is_empty() || !self.busy.is_empty()
    }

    /// Whether its handler cannot be loaded, as far as is known.
    pub(super) fn is_broken(&self, now: Duration) -> bool {
        self.failures >= FAILURES && now < self.paused_until
    }

    /// A handler is loaded.
    pub(super) fn initialised(&mut self, took: Duration) {
        self.init_time.add(took);
        self.failures = 0;
    }

    /// A handler could not be loaded. How many of those who wait hear of it: one for each environment that fails, and from some
    /// failures on all, as there is nothing to wait for.
    pub(super) fn init_failed(&mut self, now: Duration) -> usize {
        self.failures += 1;
        let Some(beyond) = self.failures.checked_sub(FAILURES) else { return 1 };
        let pause = INIT_PAUSE_MIN * 2_u32.saturating_pow(beyond.min(16));
        self.paused_until = now + pause.min(INIT_PAUSE_MAX);
        self.waiting.len()
    }

    /// When who waits should be looked at again although nothing has happened.
    pub(super) fn look_at(&self, looked: Duration, outlook: Outlook) -> Duration {
        let init = self.init_estimate(outlook);
        (looked + (init / 2).max(LOOK_AGAIN)).max(self.paused_until)
    }

    /// How many more environments who waits is better served by.
    ///
    /// As long as nobody knows how long an invocation takes, each who waits wants one. Then it is reckoned who would be served when,
    /// first come, first served: by those that are busy or initialising, as long as that is not much later than a new one would be
    /// there. One that is busy for longer than usual is expected to be so for as long again.
    pub(super) fn count_wanted(&self, now: Duration, outlook: Outlook) -> usize {
        let waiting = self.waiting.len();
        if now < self.paused_until && self.failures >= FAILURES {
            return 0;
        }
        if self.failures > 0 {
            return usize::from(waiting > 0 && self.init.is_empty());
        }
        let Some(duration) = self.duration.mean() else { return waiting.saturating_sub(self.init.len()) };
        let init = self.init_estimate(outlook);
        let mut free: BinaryHeap<Reverse<Duration>> =
            self.expected(now, init, duration).map(Reverse).collect();
        let mut begun = 0;
        for _ in 0..waiting {
            let fresh = if begun < outlook.warm { init } else { outlook.creation + init };
            match free.peek().copied() {
                Some(Reverse(next)) if next <= fresh * PATIENCE => {
                    free.pop();
                    free.push(Reverse(next + duration));
                }
                _ => {
                    begun += 1;
                    free.push(Reverse(fresh + duration));
                }
            }
        }
        begun
    }

    /// In how long each that serves something, or is about to, is free.
    fn expected(&self, now: Duration, init: Duration, duration: Duration) -> impl Iterator<Item = Duration> {
        // A second one that initialises would take as long as the first, however late that is.
        let init = self.init.values().map(move |&since| (since + init).saturating_sub(now));
        let busy = self.busy.values().map(move |&since| (since + duration).abs_diff(now));
        init.chain(busy)
    }

    fn init_estimate(&self, outlook: Outlook) -> Duration {
        self.init_time.mean().unwrap_or(outlook.init)
    }
}

/// A new environment is worth it where it is ready in less than one of so many parts of the time that the others take: a container is
/// used up by it, and many that initialise at once delay each other.
const PATIENCE: u32 = 2;

/// Shortest time between two looks at who waits.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl fmt::Display for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.function, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTLOOK: Outlook = Outlook { warm: 100, creation: ms(200), init: ms(50) };

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn version(waiting: u64, duration: Option<Duration>) -> Version {
        let runtime = Name::parse("runtime", "python3".into()).unwrap();
        let terms = FunctionTerms { runtime, concurrency: None, keep_alive: ms(1_000), memory_mb: 128 };
        let mut version = Version::new(terms);
        if let Some(duration) = duration {
            version.duration.add(duration);
        }
        let one = |n| Waiting { request: RequestId(n), since: ms(0), until: ms(30_000) };
        version.waiting = (0..waiting).map(one).collect();
        version
    }

    #[test]
    fn without_history_each_who_waits_wants_one_that_does_not_begin_yet() {
        let mut version = version(7, None);
        assert_eq!(version.count_wanted(ms(0), OUTLOOK), 7);
        version.init.insert(EnvironmentId(1), ms(0));
        version.busy.insert(EnvironmentId(2), ms(0));
        assert_eq!(version.count_wanted(ms(0), OUTLOOK), 6, "who knows when the busy one is done");
    }

    #[test]
    fn short_invocations_share_environments_and_long_ones_do_not() {
        for (duration, wanted) in [(1, 2), (10, 17), (50, 50), (100, 100), (5_000, 100)] {
            let version = version(100, Some(ms(duration)));
            assert_eq!(version.count_wanted(ms(0), OUTLOOK), wanted, "{duration} ms");
        }
    }

    #[test]
    fn what_has_to_be_created_is_worth_a_longer_wait() {
        let version = version(100, Some(ms(10)));
        let none = Outlook { warm: 0, ..OUTLOOK };
        assert!(version.count_wanted(ms(0), none) < version.count_wanted(ms(0), OUTLOOK) / 2);
    }

    #[test]
    fn one_that_is_busy_for_too_long_is_not_waited_for() {
        let mut version = version(1, Some(ms(20)));
        version.busy.insert(EnvironmentId(1), ms(0));
        for (now, wanted) in [(0, 0), (20, 0), (60, 0), (120, 0), (121, 1), (10_000, 1)] {
            assert_eq!(version.count_wanted(ms(now), OUTLOOK), wanted, "after {now} ms");
        }
    }

    #[test]
    fn one_that_initialises_for_too_long_is_not_joined_by_another() {
        let mut version = version(1, Some(ms(20)));
        version.init.insert(EnvironmentId(1), ms(0));
        for now in [0, 50, 200, 100_000] {
            assert_eq!(version.count_wanted(ms(now), OUTLOOK), 0, "after {now} ms");
        }
    }

    #[test]
    fn after_a_failure_one_initialises_at_a_time_and_later_with_pauses() {
        let mut version = version(9, None);
        assert_eq!((version.init_failed(ms(0)), version.count_wanted(ms(0), OUTLOOK)), (1, 1));
        version.init.insert(EnvironmentId(1), ms(0));
        assert_eq!(version.count_wanted(ms(0), OUTLOOK), 0);
        version.init.clear();
        assert_eq!(
            (version.init_failed(ms(0)), version.init_failed(ms(0))),
            (1, 9),
            "at last all hear of it"
        );
        for (now, wanted) in [(0, 0), (99, 0), (100, 1)] {
            assert_eq!(version.count_wanted(ms(now), OUTLOOK), wanted, "after {now} ms");
        }
        version.initialised(ms(40));
        assert_eq!(version.count_wanted(ms(0), OUTLOOK), 9);
    }
}
