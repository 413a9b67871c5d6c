//! The gateway's own namespace, where TAP devices are made before they are moved to where they belong.
//!
//! The kernel ties a TAP descriptor to the namespace that it was opened in, for as long as it is open. If that were the
//! container's, the namespace could not go away under us, and nobody would tell us that it should have. Nor do devices
//! show up for a moment in the host's namespace, where other daemons would take an interest in them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::LinkUnspec;

use super::Tap;
use super::netlink::{answer, exchange};
use super::netns::run_in;
use super::steering::not_steered;
use crate::LinkError;
use crate::placement::Spread;

/// A namespace without a name, with nothing in it but devices on their way.
#[derive(Debug)]
pub struct Staging(OwnedFd);

impl Staging {
    /// Makes the namespace, on a thread that ends in it.
    pub fn new() -> io::Result<Self> {
        let thread = std::thread::Builder::new().name("wharf-staging".into()).spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        })?;
        let file = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Self(file.into()))
    }

    /// Makes a TAP device called `name` in `target`. It is down there.
    pub(crate) fn create_tap(&self, target: &OwnedFd, name: &str) -> Result<Tap, LinkError> {
        self.create(target, name, Tap::create)
    }

    /// The same with a queue for each worker, in the order of `spread`; with a single one if there is one worker, or if the
    /// kernel does not steer.
    pub(crate) fn create_queues(
        &self,
        target: &OwnedFd,
        name: &str,
        spread: Spread,
    ) -> Result<Vec<Tap>, LinkError> {
        self.create(target, name, || {
            if spread.workers() > 1 {
                match Tap::create_steered(spread) {
                    Ok(made) => return Ok(made),
                    Err(source) => not_steered(&source),
                }
            }
            Tap::create().map(|(tap, temporary)| (vec![tap], temporary))
        })
    }

    fn create<T: Send>(
        &self,
        target: &OwnedFd,
        name: &str,
        make: impl FnOnce() -> Result<(T, String), LinkError> + Send,
    ) -> Result<T, LinkError> {
        let stage = || {
            let (device, temporary) = make()?;
            let moved = exchange(async |handle| {
                let index = if_nametoindex(temporary.as_str())?;
                let link = LinkUnspec::new_with_index(index).name(name).setns_by_fd(target.as_raw_fd());
                handle.link().set(link.build()).execute().await.map_err(answer)
            });
            match moved {
                Ok(()) => Ok(device),
                Err(e) if e.raw_os_error() == Some(Errno::EEXIST as i32) => {
                    Err(LinkError::DeviceTaken(name.into()))
                }
                Err(source) => Err(LinkError::System { step: "move the device into its namespace", source }),
            }
        };
        run_in(self.0.as_fd(), stage)
            .unwrap_or_else(|source| Err(LinkError::System { step: "enter the staging namespace", source }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Device;

    #[test]
    fn a_name_is_free_once_its_device_is_deleted_whoever_still_has_a_descriptor() {
        let (staging, container) = (Staging::new().unwrap(), Staging::new().unwrap().0);
        let device = Device::Tap(staging.create_tap(&container, "eth0").unwrap());
        // As a process has it that is being started.
        let copy = device.as_fd().try_clone_to_owned().unwrap();
        let again = || staging.create_tap(&container, "eth0");
        assert!(matches!(again(), Err(LinkError::DeviceTaken(_))));
        device.delete();
        // There is nothing more to delete, least of all what has the name now.
        let next = Device::Tap(again().unwrap());
        device.delete();
        assert!(matches!(again(), Err(LinkError::DeviceTaken(_))));
        drop((device, copy, next));
        again().unwrap();
    }
}
