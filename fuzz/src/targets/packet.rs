//! One frame of any kind against primed engines.

use std::time::Duration;

use gateway_core::{Link, Verdict};

use crate::checksum::fix;
use crate::input::Input;
use crate::lane::{INSIDE, Lane, OUTSIDE, Policy};

/// A frame of the container: a byte for the policy, then vnet header and so on.
pub fn packet_outbound(data: &[u8]) {
    run(INSIDE, data);
}

/// The same of the VPC.
pub fn packet_inbound(data: &[u8]) {
    run(OUTSIDE, data);
}

/// What the engine says to such an input of the container, or of the VPC.
pub(crate) fn verdict(outbound: bool, data: &[u8]) -> Verdict {
    let (policy, frame) = decode(data);
    Lane::of(policy).primed().send(0, if outbound { INSIDE } else { OUTSIDE }, frame).verdict
}

/// Gives the frame to the engine as it is, and again with the checksums right that would end most frames early.
fn run(from: Link, data: &[u8]) {
    let (policy, frame) = decode(data);
    let mut net = Lane::of(policy).primed();
    net.send(0, from, frame);
    if frame.len() >= gateway_core::VNET_LEN {
        let mut fixed = frame.to_vec();
        fix(&mut fixed);
        if fixed != frame {
            net.send(0, from, &fixed);
        }
    }
    net.wait(IDLE);
    assert_eq!(net.session_count(), 0, "every session ends");
    net.tear_down(false);
}

fn decode(data: &[u8]) -> (Policy, &[u8]) {
    let mut input = Input::new(data);
    (input.one_of(&Policy::ALL), input.rest())
}

/// Longer than any session lives without traffic.
const IDLE: Duration = Duration::from_secs(8_000);
