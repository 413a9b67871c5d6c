//! Backups of the store, while no daemon has it open.
//!
//! An export is JSON lines: a first that says what it is, one for each entry, and a last that says how many there were, so that an export that
//! was cut off is noticed.
//!
//! ```text
//! {"wharf":"store","schema":2}
//! {"table":"records","key":"vpcs/default/orders","value":{…}}
//! {"table":"audit","key":"00000000000000000017","value":{…}}
//! {"end":2}
//! ```
//!
//! Records and audit are in it. What changed lately and the answers kept for repeated requests are not: they make sense only with the
//! clients of the store as it ran.

mod export;
mod import;
mod line;

pub use crate::medium::MediumError;
pub use export::{ExportError, export};
pub use import::{Existing, ImportError, import};
pub use line::LineError;

#[cfg(test)]
mod tests;
