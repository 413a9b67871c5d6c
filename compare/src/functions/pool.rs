//! How fast an empty pool becomes a full one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::ground::{Environment, Ground};
use crate::load::memory::{self, ProcessMemory};
use crate::subject::SubjectError;

/// More than any machine makes a second: what it makes is the measure.
const REFILL: u32 = 1_000;

/// A pool that is full.
#[derive(Clone, Debug)]
pub struct Filled {
    /// Its containers.
    pub warm: Vec<Environment>,
    /// The daemon, while the pool was empty.
    pub before: ProcessMemory,
    /// The daemon, with them.
    pub after: ProcessMemory,
    /// From asking for them until the last one was warm.
    took: Duration,
}

/// Empties the pool, and fills it with so many.
pub fn fill(ground: &mut Ground, containers: usize) -> Result<Filled, SubjectError> {
    ground.set_pool(0, REFILL)?;
    let before = memory::process(ground.pid())?;
    let asked = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ground.ask_pool(containers, REFILL)?;
    let mut warm = ground.quiet(containers)?;
    let after = memory::process(ground.pid())?;
    warm.retain(|one| one.state == "warm");
    let last = warm.iter().map(|one| one.since_ms).max().unwrap_or_default();
    let took = Duration::from_millis(last).saturating_sub(asked);
    Ok(Filled { warm, before, after, took })
}

impl Filled {
    /// Containers per second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.warm.len() as u32) / self.took.as_secs_f64()
    }

    /// When each was warm, for the record.
    pub fn describe(&self) -> Value {
        let last = self.warm.iter().map(|one| one.since_ms).max().unwrap_or_default();
        let before = |one: &Environment| {
            self.took.as_millis() as u64 - (last - one.since_ms).min(self.took.as_millis() as u64)
        };
        let mut at: Vec<_> = self.warm.iter().map(before).collect();
        at.sort_unstable();
        json!({"containers": self.warm.len(), "took_ms": self.took.as_millis() as u64, "warm_at_ms": at})
    }
}
