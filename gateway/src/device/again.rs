//! Taking a device again that an earlier gateway has left, with its addresses, routes and neighbor entries.
//!
//! Such a device is persistent, has our alias, and nobody has it open. To take it is to open `/dev/net/tun` in its own
//! namespace, which the descriptor then keeps alive (see `losses.rs`).

use std::io;
use std::time::{Duration, Instant};

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
    let start = Instant::now();
    loop {
        match try_take(name, queues, lifetime) {
            Err(NotTaken::Open) if start.elapsed() < LETTING_GO => std::thread::sleep(RETRY),
            Err(NotTaken::Open) => return Err(LinkError::DeviceTaken(name.into())),
            Err(NotTaken::Failed(error)) => return Err(error),
            Ok(taken) => return Ok(taken),
        }
    }
}

/// How long a gateway that has ended may still seem to have a device open: a process that it was about to start has a copy of each
/// descriptor until it runs its program.
const LETTING_GO: Duration = Duration::from_millis(250);

/// Between two tries.
const RETRY: Duration = Duration::from_millis(5);

/// Why a device was not taken again.
enum NotTaken {
    /// It is ours, and somebody has it open.
    Open,
    Failed(LinkError),
}

fn try_take(name: &str, queues: Queues, lifetime: Lifetime) -> Result<Option<Taken>, NotTaken> {
    let Some(state) = look(name)? else { return Ok(None) };
    if !state.is_lasting() {
        return Err(NotTaken::Failed(LinkError::DeviceTaken(name.into())));
    }
    if state.queues() > 0 {
        return Err(NotTaken::Open);
    }
    let shape = state.shape();
    let taken = match (queues, lifetime, shape) {
        (Queues::Single, Lifetime::Lasting, Shape::Single) => {
            Tap::take(name, shape).map(|tap| vec![tap]).map_err(io::Error::from)
        }
        (Queues::Steered(spread), Lifetime::Lasting, Shape::Several) => Tap::take_steered(name, spread),
        _ => {
            // Unless somebody has it open after all.
            let deleted = Tap::take(name, shape).map_err(io::Error::from).and_then(|tap| tap.delete());
            return deleted.map(|()| None).map_err(|e| not_taken(name, e));
        }
    };
    let queues = taken.map_err(|e| not_taken(name, e))?;
    // Of several queues, anybody can open one, and another gateway may have been about to.
    if shape == Shape::Several && look(name)?.is_none_or(|state| state.queues() as usize != queues.len()) {
        return Err(NotTaken::Open);
    }
    Ok(Some(Taken { queues, state }))
}

fn look(name: &str) -> Result<Option<State>, NotTaken> {
    exchange(async |handle| find(&handle, name).await)
        .map_err(|source| NotTaken::Failed(LinkError::System { step: "look for the device", source }))
}

fn not_taken(name: &str, source: io::Error) -> NotTaken {
    NotTaken::Failed(match Errno::from_raw(source.raw_os_error().unwrap_or_default()) {
        Errno::EBUSY => return NotTaken::Open,
        // It is of another kind than ours are.
        Errno::EINVAL => LinkError::DeviceTaken(name.into()),
        Errno::EPERM | Errno::EACCES => LinkError::NotPermitted("open the device that was left"),
        _ => setting_up("open the device that was left", source),
    })
}
