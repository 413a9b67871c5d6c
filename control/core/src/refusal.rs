//! Why the state of the resources does not admit a change.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::family::Family;
use crate::limits::RESERVED_PERCENT;
use crate::{Code, Connector, ConnectorState, Name, Problem, Protocol, State};

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A private network.
    Vpc,
    /// The permission to use one.
    Connector,
    /// What may be permitted.
    Container,
    /// Whose resources are.
    Tenant,
    /// Who may call from anywhere.
    Token,
    /// Code that runs when somebody asks for it.
    Function,
    /// Containers that wait for functions.
    Pool,
}

/// Why a change was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A resource of this kind has the name. Choose another, or delete that one.
    #[error("a {kind} named {name} exists already; choose another name or delete it first")]
    AlreadyExists {
        /// Of which kind.
        kind: Kind,
        /// Of which name.
        name: Name,
    },
    /// No resource has the name.
    #[error("there is no {kind} named {name}")]
    NotFound {
        /// Of which kind.
        kind: Kind,
        /// Of which name, as it was asked for.
        name: String,
    },
    /// The connector's VPC does not exist. Create it first.
    #[error("there is no VPC named {0}; create it first")]
    VpcMissing(Name),
    /// The resource is being made or removed, or its device disappeared.
    #[error("{kind} {name} is {state}; {}", advice(*.kind, *.state))]
    NotReady {
        /// Of which kind.
        kind: Kind,
        /// Which one.
        name: Name,
        /// What it is instead.
        state: State,
    },
    /// Others depend on the resource. Delete or detach them first.
    #[error("{kind} {name} is used by {}", listed(*.by, .names))]
    InUse {
        /// Of which kind.
        kind: Kind,
        /// Which one.
        name: Name,
        /// What kind depends on it.
        by: Kind,
        /// Which ones do; at least one.
        names: Vec<String>,
    },
    /// The connector is not attached to the container.
    #[error("connector {connector} is not attached to container {container}")]
    NotAttached {
        /// Which container.
        container: Name,
        /// Which connector.
        connector: Name,
    },
    /// Another attached connector has this very prefix, so that no longest prefix would decide.
    #[error(
        "connector {other} of container {container} lists {prefix} already; detach it, or give one of them a longer prefix"
    )]
    DestinationTie {
        /// Which container.
        container: Name,
        /// The connector that is attached.
        other: Name,
        /// The prefix that both have.
        prefix: IpNet,
    },
    /// A quota is larger than what there is to divide.
    #[error(
        "containers can have {ports} external ports in VPC {vpc}, fewer than {quota}; choose a smaller quota, or leave it out"
    )]
    QuotaTooLarge {
        /// Which field asked for it.
        field: &'static str,
        /// What was asked for.
        quota: u32,
        /// Of which VPC.
        vpc: Name,
        /// How many it has, see [`crate::VpcSpec::port_count`].
        ports: u32,
    },
    /// Under address-and-port-dependent mapping a port serves several containers, so that no block of ports belongs to one.
    #[error(
        "VPC {0} gives out its ports in blocks, each to one container; choose another mapping, or a VPC without port_blocks"
    )]
    PortBlocks(Name),
    /// What is published has to be an external address of the VPC.
    #[error(
        "{address} is no external address of VPC {vpc}; choose one of those, or leave it out for the first IPv4 one"
    )]
    NotExternal {
        /// Of which publication.
        index: usize,
        /// Which address.
        address: IpAddr,
        /// Of which VPC.
        vpc: Name,
    },
    /// Two publications of one connector have the same external endpoint.
    #[error("{} {external} is published twice; publish each endpoint once", .protocol.as_str())]
    PublishedTwice {
        /// The later one.
        index: usize,
        /// Of which protocol.
        protocol: Protocol,
        /// Which endpoint.
        external: SocketAddr,
    },
    /// The VPC has no addresses of a destination's family, and so no way there.
    #[error(
        "VPC {vpc} has no {} addresses, so that {destination} is out of reach; leave it out, or use a VPC with {}",
        Family::of(.destination.addr()), Family::of(.destination.addr()).field("cidr")
    )]
    NoSuchFamily {
        /// Of which destination.
        index: usize,
        /// Which one.
        destination: IpNet,
        /// Of which VPC.
        vpc: Name,
    },
    /// No destination is of a publication's family.
    #[error(
        "{external} is published, but only the connector's destinations may call it, and none of them is {}; add one, or publish another address",
        Family::of(.external.ip())
    )]
    NobodyMayCall {
        /// Of which publication.
        index: usize,
        /// What it publishes.
        external: SocketAddr,
    },
    /// Without translation the VPC sees the container's address, which belongs to somebody there.
    #[error(
        "{address} of container {container} is the {role} of VPC {vpc}, and without translation it would be in the VPC twice; give the container another address"
    )]
    AddressOfVpc {
        /// Which container.
        container: Name,
        /// Which address.
        address: IpAddr,
        /// Whose it is.
        role: &'static str,
        /// Of which VPC.
        vpc: Name,
    },
    /// The owner of the VPC has not approved the connector, or has revoked it. Ask for it.
    #[error("connector {name} is {state}: the owner of VPC {vpc} has to approve it first")]
    NotApproved {
        /// Which connector.
        name: Name,
        /// What it is instead.
        state: ConnectorState,
        /// Whose owner is to be asked.
        vpc: String,
    },
    /// The connector does not say that the container may use it.
    #[error(
        "connector {connector} may not be used by container {container}; add it to the connector's users"
    )]
    MayNotUse {
        /// Which container.
        container: Name,
        /// Which connector.
        connector: Name,
    },
    /// The connector does not say that the function may use it.
    #[error(
        "connector {connector} may not be used by function {function}; add it to the connector's functions"
    )]
    FunctionMayNotUse {
        /// Which function.
        function: Name,
        /// Which connector.
        connector: Name,
    },
    /// A function names a connector that is not there.
    #[error("there is no connector named {connector}, which function {function} is to have; create it first")]
    ConnectorMissing {
        /// Which function.
        function: Name,
        /// Which connector.
        connector: Name,
    },
    /// Two connectors of a function have the same prefix, so that no longest prefix would decide.
    #[error(
        "connectors {one} and {other} of function {function} both list {prefix}; leave one out, or give one of them a longer prefix"
    )]
    FunctionTie {
        /// Which function.
        function: Name,
        /// One connector.
        one: Name,
        /// The other.
        other: Name,
        /// The prefix that both have.
        prefix: IpNet,
    },
    /// Nobody may change a container that serves a function; it ends with it.
    #[error(
        "container {container} serves function {function}, and only the daemon changes it; change the function"
    )]
    Managed {
        /// Which container.
        container: Name,
        /// Which function.
        function: Name,
    },
    /// A version is gone, or never was.
    #[error("function {function} has no version {number}")]
    NoSuchVersion {
        /// Which function.
        function: Name,
        /// Which number.
        number: u64,
    },
    /// A function has a version as long as it exists.
    #[error(
        "version {number} is the latest of function {function}; delete the function, or deploy another version first"
    )]
    LatestVersion {
        /// Which function.
        function: Name,
        /// Which number.
        number: u64,
    },
    /// A connector's own address has to be one that the VPC reserves for that.
    #[error(
        "{address} is no reserved address of VPC {vpc}; choose one of its reserved_addresses, or leave it out"
    )]
    NotReserved {
        /// Which of the connector's.
        index: usize,
        /// Which address.
        address: IpAddr,
        /// Of which VPC.
        vpc: Name,
    },
    /// Another connector has the address at the time.
    #[error("{address} is in use by {}; wait until that is idle, or choose another address", by.as_ref().map_or_else(|| "another connector".to_owned(), |by| format!("connector {by}")))]
    ExternalTaken {
        /// Which address.
        address: IpAddr,
        /// Which connector has it, if that is one of the same tenant.
        by: Option<Name>,
    },
    /// Containers would be told of a DNS server that they do not reach.
    #[error("{server} is in none of the connector's destinations; add it there, or choose another server")]
    DnsOutside {
        /// Which of the connector's.
        index: usize,
        /// Which server.
        server: IpAddr,
    },
    /// What cannot be changed.
    #[error("{field} cannot be changed; create another connector")]
    Immutable {
        /// Which field.
        field: &'static str,
    },
    /// The owner of the VPC has approved the connector as it is.
    #[error(
        "the owner of VPC {vpc} has approved connector {name} as it is: only users and linger_s can be changed; create another connector"
    )]
    ApprovedElsewhere {
        /// Which connector.
        name: Name,
        /// Whose owner approved it.
        vpc: String,
    },
    /// Another tenant's namespaces would be this one's too.
    #[error(
        "{prefix} and the netns_prefix of tenant {other} begin alike, so that one could name the other's namespaces"
    )]
    PrefixOverlaps {
        /// What was asked for.
        prefix: String,
        /// Whose prefix begins it, or begins with it.
        other: Name,
    },
    /// The default tenant is always there.
    #[error("the tenant default is always there")]
    DefaultTenant,
    /// Functions would have reserved so much of a pool that too little is left for those that reserve nothing.
    #[error(
        "functions of runtime {runtime} may reserve {} MiB together by their concurrency, {percent} % of the pool's {memory_mb}, and this would make it more; \
         ask for less concurrency or less memory, or have the pool enlarged",
        u64::from(*memory_mb) * RESERVED_PERCENT / 100,
        percent = RESERVED_PERCENT,
    )]
    Overbooked {
        /// Of which runtime.
        runtime: Name,
        /// What the pool has. MiB.
        memory_mb: u32,
        /// What to change.
        field: &'static str,
    },
    /// A table is full, see [`crate::limits`].
    #[error("there are {limit} {what} already, which is the most that are kept")]
    LimitReached {
        /// What there are too many of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
}

impl Refusal {
    pub(crate) fn not_approved(connector: &Connector) -> Self {
        let vpc = connector.vpc.seen_by(&connector.name.tenant);
        Self::NotApproved { name: connector.name.name.clone(), state: connector.state(), vpc }
    }

    /// The code that clients see.
    pub const fn code(&self) -> Code {
        match self {
            Self::AlreadyExists { .. } => Code::AlreadyExists,
            Self::NotFound { .. }
            | Self::VpcMissing(_)
            | Self::ConnectorMissing { .. }
            | Self::NoSuchVersion { .. } => Code::NotFound,
            Self::NotReady { .. } => Code::NotReady,
            Self::InUse { .. } | Self::DefaultTenant | Self::LatestVersion { .. } => Code::InUse,
            Self::NotAttached { .. } => Code::NotAttached,
            Self::DestinationTie { .. } | Self::FunctionTie { .. } => Code::DestinationTie,
            Self::QuotaTooLarge { .. }
            | Self::PortBlocks(_)
            | Self::NotExternal { .. }
            | Self::NobodyMayCall { .. }
            | Self::PublishedTwice { .. } => Code::InvalidPolicy,
            Self::NoSuchFamily { .. } => Code::InvalidCidr,
            Self::AddressOfVpc { .. } => Code::AddressTaken,
            Self::NotApproved { .. } => Code::NotApproved,
            Self::MayNotUse { .. } | Self::FunctionMayNotUse { .. } => Code::MayNotUse,
            Self::Managed { .. } => Code::Managed,
            Self::NotReserved { .. } | Self::DnsOutside { .. } => Code::InvalidAddress,
            Self::ExternalTaken { .. } => Code::ExternalTaken,
            Self::Immutable { .. } | Self::ApprovedElsewhere { .. } => Code::ImmutableField,
            Self::PrefixOverlaps { .. } => Code::InvalidNetns,
            Self::Overbooked { .. } | Self::LimitReached { .. } => Code::LimitReached,
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::AlreadyExists { .. } => Some("name".into()),
            Self::VpcMissing(_) => Some("vpc".into()),
            Self::ConnectorMissing { .. } | Self::FunctionMayNotUse { .. } | Self::FunctionTie { .. } => {
                Some("connectors".into())
            }
            Self::QuotaTooLarge { field, .. }
            | Self::Immutable { field }
            | Self::Overbooked { field, .. } => Some((*field).into()),
            Self::PortBlocks(_) => Some("mapping".into()),
            Self::NotExternal { index, .. } => Some(format!("publications[{index}].external_address")),
            Self::PublishedTwice { index, .. } | Self::NobodyMayCall { index, .. } => {
                Some(format!("publications[{index}]"))
            }
            Self::NoSuchFamily { index, .. } => Some(format!("destinations[{index}]")),
            Self::PrefixOverlaps { .. } => Some("netns_prefix".into()),
            Self::NotReserved { index, .. } => Some(format!("external_addresses[{index}]")),
            Self::DnsOutside { index, .. } => Some(format!("dns_servers[{index}]")),
            _ => None,
        }
    }
}

const fn advice(kind: Kind, state: State) -> &'static str {
    match state {
        State::Creating => "try again when it is ready",
        State::Ready => "nothing is wrong with it",
        State::Deleting => "it cannot be used any more",
        State::Gone => match kind {
            Kind::Vpc => {
                "its device disappeared: delete its connectors and then itself, and create them again"
            }
            _ => "its device disappeared: delete it and create it again",
        },
    }
}

/// How many dependents a message names before it only counts them.
const LISTED: usize = 8;

fn listed(kind: Kind, names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let verb = match kind {
        Kind::Container => "detach",
        Kind::Function => "change or delete",
        _ => "delete",
    };
    let object = if names.len() == 1 { "it" } else { "them" };
    match names.len().saturating_sub(LISTED) {
        0 => format!("{kind} {shown}; {verb} {object} first"),
        more => format!("{kind} {shown} and {more} more; {verb} {object} first"),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.code(), refusal.to_string());
        if let Refusal::InUse { names, .. } = refusal {
            return problem.because_of(names);
        }
        match refusal.field() {
            Some(field) => problem.at(field),
            None => problem,
        }
    }
}

impl Kind {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vpc => "vpc",
            Self::Connector => "connector",
            Self::Container => "container",
            Self::Tenant => "tenant",
            Self::Token => "token",
            Self::Function => "function",
            Self::Pool => "pool",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vpc => "VPC",
            Self::Connector => "connector",
            Self::Container => "container",
            Self::Tenant => "tenant",
            Self::Token => "token",
            Self::Function => "function",
            Self::Pool => "pool",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lists_dependents_and_counts_the_rest() {
        let name = |i| Name::parse("name", format!("c{i}")).unwrap();
        let in_use = |n| Refusal::InUse {
            kind: Kind::Connector,
            name: name(99),
            by: Kind::Container,
            names: (0..n).map(|i| name(i).to_string()).collect(),
        };
        assert_eq!(in_use(1).to_string(), "connector c99 is used by container c0; detach it first");
        assert_eq!(in_use(2).to_string(), "connector c99 is used by container c0, c1; detach them first");
        assert!(in_use(10).to_string().ends_with("c7 and 2 more; detach them first"));
    }

    #[test]
    fn what_is_gone_is_deleted_in_the_order_that_is_possible() {
        let gone = |kind| {
            let name = Name::parse("name", "x".into()).unwrap();
            Refusal::NotReady { kind, name, state: State::Gone }.to_string()
        };
        assert!(gone(Kind::Container).ends_with("delete it and create it again"));
        assert!(
            gone(Kind::Vpc).contains("delete its connectors and then itself"),
            "it is in use while it has any"
        );
    }
}
