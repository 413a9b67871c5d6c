//! Making devices from their specifications: all of it inside the right namespace, nothing left behind on failure.
//!
//! A TAP device lives as long as its descriptor, so that every early return removes it, until all is done and
//! [`Opened::origin`] and the lifetime say that it shall last. One that an earlier gateway has left is taken again where it is.

mod again;
mod link;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use futures_util::TryStreamExt;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType};

use self::again::{Queues, Taken, take};
use self::link::{
    Present, State, Versions, Wanted, add_address, add_routes, enable_ipv6, keep_neighbors, lighten, link,
    own, quieten, set_up,
};
use crate::identity::Home;
use crate::io::netlink::{answer, exchange};
use crate::io::netns::run_in;
use crate::io::{Device, Packet, Staging, Tap};
use crate::placement::Spread;
use crate::{
    Addressing, AttachmentSpec, Lifetime, LinkError, MacAddr, Netns, Origin, UplinkDevice, UplinkSpec,
};

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
    pub(crate) origin: Origin,
    /// What to look at, since the descriptor keeps the namespace alive: `None` if it does not.
    pub(crate) home: Option<Home>,
}

/// An existing device, whatever its namespace is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceKey {
    /// Inode of the namespace.
    netns: u64,
    index: u32,
}

/// Makes a container's TAP device, or takes it again: addresses, default routes through the gateway.
pub(crate) fn open_attachment(staging: &Staging, spec: &AttachmentSpec) -> Result<Opened, LinkError> {
    let netns = spec.netns.open()?;
    let name = spec.device.as_str();
    let left = inside(&netns, || take(name, Queues::Single, spec.lifetime))?;
    let (Taken { queues, state }, origin) = match left {
        Some(taken) => (taken, Origin::TakenAgain),
        None => (Taken::made(vec![staging.create_tap(&netns, name)?]), Origin::Made),
    };
    let mac = spec.mac.or(state.mac).map_or_else(random_mac, Ok)?;
    let wanted = Wanted { mac: Some(mac), mtu: spec.mtu, bridge: None };
    let versions = Versions::of(spec.addresses.iter().map(|a| a.address));
    // Of the next gateway, they would be wrong if it had another MAC address.
    let keeps = spec.lifetime == Lifetime::Lasting && spec.gateway_mac.is_some();
    let done = inside(&netns, || {
        exchange(async |handle| {
            let index = if_nametoindex(name)?;
            let present = prepare(&handle, name, index, origin, versions).await?;
            if origin == Origin::Made {
                if !versions.v6 {
                    quieten(&handle, index).await;
                }
                if keeps {
                    keep_neighbors(name);
                }
            }
            set_up(&handle, index, wanted, &state).await?;
            for Addressing { address, gateway } in &spec.addresses {
                add_address(&handle, index, (*address).into(), &present).await?;
                match add_routes(&handle, index, *gateway, &present).await {
                    // Who has put another in its place in the meantime knows why.
                    Err(e) if origin == Origin::TakenAgain && is_there(&e) => {}
                    added => added?,
                }
            }
            Ok(())
        })
        .map_err(|e| {
            if is_there(&e) {
                LinkError::DefaultRouteTaken
            } else {
                setting_up("set up the container's device", e)
            }
        })
    });
    opened(done, queues, origin, &netns, Some(&spec.netns), (mac, spec.mtu))
}

/// Makes or opens a VPC's device.
pub(crate) fn open_uplink(staging: &Staging, spec: &UplinkSpec, spread: Spread) -> Result<Opened, LinkError> {
    match &spec.device {
        UplinkDevice::Tap { netns, name, addresses, bridge, gateway_mac, mtu, lifetime } => {
            let mac = gateway_mac.map_or_else(random_mac, Ok)?;
            let named = netns.as_ref();
            let netns = open_netns(named)?;
            let (bridge, left) = inside(&netns, || {
                check_not_local(&spec.external)?;
                let bridge = bridge.as_deref().map(bridge_index).transpose()?;
                Ok((bridge, take(name, Queues::of(spread), *lifetime)?))
            })?;
            let (Taken { queues, state }, origin) = match left {
                Some(taken) => (taken, Origin::TakenAgain),
                None => (Taken::made(staging.create_queues(&netns, name, spread)?), Origin::Made),
            };
            let wanted = Wanted { mac: None, mtu: *mtu, bridge };
            let versions = Versions::of(addresses.iter().map(ipnet::IpNet::addr));
            let keeps = *lifetime == Lifetime::Lasting && gateway_mac.is_some();
            let done = inside(&netns, || {
                exchange(async |handle| {
                    let index = if_nametoindex(name.as_str())?;
                    let present = prepare(&handle, name, index, origin, versions).await?;
                    if origin == Origin::Made {
                        if queues.len() > 1 {
                            lighten(&handle, index).await;
                        }
                        if keeps {
                            keep_neighbors(name);
                        }
                    }
                    set_up(&handle, index, wanted, &state).await?;
                    for address in addresses {
                        add_address(&handle, index, *address, &present).await?;
                    }
                    Ok(())
                })
                .map_err(|source| setting_up("set up the uplink's device", source))
            });
            opened(done, queues, origin, &netns, named, (mac, *mtu))
        }
        UplinkDevice::Packet { netns, name } => {
            let opened = open_netns(netns.as_ref())?;
            let home = netns.as_ref().and_then(|named| Home::of(named, &opened));
            inside(&opened, || open_packet(name, &spec.external, spread, home))
        }
    }
}

/// What comes before a device is brought up, and what one that is taken again has by way of addresses and routes.
async fn prepare(
    handle: &Handle,
    name: &str,
    index: u32,
    origin: Origin,
    versions: Versions,
) -> io::Result<Present> {
    if versions.v6 {
        enable_ipv6(name);
    }
    match origin {
        Origin::Made => Ok(Present::default()),
        Origin::TakenAgain => Present::look(handle, index, versions).await,
    }
}

/// A TAP device that was set up, or none at all.
fn opened(
    done: Result<(), LinkError>,
    queues: Vec<Tap>,
    origin: Origin,
    netns: &OwnedFd,
    named: Option<&Netns>,
    (mac, mtu): (MacAddr, u16),
) -> Result<Opened, LinkError> {
    let queues: Vec<_> = queues.into_iter().map(Device::Tap).collect();
    if let Err(failed) = done {
        queues[0].delete();
        return Err(failed);
    }
    // The namespace of one that was made here is not the one that its descriptor keeps.
    let home = named.filter(|_| origin == Origin::TakenAgain).and_then(|named| Home::of(named, netns));
    Ok(Opened { queues, mac, mtu, key: None, origin, home })
}

fn is_there(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EEXIST as i32)
}

/// Makes a TAP device as those of containers are made, and brings it up, without addresses or routes: for a forwarder that only
/// moves frames, which the gateway is compared with.
pub fn open_bare_tap(staging: &Staging, netns: &Netns, name: &str, mtu: u16) -> Result<Device, LinkError> {
    let netns = netns.open()?;
    let tap = staging.create_tap(&netns, name)?;
    let wanted = Wanted { mac: None, mtu, bridge: None };
    inside(&netns, || {
        exchange(async |handle| set_up(&handle, if_nametoindex(name)?, wanted, &State::default()).await)
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

fn open_packet(
    name: &str,
    external: &[IpAddr],
    spread: Spread,
    home: Option<Home>,
) -> Result<Opened, LinkError> {
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
    Ok(Opened { queues, mac, mtu: mtu.unwrap_or(1500), key: Some(key), origin: Origin::Made, home })
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
    netns: &OwnedFd,
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
    let messages: Vec<AddressMessage> =
        handle.address().get().execute().try_collect().await.map_err(answer)?;
    Ok(messages.iter().flat_map(own).map(|address| address.addr()).collect())
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
