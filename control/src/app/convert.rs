//! Between the resources' words and the gateway's.

use control_core::{
    AttachmentId, ConnectorId, ContainerLink, ContainerSpec, Filtering, MacAddr, NetnsSpec, Permission,
    Protocol, TapEnd, UplinkId, UplinkSpec, VpcLink, VpcSpec,
};

/// What the gateway makes a VPC's link from.
pub(super) fn uplink_spec(spec: &VpcSpec) -> gateway::UplinkSpec {
    gateway::UplinkSpec {
        device: uplink_device(&spec.uplink),
        on_link: spec.on_link,
        next_hop: spec.next_hop,
        external: spec.external_addresses.clone(),
        ports: spec.ports.first()..=spec.ports.last(),
    }
}

fn uplink_device(uplink: &UplinkSpec) -> gateway::UplinkDevice {
    match uplink {
        UplinkSpec::Tap { netns, device, end, mtu } => gateway::UplinkDevice::Tap {
            netns: netns.as_ref().map(netns_of),
            name: device.to_string(),
            address: if let TapEnd::Address(address) = end { Some(*address) } else { None },
            bridge: if let TapEnd::Bridge(bridge) = end { Some(bridge.to_string()) } else { None },
            mtu: mtu.bytes(),
        },
        UplinkSpec::Packet { netns, device } => {
            gateway::UplinkDevice::Packet { netns: netns.as_ref().map(netns_of), name: device.to_string() }
        }
    }
}

/// What the gateway makes a container's link from.
pub(super) fn attachment_spec(spec: &ContainerSpec) -> gateway::AttachmentSpec {
    gateway::AttachmentSpec {
        netns: netns_of(&spec.netns),
        device: spec.device.to_string(),
        address: spec.address,
        gateway: spec.gateway,
        mac: spec.mac.map(|mac| gateway::MacAddr(mac.0)),
        mtu: spec.mtu.bytes(),
    }
}

fn netns_of(netns: &NetnsSpec) -> gateway::Netns {
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
pub(super) fn connector_config(permission: Permission) -> gateway::ConnectorConfig {
    gateway::ConnectorConfig {
        id: connector(permission.connector),
        uplink: uplink(permission.uplink),
        destinations: permission.destinations,
        filtering: filtering(permission.filtering),
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
};
