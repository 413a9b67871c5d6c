//! What a device is made from, and why making it can fail.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::{Addressing, AttachmentId, CommandError, MacAddr, PortSet, Unsolicited, UplinkId};

/// How a network namespace is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Netns {
    /// As `ip netns` names it: a file below `/run/netns`.
    Name(String),
    /// Any file that is a network namespace, such as `/proc/1234/ns/net`.
    Path(PathBuf),
    /// The namespace that this process is in.
    Pid(u32),
}

/// How long a TAP device of our making lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// As long as its descriptor, so at most as long as the process, however that ends.
    #[default]
    Process,
    /// Until its link is removed, or its namespace or somebody in there deletes it. A gateway that is asked for the same device
    /// later takes it again, with all that it has.
    Lasting,
}

/// Where a link's device comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It was made for this link, or it is another's that the link uses.
    Made,
    /// It is a [`Lifetime::Lasting`] one that an earlier gateway had left.
    TakenAgain,
}

/// A container's link: a TAP device inside its namespace whose other end is the gateway's.
#[derive(Clone, Debug)]
pub struct AttachmentSpec {
    /// The container's namespace.
    pub netns: Netns,
    /// The device's name there, such as `eth0`.
    pub device: String,
    /// The container's addresses, each given to the device as a prefix of its own; the gateway's are reached on the link, and are
    /// the default routes. One of each IP version at most.
    pub addresses: Vec<Addressing>,
    /// The device's MAC address; `None` for a locally administered one, or for the one that a device has which is taken again.
    pub mac: Option<MacAddr>,
    /// The gateway's MAC address on the link; `None` for a locally administered one. Who gives the same one again keeps
    /// the container's neighbor entries right.
    pub gateway_mac: Option<MacAddr>,
    /// The device's MTU. Bytes.
    pub mtu: u16,
    /// How long the device lives.
    pub lifetime: Lifetime,
}

/// A VPC's link.
#[derive(Clone, Debug)]
pub struct UplinkSpec {
    /// What the link is made of.
    pub device: UplinkDevice,
    /// Prefixes that are resolved by ARP or Neighbor Discovery on the link.
    pub on_link: Vec<IpNet>,
    /// Routers for everything else; one of each IP version at most.
    pub next_hops: Vec<IpAddr>,
    /// Addresses that containers appear as. At least one.
    pub external: Vec<IpAddr>,
    /// Those of them that only connectors use that name them.
    pub reserved: Vec<IpAddr>,
    /// External ports that mappings are made from. At least one.
    pub ports: PortSet,
    /// Containers get their ports in blocks.
    pub port_blocks: bool,
    /// What happens to a SYN that nobody asked for.
    pub unsolicited: Unsolicited,
}

/// The kinds of uplink.
#[derive(Clone, Debug)]
pub enum UplinkDevice {
    /// A TAP device that the gateway makes and the VPC's side uses as its interface.
    Tap {
        /// Namespace to make it in; `None` for the gateway's own.
        netns: Option<Netns>,
        /// Its name there.
        name: String,
        /// Addresses for the VPC's side of the device.
        addresses: Vec<IpNet>,
        /// Bridge in that namespace to put the device on.
        bridge: Option<String>,
        /// The gateway's MAC address on the link, as in [`AttachmentSpec::gateway_mac`].
        gateway_mac: Option<MacAddr>,
        /// Its MTU. Bytes.
        mtu: u16,
        /// How long the device lives.
        lifetime: Lifetime,
    },
    /// A device that exists (NIC, veth, VLAN, vxlan), used by `AF_PACKET`. Its MAC address and MTU are taken over.
    Packet {
        /// Namespace that it is in; `None` for the gateway's own.
        netns: Option<Netns>,
        /// Its name there.
        name: String,
    },
}

/// A made attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentInfo {
    /// Its identity.
    pub id: AttachmentId,
    /// The container's MAC address.
    pub mac: MacAddr,
    /// The gateway's MAC address on the link.
    pub gateway_mac: MacAddr,
    /// Index of the worker that serves it.
    pub worker: u16,
    /// Where its device comes from.
    pub origin: Origin,
    /// Offloads that the kernel accepted, such as `["csum", "tso4", "uso"]`.
    pub offloads: Vec<&'static str>,
}

/// A made uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkInfo {
    /// Its identity.
    pub id: UplinkId,
    /// The gateway's MAC address on it.
    pub mac: MacAddr,
    /// Its MTU. Bytes.
    pub mtu: u16,
    /// Index of the worker that reads what belongs to no port: ARP, Neighbor Discovery, fragments.
    pub worker: u16,
    /// Where its device comes from.
    pub origin: Origin,
    /// Offloads that the kernel accepted.
    pub offloads: Vec<&'static str>,
}

/// Why a link could not be made. Nothing is left behind, not even a lasting device that could not be taken again as it should be.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The namespace's file or process does not exist. Make it first.
    #[error("network namespace {0} does not exist")]
    NetnsMissing(String),
    /// The file is there, but is no network namespace.
    #[error("{0} is not a network namespace")]
    NetnsInvalid(String),
    /// The name is taken in that namespace by a device that is not ours or that a process has open, or the existing device is another
    /// uplink's. Choose another, or delete that.
    #[error("the device {0} is taken")]
    DeviceTaken(String),
    /// No device of this name is in that namespace.
    #[error("no device named {0} is there")]
    DeviceMissing(String),
    /// The named device is not a bridge.
    #[error("{0} is not a bridge")]
    NotABridge(String),
    /// The device is not Ethernet, so that it has no frames to carry.
    #[error("{0} is not an Ethernet device")]
    NotEthernet(String),
    /// The kernel of that namespace has this external address itself, and would answer in our place.
    #[error("the uplink's namespace itself has address {0}")]
    AddressInUse(IpAddr),
    /// The container's namespace has a default route, and its packets would not come to the gateway.
    #[error("the namespace has a default route already")]
    DefaultRouteTaken,
    /// The device or its namespace was deleted while it was being set up. Try again.
    #[error("the device or its namespace disappeared while it was being set up")]
    Disappeared,
    /// The process lacks a capability (`CAP_NET_ADMIN`, and `CAP_SYS_ADMIN` to enter namespaces, `CAP_SYS_PTRACE` to find
    /// those of other users' processes), or `/dev/net/tun` is closed to it.
    #[error("not permitted to {0}")]
    NotPermitted(&'static str),
    /// A system call failed in a way that none of the above tells.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The workers refused; the device was removed again.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Stopped,
}
