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
mod behaviour;
mod change;
mod cidr;
mod connector;
mod container;
mod family;
mod id;
mod life;
pub mod limits;
mod mac;
mod mtu;
mod name;
mod netns;
mod policy;
mod ports;
mod probe;
mod problem;
mod publication;
mod refusal;
mod resources;
mod session;
mod subnet;
mod uplink;
mod vpc;

pub use behaviour::{Filtering, Mapping, OnDetach, UdpRefresh, UnsolicitedSyn};
pub use change::Change;
pub use connector::{Connector, ConnectorSpec, ConnectorView, NewConnector};
pub use container::{Addressing, Container, ContainerLink, ContainerSpec, ContainerView, Join, NewContainer};
pub use id::{AttachmentId, ConnectorId, UplinkId};
pub use life::{Life, State};
pub use mac::MacAddr;
pub use mtu::Mtu;
pub use name::{DeviceName, Name};
pub use netns::{NetnsSpec, NetnsView, NewNetns};
pub use policy::{Policy, Translation};
pub use ports::{NewPortRange, NewPorts, PortRange, PortRangeView, Ports, PortsView};
pub use probe::{NewProbe, ProbeSpec, Protocol};
pub use problem::{Code, Problem};
pub use publication::{NewPublication, Publication, PublicationSpec, PublicationView};
pub use refusal::{Kind, Refusal};
pub use resources::{Permission, Resources};
pub use session::{SessionFilter, SessionParams};
pub use subnet::Subnet;
pub use uplink::{NewUplink, TapEnd, UplinkKind, UplinkSpec, UplinkView};
pub use vpc::{NewVpc, Vpc, VpcLink, VpcSpec, VpcView};
