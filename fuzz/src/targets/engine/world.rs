//! What there is: links, connectors, hosts in the VPCs; and how an input changes it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;

use gateway_core::{
    Action, AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, CommandError, ConnectorConfig,
    ConnectorId, Filtering, Link, MacAddr, MappingMode, OnDetach, PortQuota, PortSet, Protocol, Publication,
    RateLimits, Rates, Rule, UdpRefresh, Unsolicited, UplinkConfig, UplinkId,
};

use crate::input::Input;
use crate::net::Net;
use crate::targets::MTUS;

/// A gateway and what is around it.
pub(super) struct World {
    pub(super) net: Net,
    workers: u16,
    /// Hosts answer as soon as they are asked.
    pub(super) hosts_answer: bool,
    pub(super) uplinks: BTreeMap<UplinkId, UplinkConfig>,
    pub(super) attachments: BTreeMap<AttachmentId, AttachmentConfig>,
    /// And where it leads.
    pub(super) attached: BTreeMap<(AttachmentId, ConnectorId), UplinkId>,
    /// Every quota there ever was, with its limit.
    pub(super) quotas: Vec<(PortQuota, u32)>,
    /// By connector, the one that its containers share.
    shared_quotas: BTreeMap<ConnectorId, PortQuota>,
    next: u32,
    /// Bursts that have not been yet.
    pub(super) bursts: usize,
    /// What was sent of late.
    pub(super) seen: Vec<(Link, Vec<u8>)>,
}

impl World {
    pub(super) fn new(two_workers: bool, hosts_answer: bool) -> Self {
        let workers = if two_workers { 2 } else { 1 };
        Self {
            net: Net::new(workers),
            workers,
            hosts_answer,
            uplinks: BTreeMap::new(),
            attachments: BTreeMap::new(),
            attached: BTreeMap::new(),
            quotas: Vec::new(),
            shared_quotas: BTreeMap::new(),
            next: 0,
            bursts: BURSTS,
            seen: Vec::new(),
        }
    }

    /// One of the uplinks.
    pub(super) fn uplink(&self, input: &mut Input<'_>) -> Option<(&UplinkConfig, UplinkId)> {
        let place = input.below(LINKS);
        self.uplinks.iter().nth(place % self.uplinks.len().max(1)).map(|(&id, config)| (config, id))
    }

    /// One of the containers.
    pub(super) fn attachment(&self, input: &mut Input<'_>) -> Option<(&AttachmentConfig, AttachmentId)> {
        let place = input.below(LINKS);
        self.attachments.iter().nth(place % self.attachments.len().max(1)).map(|(&id, config)| (config, id))
    }

    pub(super) fn add_uplink(&mut self, input: &mut Input<'_>) {
        let (bits, ports, mtu) = (input.byte(), input.one_of(&PORTS), input.one_of(&MTUS));
        if self.uplinks.len() == LINKS {
            return;
        }
        let id = UplinkId(self.fresh());
        let with_v6 = bits & 1 == 0 && mtu >= 1280;
        let with_v4 = bits & 2 == 0 || !with_v6;
        let count = if bits & 4 == 0 { 1 } else { 2 };
        let v4 = (0..count).filter(|_| with_v4).map(external_v4);
        let v6 = (0..count).filter(|_| with_v6).map(external_v6);
        let next_hops: [IpAddr; 2] = [ROUTER.into(), ROUTER_V6.into()];
        let config = UplinkConfig {
            id,
            mac: uplink_mac(id),
            mtu,
            on_link: prefixes(usize::from(bits >> 3 & 1)),
            next_hops: if bits & 16 == 0 { next_hops.to_vec() } else { Vec::new() },
            space: AddressSpace::new(
                v4.chain(v6).collect(),
                PortSet::new(&[ports.0..=ports.1], &[]),
                self.workers,
            ),
            reserved: if bits & 128 == 0 { Vec::new() } else { vec![external_v4(1), external_v6(1)] },
            port_blocks: bits & 32 != 0,
            unsolicited: if bits & 64 == 0 { Unsolicited::Icmp } else { Unsolicited::Silent },
        };
        self.net.add_uplink(config.clone());
        self.uplinks.insert(id, config);
    }

    pub(super) fn add_attachment(&mut self, input: &mut Input<'_>) {
        let (bits, mtu) = (input.byte(), input.one_of(&MTUS));
        if self.attachments.len() == LINKS {
            return;
        }
        let id = AttachmentId(self.fresh());
        let with_v6 = bits & 1 == 0 && mtu >= 1280;
        let with_v4 = bits & 2 == 0 || !with_v6;
        // All containers may have the same addresses; with translation off they cannot.
        let own = if bits & 4 == 0 { id.0 as u8 } else { 1 };
        let v4: IpAddr = match bits & 8 {
            0 => Ipv4Addr::new(10, 9, 0, own).into(),
            _ => Ipv4Addr::new(169, 254, 1, 2).into(),
        };
        let v6: IpAddr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, own.into()).into();
        let addresses = [(with_v4, v4, GATEWAY.into()), (with_v6, v6, GATEWAY_V6.into())];
        let addresses = addresses.into_iter().filter(|a| a.0);
        let config = AttachmentConfig {
            id,
            addresses: addresses.map(|(_, address, gateway)| Addressing { address, gateway }).collect(),
            mac: container_mac(id),
            gateway_mac: gateway_mac(id),
            mtu,
        };
        self.net.add_attachment(config.clone());
        self.attachments.insert(id, config);
    }

    pub(super) fn attach(&mut self, input: &mut Input<'_>) {
        let (Some((_, attachment)), Some((uplink, _))) = (self.attachment(input), self.uplink(input)) else {
            return;
        };
        let (uplink, id) = (uplink.clone(), ConnectorId(input.below(4) as u32));
        let mut connector = self.connector(input, id, &uplink);
        self.restrict(input.byte(), &uplink, &mut connector);
        let command = Command::Attach { attachment, connector };
        match self.net.apply(&command) {
            Ok(_) => drop(self.attached.insert((attachment, id), uplink.id)),
            Err(error) => assert!(is_expected(error), "{error:?} of {command:?}"),
        }
    }

    /// A connector with any policy.
    fn connector(
        &mut self,
        input: &mut Input<'_>,
        id: ConnectorId,
        uplink: &UplinkConfig,
    ) -> ConnectorConfig {
        use {Filtering as F, MappingMode as M};
        const FILTERINGS: [F; 4] =
            [F::AddressDependent, F::EndpointIndependent, F::AddressAndPortDependent, F::AddressDependent];
        let (modes, rest) = (usize::from(input.byte()), usize::from(input.byte()));
        let destinations = prefixes(input.below(PREFIXES.len()));
        let mut connector = ConnectorConfig::new(id, uplink.id, destinations);
        connector.mapping =
            [M::EndpointIndependent, M::AddressDependent, M::AddressAndPortDependent, M::EndpointIndependent]
                [modes & 3];
        connector.filtering = FILTERINGS[modes >> 2 & 3];
        connector.udp_filtering = FILTERINGS[modes >> 4 & 3];
        connector.translation = modes & 0x40 == 0;
        connector.udp_refresh = if modes & 0x80 == 0 { UdpRefresh::Outbound } else { UdpRefresh::Both };
        let limit = [None, Some(1), Some(3), Some(40)][rest & 3];
        connector.quota = self.quota(id, limit);
        connector.quota_per_attachment = [None, Some(1), Some(2), Some(8)][rest >> 2 & 3];
        connector.on_detach = if rest & 0x10 == 0 { OnDetach::Reset } else { OnDetach::Silent };
        for _ in 0..rest >> 5 & 3 {
            let bits = input.byte();
            let addresses = uplink.space.external();
            connector.publications.push(Publication {
                protocol: [Protocol::Tcp, Protocol::Udp][usize::from(bits & 1)],
                external: SocketAddr::new(
                    addresses[usize::from(bits >> 1) % addresses.len()],
                    [2048, 2049, 3000, 80][usize::from(bits >> 4) & 3],
                ),
                internal_port: INTERNAL_PORTS[usize::from(bits >> 6)],
            });
        }
        connector
    }

    /// Rules, rate limits and addresses of a connector's own; an input that is over asks for none.
    fn restrict(&mut self, bits: u8, uplink: &UplinkConfig, connector: &mut ConnectorConfig) {
        let rule = |action, protocol, ports: Option<u16>, destination: &str| Rule {
            action,
            destination: destination.parse().expect("a prefix"),
            protocol,
            ports: ports.map(|port| port..=port),
        };
        let all = || ["0.0.0.0/0", "::/0"].map(|all| rule(Action::Allow, None, None, all));
        match bits & 3 {
            1 => connector.rules.push(rule(Action::Deny, Some(Protocol::Udp), Some(53), "10.1.0.0/16")),
            2 => connector.rules.push(rule(Action::Deny, None, None, "10.1.0.16/28")),
            3 => connector.rules.push(rule(Action::Deny, Some(Protocol::Tcp), None, "fd00:1::/64")),
            _ => {}
        }
        if !connector.rules.is_empty() {
            connector.rules.extend(all());
        }
        let rates = match bits >> 2 & 3 {
            1 => [Some(100), None, None],
            2 => [None, Some(100_000), Some(2)],
            3 => [None, None, Some(1)],
            _ => [None; 3],
        };
        let [packets, most, sessions] = rates.map(|rate| rate.and_then(NonZeroU64::new));
        connector.limits = RateLimits::new(Rates { packets, bits: most, sessions });
        let last = uplink.space.external().last().copied();
        connector.external = last.filter(|_| bits & 0x10 != 0).map(|last| vec![last]);
    }

    /// The counter that all containers of the connector share; a new one with a new limit.
    fn quota(&mut self, id: ConnectorId, limit: Option<u32>) -> PortQuota {
        if let Some(quota) = self.shared_quotas.get(&id)
            && limit.is_none()
        {
            return quota.clone();
        }
        let quota = PortQuota::new(limit);
        self.quotas.push((quota.clone(), limit.unwrap_or(u32::MAX)));
        self.shared_quotas.insert(id, quota.clone());
        quota
    }

    pub(super) fn detach(&mut self, input: &mut Input<'_>) {
        let Some((_, attachment)) = self.attachment(input) else { return };
        let connector = ConnectorId(input.below(4) as u32);
        let attached = self.attached.remove(&(attachment, connector)).is_some();
        let answer = self.net.apply(&Command::Detach { attachment, connector });
        assert_eq!(answer.is_ok(), attached, "{connector:?} of {attachment}: {answer:?}");
    }

    /// The uplink goes, and with it every connector to it.
    pub(super) fn forget_uplink(&mut self, uplink: UplinkId) {
        self.uplinks.remove(&uplink);
        self.attached.retain(|_, to| *to != uplink);
    }

    pub(super) fn forget_attachment(&mut self, attachment: AttachmentId) {
        self.attachments.remove(&attachment);
        self.attached.retain(|(of, _), _| *of != attachment);
    }

    pub(super) fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }
}

/// Whether an attach may be refused for this, whatever it asks for.
const fn is_expected(error: CommandError) -> bool {
    matches!(
        error,
        CommandError::DestinationTie { .. }
            | CommandError::PublicationTaken { .. }
            | CommandError::PublicationUnreachable(_)
            | CommandError::AddressTaken(_)
            | CommandError::AddressNotRoutable(_)
            | CommandError::BlocksWithSharedPorts
    )
}

/// One of the lists of [`PREFIXES`].
fn prefixes(index: usize) -> Vec<ipnet::IpNet> {
    PREFIXES[index].iter().map(|prefix| prefix.parse().expect("a prefix")).collect()
}

fn external_v4(index: u8) -> IpAddr {
    Ipv4Addr::new(10, 1, 0, 10 + index).into()
}

fn external_v6(index: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x10 + u16::from(index)).into()
}

pub(super) const fn container_mac(id: AttachmentId) -> MacAddr {
    MacAddr([2, 0xcc, 0, 0, 0, id.0 as u8])
}

pub(super) const fn gateway_mac(id: AttachmentId) -> MacAddr {
    MacAddr([2, 0x99, 0, 0, 0, id.0 as u8])
}

pub(super) const fn uplink_mac(id: UplinkId) -> MacAddr {
    MacAddr([2, 0xaa, 0, 0, 0, id.0 as u8])
}

/// Bursts of one input: they take long.
const BURSTS: usize = 2;

/// Links of one kind at a time.
const LINKS: usize = 4;

pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
pub(super) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub(super) const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);

/// Ports of containers.
pub(super) const INTERNAL_PORTS: [u16; 4] = [4000, 4001, 4002, 80];

/// Destinations of connectors, and prefixes of uplinks.
const PREFIXES: [&[&str]; 4] = [
    &["10.1.0.0/16", "fd00:1::/64"],
    &["10.1.0.16/28", "fd00:1::/123"],
    &["0.0.0.0/0", "::/0"],
    &["10.9.0.0/24", "fd00:9::/64", "198.51.100.0/24"],
];

/// External ports: few, one block, two blocks with a border inside, most.
const PORTS: [(u16, u16); 4] = [(2048, 2050), (2048, 2111), (2040, 2120), (1024, 65_535)];
