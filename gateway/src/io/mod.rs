//! Everything that is a system call: namespaces, netlink, TAP and packet devices. All of the crate's unsafe is here.

mod device;
pub mod netlink;
pub mod netns;
mod packet;
mod random;
mod staging;
mod steering;
mod tap;

pub(crate) use device::{Device, Failure};
pub(crate) use packet::Packet;
pub(crate) use random::random;
pub(crate) use staging::Staging;
pub(crate) use tap::Tap;
