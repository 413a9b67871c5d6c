//! Devices, addresses and routes of a namespace, by netlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use std::{fs, thread};

use gateway::MacAddr;
use gateway::io::netlink::{answer, exchange};
use ipnet::IpNet;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder,
};

use crate::{LabError, Namespace};

/// UDP port of VXLAN (RFC 7348 §5).
const VXLAN_PORT: u16 = 4789;

/// How long a new IPv6 address may take to be of use.
const LOCAL_WAIT: Duration = Duration::from_millis(500);

/// include/uapi/linux/ipv6_route.h
const RTF_LOCAL: u32 = 0x8000_0000;

/// Position of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Enabled.
    On,
    /// Disabled.
    Off,
}

impl Switch {
    const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

impl Namespace {
    /// Joins two namespaces by a veth pair; both ends are up.
    pub fn veth(&self, device: &str, peer: &Namespace, peer_device: &str) -> Result<(), LabError> {
        let peer_netns =
            peer.netns().open().map_err(|e| LabError::kernel("open", peer.name(), io::Error::other(e)))?;
        self.netlink("make veth", device, async |handle: Handle| {
            let far =
                LinkMessageBuilder::<LinkUnspec>::new().name(peer_device).setns_by_fd(peer_netns.as_raw_fd());
            let pair = InfoData::Veth(InfoVeth::Peer(far.build()));
            let near = LinkVeth::new(device, peer_device).set_info_data(pair);
            handle.link().add(near.build()).execute().await.map_err(answer)
        })?;
        // Only now: an end cannot be up while it has no other end.
        self.up(device)?;
        peer.up(peer_device)
    }

    /// Makes a bridge, up and without spanning tree, and puts the `ports` on it.
    pub fn bridge(&self, device: &str, ports: &[&str]) -> Result<(), LabError> {
        self.netlink("make bridge", device, async |handle: Handle| {
            handle.link().add(LinkBridge::new(device).up().build()).execute().await.map_err(answer)
        })?;
        ports.iter().try_for_each(|port| self.bridge_port(device, port))
    }

    /// Puts a device on a bridge.
    pub fn bridge_port(&self, bridge: &str, port: &str) -> Result<(), LabError> {
        self.netlink("put on the bridge", port, async |handle: Handle| {
            let message = LinkUnspec::new_with_name(port).controller(index(bridge)?).up();
            handle.link().set(message.build()).execute().await.map_err(answer)
        })
    }

    /// Makes a device, up, for the VXLAN segment `vni` to `remote`, which is reached through `parent`.
    pub fn vxlan(&self, parent: &str, device: &str, vni: u32, remote: Ipv4Addr) -> Result<(), LabError> {
        self.netlink("make VXLAN device", device, async |handle: Handle| {
            let segment = LinkVxlan::new(device, vni).dev(index(parent)?).remote(remote).port(VXLAN_PORT);
            handle.link().add(segment.up().build()).execute().await.map_err(answer)
        })
    }

    /// Removes a device.
    pub fn remove_device(&self, device: &str) -> Result<(), LabError> {
        self.netlink("remove", device, async |handle: Handle| {
            handle.link().del(index(device)?).execute().await.map_err(answer)
        })
    }

    /// Gives the device an address and the route to its prefix. An IPv6 address is of use at once: nobody is asked whether it
    /// is taken.
    pub fn address(&self, device: &str, address: IpNet) -> Result<(), LabError> {
        self.netlink("give an address to", device, async |handle: Handle| {
            let mut request = handle.address().add(index(device)?, address.addr(), address.prefix_len());
            if address.addr().is_ipv6() {
                request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
                request.message_mut().header.flags = AddressHeaderFlags::Nodad;
            }
            request.execute().await.map_err(answer)?;
            if let IpAddr::V6(address) = address.addr() {
                wait_until_local(address)?;
            }
            Ok(())
        })
    }

    /// Routes `destination` to the router `via`, of the same IP version. `0.0.0.0/0` or `::/0` makes it the default route.
    ///
    /// # Panics
    /// If the IP versions differ.
    pub fn route(&self, destination: IpNet, via: impl Into<IpAddr>) -> Result<(), LabError> {
        let length = destination.prefix_len();
        let message = match (destination.network(), via.into()) {
            (IpAddr::V4(network), IpAddr::V4(via)) => {
                let route = RouteMessageBuilder::<Ipv4Addr>::new();
                route.destination_prefix(network, length).gateway(via).build()
            }
            (IpAddr::V6(network), IpAddr::V6(via)) => {
                let route = RouteMessageBuilder::<Ipv6Addr>::new();
                route.destination_prefix(network, length).gateway(via).build()
            }
            (network, via) => panic!("a route to {network} cannot lead over {via}"),
        };
        self.netlink("make route to", &destination.to_string(), async |handle: Handle| {
            handle.route().add(message).execute().await.map_err(answer)
        })
    }

    /// Puts the device into operation.
    pub fn up(&self, device: &str) -> Result<(), LabError> {
        self.change("bring up", device, LinkMessageBuilder::up)
    }

    /// Takes the device out of operation.
    pub fn down(&self, device: &str) -> Result<(), LabError> {
        self.change("bring down", device, LinkMessageBuilder::down)
    }

    /// Changes the device's MTU. Bytes.
    pub fn mtu(&self, device: &str, mtu: u16) -> Result<(), LabError> {
        self.change("set the MTU of", device, |link| link.mtu(mtu.into()))
    }

    /// Changes the device's MAC address.
    pub fn mac(&self, device: &str, mac: MacAddr) -> Result<(), LabError> {
        self.change("set the MAC address of", device, |link| link.address(mac.0.to_vec()))
    }

    /// Turns an offload such as `tx`, `tso` or `gro` on or off, by the program ethtool.
    pub fn offload(&self, device: &str, feature: &str, to: Switch) -> Result<(), LabError> {
        self.offloads(device, &[(feature, to)])
    }

    /// Turns several offloads on or off at once.
    pub fn offloads(&self, device: &str, features: &[(&str, Switch)]) -> Result<(), LabError> {
        let words = features.iter().flat_map(|&(feature, to)| [feature, to.word()]);
        let run = self.command("ethtool").args(["-K", device]).args(words).output();
        let output = run.map_err(|e| LabError::kernel("start", "ethtool", e))?;
        if output.status.success() {
            return Ok(());
        }
        Err(LabError::Program {
            program: "ethtool",
            stderr: String::from_utf8_lossy(&output.stderr).trim().into(),
        })
    }

    fn change(
        &self,
        step: &'static str,
        device: &str,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec> + Send,
    ) -> Result<(), LabError> {
        self.netlink(step, device, async |handle: Handle| {
            handle
                .link()
                .set(change(LinkUnspec::new_with_name(device)).build())
                .execute()
                .await
                .map_err(answer)
        })
    }

    /// One exchange with the namespace's kernel.
    fn netlink(
        &self,
        step: &'static str,
        name: &str,
        talk: impl AsyncFnOnce(Handle) -> io::Result<()> + Send,
    ) -> Result<(), LabError> {
        self.run(|| exchange(talk)).map_err(|e| LabError::kernel(step, name, e))
    }
}

/// The kernel takes packets for a new IPv6 address only after a while, when its work queue has made the route to itself
/// (`addrconf_dad_work`). On a device that is down that does not happen, so that the wait has an end.
fn wait_until_local(address: Ipv6Addr) -> io::Result<()> {
    let start = Instant::now();
    while !is_local(address)? && start.elapsed() < LOCAL_WAIT {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether the namespace of this thread takes packets for the address.
fn is_local(address: Ipv6Addr) -> io::Result<bool> {
    // Destination, length of its prefix, source, length, next hop, metric, two counters, flags, device (`rt6_info_route`).
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
    let own = format!("{:032x} 80", address.to_bits());
    let flags = |route: &str| u32::from_str_radix(route.split_ascii_whitespace().nth(8)?, 16).ok();
    let mut to_it = routes.lines().filter(|route| route.starts_with(&own));
    Ok(to_it.any(|route| flags(route).is_some_and(|flags| flags & RTF_LOCAL != 0)))
}

/// The device's index in the namespace of this thread.
fn index(device: &str) -> Result<u32, Errno> {
    if_nametoindex(device)
}
