//! Containers that reach each other through their external endpoints, on the same worker and on different ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, UdpSocket};

use gateway::Filtering;
use netlab::traffic::{TcpEcho, UdpEcho, tcp_connect};
use netlab::{Lab, Namespace};
use nix::sys::socket::{setsockopt, sockopt};
use tests::{EXTERNAL, PATIENCE, SERVER};

use crate::fixture::{Fixture, any_port};

/// A VPC and two containers that let everybody in.
fn scene(fixture: &Fixture, lab: &Lab) -> (Namespace, [Namespace; 2]) {
    let vpc = lab.namespace("vpc").unwrap();
    let uplink = fixture.tap_uplink(&vpc);
    let containers = ["c1", "c2"].map(|name| {
        let namespace = lab.namespace(name).unwrap();
        fixture.attach_filtering(fixture.container(&namespace), uplink, Filtering::EndpointIndependent);
        namespace
    });
    (vpc, containers)
}

#[test]
fn udp_goes_from_container_to_container_and_shows_the_external_source() {
    for workers in [1, 2] {
        let fixture = Fixture::start(workers);
        let lab = Lab::new("hairpin-udp").unwrap();
        let (vpc, [c1, c2]) = scene(&fixture, &lab);
        let server = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
        // Each makes a mapping by talking to the server, which says what it saw.
        let sockets = [&c1, &c2].map(|container| {
            container.run(|| {
                let socket = UdpSocket::bind(any_port()).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.send_to(b"x", server.address()).unwrap();
                socket.recv_from(&mut [0; 64]).unwrap();
                socket
            })
        });
        let [ext1, ext2] = server.peers()[..] else { panic!("two peers") };
        let heard = |socket: &UdpSocket| {
            let mut buffer = [0; 64];
            let (n, from) = socket.recv_from(&mut buffer).unwrap();
            (buffer[..n].to_vec(), from)
        };
        sockets[0].send_to(b"hello", ext2).unwrap();
        assert_eq!(heard(&sockets[1]), (b"hello".to_vec(), SocketAddr::V4(ext1)), "{workers} workers");
        sockets[1].send_to(b"hello yourself", ext1).unwrap();
        assert_eq!(
            heard(&sockets[0]),
            (b"hello yourself".to_vec(), SocketAddr::V4(ext2)),
            "{workers} workers"
        );
    }
}

#[test]
fn tcp_goes_from_container_to_container_as_super_packets() {
    for workers in [1, 2] {
        let fixture = Fixture::start(workers);
        let lab = Lab::new("hairpin-tcp").unwrap();
        let (vpc, [c1, c2]) = scene(&fixture, &lab);
        let server = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
        // A listener on a port that has a mapping, made by a connection to the server from the same port.
        let (listener, _connection) = c2.run(|| {
            let listener = TcpListener::bind(any_port()).unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            let from = SocketAddrV4::new(*any_port().ip(), port);
            let connection = tcp_connect(from, server.address(), PATIENCE).unwrap();
            (reusing(from), connection)
        });
        tests::eventually("the server to see it", || !server.peers().is_empty());
        let ext2 = server.peers()[0];
        let payload: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
        let (received, peer) = std::thread::scope(|scope| {
            let accepting = scope.spawn(|| {
                let (mut stream, peer) = listener.accept().unwrap();
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                (received, peer)
            });
            c1.run(|| tcp_connect(any_port(), ext2, PATIENCE).unwrap().write_all(&payload).unwrap());
            accepting.join().unwrap()
        });
        assert!(received == payload, "{workers} workers");
        assert_eq!(peer.ip(), EXTERNAL);
    }
}

/// A listener on a port that a connection uses too.
fn reusing(address: SocketAddrV4) -> TcpListener {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, socket};
    use std::os::fd::AsRawFd;

    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
    listen(&fd, Backlog::new(16).unwrap()).unwrap();
    TcpListener::from(fd)
}
