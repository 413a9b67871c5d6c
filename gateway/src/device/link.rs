//! What a device has, and giving it what it shall have. Only what is missing is asked for: of a device that is taken again,
//! nearly everything is there, and each change waits for the kernel's one lock for network configuration.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_core::Nla;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoTun, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::MacAddr;
use crate::io::Shape;
use crate::io::netlink::{answer, without_queueing};

/// Frames that the kernel queues towards the gateway before it drops. Linux's default for Ethernet.
const TRANSMIT_QUEUE: u32 = 1000;

/// How long the kernel may take to find a new IPv6 address its own. It is some milliseconds on a busy machine.
const LOCAL_WAIT: Duration = Duration::from_secs(1);

/// Metric of a container's IPv6 default route: before that of router advertisements, which is 1024.
const ROUTE_METRIC: u32 = 512;

/// What all devices of our making have as their alias (`ip link` shows it), and no other should.
const ALIAS: &str = "wharf";

/// What a device is and has; of one that was made just now, nothing is known.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) mac: Option<MacAddr>,
    mtu: Option<u32>,
    transmit_queue: Option<u32>,
    bridge: Option<u32>,
    up: bool,
    ours: bool,
    /// If it is a TAP device's.
    tap: Option<TapState>,
}

/// What only TAP devices have.
#[derive(Clone, Copy, Debug, Default)]
struct TapState {
    persistent: bool,
    several_queues: bool,
    /// Open ones. The kernel tells only of devices that may have several.
    queues: u32,
}

/// What a device shall have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// `None` if any will do.
    pub(super) mac: Option<MacAddr>,
    pub(super) mtu: u16,
    /// `None` if that is somebody else's to say.
    pub(super) bridge: Option<u32>,
}

impl State {
    /// Whether it is a device of ours that outlives its gateway, which may live.
    pub(super) fn is_lasting(&self) -> bool {
        self.ours && self.tap.is_some_and(|tap| tap.persistent)
    }

    pub(super) fn shape(&self) -> Shape {
        if self.tap.is_some_and(|tap| tap.several_queues) { Shape::Several } else { Shape::Single }
    }

    /// How many queues are open of a device that may have several.
    pub(super) fn queues(&self) -> u32 {
        self.tap.map_or(0, |tap| tap.queues)
    }

    fn has(&self, wanted: Wanted) -> bool {
        self.ours
            && self.up
            && self.mtu == Some(wanted.mtu.into())
            && self.transmit_queue == Some(TRANSMIT_QUEUE)
            && (wanted.mac.is_none() || self.mac == wanted.mac)
            && (wanted.bridge.is_none() || self.bridge == wanted.bridge)
    }
}

impl From<LinkMessage> for State {
    fn from(message: LinkMessage) -> Self {
        let mut state = Self { up: message.header.flags.contains(LinkFlags::Up), ..Self::default() };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Address(bytes) => state.mac = bytes.try_into().ok().map(MacAddr),
                LinkAttribute::Mtu(mtu) => state.mtu = Some(mtu),
                LinkAttribute::TxQueueLen(length) => state.transmit_queue = Some(length),
                LinkAttribute::Controller(index) => state.bridge = Some(index),
                LinkAttribute::IfAlias(alias) => state.ours = alias == ALIAS,
                LinkAttribute::LinkInfo(infos) => state.tap = tap_state(&infos),
                _ => {}
            }
        }
        state
    }
}

fn tap_state(infos: &[LinkInfo]) -> Option<TapState> {
    infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Tun(attributes)) => {
            let value =
                |wanted| attributes.iter().find_map(|attribute| number(attribute, wanted)).unwrap_or(0);
            (value(IFLA_TUN_TYPE) == IFF_TAP).then(|| TapState {
                persistent: value(IFLA_TUN_PERSIST) != 0,
                several_queues: value(IFLA_TUN_MULTI_QUEUE) != 0,
                queues: value(IFLA_TUN_NUM_QUEUES) + value(IFLA_TUN_NUM_DISABLED_QUEUES),
            })
        }
        _ => None,
    })
}

// include/uapi/linux/if_link.h, what TUN devices tell of themselves (`tun_fill_info`); include/uapi/linux/if_tun.h, the type.
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_PERSIST: u16 = 6;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;
const IFLA_TUN_NUM_QUEUES: u16 = 8;
const IFLA_TUN_NUM_DISABLED_QUEUES: u16 = 9;
const IFF_TAP: u32 = 2;

/// The attribute's number of one or four bytes, if it is the wanted one.
fn number(attribute: &InfoTun, wanted: u16) -> Option<u32> {
    if attribute.kind() != wanted {
        return None;
    }
    let mut bytes = [0; 4];
    let length = attribute.value_len();
    attribute.emit_value(bytes.get_mut(..length)?);
    // A single byte is the lowest of the number, wherever that stands.
    Some(if length == 1 { bytes[0].into() } else { u32::from_ne_bytes(bytes) })
}

/// The device of that name; `None` if there is none.
pub(super) async fn find(handle: &Handle, name: &str) -> io::Result<Option<State>> {
    match handle.link().get().match_name(name.to_owned()).execute().try_next().await.map_err(answer) {
        Ok(found) => Ok(found.map(State::from)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ERANGE)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Brings a device up with what it shall have, and says whose it is.
pub(super) async fn set_up(handle: &Handle, index: u32, wanted: Wanted, state: &State) -> io::Result<()> {
    if state.has(wanted) {
        return Ok(());
    }
    let mut link = LinkUnspec::new_with_index(index)
        .mtu(wanted.mtu.into())
        .alias(ALIAS)
        .append_extra_attribute(LinkAttribute::TxQueueLen(TRANSMIT_QUEUE))
        .up();
    if let Some(mac) = wanted.mac {
        link = link.address(mac.0.to_vec());
    }
    if let Some(bridge) = wanted.bridge {
        link = link.controller(bridge);
    }
    handle.link().set(link.build()).execute().await.map_err(answer)
}

/// Addresses and routes of a device.
#[derive(Debug, Default)]
pub(super) struct Present {
    addresses: Vec<IpNet>,
    routes: Vec<RouteMessage>,
}

impl Present {
    /// Asks for those of the main table, and for addresses.
    pub(super) async fn look(handle: &Handle, index: u32, versions: Versions) -> io::Result<Self> {
        let addresses: Vec<AddressMessage> = handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute()
            .try_collect()
            .await
            .map_err(answer)?;
        let mut routes = Vec::new();
        for (asked, request) in [
            (versions.v4, RouteMessageBuilder::<Ipv4Addr>::new().build()),
            (versions.v6, RouteMessageBuilder::<Ipv6Addr>::new().build()),
        ] {
            if asked {
                let all: Vec<_> =
                    handle.route().get(request).execute().try_collect().await.map_err(answer)?;
                routes.extend(all.into_iter().filter(|route| {
                    route.attributes.contains(&RouteAttribute::Oif(index))
                        && route.attributes.contains(&RouteAttribute::Table(RT_TABLE_MAIN))
                }));
            }
        }
        Ok(Self { addresses: addresses.iter().flat_map(own).collect(), routes })
    }

    /// Whether there is a route that goes to the same destination by the same way, and as soon.
    fn has_route(&self, wanted: &RouteMessage) -> bool {
        self.routes.iter().any(|route| {
            way(route).count() == way(wanted).count() && way(wanted).all(|a| route.attributes.contains(a))
        })
    }
}

/// What makes it another route; protocol and the like do not.
fn way(route: &RouteMessage) -> impl Iterator<Item = &RouteAttribute> {
    route.attributes.iter().filter(|attribute| {
        use RouteAttribute::{Destination, Gateway, Priority};
        matches!(attribute, Destination(_) | Gateway(_) | Priority(_))
    })
}

/// include/uapi/linux/rtnetlink.h
const RT_TABLE_MAIN: u32 = 254;

/// Which versions of IP are of interest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Versions {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Versions {
    pub(super) fn of(addresses: impl Iterator<Item = IpAddr>) -> Self {
        addresses.fold(Self::default(), |versions, address| Self {
            v4: versions.v4 || address.is_ipv4(),
            v6: versions.v6 || address.is_ipv6(),
        })
    }
}

/// The addresses of this end.
pub(super) fn own(message: &AddressMessage) -> impl Iterator<Item = IpNet> {
    let (length, family) = (message.header.prefix_len, message.header.family);
    message.attributes.iter().filter_map(move |attribute| match attribute {
        AddressAttribute::Local(address) => IpNet::new(*address, length).ok(),
        // IPv6 addresses have no attribute of their own for the local end.
        AddressAttribute::Address(address) if family == AddressFamily::Inet6 => {
            IpNet::new(*address, length).ok()
        }
        _ => None,
    })
}

/// Container engines switch IPv6 off for all devices of a namespace without network. This device is ours, and shall have it.
pub(super) fn enable_ipv6(device: &str) {
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

/// Asks the kernel to keep the neighbor entries of a lasting device while nobody has it open, which is to be without a carrier.
/// Linux 5.16 and later ask; with an earlier one they are lost, and found again.
pub(super) fn keep_neighbors(device: &str) {
    for (version, name) in [("ipv4", "arp_evict_nocarrier"), ("ipv6", "ndisc_evict_nocarrier")] {
        if let Err(error) = std::fs::write(format!("/proc/sys/net/{version}/conf/{device}/{name}"), "0") {
            tracing::debug!(device, name, %error, "neighbor entries go with the carrier");
        }
    }
}

/// Asks for no link-local IPv6 address: what its discovery sends would only be dropped, and bury the drops that matter.
pub(super) async fn quieten(handle: &Handle, index: u32) {
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
pub(super) async fn lighten(handle: &Handle, index: u32) {
    if let Err(error) = without_queueing(handle, index).await {
        tracing::debug!(%error, "the default queueing disciplines stay");
    }
}

pub(super) async fn add_address(
    handle: &Handle,
    index: u32,
    address: IpNet,
    present: &Present,
) -> io::Result<()> {
    if present.addresses.contains(&address) {
        return Ok(());
    }
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
pub(super) async fn add_routes(
    handle: &Handle,
    index: u32,
    gateway: IpAddr,
    present: &Present,
) -> io::Result<()> {
    let wanted = match gateway {
        IpAddr::V4(gateway) => {
            let on_link = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(gateway, 32)
                .output_interface(index)
                .scope(RouteScope::Link);
            let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index);
            vec![on_link.build(), default.build()]
        }
        IpAddr::V6(gateway) => {
            let default = RouteMessageBuilder::<Ipv6Addr>::new()
                .gateway(gateway)
                .output_interface(index)
                .priority(ROUTE_METRIC);
            vec![default.build()]
        }
    };
    for route in wanted {
        if !present.has_route(&route) {
            handle.route().add(route).execute().await.map_err(answer)?;
        }
    }
    Ok(())
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

pub(super) async fn link(handle: &Handle, index: u32) -> io::Result<LinkMessage> {
    let found = handle.link().get().match_index(index).execute().try_next().await.map_err(answer)?;
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}
