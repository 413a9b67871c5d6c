//! Links of different MTU: the sender is told, and adapts.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use gateway::{AttachmentSpec, Lifetime, UplinkDevice};
use ipnet::Ipv4Net;
use netlab::Lab;
use netlab::traffic::{TcpEcho, tcp_exchange};
use tests::{PATIENCE, SERVER, eventually};

use crate::fixture::{Fixture, any_port, attachment};

fn tap(vpc: &netlab::Namespace, mtu: u16) -> UplinkDevice {
    let addresses = vec![Ipv4Net::new(*SERVER.ip(), 16).unwrap().into()];
    UplinkDevice::Tap {
        netns: Some(vpc.netns()),
        name: "wharf0".into(),
        addresses,
        bridge: None,
        gateway_mac: None,
        mtu,
        lifetime: Lifetime::Process,
    }
}

#[test]
fn a_packet_that_does_not_fit_the_uplink_teaches_the_container_its_mtu() {
    let fixture = Fixture::start(2);
    let lab = Lab::new("mtu-out").unwrap();
    let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
    let uplink = fixture.uplink(tap(&vpc, 1300));
    fixture.attach(fixture.container(&container), uplink);
    container.run(|| {
        let socket = UdpSocket::bind(any_port()).unwrap();
        socket.connect((*SERVER.ip(), 9)).unwrap();
        // Linux sets DF on UDP unless told otherwise.
        socket.send(&[0; 1400]).unwrap();
        eventually("the path's MTU", || path_mtu(&socket) == 1300);
    });
}

#[test]
fn tcp_flows_both_ways_over_links_of_different_mtu() {
    for (inside, outside) in [(1500, 1200), (1200, 1500), (9000, 1500)] {
        let fixture = Fixture::start(2);
        let lab = Lab::new("mtu-tcp").unwrap();
        let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
        let uplink = fixture.uplink(tap(&vpc, outside));
        let spec = AttachmentSpec { mtu: inside, ..attachment(&container) };
        let id = fixture.wait(fixture.handle.add_attachment(spec)).unwrap().id;
        fixture.attach(id, uplink);
        let server = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
        let payload: Vec<u8> = (0..500_000_u32).map(|i| (i % 251) as u8).collect();
        container.run(|| tcp_exchange(any_port(), server.address(), &payload, PATIENCE)).unwrap();
    }
}

/// `IP_MTU` of a connected socket, which nix does not know.
fn path_mtu(socket: &UdpSocket) -> libc::c_int {
    let (mut mtu, mut length) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: both pointers are to live values, and `length` says how much room `mtu` has.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU,
            (&raw mut mtu).cast(),
            &raw mut length,
        )
    };
    nix::errno::Errno::result(result).unwrap();
    mtu
}
