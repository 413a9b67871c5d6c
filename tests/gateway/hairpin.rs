//! Containers that reach each other through their external endpoints, on the same worker and on different ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use gateway::{ConnectorConfig, Filtering};
use netlab::traffic::{TcpEcho, UdpEcho, tcp_connect};
use nix::sys::socket::{setsockopt, sockopt};
use tests::PATIENCE;

use crate::world::{Container, Setup, Version, World, over_both, pattern};

/// A VPC and two containers that let everybody in.
fn scene(topic: &str, setup: Setup) -> (World, [Container; 2]) {
    let world = World::start(topic, setup);
    let containers = ["c1", "c2"].map(|name| world.container_with(name, |_| {}, let_in));
    (world, containers)
}

fn let_in(connector: &mut ConnectorConfig) {
    connector.filtering = Filtering::EndpointIndependent;
    connector.udp_filtering = Filtering::EndpointIndependent;
}

#[test]
fn udp_goes_from_container_to_container_and_shows_the_external_source() {
    over_both(|setup| {
        let (world, containers) = scene("hairpin-udp", setup);
        for version in Version::BOTH {
            let server = UdpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            // Each makes a mapping by talking to the server, which says what it saw.
            let sockets = containers.each_ref().map(|container| {
                let socket = container.run(|| UdpSocket::bind(version.any())).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.send_to(b"x", server.address()).unwrap();
                let heard = heard(&socket);
                assert!(heard.is_some(), "{version:?}: {:?} {:?}", server.peers(), world.all_drops());
                socket
            });
            let [ext1, ext2] = server.peers()[..] else { panic!("two peers") };
            // The largest ones leave in fragments, and arrive so.
            for length in [5, 1400, 4000, 60_000] {
                let payload = pattern(length);
                let context = |at| format!("{version:?}, {length}, {at}: {:?}", world.all_drops());
                sockets[0].send_to(&payload, ext2).unwrap();
                assert!(heard(&sockets[1]) == Some((payload.clone(), ext1)), "{}", context("there"));
                sockets[1].send_to(&payload, ext1).unwrap();
                assert!(heard(&sockets[0]) == Some((payload, ext2)), "{}", context("back"));
            }
        }
    });
}

#[test]
fn tcp_goes_from_container_to_container_as_super_packets() {
    over_both(|setup| {
        let (world, [c1, c2]) = scene("hairpin-tcp", setup);
        for version in Version::BOTH {
            let server = TcpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            // A listener on a port that has a mapping, made by a connection to the server from the same port.
            let (listener, _connection) = c2.run(|| {
                let listener = TcpListener::bind(version.any()).unwrap();
                let from = listener.local_addr().unwrap();
                drop(listener);
                let connection = tcp_connect(from, server.address(), PATIENCE).unwrap();
                (reusing(from), connection)
            });
            tests::eventually("the server to see it", || !server.peers().is_empty());
            let ext2 = server.peers()[0];
            let payload = pattern(2_000_000);
            let client = c1.run(|| tcp_connect(version.any(), ext2, PATIENCE)).unwrap();
            let (mut stream, peer) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let received = std::thread::scope(|scope| {
                let reading = scope.spawn(|| {
                    let mut received = Vec::new();
                    stream.read_to_end(&mut received).map(|_| received)
                });
                { client }.write_all(&payload).unwrap();
                reading.join().unwrap().unwrap()
            });
            assert!(received == payload, "{version:?}");
            assert_eq!(peer.ip(), version.external());
        }
    });
}

fn heard(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 65_536];
    let (n, from) = socket.recv_from(&mut buffer).ok()?;
    buffer.truncate(n);
    Some((buffer, from))
}

/// A listener on a port that a connection uses too.
fn reusing(address: SocketAddr) -> TcpListener {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, socket,
    };
    use std::os::fd::AsRawFd;

    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    listen(&fd, Backlog::new(16).unwrap()).unwrap();
    TcpListener::from(fd)
}
