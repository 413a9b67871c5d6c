//! Differences that are known and not yet fixed: while one of these is true, the driver keeps away from it.

/// A publication rests when it is withdrawn, though it is a static assignment (RFC 6888 REQ-8).
pub(crate) const PUBLICATIONS_REST: bool = true;
/// A publication's internal port cannot be changed; one that is listed twice is refused at first only.
pub(crate) const PUBLICATIONS_CHANGE: bool = true;
