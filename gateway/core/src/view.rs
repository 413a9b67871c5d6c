//! What an engine tells about itself: pages of sessions, recent drops, explanations. Copies, never references.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::wire::{OWN_TTL, tcp_flag};
use crate::{Action, AttachmentId, ConnectorId, MacAddr, Reason, UplinkId, Verdict};

/// A translated transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
    /// ICMP queries (echo), IP protocol 1 and 58. The query id takes the place of the internal and the external port; the remote port is 0.
    Icmp,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// UDP or ICMP: has no states of its own.
    Active,
    /// TCP: a SYN went out, none came back.
    Opening,
    /// TCP: a SYN came in, none went out.
    OpeningInbound,
    /// TCP: SYNs both ways.
    Established,
    /// TCP: the container sent a FIN.
    FinOutbound,
    /// TCP: the remote sent a FIN.
    FinInbound,
    /// TCP: FINs both ways, of which one at least is not yet acknowledged.
    Closing,
    /// TCP: FINs both ways, both acknowledged. Gives up its port if nobody finds a free one.
    Finished,
    /// TCP: a RST was accepted; traffic brings the session back (RFC 7857 §2.2). Gives up its port if nobody finds a free one.
    Reset,
}

/// One live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Whose it is.
    pub attachment: AttachmentId,
    /// By which permission.
    pub connector: ConnectorId,
    /// Through which VPC's link.
    pub uplink: UplinkId,
    /// Its protocol.
    pub protocol: Protocol,
    /// The container's endpoint.
    pub internal: SocketAddr,
    /// What the VPC sees.
    pub external: SocketAddr,
    /// The peer in the VPC.
    pub remote: SocketAddr,
    /// Where it is in its life.
    pub state: SessionState,
    /// Since its first packet.
    pub age: Duration,
    /// Until it ends without further traffic.
    pub expires_in: Duration,
}

/// Which sessions, and where to go on. The default asks for the first sessions of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// Only this container's.
    pub attachment: Option<AttachmentId>,
    /// Only through this connector.
    pub connector: Option<ConnectorId>,
    /// Only through this VPC's link.
    pub uplink: Option<UplinkId>,
    /// Only this protocol.
    pub protocol: Option<Protocol>,
    /// Only with this remote address.
    pub remote: Option<IpAddr>,
    /// Where the page before ended; 0 at first.
    pub cursor: u64,
    /// At most this many; 0 counts as 1.
    pub limit: usize,
}

/// A part of the session table. Sessions that live through all pages are in exactly one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPage {
    /// The sessions; can be empty although there are more pages.
    pub sessions: Vec<SessionView>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// What a packet was, as far as it could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketSummary {
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// Source address and port (or query id).
    pub source: Option<SocketAddr>,
    /// Destination address and port (or query id).
    pub destination: Option<SocketAddr>,
    /// Bytes of frame.
    pub length: usize,
}

/// A packet of a container that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropView {
    /// How long ago.
    pub ago: Duration,
    /// Why.
    pub reason: Reason,
    /// What it was.
    pub packet: PacketSummary,
}

/// A packet to be explained, of a container or, if that is asked, of a VPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its protocol. ICMP is an echo request, or a VPC's echo reply if the source port is open.
    pub protocol: Protocol,
    /// The number of another IP protocol instead, without a transport header.
    pub number: Option<u8>,
    /// Its source address; `None` for the container's own one.
    pub source: Option<IpAddr>,
    /// Its source port or query id; `None` for one that nothing of the container has.
    pub source_port: Option<u16>,
    /// Its destination. The port is ignored for an echo request, and the query id of an echo reply.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Whether nobody on the way may fragment it; always so with IPv6.
    pub dont_fragment: bool,
    /// The flags of a TCP segment, as they stand in its header (RFC 9293 §3.1).
    pub tcp_flags: u8,
    /// Bytes behind the transport header; not more than fit a packet.
    pub payload_bytes: u16,
}

impl Probe {
    /// The first packet of a conversation, as hosts send it, from a port that nothing else has.
    pub const fn new(protocol: Protocol, destination: SocketAddr) -> Self {
        Self {
            protocol,
            number: None,
            source: None,
            source_port: None,
            destination,
            ttl: OWN_TTL,
            dont_fragment: true,
            tcp_flags: tcp_flag::SYN,
            payload_bytes: 0,
        }
    }
}

/// What would happen to a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the engine decides, in order, up to the one that ends the packet.
    pub steps: Vec<Step>,
    /// What it comes to. [`Verdict::HandOff`] names the worker that knows more.
    pub verdict: Verdict,
}

impl Explanation {
    /// Why the packet would end, if it would.
    pub const fn reason(&self) -> Option<Reason> {
        if let Verdict::Drop(reason) = self.verdict { Some(reason) } else { None }
    }
}

/// One decision on a packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The gateway answers by itself; nothing leaves.
    GatewayAnswers,
    /// It was the last fragment that was missing: what follows is about the datagram.
    Reassembled {
        /// Bytes of the datagram.
        bytes: usize,
    },
    /// Its external endpoint leads to this container, and the connector lets the remote open a session.
    LetIn {
        /// Whose endpoint it is.
        attachment: AttachmentId,
        /// By which permission.
        connector: ConnectorId,
    },
    /// A session carries it already; the steps that made the session are not taken again.
    Session(Box<SessionView>),
    /// This connector's prefix is the longest that matches.
    Route {
        /// Which connector.
        connector: ConnectorId,
        /// Which of its destinations.
        prefix: IpNet,
        /// The VPC's link.
        uplink: UplinkId,
    },
    /// The connector has rules, and this is what they say about the session that would begin.
    Rule {
        /// Which connector.
        connector: ConnectorId,
        /// Which of its rules, counted from 0; `None`: none matched, and that denies.
        index: Option<usize>,
        /// What it says.
        action: Action,
    },
    /// There is a mapping for it already, with this external endpoint.
    MappingReused(SocketAddr),
    /// A new external port would be leased.
    MappingNew {
        /// From this address.
        external: IpAddr,
        /// Ports that nobody has now.
        free_ports: u32,
    },
    /// Translation is off: the VPC sees the container's own address.
    Routed,
    /// The destination is an external address of the uplink, so the packet comes back inside (hairpinning).
    Hairpin,
    /// Where the frame goes on the uplink.
    NextHop {
        /// Whose MAC address is needed.
        address: IpAddr,
        /// The MAC address, if known; otherwise it would be asked for.
        mac: Option<MacAddr>,
    },
}

/// Use of one external address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortUse {
    /// The VPC's link.
    pub uplink: UplinkId,
    /// The address.
    pub external: IpAddr,
    /// Ports of which space.
    pub protocol: Protocol,
    /// Ports that this worker has now: leased, shared by several remotes, or resting. The workers' add up.
    pub used: u32,
    /// Ports that nobody has now. The same for all workers.
    pub free: u32,
    /// Ports that finished sessions of this worker have given up for new ones, ever.
    pub given_up: u64,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    /// The glossary's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

impl SessionState {
    /// The glossary's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Opening => "opening",
            Self::OpeningInbound => "opening_inbound",
            Self::Established => "established",
            Self::FinOutbound => "fin_outbound",
            Self::FinInbound => "fin_inbound",
            Self::Closing => "closing",
            Self::Finished => "finished",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
