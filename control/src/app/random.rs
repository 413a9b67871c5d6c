//! Randomness of the operating system.

use std::io::{self, Read};

/// Bytes that nobody can guess.
pub(super) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A MAC address of our own for a link that is to keep it; `None` leaves it to the gateway.
pub(super) fn mac() -> Option<gateway::MacAddr> {
    bytes().ok().map(|bytes| gateway::MacAddr::local(u64::from_ne_bytes(bytes)))
}
