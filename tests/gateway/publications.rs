//! Calls from the VPC: to what a container has published, and to what nobody has.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway::{Applied, CallError, CommandError, Protocol, Publication, Unsolicited};
use netlab::traffic::{TcpEcho, UdpEcho, tcp_connect, tcp_exchange, udp_exchange};
use tests::{PATIENCE, eventually};

use crate::fixture::SHORT;
use crate::world::{Container, Version, World, net, output, over_both, over_tap, pattern};

/// Published, and where that leads to.
const PORT: u16 = 80;
const INTERNAL_PORT: u16 = 8080;

#[test]
fn the_vpc_calls_a_published_port_and_the_container_sees_who_calls() {
    over_both(|setup| {
        let world = World::start("publish", setup);
        let container = publisher(&world, "c");
        for version in Version::BOTH {
            let (tcp, udp) = servers(&container, version);
            let to = SocketAddr::new(version.external(), PORT);
            let from = SocketAddr::new(version.server().ip(), 40_000);
            world.vpc.run(|| {
                // The VPC speaks first: its kernel has yet to find the external address.
                let tag = udp_exchange(from, to, &pattern(5000), PATIENCE);
                assert_eq!(tag.unwrap_or_else(|e| panic!("{version:?} {e} {:?}", world.all_drops())), "c");
                assert_eq!(tcp_exchange(from, to, &pattern(1_000_000), PATIENCE).unwrap(), "c");
            });
            assert_eq!((tcp.peers(), udp.peers()), (vec![from], vec![from]), "the client's own address");
        }
    });
}

#[test]
fn the_kernel_beside_a_packet_uplink_keeps_quiet_about_the_external_addresses() {
    over_both(|setup| {
        let world = World::start("quiet", setup);
        let container = publisher(&world, "c");
        // The kernel of the uplink's namespace is a neighbor of the VPC, and can speak from now on.
        if let Some(edge) = &world.edge {
            for own in ["10.1.0.9/16", "fd01::9/64"] {
                edge.address("up0", net(own)).unwrap();
            }
            eventually("its link-local address", || {
                let addresses = output(edge, "ip", "-6 address show dev up0 scope link");
                addresses.contains("fe80::") && !addresses.contains("tentative")
            });
        }
        for version in Version::BOTH {
            let (tcp, _udp) = servers(&container, version);
            let to = SocketAddr::new(version.external(), PORT);
            for port in 40_000..40_010 {
                let from = SocketAddr::new(version.server().ip(), port);
                let called = world.vpc.run(|| tcp_exchange(from, to, b"x", PATIENCE));
                assert!(called.is_ok(), "{version:?}, {port}: {called:?}");
            }
            assert_eq!(tcp.peers().len(), 10);
        }
        let read = |file: &str| world.vpc.run(|| std::fs::read_to_string(file)).unwrap();
        let counters = read("/proc/thread-self/net/snmp6");
        for counter in ["Icmp6InDestUnreachs", "Icmp6InRedirects"] {
            let line = counters.lines().find(|line| line.starts_with(counter)).unwrap();
            assert!(line.ends_with("\t0"), "errors that are not ours: {line}");
        }
        let counters = read("/proc/thread-self/net/snmp");
        let of_types = counters.lines().filter(|line| line.starts_with("IcmpMsg:"));
        assert_eq!(of_types.filter(|line| line.contains("InType")).count(), 0, "{counters}");
    });
}

#[test]
fn a_publication_ends_with_its_connector_and_can_then_be_anothers() {
    over_tap(|setup| {
        let world = World::start("unpublish", setup);
        let (first, second) = (publisher(&world, "c1"), world.unattached("c2", |_| {}));
        let refused = world.attach(&second, publish);
        let taken = matches!(refused, Err(CallError::Refused(CommandError::PublicationTaken { .. })));
        assert!(taken, "{refused:?}");
        let ended = world.fixture.wait(world.fixture.handle.detach(first.id, first.connector)).unwrap();
        assert_eq!(ended, Applied { sessions_ended: 0 });
        for version in Version::BOTH {
            let (_tcp, _udp) = servers(&first, version);
            let to = SocketAddr::new(version.external(), PORT);
            world.vpc.run(|| udp_exchange(version.server(), to, b"x", SHORT)).unwrap_err();
        }
        world.attach(&second, publish).unwrap();
        for version in Version::BOTH {
            let (_tcp, _udp) = servers(&second, version);
            let to = SocketAddr::new(version.external(), PORT);
            let tag = world.vpc.run(|| udp_exchange(version.server(), to, b"x", PATIENCE)).unwrap();
            assert_eq!(tag, "c2");
        }
    });
}

#[test]
fn a_syn_that_nobody_asked_for_is_refused_after_six_seconds_or_never() {
    over_both(|setup| {
        let told = World::start("syn-told", setup);
        let silent = World::with("syn-silent", setup, |uplink| uplink.unsolicited = Unsolicited::Silent);
        // Published ports do not open the ones beside them.
        let _containers = [&told, &silent].map(|world| publisher(world, "c"));
        std::thread::scope(|scope| {
            for version in Version::BOTH {
                let to = SocketAddr::new(version.external(), PORT + 1);
                let call = move |world: &World, patience| {
                    let start = Instant::now();
                    let refused = world.vpc.run(|| tcp_connect(version.server(), to, patience)).unwrap_err();
                    (refused, start.elapsed())
                };
                let told = &told;
                scope.spawn(move || {
                    let (refused, after) = call(told, PATIENCE);
                    let expected = std::io::ErrorKind::ConnectionRefused;
                    assert_eq!(refused.kind(), expected, "{version:?}: {:?}", told.all_drops());
                    assert!((UNASKED..UNASKED + SECOND).contains(&after), "{version:?}: after {after:?}");
                });
                let silent = &silent;
                scope.spawn(move || {
                    let (refused, _) = call(silent, UNASKED + SECOND);
                    assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut, "{version:?}");
                });
            }
        });
    });
}

#[test]
fn nobody_outside_of_the_connectors_destinations_may_call() {
    over_tap(|setup| {
        let world = World::start("publish-cidr", setup);
        world.vpc.address(world.device(), "10.1.0.2/16".parse().unwrap()).unwrap();
        let container = world.unattached("c", |_| {});
        world
            .attach(&container, |connector| {
                publish(connector);
                connector.destinations = vec!["10.1.0.2/32".parse().unwrap()];
            })
            .unwrap();
        let udp = servers(&container, Version::V4).1;
        let to = SocketAddr::new(Version::V4.external(), PORT);
        let call = |from: &str, patience| {
            let from = SocketAddr::new(from.parse().unwrap(), 0);
            world.vpc.run(|| udp_exchange(from, to, b"x", patience))
        };
        call("10.1.0.2", PATIENCE).unwrap();
        call("10.1.0.1", SHORT).unwrap_err();
        eventually("one peer", || udp.peers().len() == 1);
    });
}

/// RFC 5382 REQ-4.
const UNASKED: Duration = Duration::from_secs(6);
const SECOND: Duration = Duration::from_secs(1);

fn publisher(world: &World, name: &str) -> Container {
    world.container_with(name, |_| {}, publish)
}

/// Publishes both protocols over both versions.
fn publish(connector: &mut gateway::ConnectorConfig) {
    for version in Version::BOTH {
        let external = SocketAddr::new(version.external(), PORT);
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            connector.publications.push(Publication { protocol, external, internal_port: INTERNAL_PORT });
        }
    }
}

/// The container's servers, whose tag is the last word of its namespace's name.
fn servers(container: &Container, version: Version) -> (TcpEcho, UdpEcho) {
    let namespace = &container.namespace;
    let tag = namespace.name().rsplit('-').next().unwrap();
    let address = SocketAddr::new(version.internal(), INTERNAL_PORT);
    (TcpEcho::start(namespace, address, tag).unwrap(), UdpEcho::start(namespace, address, tag).unwrap())
}
