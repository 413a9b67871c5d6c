//! Counters of all workers, taken without stopping them.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::worker::Worker;
use crate::{LinkReport, PortUse};

/// A worker's own numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerReport {
    /// Its index.
    pub index: u16,
    /// Sessions in its table.
    pub sessions: u64,
    /// Times it woke up.
    pub wakeups: u64,
    /// Frames handed to another worker.
    pub handed_off: u64,
    /// Processor time of its thread.
    pub busy: Duration,
}

/// Counters of all workers; each worker's part is consistent in itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Workers, in order of their index.
    pub workers: Vec<WorkerReport>,
    /// Links, summed over the workers, in order.
    pub links: Vec<LinkReport>,
    /// External addresses, summed over the workers, in order.
    pub ports: Vec<PortUse>,
}

impl Stats {
    /// One worker's part, on its own thread.
    pub(crate) fn of(index: u16, worker: &Worker) -> Self {
        let (wakeups, handed_off) = worker.report();
        let engine = worker.engine();
        let (sessions, busy) = (engine.session_count() as u64, thread_time());
        let report = WorkerReport { index, sessions, wakeups, handed_off, busy };
        Self { workers: vec![report], links: engine.counters(), ports: engine.port_use() }
    }

    /// Adds another worker's part.
    pub(crate) fn add(&mut self, part: Self) {
        self.workers.extend(part.workers);
        let mut links: BTreeMap<_, _> = self.links.drain(..).map(|report| (report.link, report)).collect();
        for report in part.links {
            match links.get_mut(&report.link) {
                Some(sum) => {
                    sum.counters += &report.counters;
                    sum.sessions += report.sessions;
                }
                None => drop(links.insert(report.link, report)),
            }
        }
        self.links = links.into_values().collect();
        let key = |p: &PortUse| (p.uplink, p.external, p.protocol);
        let mut ports: BTreeMap<_, _> = self.ports.drain(..).map(|p| (key(&p), p)).collect();
        for part in part.ports {
            ports
                .entry(key(&part))
                .and_modify(|sum| {
                    sum.used += part.used;
                    sum.free = part.free;
                    sum.given_up += part.given_up;
                })
                .or_insert(part);
        }
        self.ports = ports.into_values().collect();
    }
}

/// Processor time of this thread; nothing on a kernel that does not say.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
