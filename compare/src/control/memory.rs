//! What the daemon takes of memory, by the number of attachments.

use serde_json::{Value, json};

use super::ground::Ground;
use crate::load::memory;
use crate::subject::{Programs, SubjectError};

/// Resident memory at each number of attachments. Bytes.
#[derive(Clone, Debug, Default)]
pub struct Growth(Vec<(usize, memory::ProcessMemory)>);

impl Growth {
    /// A new daemon, with so many containers one after the other, and a connector attached to each. What there is when it fails
    /// is kept.
    pub fn measure(&mut self, programs: &Programs, steps: &[usize]) -> Result<(), SubjectError> {
        let mut ground = Ground::new("control-memory", programs)?;
        self.0.push((0, memory::process(ground.pid())?));
        for step in steps {
            ground.grow(*step)?;
            ground.attach_all()?;
            self.0.push((*step, memory::process(ground.pid())?));
            eprintln!(
                "      {step} attachments: {} MB",
                self.0.last().map_or(0.0, |(_, memory)| megabytes(memory.rss))
            );
        }
        Ok(())
    }

    /// Resident with the most attachments. Megabytes.
    pub fn most(&self) -> Option<f64> {
        self.0.last().map(|(_, memory)| megabytes(memory.rss))
    }

    /// All of it, for the record.
    pub fn describe(&self) -> Value {
        let before = self.0.first().map_or(0, |(_, memory)| memory.rss);
        let step = |(attachments, memory): &(usize, memory::ProcessMemory)| {
            let more = memory.rss.saturating_sub(before);
            json!({
                "attachments": attachments, "rss_mb": megabytes(memory.rss), "private_mb": megabytes(memory.private),
                "bytes_per_attachment": more.checked_div(*attachments as u64),
            })
        };
        self.0.iter().map(step).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size of memory")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
