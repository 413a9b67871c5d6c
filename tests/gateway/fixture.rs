//! A gateway, and links to it.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::Duration;

use gateway::{
    Addressing, AttachmentId, AttachmentSpec, Config, ConnectorConfig, ConnectorId, Event, Filtering,
    Gateway, Handle, Lifetime, PortSet, Unsolicited, UplinkDevice, UplinkId, UplinkSpec,
};
use ipnet::Ipv4Net;
use netlab::Namespace;
use tests::{CIDR, EXTERNAL, PATIENCE, SERVER};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::Receiver;

/// The address of every container.
pub(crate) const INTERNAL: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);

/// A running gateway and what it takes to call it.
pub(crate) struct Fixture {
    pub(crate) handle: Handle,
    events: Receiver<Event>,
    runtime: Runtime,
    _gateway: Gateway,
}

impl Fixture {
    pub(crate) fn start(workers: u16) -> Self {
        let gateway = Gateway::start(&Config { workers: NonZeroU16::new(workers) }).unwrap();
        let handle = gateway.handle();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { events: handle.events(), handle, runtime, _gateway: gateway }
    }

    pub(crate) fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, call).await.expect("an answer in time") })
    }

    /// Waits for the next event.
    pub(crate) fn event(&mut self) -> Event {
        let event = async { tokio::time::timeout(PATIENCE, self.events.recv()).await };
        self.runtime.block_on(event).expect("an event in time").unwrap()
    }

    /// An uplink by a TAP device with the address of [`SERVER`] in the namespace.
    pub(crate) fn tap_uplink(&self, vpc: &Namespace) -> UplinkId {
        self.uplink(tap(vpc, Lifetime::Process))
    }

    pub(crate) fn uplink(&self, device: UplinkDevice) -> UplinkId {
        let spec = uplink(device);
        self.wait(self.handle.add_uplink(spec)).unwrap().id
    }

    pub(crate) fn container(&self, namespace: &Namespace) -> AttachmentId {
        self.wait(self.handle.add_attachment(attachment(namespace))).unwrap().id
    }

    /// Lets the container reach all of the uplink's prefix, by a connector with the uplink's number.
    pub(crate) fn attach(&self, container: AttachmentId, uplink: UplinkId) -> ConnectorId {
        self.attach_filtering(container, uplink, Filtering::default())
    }

    /// The same with another filtering than the default one.
    pub(crate) fn attach_filtering(
        &self,
        container: AttachmentId,
        uplink: UplinkId,
        filtering: Filtering,
    ) -> ConnectorId {
        let id = ConnectorId(uplink.0);
        let mut connector = ConnectorConfig::new(id, uplink, vec![CIDR.parse().unwrap()]);
        (connector.filtering, connector.udp_filtering) = (filtering, filtering);
        self.wait(self.handle.attach(container, connector)).unwrap();
        id
    }
}

/// A TAP device with the address of [`SERVER`] in the namespace.
pub(crate) fn tap(vpc: &Namespace, lifetime: Lifetime) -> UplinkDevice {
    UplinkDevice::Tap {
        netns: Some(vpc.netns()),
        name: "wharf0".into(),
        addresses: vec![Ipv4Net::new(*SERVER.ip(), 16).unwrap().into()],
        bridge: None,
        gateway_mac: None,
        mtu: 1500,
        lifetime,
    }
}

/// An uplink with the one external address of all of them.
pub(crate) fn uplink(device: UplinkDevice) -> UplinkSpec {
    UplinkSpec {
        device,
        on_link: vec![CIDR.parse().unwrap()],
        next_hops: Vec::new(),
        external: vec![EXTERNAL.into()],
        reserved: Vec::new(),
        ports: PortSet::default(),
        port_blocks: false,
        unsolicited: Unsolicited::default(),
    }
}

pub(crate) fn attachment(namespace: &Namespace) -> AttachmentSpec {
    AttachmentSpec {
        netns: namespace.netns(),
        device: "eth0".into(),
        addresses: vec![Addressing {
            address: INTERNAL.into(),
            gateway: Ipv4Addr::new(169, 254, 1, 1).into(),
        }],
        mac: None,
        gateway_mac: None,
        mtu: 1500,
        lifetime: Lifetime::Process,
    }
}

/// Any port of the container.
pub(crate) fn any_port() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)
}

/// How long a test waits for what shall not happen.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
