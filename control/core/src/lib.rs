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
//! A connector has no device, and states of its own: see [`ConnectorState`]. Neither has a function, which is there as soon as it is asked
//! for. A container that serves one is made and removed by the daemon ([`Change::AdoptEnvironment`]), and never kept.

#![forbid(unsafe_code)]

mod address;
mod behaviour;
mod caller;
mod change;
mod cidr;
mod connector;
mod container;
mod delivery;
mod family;
mod faults;
pub mod fleet;
mod function;
mod id;
mod invocation;
mod life;
pub mod limits;
mod mac;
mod mtu;
mod name;
mod netns;
mod number;
mod policy;
mod pool;
mod ports;
mod probe;
mod problem;
mod publication;
mod rates;
mod record;
mod refusal;
mod resources;
mod rule;
mod session;
mod subnet;
mod tenant;
mod token;
mod uplink;
mod vpc;

pub use behaviour::{Approval, Filtering, Mapping, OnDetach, UdpRefresh, UnsolicitedSyn};
pub use caller::{Caller, Principal};
pub use change::Change;
pub use connector::{
    Connector, ConnectorSpec, ConnectorState, ConnectorView, Fitted, Initialised, MayJoin, NewConnector,
    Pattern, VpcRef,
};
pub use container::{
    Addressing, Container, ContainerLink, ContainerSpec, ContainerView, Join, NewContainer, Origin,
};
pub use delivery::{
    Accepted, Backlog, BacklogLimits, Delivery, DeliveryFault, DeliveryKey, DeliveryOutcome, DeliveryState,
    NewDelivery, NotAccepted, Retry,
};
pub use faults::Faults;
pub use function::{
    CodeHash, Function, FunctionSpec, FunctionVersion, FunctionVersionView, FunctionView, NewCode,
    NewFunction, StoredCode, Variables, VersionSpec,
};
pub use id::{AttachmentId, ConnectorId, FunctionId, UplinkId};
pub use invocation::{InvocationId, TraceSpan};
pub use life::{Life, State};
pub use mac::MacAddr;
pub use mtu::Mtu;
pub use name::{DeviceName, FullName, Name};
pub use netns::{NetnsSpec, NetnsView, NewNetns};
pub use policy::{Policy, Translation};
pub use pool::{NewPool, Pool, PoolView};
pub use ports::{NewPortRange, NewPorts, PortRange, PortRangeView, Ports, PortsView};
pub use probe::{Description, IpProtocol, NewProbe, ProbePacket, ProbeSpec, Protocol, Sender, TcpFlag};
pub use problem::{Code, Problem};
pub use publication::{NewPublication, Publication, PublicationSpec, PublicationView};
pub use rates::{NewRates, Rates};
pub use record::{Record, RestoreError, Stored};
pub use refusal::{Kind, Refusal};
pub use resources::{Operation, Permission, Resources, Stamp, Touched, Undo};
pub use rule::{Action, NewRule, Rule, RuleView};
pub use session::{SessionFilter, SessionParams};
pub use subnet::Subnet;
pub use tenant::{DEFAULT_TENANT, NewTenant, Tenant, TenantView};
pub use token::{NewToken, Role, Token, TokenSpec, TokenView};
pub use uplink::{NewUplink, TapEnd, UplinkKind, UplinkSpec, UplinkView};
pub use vpc::{NewVpc, Vpc, VpcLink, VpcSpec, VpcView};
