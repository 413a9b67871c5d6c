//! What happens without being asked for.

use crate::{AttachmentId, UplinkId};

/// Events that a slow receiver may fall behind before it misses some.
pub(crate) const EVENTS: usize = 16_384;

/// Something that happened without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The container's device or namespace disappeared. Its sessions have ended, its ports are free, its descriptor is
    /// closed.
    AttachmentGone(AttachmentId),
    /// The VPC's device or namespace disappeared. As above, for every container that used it.
    UplinkGone(UplinkId),
}
