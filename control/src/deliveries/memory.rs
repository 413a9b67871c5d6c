//! For those who want nothing kept: events and answers are in memory, as records are anyway.

use std::collections::BTreeMap;

use bytes::Bytes;
use control_core::InvocationId;

use super::{Keep, Part, Put};
use crate::medium::MediumError;

/// Keeps nothing over the end of the process, and never fails. The backlog's bounds are its own.
#[derive(Debug, Default)]
pub(super) struct Memory {
    events: BTreeMap<InvocationId, Bytes>,
    answers: BTreeMap<InvocationId, Bytes>,
}

impl Keep for Memory {
    fn load(&mut self) -> Result<Vec<(InvocationId, Vec<u8>)>, MediumError> {
        Ok(Vec::new())
    }

    fn write(&mut self, puts: &[Put]) -> Result<(), MediumError> {
        for put in puts {
            match put {
                Put::Record(..) => {}
                Put::Event(id, bytes) => _ = self.events.insert(*id, bytes.clone()),
                Put::Answer(id, bytes) => _ = self.answers.insert(*id, bytes.clone()),
                Put::Done(id) => _ = self.events.remove(id),
                Put::Gone(id) => {
                    self.events.remove(id);
                    self.answers.remove(id);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, part: Part, id: InvocationId) -> Result<Option<Bytes>, MediumError> {
        let kept = match part {
            Part::Event => &self.events,
            Part::Answer => &self.answers,
        };
        Ok(kept.get(&id).cloned())
    }
}
