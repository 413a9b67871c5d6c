//! Watching the name of a packet uplink's namespace.
//!
//! A packet socket keeps its namespace alive, so deleting the namespace (`ip netns del`, the end of the process) takes
//! only its name away, and no device tells us. A TAP device has no need of this, see [`crate::io`].

use std::os::unix::fs::MetadataExt;
use std::sync::Weak;
use std::time::Duration;

use crate::io::Device;
use crate::{Event, Handle, Netns, UplinkId};

/// Between two looks at the name.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which namespace a name means: device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl Identity {
    /// What the name means now; `None` if it means nothing.
    pub(crate) fn of(netns: &Netns) -> Option<Self> {
        std::fs::metadata(netns.path()).ok().map(|file| Self(file.dev(), file.ino()))
    }
}

/// Removes the uplink when `netns` no longer names what it named before. Ends when the uplink's device is closed.
pub(crate) async fn watch(
    handle: Handle,
    uplink: UplinkId,
    netns: Netns,
    before: Option<Identity>,
    device: Weak<Device>,
) {
    while device.strong_count() > 0 {
        tokio::time::sleep(INTERVAL).await;
        if Identity::of(&netns) != before {
            tracing::warn!(%uplink, netns = %netns.path().display(), "its namespace has been deleted");
            if handle.remove_uplink(uplink).await.is_ok() {
                handle.announce(Event::UplinkGone(uplink));
            }
            return;
        }
    }
}
