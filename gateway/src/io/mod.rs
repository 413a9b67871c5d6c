//! Everything that is a system call: namespaces, netlink, TAP and packet devices. All of the crate's unsafe is here.

mod batch;
mod device;
pub mod netlink;
pub mod netns;
mod packet;
mod random;
mod ring;
mod staging;
mod steering;
mod tap;
mod vectored;

pub use batch::Batch;
pub use device::{Device, Failure};
pub use packet::Packet;
pub(crate) use random::random;
pub use staging::Staging;
pub use tap::Tap;
