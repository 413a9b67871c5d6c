//! Wharf's control plane: what its API takes of time, and the daemon of memory. Beside attaching, CNI's plugin `bridge`.
//!
//! The daemon runs as it does by default, with a durable store; it is asked through its unix socket, on connections that are kept
//! alive, by the local administrator. A [`Part`] is what is measured at one go; [`measure`] does those of a plan.

pub mod attach;
pub mod client;
pub mod ground;
pub mod intent;
pub mod memory;
pub mod rates;
pub mod swarm;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::arguments::Plan;
use crate::attach::Way;
use crate::metric::Metric;
use crate::result::Results;
use crate::statistics::percentile;
use crate::subject::{Programs, Site, SubjectError};
use ground::Ground;
use memory::Growth;

/// What is measured at one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Attaching by the API.
    Attach,
    /// Attaching by CNI's plugin.
    Plugin,
    /// Looking at containers.
    Reads,
    /// Making and deleting connectors.
    Writes,
    /// Killing the daemon and starting it again.
    Restart,
    /// The daemon's memory.
    Memory,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Containers, of all parts but the last.
    pub containers: usize,
    /// Runs, windows, restarts.
    pub runs: usize,
    /// Runs of the plugin in each run.
    pub plugins: usize,
    /// In which answers are counted.
    pub window: Duration,
    /// Containers at which memory is measured, one after the other.
    pub attachments: &'static [usize],
}

impl Part {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Attach, Self::Plugin, Self::Reads, Self::Writes, Self::Restart, Self::Memory];

    /// Who does it.
    pub const fn way(self) -> Way {
        match self {
            Self::Plugin => Way::Cni,
            _ => Way::Wharf,
        }
    }

    /// The metrics that it gives.
    pub const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Attach => &[
                Metric::AttachMedian,
                Metric::AttachTail,
                Metric::AttachDurableMedian,
                Metric::AttachDurableTail,
            ],
            Self::Plugin => &[Metric::AttachMedian, Metric::AttachTail],
            Self::Reads => &[Metric::ApiReads],
            Self::Writes => &[Metric::ApiWrites, Metric::ApiWritesAlone],
            Self::Restart => &[Metric::RestartReady, Metric::RestartLive],
            Self::Memory => &[Metric::DaemonRss],
        }
    }
}

impl Scale {
    /// What the targets speak of.
    pub const FULL: Self = Self {
        containers: 1_000,
        runs: 5,
        plugins: 20,
        window: Duration::from_secs(2),
        attachments: &[1_000, 2_000, 4_000, 10_000],
    };

    /// An impression.
    pub const QUICK: Self = Self {
        containers: 100,
        runs: 2,
        plugins: 5,
        window: Duration::from_millis(300),
        attachments: &[50, 200],
    };

    /// With other numbers, where they are given.
    pub const fn with(self, runs: Option<usize>, window: Option<Duration>) -> Self {
        let runs = if let Some(runs) = runs { runs } else { self.runs };
        let window = if let Some(window) = window { window } else { self.window };
        Self { runs, window, ..self }
    }
}

/// Who measures: what is asked for, and where it goes.
struct Measure<'a> {
    plan: &'a Plan,
    results: &'a mut Results,
    record: Value,
}

/// Measures all parts of the plan.
pub fn measure(plan: &Plan, programs: &Programs, results: &mut Results) {
    if plan.parts.is_empty() {
        return;
    }
    let Scale { containers, runs, plugins, window, .. } = plan.scale;
    let record = json!({
        "containers": containers, "runs": runs, "plugin_runs_per_run": plugins, "window_s": window.as_secs_f64(),
        "write_connections": rates::WRITERS,
        "intent": {
            "connectors": intent::CONNECTORS, "publications_of_each": intent::PUBLICATIONS, "rules_of_each": intent::RULES,
        },
    });
    let mut measure = Measure { plan, results, record };
    measure.with_containers(programs);
    measure.growth(programs);
    measure.results.settings.insert("control".into(), measure.record);
}

impl Measure<'_> {
    /// The parts that need containers, with a daemon that all of them share.
    fn with_containers(&mut self, programs: &Programs) {
        let own: Vec<_> = self.of(|part| !matches!(part, Part::Plugin | Part::Memory)).collect();
        let mut ground = None;
        if !own.is_empty() {
            match self.populated(programs) {
                Ok(found) => ground = Some(found),
                Err(error) => own.iter().for_each(|part| self.absent(*part, &error)),
            }
        }
        self.attaching(ground.as_ref());
        let Some(mut ground) = ground else { return };
        if own == [Part::Attach] {
            return;
        }
        if let Err(error) = ground.attach_all() {
            own.iter().filter(|part| **part != Part::Attach).for_each(|part| self.absent(*part, &error));
            return;
        }
        self.reads(&ground);
        self.writes(&ground);
        self.restarts(&mut ground);
    }

    fn populated(&mut self, programs: &Programs) -> Result<Ground, SubjectError> {
        let containers = self.plan.scale.containers;
        eprintln!("making {containers} namespaces with a link each");
        let mut ground = Ground::new("control", programs)?;
        let flush = flush_time(ground.state());
        let start = Instant::now();
        ground.grow(containers)?;
        self.record["link_ms"] = json!(milliseconds(start.elapsed()) / f64::from(containers as u32));
        self.record["store_flush_us"] = json!(flush.map(microseconds));
        Ok(ground)
    }

    /// In turns, so that what the machine does slowly falls on both.
    fn attaching(&mut self, ground: Option<&Ground>) {
        let ground = ground.filter(|_| self.asks(Part::Attach));
        let site = self.asks(Part::Plugin).then(attach::ready_for_plugin).transpose();
        let site: Option<Site> = site.unwrap_or_else(|error| {
            self.absent(Part::Plugin, &error);
            None
        });
        if let Some(ground) = ground
            && let Err(error) = attach::by_wharf(ground)
        {
            // The first of each does not count, unless it fails.
            self.refuse(Part::Attach, 0, &error);
        }
        for run in 1..=self.plan.scale.runs {
            match ground.map(attach::by_wharf) {
                Some(Ok(times)) => {
                    self.times("wharf", [Metric::AttachMedian, Metric::AttachTail], times.live);
                    let durable = [Metric::AttachDurableMedian, Metric::AttachDurableTail];
                    self.times("wharf", durable, times.answered);
                }
                Some(Err(error)) => self.refuse(Part::Attach, run, &error),
                None => {}
            }
            match site.as_ref().map(|site| attach::by_plugin(site, self.plan.scale.plugins)) {
                Some(Ok(times)) => self.times("cni", [Metric::AttachMedian, Metric::AttachTail], times),
                Some(Err(error)) => self.refuse(Part::Plugin, run, &error),
                None => {}
            }
        }
    }

    fn reads(&mut self, ground: &Ground) {
        if !self.asks(Part::Reads) {
            return;
        }
        match rates::reads(ground, self.plan.scale.runs, self.plan.scale.window) {
            Ok((rates, connections)) => {
                self.record["read_connections"] = connections.into();
                for rate in rates {
                    self.add(Metric::ApiReads, "wharf", rate);
                }
            }
            Err(error) => self.refuse(Part::Reads, 1, &error),
        }
    }

    fn writes(&mut self, ground: &Ground) {
        if !self.asks(Part::Writes) {
            return;
        }
        for (metric, connections) in [(Metric::ApiWrites, rates::WRITERS), (Metric::ApiWritesAlone, 1)] {
            match rates::writes(ground, connections, self.plan.scale.runs, self.plan.scale.window) {
                Ok(rates) => {
                    for rate in rates {
                        self.add(metric, "wharf", rate);
                    }
                }
                Err(error) => self.results.refuse("wharf", &[metric], 1, &error),
            }
        }
    }

    fn restarts(&mut self, ground: &mut Ground) {
        if !self.asks(Part::Restart) {
            return;
        }
        if let Err(error) = intent::add(ground) {
            return self.absent(Part::Restart, &error);
        }
        for run in 1..=self.plan.scale.runs {
            match ground.restart() {
                Ok(back) => {
                    self.add(Metric::RestartReady, "wharf", milliseconds(back.ready));
                    self.add(Metric::RestartLive, "wharf", milliseconds(back.live));
                }
                // What is there after a failure is nothing to begin another run with.
                Err(error) => return self.refuse(Part::Restart, run, &error),
            }
        }
    }

    fn growth(&mut self, programs: &Programs) {
        if !self.asks(Part::Memory) {
            return;
        }
        let mut growth = Growth::default();
        let outcome = growth.measure(programs, self.plan.scale.attachments);
        self.record["memory"] = growth.describe();
        match (outcome, growth.most()) {
            (Ok(()), Some(most)) => self.add(Metric::DaemonRss, "wharf", most),
            (Ok(()), None) => {}
            (Err(error), _) => self.absent(Part::Memory, &error),
        }
    }

    fn asks(&self, part: Part) -> bool {
        self.plan.parts.contains(&part)
    }

    fn of(&self, wanted: impl Fn(Part) -> bool) -> impl Iterator<Item = Part> {
        self.plan.parts.iter().copied().filter(move |part| wanted(*part))
    }

    /// Half of the times, and 99 of 100.
    fn times(&mut self, subject: &'static str, metrics: [Metric; 2], mut times: Vec<Duration>) {
        times.sort_unstable();
        for (metric, percent) in metrics.into_iter().zip([50, 99]) {
            if let Some(time) = percentile(&times, percent) {
                self.add(metric, subject, microseconds(time));
            }
        }
    }

    fn add(&mut self, metric: Metric, subject: &'static str, value: f64) {
        if self.plan.metrics.contains(&metric) {
            eprintln!("      {:<22} {subject:<12} {value:.1}", metric.name());
            self.results.add(metric, subject, value);
        }
    }

    fn absent(&mut self, part: Part, reason: &dyn ToString) {
        let asked = part.metrics().iter().filter(|metric| self.plan.metrics.contains(metric));
        for metric in asked {
            eprintln!(
                "      {:<22} {:<12} cannot be measured: {}",
                metric.name(),
                part.way().name(),
                reason.to_string()
            );
            self.results.absent(part.way().name(), Some(*metric), reason);
        }
    }

    fn refuse(&mut self, part: Part, run: usize, reason: &dyn ToString) {
        eprintln!(
            "      {:<22} {:<12} refused: {}",
            part.metrics()[0].name(),
            part.way().name(),
            reason.to_string()
        );
        self.results.refuse(part.way().name(), part.metrics(), run, reason);
    }
}

/// What the disk takes to keep a page, which every durable answer waits for: the median of some times.
fn flush_time(directory: &Path) -> Option<Duration> {
    let path = directory.with_extension("flush");
    let file = File::create(&path).ok()?;
    // As the store does: over what is there, so that nothing but the page itself has to be kept.
    let flush = |byte: u8| file.write_all_at(&[byte; PAGE], 0).and_then(|()| file.sync_data()).ok();
    flush(0)?;
    let mut times = Vec::new();
    for nth in 0..FLUSHES {
        let start = Instant::now();
        flush(nth)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    percentile(&times, 50)
}

const FLUSHES: u8 = 50;

/// Bytes.
const PAGE: usize = 4096;

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_control_plane_is_of_one_part_of_wharf() {
        for metric in Metric::CONTROL {
            let parts =
                Part::ALL.iter().filter(|part| part.way() == Way::Wharf && part.metrics().contains(metric));
            assert_eq!(parts.count(), 1, "{}", metric.name());
        }
    }
}
