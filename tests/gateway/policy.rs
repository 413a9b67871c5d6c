//! How many sessions there are room for, by mapping mode.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use gateway::{MappingMode, PortSet, Reason};
use netlab::traffic::{TcpEcho, UdpEcho, tcp_connect};
use tests::{PATIENCE, eventually};

use crate::world::{Container, Setup, Version, World, ip, net, over_both, over_tap};

/// External ports: part of two blocks, so that every worker needs the other's.
const PORTS: std::ops::RangeInclusive<u16> = 40_000..=40_099;

/// As many sessions as ports three times over.
const SESSIONS: usize = 300;

#[test]
fn under_apdm_a_hundred_ports_carry_three_hundred_udp_sessions_to_four_remotes() {
    over_both(|setup| {
        let world = start("apdm-udp", setup);
        let container = shared(&world);
        for version in Version::BOTH {
            let servers =
                remotes(version).map(|address| UdpEcho::start(&world.vpc, address, "orders").unwrap());
            let sockets: Vec<_> = (0..SESSIONS)
                .map(|i| {
                    let socket = container.run(|| UdpSocket::bind(version.any())).unwrap();
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    socket.connect(servers[i % 4].address()).unwrap();
                    ask(&socket, i)
                        .unwrap_or_else(|e| panic!("{version:?}, {i}: {e} {:?}", world.all_drops()));
                    socket
                })
                .collect();
            // All are there at the same time, and still each its own.
            sockets.iter().enumerate().for_each(|(i, socket)| ask(socket, i).unwrap());
            for server in servers {
                let peers: BTreeSet<_> = server.peers().into_iter().collect();
                assert_eq!(peers.len(), SESSIONS / 4, "{version:?}: one endpoint a session");
                assert!(peers.iter().all(|peer| PORTS.contains(&peer.port())));
            }
        }
    });
}

#[test]
fn under_apdm_a_hundred_ports_carry_three_hundred_tcp_sessions_to_four_remotes() {
    over_both(|setup| {
        let world = start("apdm-tcp", setup);
        let container = shared(&world);
        for version in Version::BOTH {
            let servers =
                remotes(version).map(|address| TcpEcho::start(&world.vpc, address, "orders").unwrap());
            let _streams: Vec<_> = (0..SESSIONS)
                .map(|i| {
                    let to = servers[i % 4].address();
                    let stream = container.run(|| tcp_connect(version.any(), to, PATIENCE));
                    stream.unwrap_or_else(|e| panic!("{version:?}, {i}: {e} {:?}", world.all_drops()))
                })
                .collect();
            for server in &servers {
                eventually("all at the server", || server.peers().len() == SESSIONS / 4);
                let peers: BTreeSet<_> = server.peers().into_iter().collect();
                assert_eq!(peers.len(), SESSIONS / 4, "{version:?}: one endpoint a session");
            }
        }
    });
}

#[test]
fn under_eim_a_hundred_ports_carry_a_hundred_endpoints_and_the_next_is_refused() {
    over_tap(|setup| {
        let world = start("eim", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            let [udp, other, ..] =
                remotes(version).map(|address| UdpEcho::start(&world.vpc, address, "orders").unwrap());
            let open = |i| {
                let socket = container.run(|| UdpSocket::bind(version.any())).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.connect(udp.address()).unwrap();
                ask(&socket, i).map(|()| socket)
            };
            let all: Vec<_> = (0..PORTS.len())
                .map(|i| open(i).unwrap_or_else(|e| panic!("{version:?}, {i}: {e} {:?}", world.all_drops())))
                .collect();
            let refused = open(PORTS.len()).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(prohibited(version)), "{version:?}: {refused}");
            let tcp = TcpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            let connect = || container.run(|| tcp_connect(version.any(), tcp.address(), PATIENCE));
            let _streams: Vec<_> = PORTS.map(|_| connect().unwrap()).collect();
            let refused = connect().unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(prohibited(version)), "{version:?}: {refused}");
            // Whoever has a mapping reaches other remotes by it.
            all[0].connect(other.address()).unwrap();
            ask(&all[0], 0).unwrap();
        }
        assert_eq!(world.drops(Reason::PortsExhausted), 4);
    });
}

#[test]
fn a_quota_refuses_what_goes_beyond_it() {
    over_tap(|setup| {
        let world = World::start("quota", setup);
        let container =
            world.container_with("c", |_| {}, |connector| connector.quota_per_attachment = Some(5));
        let udp = UdpEcho::start(&world.vpc, Version::V4.server(), "orders").unwrap();
        let outcomes: Vec<_> = (0..6)
            .map(|i| {
                let socket = container.run(|| UdpSocket::bind(Version::V4.any())).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.connect(udp.address()).unwrap();
                ask(&socket, i).is_ok()
            })
            .collect();
        assert_eq!(outcomes, [true, true, true, true, true, false]);
        assert_eq!(world.drops(Reason::QuotaReached), 1);
        // Everybody else has quotas of their own.
        let other = world.container("c2");
        other
            .run(|| netlab::traffic::udp_exchange(Version::V4.any(), udp.address(), b"x", PATIENCE))
            .unwrap();
    });
}

/// A VPC of four servers' addresses, and few ports for the containers.
fn start(topic: &str, setup: Setup) -> World {
    let world = World::with(topic, setup, |uplink| uplink.ports = PortSet::new(&[PORTS], &[]));
    for i in 2..=4 {
        world.vpc.address(world.device(), net(&format!("10.1.0.{i}/16"))).unwrap();
        world.vpc.address(world.device(), net(&format!("fd01::{i}/64"))).unwrap();
    }
    world
}

fn shared(world: &World) -> Container {
    world.container_with("c", |_| {}, |connector| connector.mapping = MappingMode::AddressAndPortDependent)
}

fn remotes(version: Version) -> [SocketAddr; 4] {
    [1, 2, 3, 4].map(|i| {
        let address = match version {
            Version::V4 => format!("10.1.0.{i}"),
            Version::V6 => format!("fd01::{i}"),
        };
        SocketAddr::new(ip(&address), 8080)
    })
}

/// One question and its own answer.
fn ask(socket: &UdpSocket, i: usize) -> io::Result<()> {
    let question = format!("question {i}");
    socket.send(question.as_bytes())?;
    let mut answer = [0; 64];
    let n = socket.recv(&mut answer)?;
    assert_eq!(String::from_utf8_lossy(&answer[..n]), format!("orders {question}"));
    Ok(())
}

/// What a socket says about ICMP code 13 (RFC 5508 REQ-8), and code 1 of ICMPv6.
const fn prohibited(version: Version) -> i32 {
    match version {
        Version::V4 => libc::EHOSTUNREACH,
        Version::V6 => libc::EACCES,
    }
}
