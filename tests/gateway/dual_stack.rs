//! Containers and VPCs with both versions of IP.

use std::net::UdpSocket;

use gateway::{ConnectorConfig, ConnectorId};
use netlab::traffic::{TcpEcho, UdpEcho, tcp_connect, tcp_exchange, udp_exchange};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use tests::{PATIENCE, eventually};

use crate::fixture::Fixture;
use crate::world::{
    Version, Vpc, World, add_container, add_vpc, at, echo, ip, net, output, over_both, over_tap, pattern,
};

#[test]
fn tcp_udp_and_ping_pass_over_both_versions() {
    over_both(|setup| {
        let world = World::start("dual", setup);
        for name in ["c1", "c2"] {
            let container = world.container(name);
            for version in Version::BOTH {
                let tcp = TcpEcho::start(&world.vpc, version.server(), "orders").unwrap();
                let udp = UdpEcho::start(&world.vpc, version.server(), "orders").unwrap();
                container.run(|| {
                    let tag = tcp_exchange(version.any(), tcp.address(), &pattern(1_000_000), PATIENCE);
                    assert_eq!(tag.unwrap(), "orders", "{version:?}");
                    let tag = udp_exchange(version.any(), udp.address(), b"hello", PATIENCE);
                    assert_eq!(tag.unwrap(), "orders", "{version:?}");
                    echo(version.server().ip()).unwrap();
                });
                for peer in tcp.peers().into_iter().chain(udp.peers()) {
                    assert_eq!(peer.ip(), version.external());
                }
            }
        }
        let stats = world.fixture.wait(world.fixture.handle.stats()).unwrap();
        let super_packets = stats.links.iter().map(|l| l.counters.received.super_packets);
        assert!(super_packets.min() > Some(0), "segmentation offload works both ways");
    });
}

#[test]
fn the_first_packet_of_all_waits_for_neighbor_discovery_and_is_not_lost() {
    over_both(|setup| {
        for version in Version::BOTH {
            // A VPC that nobody has spoken in yet.
            let world = World::start("cold", setup);
            let server = UdpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            let container = world.container("c");
            let outcome = container.run(|| udp_exchange(version.any(), server.address(), b"x", PATIENCE));
            let context = || (version, server.peers(), world.all_drops());
            assert!(outcome.is_ok(), "{outcome:?}: {:?}", context());
            assert_eq!(server.peers().len(), 1, "it was sent once");
        }
    });
}

#[test]
fn the_vpc_finds_the_external_address_by_itself() {
    over_both(|setup| {
        let world = World::start("find", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            // The mapping is there; the VPC's kernel has forgotten where it leads.
            let server = world.vpc.run(|| UdpSocket::bind(version.server())).unwrap();
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            let client = container.run(|| UdpSocket::bind(version.any())).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send_to(b"x", server.local_addr().unwrap()).unwrap();
            let (_, external) = server.recv_from(&mut [0; 1]).unwrap();
            output(&world.vpc, "ip", &format!("neigh flush dev {}", world.device()));
            server.send_to(b"y", external).unwrap();
            let heard = client.recv_from(&mut [0; 1]);
            assert!(heard.is_ok(), "{version:?}: {heard:?}, {:?}", world.all_drops());
        }
    });
}

#[test]
fn a_container_has_default_routes_over_the_gateway() {
    over_tap(|setup| {
        let world = World::start("routes", setup);
        let container = world.container("c");
        for (arguments, gateway) in
            [("-4 route show default", "169.254.1.1"), ("-6 route show default", "fe80::1")]
        {
            let routes = output(&container.namespace, "ip", arguments);
            assert!(routes.contains(&format!("default via {gateway} dev eth0")), "{routes}");
        }
        let addresses = output(&container.namespace, "ip", "-6 address show dev eth0 scope global");
        assert!(addresses.contains("fd00::2/128") && !addresses.contains("tentative"), "{addresses}");
    });
}

#[test]
fn a_container_accepts_router_advertisements_with_the_links_mtu() {
    over_tap(|setup| {
        let world = World::start("ra", setup);
        let container = world.container_with("c", |link| link.mtu = 1400, |_| {});
        eventually("a router advertisement", || {
            output(&container.namespace, "ip", "-6 route show default proto ra").contains("via fe80::1")
        });
        // Made larger by hand, and solicited again: the advertisement says what really fits.
        container.namespace.mtu("eth0", 1500).unwrap();
        container.namespace.down("eth0").unwrap();
        container.namespace.up("eth0").unwrap();
        eventually("the advertised MTU", || {
            container.run(|| std::fs::read_to_string("/proc/sys/net/ipv6/conf/eth0/mtu")).unwrap().trim()
                == "1400"
        });
    });
}

#[test]
fn equal_endpoints_of_two_containers_have_a_connection_each_to_one_server() {
    over_tap(|setup| {
        let world = World::start("equal", setup);
        let containers = ["c1", "c2"].map(|name| world.container(name));
        for version in Version::BOTH {
            let server = TcpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            let mut from = version.any();
            from.set_port(40_000);
            let _open = containers
                .each_ref()
                .map(|container| container.run(|| tcp_connect(from, server.address(), PATIENCE)).unwrap());
            eventually("both at the server", || server.peers().len() == 2);
            let [one, other] = server.peers()[..] else { panic!("two peers") };
            assert_eq!((one.ip(), other.ip()), (version.external(), version.external()));
            assert_ne!(one.port(), other.port());
            for container in &containers {
                // With the first connection open, the same endpoint reaches another server as well.
                let second = UdpEcho::start(&world.vpc, version.server(), "second").unwrap();
                let tag = container.run(|| udp_exchange(from, second.address(), b"x", PATIENCE));
                assert_eq!(tag.unwrap(), "second");
            }
        }
    });
}

#[test]
fn vpcs_with_the_same_addresses_are_apart() {
    over_both(|setup| {
        let fixture = Fixture::start(setup.workers);
        let lab = netlab::Lab::new("overlap").unwrap();
        let vpcs = ["orders", "billing"].map(|name| add_vpc(&fixture, &lab, name, setup, |_| {}));
        let containers = ["orders", "billing"].map(|name| lab.namespace(&format!("c-{name}")).unwrap());
        for (container, Vpc { uplink, .. }) in containers.iter().zip(&vpcs) {
            let id = add_container(&fixture, container, |_| {});
            let destinations = vec![net("10.1.0.0/16"), net("fd01::/64")];
            let connector = ConnectorConfig::new(ConnectorId(uplink.0), *uplink, destinations);
            fixture.wait(fixture.handle.attach(id, connector)).unwrap();
        }
        for version in Version::BOTH {
            let mut address = version.server();
            address.set_port(8080);
            let servers = [0, 1].map(|i: usize| {
                let tag = ["orders", "billing"][i];
                let vpc = &vpcs[i].namespace;
                (TcpEcho::start(vpc, address, tag).unwrap(), UdpEcho::start(vpc, address, tag).unwrap())
            });
            let mut from = version.any();
            from.set_port(40_000);
            for (container, tag) in containers.iter().zip(["orders", "billing"]) {
                container.run(|| {
                    assert_eq!(tcp_exchange(from, address, b"x", PATIENCE).unwrap(), tag, "{version:?}");
                    assert_eq!(udp_exchange(from, address, b"x", PATIENCE).unwrap(), tag, "{version:?}");
                });
            }
            assert!(servers.iter().all(|(tcp, udp)| (tcp.peers().len(), udp.peers().len()) == (1, 1)));
        }
    });
}

#[test]
fn a_container_of_one_version_does_without_the_other() {
    over_tap(|setup| {
        let world = World::start("single", setup);
        for (version, name) in [(Version::V4, "only4"), (Version::V6, "only6")] {
            let container = world.container_with(
                name,
                |link| link.addresses.retain(|a| a.address == version.internal()),
                |_| {},
            );
            let server = TcpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            container.run(|| tcp_exchange(version.any(), server.address(), b"x", PATIENCE)).unwrap();
        }
    });
}

#[test]
fn udp_super_packets_arrive_as_the_datagrams_that_they_carry() {
    over_both(|setup| {
        let world = World::start("uso", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            let server = world.vpc.run(|| UdpSocket::bind(version.server())).unwrap();
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            let payload = pattern(30_500);
            container.run(|| {
                let socket = UdpSocket::bind(version.any()).unwrap();
                setsockopt(&socket, UdpGsoSegment, &1000).unwrap();
                socket.send_to(&payload, server.local_addr().unwrap()).unwrap();
            });
            for expected in payload.chunks(1000) {
                let mut buffer = [0; 2000];
                let n = server.recv(&mut buffer).unwrap_or_else(|e| panic!("{e}, {:?}", world.all_drops()));
                assert!(buffer[..n] == *expected, "{version:?}");
            }
        }
    });
}

#[test]
fn a_router_and_a_host_behind_it_are_reached_by_both_versions() {
    over_both(|setup| {
        let world =
            World::with("behind", setup, |uplink| uplink.next_hops = vec![ip("10.1.0.1"), ip("fd01::1")]);
        world.vpc.address("lo", net("10.2.0.2/32")).unwrap();
        world.vpc.address("lo", net("fd02::2/128")).unwrap();
        let container = world.container("c");
        for address in ["10.2.0.2", "fd02::2"] {
            let server = TcpEcho::start(&world.vpc, at(address, 0), "orders").unwrap();
            let from = if server.address().is_ipv4() { Version::V4 } else { Version::V6 };
            container.run(|| tcp_exchange(from.any(), server.address(), b"x", PATIENCE)).unwrap();
        }
    });
}
