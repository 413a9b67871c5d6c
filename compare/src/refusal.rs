//! Why a run does not count.

use std::net::{IpAddr, Ipv4Addr};

use crate::load::LoadError;
use crate::program::ProgramError;

/// Why a run does not count. Its numbers are not reported; this is.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The traffic itself went wrong: it broke, or the receiver got wrong bytes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A device could not be looked at.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A program printed what cannot be understood.
    #[error("{program} said nothing about {about}")]
    Unreadable {
        /// The program.
        program: &'static str,
        /// What was looked for.
        about: String,
    },
    /// There is no way from one end to the other any more, or it leads elsewhere.
    #[error("{from} has no route to {to} through {device}")]
    RouteLost {
        /// Whose routes.
        from: &'static str,
        /// To where.
        to: Ipv4Addr,
        /// Through which device it should lead.
        device: String,
    },
    /// An offload is not what was set.
    #[error("{feature} of {device} at the {at} is {found}, but {expected} was set")]
    Offload {
        /// Whose device.
        at: &'static str,
        /// Its name.
        device: String,
        /// Which offload.
        feature: &'static str,
        /// What was set.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// The MTU is not what was set.
    #[error("the MTU of {device} at the {at} is {found}")]
    Mtu {
        /// Whose device.
        at: &'static str,
        /// Its name.
        device: String,
        /// What is.
        found: u64,
    },
    /// The server saw another address than the gateway's: nothing was translated, or by somebody else.
    #[error("the server saw {found}, not {expected}")]
    Peer {
        /// Whom it saw.
        found: IpAddr,
        /// Whom it had to see.
        expected: Ipv4Addr,
    },
    /// The counters of a device on the way do not have the traffic in them.
    #[error("{device} at the {at} counted {counted} bytes, but {carried} were carried")]
    Bypassed {
        /// Whose device.
        at: &'static str,
        /// Its name.
        device: String,
        /// What passed the device. Bytes.
        counted: u64,
        /// What the receiver got. Bytes.
        carried: u64,
    },
    /// The client got less through than it was asked to, so that its cost is not that of all.
    #[error("{delivered} of {sent} packets were delivered")]
    Lossy {
        /// By the client.
        sent: u64,
        /// To the server.
        delivered: u64,
    },
    /// A program of the subject has ended.
    #[error("{0} has ended")]
    Ended(&'static str),
}
