//! TCP with every combination of what kernels may leave to their devices.

use netlab::Switch::{self, Off, On};
use netlab::traffic::{TcpEcho, tcp_exchange};
use tests::PATIENCE;

use crate::world::{Version, World, over_both, pattern};

/// What can be switched at either end. Without `tx`, kernels do without the others of sending.
const FEATURES: [&str; 4] = ["tx", "tso", "gso", "gro"];

/// Odd, and a few dozen packets.
const VOLUME: usize = 150_001;

#[test]
fn tcp_arrives_unchanged_with_every_combination_of_offloads() {
    over_both(|setup| {
        let world = World::start("offloads", setup);
        let container = world.container("c");
        let servers =
            Version::BOTH.map(|version| TcpEcho::start(&world.vpc, version.server(), "orders").unwrap());
        let payload = pattern(VOLUME);
        for inside in 0..1 << FEATURES.len() {
            container.namespace.offloads("eth0", &switches(inside)).unwrap();
            for outside in 0..1 << FEATURES.len() {
                world.vpc.offloads(world.device(), &switches(outside)).unwrap();
                for server in &servers {
                    let from = if server.address().is_ipv4() { Version::V4 } else { Version::V6 };
                    let exchange = || tcp_exchange(from.any(), server.address(), &payload, PATIENCE);
                    let outcome = container.run(exchange);
                    let context = || (switches(inside), switches(outside), from, world.all_drops());
                    assert!(outcome.is_ok(), "{outcome:?}: {:?}", context());
                }
            }
        }
        for namespace in [&container.namespace, &world.vpc] {
            assert_eq!(checksum_errors(namespace), 0, "{}", namespace.name());
        }
    });
}

/// The features that are on in this combination.
fn switches(combination: u32) -> Vec<(&'static str, Switch)> {
    let switch = |(i, feature)| (feature, if combination >> i & 1 == 0 { Off } else { On });
    FEATURES.into_iter().enumerate().map(switch).collect()
}

/// Segments that the namespace's kernel has found broken, over either version of IP.
fn checksum_errors(namespace: &netlab::Namespace) -> u64 {
    let snmp = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).unwrap();
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let place = names.split(' ').position(|name| name == "InCsumErrors").unwrap();
    values.split(' ').nth(place).unwrap().parse().unwrap()
}
