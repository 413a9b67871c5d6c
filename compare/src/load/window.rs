//! The measuring window: when it begins and ends, what is counted in it, and when a run is given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::LoadError;
use super::cpu::{CpuTime, Meter};

/// When to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// From the first arrival to the window.
    pub warm_up: Duration,
    /// Length of the window.
    pub duration: Duration,
}

/// What a run counts.
pub(super) struct Counted<C> {
    /// Which traffic, for errors.
    pub what: &'static str,
    /// Reads the counters now; the first is what arrives.
    pub read: C,
    /// Arrivals within a [`TICK`] that are no sign of life: packets of other protocols at a device.
    pub noise: u64,
    /// Whether a pause that outlasts the window may be the traffic's own, so that it does not end the run.
    pub may_stall: bool,
}

/// What was counted in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<const N: usize> {
    /// How much each counter grew.
    pub grown: [u64; N],
    /// Time between the readings of the counters.
    pub span: Duration,
    /// What the machine worked.
    pub cpu: CpuTime,
}

/// Tells a run's threads when to end, and keeps the first error.
#[derive(Debug, Default)]
pub(super) struct Control {
    stopped: AtomicBool,
    since: OnceLock<Instant>,
    failed: AtomicBool,
    failure: Mutex<Option<LoadError>>,
}

impl Control {
    /// Whether nothing more shall be sent.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether the run has no result any more.
    pub(super) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether what is still under way shall be waited for no longer.
    pub(super) fn is_overdue(&self) -> bool {
        self.is_failed() || self.since.get().is_some_and(|since| since.elapsed() > DRAIN)
    }

    /// Nothing more shall be sent.
    pub(super) fn stop(&self) {
        self.since.get_or_init(Instant::now);
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Runs a part of the run. Its error ends the run.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> Result<T, LoadError>) -> Option<T> {
        let keep = |error| {
            self.lock().get_or_insert(error);
            self.failed.store(true, Ordering::Relaxed);
            self.stop();
        };
        work().map_err(keep).ok()
    }

    /// Measures, and stops the run. `None` if the run failed.
    pub(super) fn measure<const N: usize>(
        &self,
        timing: Timing,
        counted: &Counted<impl Fn() -> Result<[u64; N], LoadError>>,
    ) -> Option<Window<N>> {
        let window = self.guard(|| self.window(timing, counted));
        self.stop();
        window.flatten()
    }

    /// How the run ended, once its threads have: the first error of any, or else the result.
    pub(super) fn finish<T>(self, result: Option<T>) -> Result<T, LoadError> {
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(result.expect("a run without a result has an error")),
        }
    }

    fn window<const N: usize>(
        &self,
        timing: Timing,
        counted: &Counted<impl Fn() -> Result<[u64; N], LoadError>>,
    ) -> Result<Option<Window<N>>, LoadError> {
        let mut pulse = Pulse::new(counted)?;
        while !pulse.is_alive() {
            if !self.wait(TICK, &mut pulse)? {
                return Ok(None);
            }
        }
        if !self.wait(timing.warm_up, &mut pulse)? {
            return Ok(None);
        }
        let (meter, begin, before) = (Meter::start()?, Instant::now(), (counted.read)()?);
        if !self.wait(timing.duration, &mut pulse)? {
            return Ok(None);
        }
        let (mut grown, span, cpu) = ((counted.read)()?, begin.elapsed(), meter.stop()?);
        grown.iter_mut().zip(before).for_each(|(after, before)| *after -= before);
        if grown[0] > 0 && counted.may_stall {
            return Ok(Some(Window { grown, span, cpu }));
        }
        // What breaks at the end of the window is noticed as well.
        pulse.rest();
        while !pulse.is_alive() {
            if !self.wait(TICK, &mut pulse)? {
                return Ok(None);
            }
        }
        Ok(Some(Window { grown, span, cpu }))
    }

    /// Waits, with a finger on the pulse. `false` if the run has failed meanwhile.
    fn wait<const N: usize>(
        &self,
        length: Duration,
        pulse: &mut Pulse<'_, impl Fn() -> Result<[u64; N], LoadError>>,
    ) -> Result<bool, LoadError> {
        let begin = Instant::now();
        while let left = length.saturating_sub(begin.elapsed())
            && !left.is_zero()
        {
            thread::sleep(left.min(TICK));
            pulse.feel()?;
            if self.is_failed() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Option<LoadError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something arrives.
struct Pulse<'a, C> {
    counted: &'a Counted<C>,
    count: u64,
    since: Instant,
    /// Whether something has arrived since this was last reset.
    alive: bool,
    patience: Duration,
}

impl<'a, const N: usize, C: Fn() -> Result<[u64; N], LoadError>> Pulse<'a, C> {
    fn new(counted: &'a Counted<C>) -> Result<Self, LoadError> {
        let count = (counted.read)()?[0];
        Ok(Self { counted, count, since: Instant::now(), alive: false, patience: FIRST })
    }

    /// Whether something has arrived, since [`Self::rest`] at the last.
    fn is_alive(&self) -> bool {
        self.alive
    }

    /// Waits for a new sign of life.
    fn rest(&mut self) {
        self.alive = false;
    }

    /// Looks whether something has arrived since the last look.
    fn feel(&mut self) -> Result<(), LoadError> {
        let count = (self.counted.read)()?[0];
        if count - self.count > self.counted.noise {
            (self.since, self.patience, self.alive) = (Instant::now(), SILENCE, true);
        }
        self.count = count;
        let silence = self.since.elapsed();
        if silence > self.patience {
            return Err(LoadError::Silent { what: self.counted.what, silence });
        }
        Ok(())
    }
}

/// Longest wait for the first arrival.
pub(super) const FIRST: Duration = Duration::from_secs(3);

/// Longest wait for another arrival; more than the first retransmissions of a TCP segment take together (200 + 400 +
/// 800 ms), since a path that is slow is not one that is lost. It may be longer than the window: what begins to be silent in
/// it is waited for after it.
const SILENCE: Duration = Duration::from_secs(3);

/// Longest wait for what was under way when the sender stopped.
const DRAIN: Duration = Duration::from_secs(2);

/// Time between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);
