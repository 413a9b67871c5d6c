//! The pure decisions of the control plane: which resources there may be, what they look like, how they change.
//!
//! It never does I/O, reads a clock, waits, or talks to a gateway. To drive it: turn a request into a spec (`validate`), put the
//! spec into a [`Change`], and [`Resources::apply`] it; the shell does what the change promises in between.
//!
//! ```text
//!             reserve            ready             delete            remove
//!   (nothing) ───────► creating ───────► ready ──────────► deleting ───────► (nothing)
//!       ▲                 │                │  link gone       ▲
//!       └──── release ────┘                └────────► gone ───┘
//! ```
//!
//! A connector has no device and so none of these states: it is there or it is not.

#![forbid(unsafe_code)]

mod address;
mod change;
mod cidr;
mod connector;
mod container;
mod filtering;
mod id;
mod life;
pub mod limits;
mod mac;
mod mtu;
mod name;
mod netns;
mod ports;
mod probe;
mod problem;
mod refusal;
mod resources;
mod session;
mod uplink;
mod vpc;

pub use change::Change;
pub use connector::{Connector, ConnectorSpec, ConnectorView, NewConnector};
pub use container::{Container, ContainerLink, ContainerSpec, ContainerView, Join, NewContainer};
pub use filtering::Filtering;
pub use id::{AttachmentId, ConnectorId, UplinkId};
pub use life::{Life, State};
pub use mac::MacAddr;
pub use mtu::Mtu;
pub use name::{DeviceName, Name};
pub use netns::{NetnsSpec, NetnsView, NewNetns};
pub use ports::{NewPortRange, PortRange, PortRangeView};
pub use probe::{NewProbe, ProbeSpec, Protocol};
pub use problem::{Code, Problem};
pub use refusal::{Kind, Refusal};
pub use resources::{Permission, Resources};
pub use session::{SessionFilter, SessionParams};
pub use uplink::{NewUplink, TapEnd, UplinkKind, UplinkSpec, UplinkView};
pub use vpc::{NewVpc, Vpc, VpcLink, VpcSpec, VpcView};
