//! Warm containers: namespaces, root filesystems, the store of code and its mount at the trigger, the runtime API.
//!
//! It never decides which container serves what, and knows no tenant, connector or VPC; those are the control plane's. To drive
//! it: open a [`Sandbox`], [`Sandbox::prepare`] what a container needs before it is one, give its namespace a link,
//! [`Prepared::start`] it, and wait. When a trigger arrives: [`Container::assign`] a function, [`Container::initialised`],
//! [`Container::invoke`] as often as there is something, [`Container::remove`].
//!
//! ```text
//!   prepare        start            assign             initialised       invoke …        remove
//!   netns, userns  OCI runtime,     code mounted,      handler loaded,   event, answer   processes, mounts,
//!   listener       bootstrap waits  bootstrap told     asks for events                   namespaces, cgroups
//! ```

mod assignment;
mod bootstrap;
mod bundle;
mod cgroup;
mod code;
mod container;
mod container_helper;
mod handle;
mod invocation;
pub mod limits;
mod mounting;
mod output;
mod rootfs;
mod runtime_api;
mod seccomp;
mod settings;
mod slots;
#[allow(unsafe_code, reason = "system calls; the quarantine of unsafe")]
mod sys;

pub use assignment::Assignment;
pub use code::{Bound, CodeError, CodeId, CodeStore, InvalidCodeId, LinkFault, NameFault, Unpacked, pack};
pub use container::{AssignError, Assigned, Container, Usage};
pub use container_helper::container_helper;
pub use handle::{CreateError, Namespace, OpenError, Prepared, Sandbox};
pub use invocation::{Answer, Body, Exit, Fault, FunctionError, Invocation};
pub use output::{OutputLine, Stream};
pub use settings::{Language, Oci, Rootfs, Runtime, Settings};
