//! A host: a whole TCP/IP stack on an Ethernet link, in virtual time.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use gateway_core::MacAddr;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr};

/// One smoltcp host.
pub(crate) struct Host {
    pub(crate) interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    wire: Wire,
}

/// The host's end of its link: Ethernet frames in and out.
#[derive(Default)]
struct Wire {
    inbox: VecDeque<Vec<u8>>,
    outbox: Vec<Vec<u8>>,
}

impl Host {
    /// A host with one address, whose frames to other networks go to `router`.
    pub(crate) fn new(
        mac: MacAddr,
        address: Ipv4Addr,
        prefix_len: u8,
        router: Option<Ipv4Addr>,
        seed: u64,
    ) -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(EthernetAddress(mac.0).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        let cidr = IpCidr::new(address.into(), prefix_len);
        interface.update_ip_addrs(|addresses| addresses.push(cidr).expect("has room for one"));
        if let Some(router) = router {
            interface.routes_mut().add_default_ipv4_route(router).expect("has room for one");
        }
        Self { interface, sockets: SocketSet::new(Vec::new()), wire }
    }

    /// A frame arrives.
    pub(crate) fn receive(&mut self, frame: Vec<u8>) {
        self.wire.inbox.push_back(frame);
    }

    /// Lets the stack work at `now`; returns the frames that it sends.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        std::mem::take(&mut self.wire.outbox)
    }

    /// When the stack wants to work again.
    pub(crate) fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.inbox.pop_front()?;
        Some((Received(frame), Sending(&mut self.outbox)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.outbox))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}
