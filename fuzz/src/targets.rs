//! One function for each fuzz target.

mod archives;
mod engine;
mod fragments;
mod icmp_errors;
mod packet;
mod vnet;

pub use archives::archives;
pub(crate) use engine::Step;
pub use engine::engine;
pub use fragments::fragments;
pub use icmp_errors::icmp_errors;
pub(crate) use packet::verdict;
pub use packet::{packet_inbound, packet_outbound};
pub use vnet::vnet;

use crate::input::Input;

/// MTUs of links: the smallest of each IP version, usual ones, odd ones, the largest of a device.
const MTUS: [u16; 8] = [1500, 576, 1280, 1281, 1400, 4003, 9000, 65_521];

/// Extension headers in front of an IPv6 packet's transport header.
const EXTENSIONS: [&[u8]; 6] = [&[], &[0], &[60], &[43], &[0, 60], &[0, 60, 43, 60]];

/// Bytes that tell where they stand.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ i >> 8) as u8).collect()
}

/// Overwrites bytes: pairs of a place and a value, up to the end of the input.
fn mutate(input: &mut Input<'_>, bytes: &mut [u8]) {
    while !input.is_empty() && !bytes.is_empty() {
        let at = input.below(bytes.len());
        bytes[at] = input.byte();
    }
}
