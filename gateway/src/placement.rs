//! Which worker has what. Ids are given in turn, so that everything spreads evenly by itself.

use crate::{AttachmentId, UplinkId};

/// The worker that serves an attachment.
pub(crate) const fn worker_of(attachment: AttachmentId, workers: u32) -> u32 {
    attachment.0 % workers
}

/// The worker that reads an uplink. Every worker writes to it.
pub(crate) const fn reader_of(uplink: UplinkId, workers: u32) -> u32 {
    uplink.0 % workers
}
