//! Functions: how long a trigger takes until the function has its first byte from the VPC, in a warm container; beside it, the same code
//! in a container that the trigger starts, with `runc` and CNI's plugin `bridge`.
//!
//! The daemon runs as it does by default, with a durable store; it is asked through its unix socket by the local administrator. A [`Part`]
//! is what is measured at one go; [`measure`] does those of a plan.

pub mod burst;
pub mod code;
pub mod cold;
pub mod ground;
pub mod leftovers;
pub mod memory;
pub mod overhead;
pub mod pool;
pub mod series;
pub mod timing;
pub mod trigger;

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::arguments::Plan;
use crate::metric::Metric;
use crate::packages::{self, Package};
use crate::result::Results;
use crate::statistics::percentile;
use crate::subject::{Programs, SubjectError};
use cold::Cold;
use ground::Ground;
use series::Series;
use trigger::Triggered;

/// Who starts a container for each trigger, as the result has it.
pub const COLD: &str = "cold";

/// What that takes.
pub const PACKAGES: &[Package] = &[packages::CNI[0], packages::CNI[1], packages::RUNC];

/// What is measured at one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// First invocations, each in a warm container.
    Trigger,
    /// The same code, each time in a container that is started for it.
    Cold,
    /// Further invocations of one environment.
    Overhead,
    /// Containers that become warm.
    Refill,
    /// Memory of those.
    Memory,
    /// Many first invocations at once.
    Burst,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Runs of everything.
    pub runs: usize,
    /// First invocations in a run.
    pub triggers: usize,
    /// Cold ones among them.
    pub cold: usize,
    /// Further invocations in a run.
    pub calls: usize,
    /// Warm containers at which refill and memory are measured.
    pub warm: usize,
}

/// Triggers at once, and warm containers for them: the metric's name has it.
pub const TRIGGERS_AT_ONCE: usize = 100;

impl Part {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Trigger, Self::Cold, Self::Overhead, Self::Refill, Self::Memory, Self::Burst];

    /// Who does it, as the result has it.
    pub const fn subject(self) -> &'static str {
        match self {
            Self::Cold => COLD,
            _ => "wharf",
        }
    }

    /// The metrics that it gives.
    pub const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Trigger => &[Metric::TriggerMedian, Metric::TriggerTail, Metric::CodeMount],
            Self::Cold => &[Metric::TriggerMedian, Metric::TriggerTail],
            Self::Overhead => &[Metric::WarmOverhead],
            Self::Refill => &[Metric::Refill],
            Self::Memory => &[Metric::WarmPython],
            Self::Burst => &[Metric::Burst],
        }
    }
}

impl Scale {
    /// What the targets speak of.
    pub const FULL: Self = Self { runs: 5, triggers: 100, cold: 20, calls: 1_000, warm: 40 };

    /// An impression.
    pub const QUICK: Self = Self { runs: 1, triggers: 20, cold: 5, calls: 200, warm: 10 };

    /// With another number of runs, if it is given.
    pub const fn with(self, runs: Option<usize>) -> Self {
        let runs = if let Some(runs) = runs { runs } else { self.runs };
        Self { runs, ..self }
    }
}

/// Who measures: what is asked for, and where it goes.
struct Measure<'a> {
    plan: &'a Plan,
    results: &'a mut Results,
    record: Map<String, Value>,
}

/// Measures all parts of the plan.
pub fn measure(plan: &Plan, programs: &Programs, results: &mut Results) {
    if plan.functions.is_empty() {
        return;
    }
    let Scale { runs, triggers, cold, calls, warm } = plan.functions_scale;
    let mut record = Map::new();
    let mut note = |name: &str, value: Value| drop(record.insert(name.into(), value));
    note("runs", runs.into());
    note("triggers_per_run", triggers.into());
    note("cold_triggers_per_run", cold.into());
    note("invocations_of_a_ready_environment_per_run", calls.into());
    note("warm_containers_of_refill_and_memory", warm.into());
    note("triggers_at_once", TRIGGERS_AT_ONCE.into());
    let mut measure = Measure { plan, results, record };
    match Ground::new(programs) {
        Ok(mut ground) => measure.all(&mut ground),
        Err(error) => plan.functions.iter().for_each(|part| measure.absent(*part, &error)),
    }
    measure.results.settings.insert("functions".into(), measure.record.into());
}

impl Measure<'_> {
    fn all(&mut self, ground: &mut Ground) {
        self.triggers(ground);
        self.overhead(ground);
        self.refill_and_memory(ground);
        self.bursts(ground);
    }

    /// In turns, so that what the machine does slowly falls on both.
    fn triggers(&mut self, ground: &mut Ground) {
        let parts = self.asked_of(&[Part::Trigger, Part::Cold]);
        if parts.is_empty() {
            return;
        }
        eprintln!("filling the pool");
        if let Err(error) = ground.set_pool(series::WARM, ground::REFILL) {
            return parts.into_iter().for_each(|part| self.absent(part, &error));
        }
        let mut cold = None;
        if self.asks(Part::Cold) {
            match ground.rootfs().and_then(|rootfs| Cold::new(&rootfs)) {
                Ok(ready) => cold = Some(ready),
                Err(error) => self.absent(Part::Cold, &error),
            }
        }
        let mut kept = Kept::default();
        for run in 1..=self.plan.functions_scale.runs {
            self.trigger_run(ground, &mut cold, run, &mut kept);
        }
        self.record.insert("triggers".into(), kept.describe());
    }

    fn trigger_run(&mut self, ground: &mut Ground, cold: &mut Option<Cold>, run: usize, kept: &mut Kept) {
        let Scale { triggers, cold: colds, .. } = self.plan.functions_scale;
        let every = triggers / colds.max(1);
        let mut series = self.asks(Part::Trigger).then(|| Series::deployed(ground, run, triggers));
        let (mut warm_ones, mut cold_ones) = (Vec::new(), Vec::new());
        for nth in 0..triggers {
            if let Some(Ok(deployed)) = &mut series {
                match deployed.next(ground) {
                    Ok(triggered) => warm_ones.push(triggered),
                    Err(error) => series = Some(Err(error)),
                }
            }
            if let Some(peer) = cold.as_mut().filter(|_| nth % every == 0) {
                match peer.trigger() {
                    Ok(triggered) => cold_ones.push(triggered),
                    Err(error) => {
                        self.refuse(Part::Cold, run, &error);
                        // What is there after a failure is nothing to begin another one with.
                        *cold = None;
                    }
                }
            }
        }
        if let Some(Err(error)) = series {
            self.refuse(Part::Trigger, run, &error);
        } else {
            self.first_bytes("wharf", &warm_ones);
            self.half(Metric::CodeMount, warm_ones.iter().filter_map(|one| one.took("mount")).collect());
            kept.warm.extend(warm_ones);
        }
        if cold.is_some() {
            self.first_bytes(COLD, &cold_ones);
            kept.cold.extend(cold_ones);
        }
    }

    fn overhead(&mut self, ground: &mut Ground) {
        if !self.asks(Part::Overhead) {
            return;
        }
        match overhead::measure(ground, self.plan.functions_scale) {
            Ok(runs) => {
                let all = runs.iter().map(|times| trigger::distribution(times)).collect();
                self.record.insert("warm_overhead_us".into(), Value::Array(all));
                for times in runs {
                    self.half(Metric::WarmOverhead, times);
                }
            }
            Err(error) => self.refuse(Part::Overhead, 1, &error),
        }
    }

    fn refill_and_memory(&mut self, ground: &mut Ground) {
        let parts = self.asked_of(&[Part::Refill, Part::Memory]);
        if parts.is_empty() {
            return;
        }
        let Scale { runs, warm, .. } = self.plan.functions_scale;
        let (mut refills, mut memories) = (Vec::new(), Vec::new());
        for run in 1..=runs {
            let filled = pool::fill(ground, warm);
            match filled {
                Ok(filled) => {
                    self.add(Metric::Refill, "wharf", filled.per_second());
                    refills.push(filled.describe());
                    match memory::of_warm(ground, &filled) {
                        Ok(memory) => {
                            self.add(Metric::WarmPython, "wharf", memory.private_mb());
                            memories.push(memory.describe());
                        }
                        Err(error) => self.refuse(Part::Memory, run, &error),
                    }
                }
                Err(error) => {
                    for part in parts {
                        self.refuse(part, run, &error);
                    }
                    break;
                }
            }
        }
        self.record.insert("refill".into(), refills.into());
        self.record.insert("memory".into(), memories.into());
    }

    fn bursts(&mut self, ground: &mut Ground) {
        if !self.asks(Part::Burst) {
            return;
        }
        let mut described = Vec::new();
        for run in 1..=self.plan.functions_scale.runs {
            match burst::one(ground, run) {
                Ok(burst) => {
                    self.add(Metric::Burst, "wharf", milliseconds(burst.elapsed));
                    described.push(burst.describe());
                }
                Err(error) => {
                    self.refuse(Part::Burst, run, &error);
                    break;
                }
            }
        }
        self.record.insert("bursts".into(), described.into());
    }

    fn asks(&self, part: Part) -> bool {
        self.plan.functions.contains(&part)
    }

    fn asked_of(&self, parts: &[Part]) -> Vec<Part> {
        parts.iter().copied().filter(|part| self.asks(*part)).collect()
    }

    /// Half of the times, and 99 of 100, in milliseconds.
    fn first_bytes(&mut self, subject: &'static str, triggered: &[Triggered]) {
        let mut times: Vec<_> = triggered.iter().map(|one| one.first_byte).collect();
        times.sort_unstable();
        for (metric, percent) in [(Metric::TriggerMedian, 50), (Metric::TriggerTail, 99)] {
            if let Some(time) = percentile(&times, percent) {
                self.add(metric, subject, milliseconds(time));
            }
        }
    }

    /// Half of the times, in microseconds.
    fn half(&mut self, metric: Metric, mut times: Vec<Duration>) {
        times.sort_unstable();
        if let Some(time) = percentile(&times, 50) {
            self.add(metric, "wharf", time.as_secs_f64() * 1e6);
        }
    }

    fn add(&mut self, metric: Metric, subject: &'static str, value: f64) {
        if self.plan.metrics.contains(&metric) {
            eprintln!("      {:<28} {subject:<12} {value:.1}", metric.name());
            self.results.add(metric, subject, value);
        }
    }

    fn absent(&mut self, part: Part, reason: &SubjectError) {
        let asked = part.metrics().iter().filter(|metric| self.plan.metrics.contains(metric));
        for metric in asked {
            eprintln!("      {:<28} {:<12} cannot be measured: {reason}", metric.name(), part.subject());
            self.results.absent(part.subject(), Some(*metric), reason);
        }
    }

    fn refuse(&mut self, part: Part, run: usize, reason: &SubjectError) {
        eprintln!("      {:<28} {:<12} refused: {reason}", part.metrics()[0].name(), part.subject());
        self.results.refuse(part.subject(), part.metrics(), run, reason);
    }
}

/// All triggers of all runs.
#[derive(Default)]
struct Kept {
    warm: Vec<Triggered>,
    cold: Vec<Triggered>,
}

impl Kept {
    fn describe(&self) -> Value {
        json!({"wharf": trigger::describe(&self.warm), "cold": trigger::describe(&self.cold)})
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_functions_is_of_one_part_of_wharf() {
        for metric in Metric::FUNCTIONS {
            let parts = Part::ALL.iter().filter(|part| part.subject() != COLD);
            assert_eq!(parts.filter(|part| part.metrics().contains(metric)).count(), 1, "{}", metric.name());
        }
    }

    #[test]
    fn cold_triggers_are_spread_over_a_run() {
        for scale in [Scale::FULL, Scale::QUICK] {
            assert_eq!((scale.triggers % scale.cold, scale.warm >= 10), (0, true));
        }
    }
}
