//! Translation off: the VPC knows the containers by their own addresses.

use std::net::{IpAddr, SocketAddr};

use gateway::{Addressing, AttachmentSpec, CallError, CommandError, ConnectorConfig, Filtering};
use netlab::traffic::{TcpEcho, UdpEcho, tcp_connect, tcp_exchange, udp_exchange};
use tests::{PATIENCE, eventually};

use crate::fixture::SHORT;
use crate::world::{Container, Setup, Version, World, echo, ip, net, over_both, over_tap, pattern};

#[test]
fn a_server_sees_the_containers_own_address_and_reaches_it() {
    over_both(|setup| {
        let world = start("routed", setup);
        let container = world.container_with("c", own_addresses, routed);
        for version in Version::BOTH {
            let tcp = TcpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            let udp = UdpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            let mut from = version.any();
            from.set_port(40_000);
            container.run(|| {
                let tag = tcp_exchange(from, tcp.address(), &pattern(1_000_000), PATIENCE);
                assert_eq!(
                    tag.unwrap_or_else(|e| panic!("{version:?}: {e} {:?}", world.all_drops())),
                    "orders"
                );
                udp_exchange(from, udp.address(), &pattern(60_000), PATIENCE).unwrap();
                echo(version.server().ip()).unwrap();
            });
            let seen = SocketAddr::new(own(version), 40_000);
            assert_eq!((tcp.peers(), udp.peers()), (vec![seen], vec![seen]), "address and port");
        }
    });
}

#[test]
fn the_vpc_calls_a_container_that_lets_everybody_in_and_no_other() {
    over_both(|setup| {
        for (filtering, open) in [(Filtering::EndpointIndependent, true), (Filtering::default(), false)] {
            let world = start("routed-in", setup);
            let container = world.container_with("c", own_addresses, |connector| {
                routed(connector);
                (connector.filtering, connector.udp_filtering) = (filtering, filtering);
            });
            for version in Version::BOTH {
                let to = SocketAddr::new(own(version), 8080);
                let server = TcpEcho::start(&container.namespace, to, "c").unwrap();
                let patience = if open { PATIENCE } else { SHORT };
                let reached = world.vpc.run(|| tcp_connect(version.server(), to, patience));
                assert_eq!(reached.is_ok(), open, "{version:?}, {filtering:?}: {:?}", world.all_drops());
                eventually("the server to see it", || server.peers().len() == usize::from(open));
            }
        }
    });
}

#[test]
fn a_container_that_lets_everybody_in_answers_the_vpcs_ping() {
    over_tap(|setup| {
        let world = start("routed-ping", setup);
        let _container = open_container(&world);
        for version in Version::BOTH {
            let answer = world.vpc.run(|| echo(own(version)));
            assert!(answer.is_ok(), "{version:?}: {answer:?}, {:?}", world.all_drops());
        }
    });
}

#[test]
fn an_address_that_the_vpc_sees_is_one_containers() {
    over_tap(|setup| {
        let world = start("routed-taken", setup);
        let first = world.container_with("c1", own_addresses, routed);
        // Ids alternate between the workers: one of these is on the first one's, one is not.
        for name in ["c2", "c3"] {
            let other = world.unattached(name, own_addresses);
            let refused = world.attach(&other, routed);
            let taken = |address: IpAddr| matches!(refused, Err(CallError::Refused(CommandError::AddressTaken(a))) if a == address);
            assert!(Version::BOTH.map(own).into_iter().any(taken), "{refused:?}");
            world.attach(&other, |_| {}).unwrap();
            world.fixture.wait(world.fixture.handle.detach(other.id, other.connector)).unwrap();
        }
        world.fixture.wait(world.fixture.handle.detach(first.id, first.connector)).unwrap();
        let next = world.unattached("c4", own_addresses);
        world.attach(&next, routed).unwrap();
        let server = UdpEcho::start(&world.vpc, Version::V4.server(), "orders").unwrap();
        let ask = || udp_exchange(Version::V4.any(), server.address(), b"x", PATIENCE);
        next.run(ask).unwrap();
    });
}

#[test]
fn routed_and_translated_containers_reach_each_other() {
    over_tap(|setup| {
        let world = start("routed-mixed", setup);
        let open = open_container(&world);
        let translated = ["c2", "c3"].map(|name| world.container(name));
        for version in Version::BOTH {
            let to = SocketAddr::new(own(version), 8080);
            let server = UdpEcho::start(&open.namespace, to, "open").unwrap();
            for container in &translated {
                let tag = container.run(|| udp_exchange(version.any(), to, &pattern(5000), PATIENCE));
                assert_eq!(
                    tag.unwrap_or_else(|e| panic!("{version:?}: {e} {:?}", world.all_drops())),
                    "open"
                );
            }
            assert!(server.peers().iter().all(|peer| peer.ip() == version.external()));
        }
    });
}

/// A VPC that has routes to the containers' own addresses, through the gateway.
fn start(topic: &str, setup: Setup) -> World {
    let world = World::start(topic, setup);
    for version in Version::BOTH {
        world.vpc.route(own(version).into(), version.external()).unwrap();
    }
    world
}

fn open_container(world: &World) -> Container {
    world.container_with("c", own_addresses, |connector| {
        routed(connector);
        connector.filtering = Filtering::EndpointIndependent;
        connector.udp_filtering = Filtering::EndpointIndependent;
    })
}

fn own(version: Version) -> IpAddr {
    match version {
        Version::V4 => ip("10.9.0.2"),
        Version::V6 => ip("fd09::2"),
    }
}

fn own_addresses(link: &mut AttachmentSpec) {
    link.addresses = Version::BOTH
        .map(|version| Addressing { address: own(version), gateway: version.gateway() })
        .to_vec();
}

fn routed(connector: &mut ConnectorConfig) {
    connector.translation = false;
    assert!(connector.destinations.contains(&net("10.0.0.0/8")));
}
