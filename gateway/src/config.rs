//! Settings of the gateway.

use std::io;
use std::num::NonZeroU16;
use std::thread::available_parallelism;

/// More workers than this are not started by themselves: packets of one uplink then cross threads ever more often.
const WORKERS_DEFAULT_MAX: usize = 4;

/// Most workers that can be asked for.
pub const WORKERS_MAX: u16 = 64;

/// Settings of the gateway.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Worker threads, up to [`WORKERS_MAX`]; `None` for one per core, up to four.
    pub workers: Option<NonZeroU16>,
}

impl Config {
    /// How many workers to start.
    pub(crate) fn worker_count(&self) -> io::Result<u16> {
        match self.workers {
            Some(count) if count.get() > WORKERS_MAX => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{count} workers are more than the {WORKERS_MAX} that are possible"),
            )),
            Some(count) => Ok(count.get()),
            None => {
                Ok(available_parallelism().map_or(1, |cores| cores.get().min(WORKERS_DEFAULT_MAX)) as u16)
            }
        }
    }
}
