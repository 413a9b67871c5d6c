//! Waiting for a level, never for a time.

use std::time::{Duration, Instant};

/// How long anything may take that normally takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a level.
///
/// # Panics
/// If it is not reached within [`PATIENCE`].
pub fn eventually(what: &str, mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
