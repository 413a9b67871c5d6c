//! One container, one VPC and the connector between them, with a session of each protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gateway_core::{
    AddressSpace, Addressing, AttachmentConfig, AttachmentId, ConnectorConfig, ConnectorId, Filtering, Link,
    MacAddr, MappingMode, PortSet, Protocol, Publication, SessionView, UdpRefresh, Unsolicited, UplinkConfig,
    UplinkId, Verdict,
};

use crate::neighbors;
use crate::net::Net;
use crate::packet::{ACK, Carries, Packet, SYN};

/// The container's link.
pub(crate) const INSIDE: Link = Link::Attachment(ATTACHMENT);
/// The VPC's link.
pub(crate) const OUTSIDE: Link = Link::Uplink(UPLINK);

const ATTACHMENT: AttachmentId = AttachmentId(0);
const UPLINK: UplinkId = UplinkId(0);
const CONNECTOR: ConnectorId = ConnectorId(0);

/// The only external port of most policies, so that a seed can name it.
pub(crate) const EXTERNAL_PORT: u16 = 2048;
/// The port of every session's container end.
pub(crate) const INTERNAL_PORT: u16 = 4000;
/// The port of every session's remote end.
pub(crate) const REMOTE_PORT: u16 = 80;
/// The external port of the publications of [`Policy::Open`].
pub(crate) const PUBLISHED_PORT: u16 = 3000;

/// The gateway's address on the container's link.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

pub(crate) const CONTAINER_MAC: MacAddr = MacAddr([2, 0xcc, 0, 0, 0, 0]);
pub(crate) const GATEWAY_MAC: MacAddr = MacAddr([2, 0x99, 0, 0, 0, 0]);
pub(crate) const UPLINK_MAC: MacAddr = MacAddr([2, 0xaa, 0, 0, 0, 0]);
pub(crate) const SERVER_MAC: MacAddr = MacAddr([2, 0xee, 0, 0, 0, 0]);

/// How the connector translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// EIM, ADF, one external port for each protocol.
    Strict,
    /// EIM, EIF, every port, a publication of TCP and one of UDP, packets of both sides refresh.
    Open,
    /// ADM, APDF, one port.
    Adm,
    /// APDM, one port.
    Apdm,
    /// Translation off.
    Routed,
    /// EIM in a block of ports, silence about what nobody asked for.
    Blocks,
}

/// The two MTUs and the policy between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) policy: Policy,
    pub(crate) inside_mtu: u16,
    pub(crate) outside_mtu: u16,
}

impl Policy {
    pub(crate) const ALL: [Self; 6] =
        [Self::Strict, Self::Open, Self::Adm, Self::Apdm, Self::Routed, Self::Blocks];

    fn ports(self) -> PortSet {
        match self {
            Self::Open => PortSet::default(),
            Self::Blocks => PortSet::new(&[EXTERNAL_PORT..=EXTERNAL_PORT + 63], &[]),
            _ => PortSet::new(&[EXTERNAL_PORT..=EXTERNAL_PORT], &[]),
        }
    }

    fn connector(self, versions: &[bool]) -> ConnectorConfig {
        let destinations = PREFIXES.iter().map(|p| p.parse().expect("a prefix")).collect();
        let mut connector = ConnectorConfig::new(CONNECTOR, UPLINK, destinations);
        match self {
            Self::Strict | Self::Blocks => {}
            Self::Open => {
                connector.filtering = Filtering::EndpointIndependent;
                connector.udp_filtering = Filtering::EndpointIndependent;
                connector.udp_refresh = UdpRefresh::Both;
                connector.publications = [Protocol::Tcp, Protocol::Udp]
                    .into_iter()
                    .flat_map(|protocol| {
                        versions.iter().map(move |&is_v4| Publication {
                            protocol,
                            external: SocketAddr::new(external(is_v4), PUBLISHED_PORT),
                            internal_port: INTERNAL_PORT + 1,
                        })
                    })
                    .collect();
            }
            Self::Adm => {
                connector.mapping = MappingMode::AddressDependent;
                connector.filtering = Filtering::AddressAndPortDependent;
                connector.udp_filtering = Filtering::AddressAndPortDependent;
            }
            Self::Apdm => connector.mapping = MappingMode::AddressAndPortDependent,
            Self::Routed => connector.translation = false,
        }
        connector
    }

    /// The container's address; one that can be seen in a VPC where it is.
    pub(crate) fn container(self, is_v4: bool) -> IpAddr {
        match (self, is_v4) {
            (Self::Routed, true) => Ipv4Addr::new(10, 9, 0, 2).into(),
            (_, true) => Ipv4Addr::new(169, 254, 1, 2).into(),
            (_, false) => Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 2).into(),
        }
    }
}

impl Lane {
    /// One with links of 1500 bytes.
    pub(crate) const fn of(policy: Policy) -> Self {
        Self { policy, inside_mtu: 1500, outside_mtu: 1500 }
    }

    /// Engines with the two links, the connector attached, and a session of each protocol and IP version (of IPv4
    /// only, if a link is too small for IPv6).
    pub(crate) fn primed(self) -> Net {
        let mut net = Net::new(1);
        net.add_uplink(self.uplink());
        net.add_attachment(self.attachment());
        net.attach(ATTACHMENT, self.policy.connector(&self.versions().collect::<Vec<_>>()));
        for is_v4 in self.versions() {
            let opening = [Carries::tcp(SYN, 999, 0), Carries::Udp, Carries::EchoRequest];
            for carries in opening {
                let frame = self.outbound(carries, server(is_v4)).frame();
                assert_eq!(net.send(0, INSIDE, &frame).verdict, Verdict::Hold, "{frame:02x?}");
            }
            let answer = neighbors::answer((SERVER_MAC, server(is_v4)), (UPLINK_MAC, external(is_v4)));
            assert_eq!(net.send(0, OUTSIDE, &answer).verdict, Verdict::Respond);
            let tcp = session(&net, Protocol::Tcp, is_v4);
            let answer = inbound(Carries::tcp(SYN | ACK, 4999, 1000), &tcp).frame();
            assert_eq!(net.send(0, OUTSIDE, &answer).verdict, Verdict::Forward(INSIDE));
            let last = self.outbound(Carries::tcp(ACK, 1000, 5000), server(is_v4)).frame();
            assert_eq!(net.send(0, INSIDE, &last).verdict, Verdict::Forward(OUTSIDE));
        }
        assert_eq!(net.session_count(), self.versions().count() * 3);
        net
    }

    /// A packet of the container from [`INTERNAL_PORT`] to [`REMOTE_PORT`] of `remote`.
    pub(crate) fn outbound(self, carries: Carries, remote: IpAddr) -> Packet {
        let source = SocketAddr::new(self.policy.container(remote.is_ipv4()), INTERNAL_PORT);
        Packet::new((GATEWAY_MAC, CONTAINER_MAC), source, SocketAddr::new(remote, REMOTE_PORT), carries)
    }

    /// IPv4, and IPv6 if both links can carry it (RFC 8200 §5).
    pub(crate) fn versions(self) -> impl Iterator<Item = bool> {
        let with_v6 = self.inside_mtu.min(self.outside_mtu) >= 1280;
        [true, false].into_iter().filter(move |&is_v4| is_v4 || with_v6)
    }

    fn uplink(self) -> UplinkConfig {
        let external = self.versions().map(external).collect();
        UplinkConfig {
            id: UPLINK,
            mac: UPLINK_MAC,
            mtu: self.outside_mtu,
            on_link: PREFIXES.iter().map(|p| p.parse().expect("a prefix")).collect(),
            next_hops: Vec::new(),
            space: AddressSpace::new(external, self.policy.ports(), 1),
            reserved: Vec::new(),
            port_blocks: self.policy == Policy::Blocks,
            unsolicited: if self.policy == Policy::Blocks { Unsolicited::Silent } else { Unsolicited::Icmp },
        }
    }

    fn attachment(self) -> AttachmentConfig {
        let addressing = |is_v4: bool| Addressing {
            address: self.policy.container(is_v4),
            gateway: if is_v4 { GATEWAY.into() } else { GATEWAY_V6.into() },
        };
        AttachmentConfig {
            id: ATTACHMENT,
            addresses: self.versions().map(addressing).collect(),
            mac: CONTAINER_MAC,
            gateway_mac: GATEWAY_MAC,
            mtu: self.inside_mtu,
        }
    }
}

/// What the VPC sees instead of a container's address.
pub(crate) fn external(is_v4: bool) -> IpAddr {
    if is_v4 {
        Ipv4Addr::new(10, 1, 0, 10).into()
    } else {
        Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x10).into()
    }
}

/// The remote end of every session.
pub(crate) fn server(is_v4: bool) -> IpAddr {
    if is_v4 {
        Ipv4Addr::new(10, 1, 0, 20).into()
    } else {
        Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x20).into()
    }
}

/// A packet of a session's remote.
pub(crate) fn inbound(carries: Carries, session: &SessionView) -> Packet {
    Packet::new((UPLINK_MAC, SERVER_MAC), session.remote, session.external, carries)
}

/// The primed session of a protocol.
pub(crate) fn session(net: &Net, protocol: Protocol, is_v4: bool) -> SessionView {
    let is_it = |s: &SessionView| s.protocol == protocol && s.internal.is_ipv4() == is_v4;
    net.sessions().into_iter().find(is_it).expect("a session of each protocol")
}

/// What is on the uplink, and may be reached.
const PREFIXES: [&str; 2] = ["10.1.0.0/16", "fd00:1::/64"];
