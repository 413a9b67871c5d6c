//! A medium that lasts as long as the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Medium, MediumError, Table, Write};

/// Keeps everything in memory, and never fails.
#[derive(Debug, Default)]
pub(crate) struct Volatile(Mutex<BTreeMap<(Table, String), Vec<u8>>>);

impl Medium for Volatile {
    fn load(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, MediumError> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_table = entries.iter().filter(|((t, _), _)| *t == table);
        Ok(of_table.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn write(&self, writes: &[Write]) -> Result<(), MediumError> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Write { table, key, value } in writes.iter().cloned() {
            match value {
                Some(value) => entries.insert((table, key), value),
                None => entries.remove(&(table, key)),
            };
        }
        Ok(())
    }
}
