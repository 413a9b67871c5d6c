//! Topologies of network namespaces, built by netlink and always removed: real kernels to test and show Wharf with.
//!
//! A [`Lab`] owns [`Namespace`]s, which `ip netns` shows as well. A namespace makes its own devices
//! ([`Namespace::veth`], [`Namespace::bridge`], …) and runs closures and programs inside ([`Namespace::run`],
//! [`Namespace::spawn`]). [`traffic`] has small servers and clients on real sockets.
//!
//! Everything goes when the lab is dropped, which includes a panic. [`remove_on_signals`], called once by a
//! program, covers Ctrl-C and `kill`. After `kill -9` nothing of ours can run: children die with us, and the
//! next [`Lab::new`] sweeps up the namespaces ([`sweep`]).
//!
//! It never touches a namespace, device or process that it did not make, and needs root.
//!
//! ```no_run
//! let lab = netlab::Lab::new("hello")?;
//! let (left, right) = (lab.namespace("left")?, lab.namespace("right")?);
//! left.veth("eth0", &right, "eth0")?;
//! left.address("eth0", "10.0.0.1/24".parse().unwrap())?;
//! right.address("eth0", "10.0.0.2/24".parse().unwrap())?;
//! let status = left.command("ping").args(["-c1", "10.0.0.2"]).status();
//! # Ok::<(), netlab::LabError>(())
//! ```
#![deny(unsafe_code)]

mod error;
mod lab;
mod link;
mod name;
mod namespace;
pub mod traffic;

pub use error::LabError;
pub use lab::{Lab, is_ending, remove_on_signals};
pub use link::Switch;
pub use name::sweep;
pub use namespace::{Namespace, Process};
