//! Everything that is a system call: namespaces, netlink, TAP and packet devices. All of the crate's unsafe is here.

mod device;
pub mod netlink;
pub mod netns;
mod packet;
mod staging;
mod tap;

pub(crate) use device::{Device, Failure};
pub(crate) use packet::Packet;
pub(crate) use staging::Staging;
pub(crate) use tap::Tap;

/// `N` bytes of the operating system's randomness.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    use std::io::Read;

    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
