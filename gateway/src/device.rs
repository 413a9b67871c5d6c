//! Making devices from their specifications: all of it inside the right namespace, nothing left behind on failure.
//!
//! A TAP device lives as long as its descriptor, so that every early return removes it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::io::netlink::{answer, exchange, without_queueing};
use crate::io::netns::run_in;
use crate::io::{Device, Packet, Staging};
use crate::placement::Spread;
use crate::{Addressing, AttachmentSpec, LinkError, MacAddr, Netns, UplinkDevice, UplinkSpec};

/// Frames that the kernel queues towards the gateway before it drops. Linux's default for Ethernet.
const TRANSMIT_QUEUE: u32 = 1000;

/// How long the kernel may take to find a new IPv6 address its own. It is some milliseconds on a busy machine.
const LOCAL_WAIT: Duration = Duration::from_secs(1);

/// An open device and what was learned about it.
pub(crate) struct Opened {
    /// One, or one for each worker.
    pub(crate) queues: Vec<Device>,
    /// For an attachment the container's, for an uplink the gateway's.
    pub(crate) mac: MacAddr,
    /// Bytes of IPv4 packet.
    pub(crate) mtu: u16,
    /// Which existing device it is; `None` for one of our own making.
    pub(crate) key: Option<DeviceKey>,
}

/// An existing device, whatever its namespace is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceKey {
    /// Inode of the namespace.
    netns: u64,
    index: u32,
}

/// Metric of a container's IPv6 default route: before that of router advertisements, which is 1024.
const ROUTE_METRIC: u32 = 512;

/// Makes a container's TAP device: addresses, default routes through the gateway.
pub(crate) fn open_attachment(staging: &Staging, spec: &AttachmentSpec) -> Result<Opened, LinkError> {
    let mac = spec.mac.map_or_else(random_mac, Ok)?;
    let netns = spec.netns.open()?;
    let tap = staging.create_tap(&netns, &spec.device)?;
    inside(netns, || {
        exchange(async |handle| {
            let index = if_nametoindex(spec.device.as_str())?;
            if spec.addresses.iter().all(|a| a.address.is_ipv4()) {
                quieten(&handle, index).await;
            }
            if spec.addresses.iter().any(|a| a.address.is_ipv6()) {
                enable_ipv6(&spec.device);
            }
            set_up(&handle, index, Some(mac), spec.mtu, None).await?;
            for Addressing { address, gateway } in &spec.addresses {
                add_address(&handle, index, IpNet::from(*address)).await?;
                add_routes(&handle, index, *gateway).await?;
            }
            Ok(())
        })
        .map_err(|source| match Errno::from_raw(source.raw_os_error().unwrap_or_default()) {
            Errno::EEXIST => LinkError::DefaultRouteTaken,
            _ => setting_up("set up the container's device", source),
        })?;
        Ok(Opened { queues: vec![Device::Tap(tap)], mac, mtu: spec.mtu, key: None })
    })
}

/// Makes or opens a VPC's device.
pub(crate) fn open_uplink(staging: &Staging, spec: &UplinkSpec, spread: Spread) -> Result<Opened, LinkError> {
    match &spec.device {
        UplinkDevice::Tap { netns, name, addresses, bridge, mtu } => {
            let mac = random_mac()?;
            let netns = open_netns(netns.as_ref())?;
            let bridge = inside(netns.try_clone().map_err(entering)?, || {
                check_not_local(&spec.external)?;
                bridge.as_deref().map(bridge_index).transpose()
            })?;
            let taps = staging.create_queues(&netns, name, spread)?;
            inside(netns, || {
                exchange(async |handle| {
                    let index = if_nametoindex(name.as_str())?;
                    if addresses.iter().any(|a| a.addr().is_ipv6()) {
                        enable_ipv6(name);
                    }
                    if taps.len() > 1 {
                        lighten(&handle, index).await;
                    }
                    set_up(&handle, index, None, *mtu, bridge).await?;
                    for address in addresses {
                        add_address(&handle, index, *address).await?;
                    }
                    Ok(())
                })
                .map_err(|source| setting_up("set up the uplink's device", source))?;
                let queues = taps.into_iter().map(Device::Tap).collect();
                Ok(Opened { queues, mac, mtu: *mtu, key: None })
            })
        }
        UplinkDevice::Packet { netns, name } => {
            inside(open_netns(netns.as_ref())?, || open_packet(name, &spec.external, spread))
        }
    }
}

/// Makes a TAP device as those of containers are made, and brings it up, without addresses or routes: for a forwarder that only
/// moves frames, which the gateway is compared with.
pub fn open_bare_tap(staging: &Staging, netns: &Netns, name: &str, mtu: u16) -> Result<Device, LinkError> {
    let netns = netns.open()?;
    let tap = staging.create_tap(&netns, name)?;
    inside(netns, || {
        exchange(async |handle| set_up(&handle, if_nametoindex(name)?, None, mtu, None).await)
            .map_err(|source| setting_up("set up the device", source))
    })?;
    Ok(Device::Tap(tap))
}

/// A TAP device was there a moment ago: what cannot find it any more tells that it is gone.
fn setting_up(step: &'static str, source: io::Error) -> LinkError {
    match Errno::from_raw(source.raw_os_error().unwrap_or_default()) {
        Errno::ENODEV | Errno::ENXIO | Errno::ENETUNREACH | Errno::ENETDOWN => LinkError::Disappeared,
        _ => LinkError::System { step, source },
    }
}

fn open_packet(name: &str, external: &[IpAddr], spread: Spread) -> Result<Opened, LinkError> {
    let index = index(name)?;
    check_not_local(external)?;
    let link = exchange(async |handle| link(&handle, index).await)
        .map_err(|source| LinkError::System { step: "look at the uplink's device", source })?;
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr),
        _ => None,
    });
    let mac = mac.filter(|_| link.header.link_layer_type == LinkLayerType::Ether);
    let mac = mac.ok_or_else(|| LinkError::NotEthernet(name.into()))?;
    let mtu = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(u16::try_from(*mtu).unwrap_or(u16::MAX)),
        _ => None,
    });
    warn_of_forwarding(name, external);
    let netns = std::fs::metadata("/proc/thread-self/ns/net")
        .map_err(|source| LinkError::System { step: "look at the namespace", source })?;
    let key = DeviceKey { netns: netns.ino(), index };
    let queues = Packet::open_queues(index, spread)?.into_iter().map(Device::Packet).collect();
    Ok(Opened { queues, mac, mtu: mtu.unwrap_or(1500), key: Some(key) })
}

/// A packet socket sees copies. A kernel that forwards will route the originals too: it answers with ICMP errors and
/// redirects for addresses that it does not know to be ours.
fn warn_of_forwarding(name: &str, external: &[IpAddr]) {
    for (version, concerned) in
        [("ipv4", external.iter().any(IpAddr::is_ipv4)), ("ipv6", external.iter().any(IpAddr::is_ipv6))]
    {
        let setting = format!("/proc/sys/net/{version}/conf/{name}/forwarding");
        if concerned && std::fs::read_to_string(setting).is_ok_and(|value| value.trim() == "1") {
            tracing::warn!(
                device = name,
                version,
                ?external,
                "the kernel forwards on this device and will also act on packets for the external addresses; \
                 see docs/runbooks/packet-uplink.md"
            );
        }
    }
}

/// The namespace, or the gateway's own.
fn open_netns(netns: Option<&Netns>) -> Result<OwnedFd, LinkError> {
    netns.unwrap_or(&Netns::Path("/proc/self/ns/net".into())).open()
}

/// Runs `make` in the namespace.
fn inside<T: Send>(
    netns: OwnedFd,
    make: impl FnOnce() -> Result<T, LinkError> + Send,
) -> Result<T, LinkError> {
    run_in(netns, make).map_err(entering)?
}

fn entering(source: io::Error) -> LinkError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => LinkError::NotPermitted("enter the network namespace"),
        _ => LinkError::System { step: "enter the network namespace", source },
    }
}

/// Brings a device up with MAC address, MTU and queue length, on a bridge if one is given.
async fn set_up(
    handle: &Handle,
    index: u32,
    mac: Option<MacAddr>,
    mtu: u16,
    bridge: Option<u32>,
) -> io::Result<()> {
    let mut link = LinkUnspec::new_with_index(index)
        .mtu(mtu.into())
        .append_extra_attribute(LinkAttribute::TxQueueLen(TRANSMIT_QUEUE))
        .up();
    if let Some(mac) = mac {
        link = link.address(mac.0.to_vec());
    }
    if let Some(bridge) = bridge {
        link = link.controller(bridge);
    }
    handle.link().set(link.build()).execute().await.map_err(answer)
}

/// Container engines switch IPv6 off for all devices of a namespace without network. This device is ours, and shall have it.
fn enable_ipv6(device: &str) {
    let setting = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
    // Reading takes no lock. A write waits for the kernel's network configuration by trying again and again
    // (`addrconf_sysctl_disable`), which keeps whoever has it from getting done when many containers come at once.
    if std::fs::read_to_string(&setting).is_ok_and(|value| value.trim() == "0") {
        return;
    }
    if let Err(error) = std::fs::write(setting, "0") {
        // What follows then says why there is no address.
        tracing::debug!(device, %error, "IPv6 stays as it is");
    }
}

/// Asks for no link-local IPv6 address: what its discovery sends would only be dropped, and bury the drops that matter.
async fn quieten(handle: &Handle, index: u32) {
    let none = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    let link =
        LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![none]));
    if let Err(e) = handle.link().set(link.build()).execute().await {
        // A kernel without IPv6 is quiet by itself.
        tracing::debug!(error = %answer(e), "link-local addresses stay on");
    }
}

/// Asks for no queueing discipline. The kernel makes a device with several queues for 256 of them, and by default each gets
/// its own discipline, which takes some 6 MB together. A TAP device has no use for it, as it drops what it has no room for.
async fn lighten(handle: &Handle, index: u32) {
    if let Err(error) = without_queueing(handle, index).await {
        tracing::debug!(%error, "the default queueing disciplines stay");
    }
}

async fn add_address(handle: &Handle, index: u32, address: IpNet) -> io::Result<()> {
    let mut request = handle.address().add(index, address.addr(), address.prefix_len());
    if address.addr().is_ipv6() {
        // The gateway is alone with the other end: nobody else can have it, and it is of use at once.
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        request.message_mut().header.flags = AddressHeaderFlags::Nodad;
    }
    request.execute().await.map_err(answer)?;
    if let IpAddr::V6(address) = address.addr() {
        wait_until_local(handle, address).await;
    }
    Ok(())
}

/// The gateway on the link, and everything else through it. An IPv6 gateway is link-local, so that it is on the link anyway.
async fn add_routes(handle: &Handle, index: u32, gateway: IpAddr) -> io::Result<()> {
    match gateway {
        IpAddr::V4(gateway) => {
            let on_link = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(gateway, 32)
                .output_interface(index)
                .scope(RouteScope::Link);
            handle.route().add(on_link.build()).execute().await.map_err(answer)?;
            let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index);
            handle.route().add(default.build()).execute().await.map_err(answer)
        }
        IpAddr::V6(gateway) => {
            let default = RouteMessageBuilder::<Ipv6Addr>::new()
                .gateway(gateway)
                .output_interface(index)
                .priority(ROUTE_METRIC);
            handle.route().add(default.build()).execute().await.map_err(answer)
        }
    }
}

/// The kernel takes packets for a new IPv6 address only after a while, when its work queue has made the route to itself
/// (`addrconf_dad_work`). The first answers would be lost until then.
async fn wait_until_local(handle: &Handle, address: Ipv6Addr) {
    let route = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128).build();
    let start = Instant::now();
    while start.elapsed() < LOCAL_WAIT {
        let found = handle.route().get(route.clone()).execute().try_next().await;
        if found.is_ok_and(|route| route.is_some_and(|route| route.header.kind == RouteType::Local)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn link(handle: &Handle, index: u32) -> io::Result<LinkMessage> {
    let found = handle.link().get().match_index(index).execute().try_next().await.map_err(answer)?;
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The kernel answers ARP for its own addresses on every device (`arp_ignore` 0), and takes their packets for itself.
fn check_not_local(external: &[IpAddr]) -> Result<(), LinkError> {
    let local = exchange(async |handle| local_addresses(&handle).await)
        .map_err(|source| LinkError::System { step: "look at the namespace's addresses", source })?;
    match external.iter().find(|address| local.contains(address)) {
        Some(&taken) => Err(LinkError::AddressInUse(taken)),
        None => Ok(()),
    }
}

/// Addresses that this namespace's kernel has itself.
async fn local_addresses(handle: &Handle) -> io::Result<Vec<IpAddr>> {
    let messages: Vec<_> = handle.address().get().execute().try_collect().await.map_err(answer)?;
    let attributes = messages.into_iter().flat_map(|message| message.attributes);
    Ok(attributes
        .filter_map(|attribute| match attribute {
            // IPv6 addresses have no attribute of their own for the local end.
            AddressAttribute::Local(address) | AddressAttribute::Address(address @ IpAddr::V6(_)) => {
                Some(address)
            }
            _ => None,
        })
        .collect())
}

/// The index of a bridge of this namespace.
fn bridge_index(name: &str) -> Result<u32, LinkError> {
    let index = index(name)?;
    let link = exchange(async |handle| link(&handle, index).await)
        .map_err(|source| LinkError::System { step: "look at the bridge", source })?;
    let is_bridge = link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.contains(&LinkInfo::Kind(InfoKind::Bridge)))
    });
    if is_bridge { Ok(index) } else { Err(LinkError::NotABridge(name.into())) }
}

/// The index of a device of this namespace.
fn index(name: &str) -> Result<u32, LinkError> {
    if_nametoindex(name).map_err(|e| match e {
        Errno::ENODEV => LinkError::DeviceMissing(name.into()),
        other => LinkError::System { step: "look for the device", source: other.into() },
    })
}

/// A MAC address of our own; the same for nobody else with a probability of 2^-40.
pub(crate) fn random_mac() -> Result<MacAddr, LinkError> {
    let bytes =
        crate::io::random().map_err(|source| LinkError::System { step: "read randomness", source })?;
    Ok(MacAddr::local(u64::from_ne_bytes(bytes)))
}
