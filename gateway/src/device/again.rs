//! Taking a device again that an earlier gateway has left, with its addresses, routes and neighbor entries.
//!
//! Such a device is persistent, has our alias, and nobody has it open. To take it is to open `/dev/net/tun` in its own
//! namespace, which the descriptor then keeps alive (see `losses.rs`).

use std::io;

use nix::errno::Errno;

use super::link::{State, find};
use super::setting_up;
use crate::io::netlink::exchange;
use crate::io::{Shape, Tap, can_steer};
use crate::placement::Spread;
use crate::{Lifetime, LinkError};

/// How many queues a device shall have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queues {
    Single,
    /// One for each worker, and a program that steers.
    Steered(Spread),
}

impl Queues {
    /// What an uplink gets from this kernel.
    pub(super) fn of(spread: Spread) -> Self {
        if spread.workers() > 1 && can_steer(spread) { Self::Steered(spread) } else { Self::Single }
    }
}

/// An open device and how it was found.
pub(super) struct Taken {
    pub(super) queues: Vec<Tap>,
    pub(super) state: State,
}

impl Taken {
    /// One that was made just now.
    pub(super) fn made(queues: Vec<Tap>) -> Self {
        Self { queues, state: State::default() }
    }
}

/// Takes the device of that name in this thread's namespace again. `None` if the name is free, or is so now: what was left but does
/// not fit is deleted.
pub(super) fn take(name: &str, queues: Queues, lifetime: Lifetime) -> Result<Option<Taken>, LinkError> {
    let Some(state) = look(name)? else { return Ok(None) };
    if !state.is_left() {
        return Err(LinkError::DeviceTaken(name.into()));
    }
    let shape = state.shape();
    let taken = match (queues, lifetime, shape) {
        (Queues::Single, Lifetime::Lasting, Shape::Single) => {
            Tap::take(name, shape).map(|tap| vec![tap]).map_err(io::Error::from)
        }
        (Queues::Steered(spread), Lifetime::Lasting, Shape::Several) => Tap::take_steered(name, spread),
        _ => return delete(name, shape).map(|()| None),
    };
    let queues = taken.map_err(|e| not_taken(name, e))?;
    // Of several queues, anybody can open one, and another gateway may have been about to.
    let open = if shape == Shape::Several { look(name)?.map_or(0, |state| state.queues()) } else { 1 };
    if open as usize != queues.len() {
        return Err(LinkError::DeviceTaken(name.into()));
    }
    Ok(Some(Taken { queues, state }))
}

fn look(name: &str) -> Result<Option<State>, LinkError> {
    exchange(async |handle| find(&handle, name).await)
        .map_err(|source| LinkError::System { step: "look for the device", source })
}

/// Deletes what was left, unless somebody has it open after all.
fn delete(name: &str, shape: Shape) -> Result<(), LinkError> {
    Tap::take(name, shape)
        .map_err(io::Error::from)
        .and_then(|tap| tap.delete())
        .map_err(|e| not_taken(name, e))
}

fn not_taken(name: &str, source: io::Error) -> LinkError {
    match Errno::from_raw(source.raw_os_error().unwrap_or_default()) {
        // Somebody has it open, or it is of another kind than ours are.
        Errno::EBUSY | Errno::EINVAL => LinkError::DeviceTaken(name.into()),
        Errno::EPERM | Errno::EACCES => LinkError::NotPermitted("open the device that was left"),
        _ => setting_up("open the device that was left", source),
    }
}
