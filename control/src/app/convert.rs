//! Between the resources' words and the gateway's.

use std::net::IpAddr;
use std::num::NonZeroU64;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use control_core::{
    Action, AttachmentId, ConnectorId, ContainerLink, ContainerSpec, Description, Filtering, IpProtocol,
    MacAddr, Mapping, NetnsSpec, OnDetach, Origin, Permission, PortRange, Ports, ProbePacket, Protocol,
    Publication, Rates, Rule, TapEnd, UdpRefresh, UnsolicitedSyn, UplinkId, UplinkSpec, VpcLink, VpcSpec,
};

use super::allowances::Allowance;
use super::random;

const _: () = assert!(control_core::limits::PORT_BLOCK == gateway::limits::PORT_BLOCK);

/// What the gateway makes a VPC's link from.
pub(super) fn uplink_spec(
    spec: &VpcSpec,
    mac: Option<gateway::MacAddr>,
    lifetime: gateway::Lifetime,
) -> gateway::UplinkSpec {
    gateway::UplinkSpec {
        device: uplink_device(&spec.uplink, mac, lifetime),
        on_link: spec.subnets().map(|subnet| subnet.on_link).collect(),
        next_hops: spec.subnets().filter_map(|subnet| subnet.next_hop).collect(),
        external: spec.external_addresses.iter().chain(&spec.reserved_addresses).copied().collect(),
        reserved: spec.reserved_addresses.clone(),
        ports: port_set(&spec.ports),
        port_blocks: spec.port_blocks,
        unsolicited: match spec.unsolicited_syn {
            UnsolicitedSyn::Icmp => gateway::Unsolicited::Icmp,
            UnsolicitedSyn::Silent => gateway::Unsolicited::Silent,
        },
    }
}

fn port_set(ports: &Ports) -> gateway::PortSet {
    let range = |range: PortRange| range.first()..=range.last();
    let exclude: Vec<_> = ports.exclude().iter().copied().map(range).collect();
    gateway::PortSet::new(&[range(ports.range())], &exclude)
}

fn uplink_device(
    uplink: &UplinkSpec,
    gateway_mac: Option<gateway::MacAddr>,
    lifetime: gateway::Lifetime,
) -> gateway::UplinkDevice {
    match uplink {
        UplinkSpec::Tap { netns, device, end, mtu } => gateway::UplinkDevice::Tap {
            netns: netns.as_ref().map(netns_of),
            name: device.to_string(),
            addresses: uplink.addresses().to_vec(),
            bridge: if let TapEnd::Bridge(bridge) = end { Some(bridge.to_string()) } else { None },
            gateway_mac,
            mtu: mtu.bytes(),
            lifetime,
        },
        UplinkSpec::Packet { netns, device } => {
            gateway::UplinkDevice::Packet { netns: netns.as_ref().map(netns_of), name: device.to_string() }
        }
    }
}

/// What the gateway makes a container's link from; with the MAC addresses that it has had before, if any.
pub(super) fn attachment_spec(
    spec: &ContainerSpec,
    before: Option<&Origin>,
    lifetime: gateway::Lifetime,
) -> gateway::AttachmentSpec {
    let addressing = |address: IpAddr, gateway: IpAddr| gateway::Addressing { address, gateway };
    let v4 = addressing(spec.ipv4.address.into(), spec.ipv4.gateway.into());
    let v6 = spec.ipv6.map(|ipv6| addressing(ipv6.address.into(), ipv6.gateway.into()));
    gateway::AttachmentSpec {
        netns: netns_of(&spec.netns),
        device: spec.device.to_string(),
        addresses: std::iter::once(v4).chain(v6).collect(),
        mac: spec.mac.map(|mac| gateway::MacAddr(mac.0)).or_else(|| mac(&before?.mac)),
        gateway_mac: before.and_then(|before| mac(&before.gateway_mac)).or_else(random::mac),
        mtu: spec.mtu.bytes(),
        lifetime,
    }
}

/// A MAC address as it was kept.
pub(super) fn mac(text: &str) -> Option<gateway::MacAddr> {
    MacAddr::parse("mac", text).ok().map(|mac| gateway::MacAddr(mac.0))
}

pub(super) fn netns_of(netns: &NetnsSpec) -> gateway::Netns {
    match netns {
        NetnsSpec::Name(name) => gateway::Netns::Name(name.clone()),
        NetnsSpec::Path(path) => gateway::Netns::Path(path.into()),
        NetnsSpec::Pid(pid) => gateway::Netns::Pid(*pid),
    }
}

/// What became of a VPC's link.
pub(super) fn vpc_link(info: gateway::UplinkInfo) -> VpcLink {
    VpcLink {
        uplink: UplinkId(info.id.0),
        mac: MacAddr(info.mac.0),
        mtu: info.mtu,
        offloads: info.offloads.into_iter().map(Into::into).collect(),
    }
}

/// What became of a container's link.
pub(super) fn container_link(info: gateway::AttachmentInfo) -> ContainerLink {
    ContainerLink {
        attachment: AttachmentId(info.id.0),
        mac: MacAddr(info.mac.0),
        worker: info.worker,
        offloads: info.offloads.into_iter().map(Into::into).collect(),
    }
}

/// A permission as an engine needs it.
pub(super) fn connector_config(permission: &Permission, allowance: Allowance) -> gateway::ConnectorConfig {
    let (spec, fitted) = (&permission.spec, &permission.fitted);
    let (policy, translation) = (&spec.policy, spec.policy.translation.as_ref());
    gateway::ConnectorConfig {
        id: connector(permission.connector),
        uplink: uplink(permission.uplink),
        destinations: fitted.destinations.clone(),
        rules: fitted.rules.iter().flat_map(rules).collect(),
        external: spec.external_addresses.clone(),
        limits: allowance.limits,
        translation: translation.is_some(),
        mapping: mapping(translation.map(|t| t.mapping).unwrap_or_default()),
        filtering: filtering(policy.filtering),
        udp_filtering: filtering(policy.udp_filtering.unwrap_or(policy.filtering)),
        udp_refresh: match policy.udp_refresh {
            UdpRefresh::Outbound => gateway::UdpRefresh::Outbound,
            UdpRefresh::Both => gateway::UdpRefresh::Both,
        },
        quota: allowance.quota,
        quota_per_attachment: translation.and_then(|t| t.port_quota_per_container),
        on_detach: match policy.on_detach {
            OnDetach::Reset => gateway::OnDetach::Reset,
            OnDetach::Silent => gateway::OnDetach::Silent,
        },
        publications: fitted.publications.iter().copied().map(publication).collect(),
    }
}

/// A rule for all destinations is one for each family.
fn rules(rule: &Rule) -> Vec<gateway::Rule> {
    let all = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
    let destinations = rule.destination.map_or_else(|| all.to_vec(), |destination| vec![destination]);
    let engine = |destination| gateway::Rule {
        action: match rule.action {
            Action::Allow => gateway::Action::Allow,
            Action::Deny => gateway::Action::Deny,
        },
        destination,
        protocol: rule.protocol.map(protocol),
        ports: rule.ports.map(|ports| ports.first()..=ports.last()),
    };
    destinations.into_iter().map(engine).collect()
}

/// Rate limits as an engine counts them.
pub(super) fn rate_limits(rates: &Rates) -> gateway::RateLimits {
    gateway::RateLimits::new(gateway::Rates {
        packets: rates.packets_per_second.and_then(NonZeroU64::new),
        bits: rates.bits_per_second.and_then(NonZeroU64::new),
        sessions: rates.sessions_per_second.and_then(NonZeroU64::new),
    })
}

const fn publication(publication: Publication) -> gateway::Publication {
    gateway::Publication {
        protocol: protocol(publication.protocol),
        external: publication.external,
        internal_port: publication.container_port,
    }
}

const fn mapping(mapping: Mapping) -> gateway::MappingMode {
    match mapping {
        Mapping::EndpointIndependent => gateway::MappingMode::EndpointIndependent,
        Mapping::AddressDependent => gateway::MappingMode::AddressDependent,
        Mapping::AddressAndPortDependent => gateway::MappingMode::AddressAndPortDependent,
    }
}

pub(super) const fn attachment(id: AttachmentId) -> gateway::AttachmentId {
    gateway::AttachmentId(id.0)
}

pub(super) const fn connector(id: ConnectorId) -> gateway::ConnectorId {
    gateway::ConnectorId(id.0)
}

pub(super) const fn uplink(id: UplinkId) -> gateway::UplinkId {
    gateway::UplinkId(id.0)
}

/// A packet to be explained.
pub(super) fn question(packet: ProbePacket) -> gateway::Question {
    match packet {
        ProbePacket::Packet(bytes) => gateway::Question::Packet(bytes.into()),
        ProbePacket::Frame(bytes) => gateway::Question::Frame(bytes.into()),
        ProbePacket::Described(it) => gateway::Question::Probe(probe(&it)),
    }
}

fn probe(it: &Description) -> gateway::Probe {
    let (of, number) = match it.protocol {
        IpProtocol::Translated(of) => (protocol(of), None),
        IpProtocol::Number(number) => (gateway::Protocol::Udp, Some(number)),
    };
    let usual = gateway::Probe::new(of, it.destination);
    gateway::Probe {
        number,
        source: it.source,
        source_port: it.source_port,
        ttl: it.ttl.unwrap_or(usual.ttl),
        dont_fragment: it.dont_fragment.unwrap_or(usual.dont_fragment),
        tcp_flags: it.tcp_flags.unwrap_or(usual.tcp_flags),
        payload_bytes: it.payload_bytes,
        ..usual
    }
}

const fn filtering(filtering: Filtering) -> gateway::Filtering {
    match filtering {
        Filtering::EndpointIndependent => gateway::Filtering::EndpointIndependent,
        Filtering::AddressDependent => gateway::Filtering::AddressDependent,
        Filtering::AddressAndPortDependent => gateway::Filtering::AddressAndPortDependent,
    }
}

pub(super) const fn protocol(protocol: Protocol) -> gateway::Protocol {
    match protocol {
        Protocol::Tcp => gateway::Protocol::Tcp,
        Protocol::Udp => gateway::Protocol::Udp,
        Protocol::Icmp => gateway::Protocol::Icmp,
    }
}

pub(super) const fn protocol_back(protocol: gateway::Protocol) -> Protocol {
    match protocol {
        gateway::Protocol::Tcp => Protocol::Tcp,
        gateway::Protocol::Udp => Protocol::Udp,
        gateway::Protocol::Icmp => Protocol::Icmp,
    }
}

// What is accepted here must fit the engine's tables.
const _: () = {
    use control_core::limits as ours;
    use gateway::limits as theirs;
    assert!(ours::VPCS <= theirs::UPLINKS);
    assert!(ours::CONTAINERS <= theirs::ATTACHMENTS);
    assert!(ours::CONNECTORS_PER_CONTAINER <= theirs::CONNECTORS_PER_ATTACHMENT);
    assert!(ours::DESTINATIONS <= theirs::DESTINATIONS_PER_CONNECTOR);
    assert!(ours::EXTERNAL_ADDRESSES <= theirs::EXTERNAL_ADDRESSES_PER_UPLINK);
    assert!(ours::PUBLICATIONS <= theirs::PUBLICATIONS_PER_CONNECTOR);
};
