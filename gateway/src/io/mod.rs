//! Everything that is a system call: namespaces, netlink, TAP and packet devices. All of the crate's unsafe is here.

mod batch;
mod device;
pub mod netlink;
pub mod netns;
mod packet;
mod process;
mod random;
mod ring;
mod staging;
mod steering;
mod tap;
mod vectored;

pub use batch::Batch;
pub use device::{Device, Failure};
pub use packet::Packet;
pub(crate) use process::open_process;
pub(crate) use random::random;
pub use staging::Staging;
pub(crate) use steering::can_steer;
pub(crate) use tap::Shape;
pub use tap::Tap;
