//! Traffic through a subject, and what it costs: sources, sinks, and the accounts of time and memory.
//!
//! Every function takes the namespaces of the client and of the server, which it enters to open sockets, and nothing
//! of what is between them. The client always begins. What arrives is compared with what was sent, and every wait has
//! an end: a path that breaks, or that carries the wrong bytes, is a [`LoadError`] and never a small number.
//!
//! Throughout, `remote` is where the client sends to and `listen` is where the server listens. They differ where a
//! subject has the server behind an address of its own.
#![allow(clippy::cast_precision_loss, reason = "nobody reads the 53rd bit of a rate")]

pub mod cpu;
pub mod crr;
mod error;
pub mod memory;
mod pattern;
pub mod rtt;
pub mod sessions;
mod socket;
pub mod tcp;
pub mod udp;
mod window;

pub use error::LoadError;
