//! Differences that are known and not yet fixed: while one of these is true, the driver keeps away from it.

/// A quota that has been replaced is offered mappings that the one before counts.
pub(crate) const QUOTA_REPLACED: bool = true;
