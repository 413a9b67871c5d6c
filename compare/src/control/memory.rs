//! What the daemon takes of memory, by the number of attachments.

use serde_json::{Value, json};

use super::ground::Ground;
use crate::load::memory;
use crate::subject::{Programs, SubjectError};

/// Resident memory at each number of attachments. Bytes.
#[derive(Clone, Debug, Default)]
pub struct Growth(Vec<Step>);

/// A number of attachments.
#[derive(Clone, Copy, Debug)]
struct Step {
    attachments: usize,
    /// With as many links, before the last of them were attached. Bytes.
    unattached: u64,
    memory: memory::ProcessMemory,
}

impl Growth {
    /// A new daemon, with so many containers one after the other, and a connector attached to each. What there is when it fails
    /// is kept.
    pub fn measure(&mut self, programs: &Programs, steps: &[usize]) -> Result<(), SubjectError> {
        let mut ground = Ground::new("control-memory", programs)?;
        for attachments in [0].iter().chain(steps) {
            ground.grow(*attachments)?;
            let unattached = memory::process(ground.pid())?.rss;
            ground.attach_all()?;
            let memory = memory::process(ground.pid())?;
            self.0.push(Step { attachments: *attachments, unattached, memory });
            let [links, all] = [unattached, memory.rss].map(megabytes);
            eprintln!(
                "      {attachments} attachments: {all:.2} MB; before the last were attached: {links:.2} MB"
            );
        }
        Ok(())
    }

    /// Resident with the most attachments. Megabytes.
    pub fn most(&self) -> Option<f64> {
        self.0.last().map(|step| megabytes(step.memory.rss))
    }

    /// All of it, for the record.
    pub fn describe(&self) -> Value {
        let before = self.0.first().map_or(0, |step| step.memory.rss);
        let describe = |step: &Step| {
            let Step { attachments, unattached, memory } = step;
            json!({
                "attachments": attachments, "rss_mb": megabytes(memory.rss), "private_mb": megabytes(memory.private),
                "before_the_last_were_attached_mb": megabytes(*unattached),
                "bytes_per_attachment": memory.rss.saturating_sub(before).checked_div(*attachments as u64),
            })
        };
        self.0.iter().map(describe).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size of memory")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
