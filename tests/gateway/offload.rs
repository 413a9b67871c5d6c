//! TCP with every combination of what kernels may leave to their devices.

use netlab::Switch::{self, Off, On};
use netlab::traffic::{TcpEcho, tcp_exchange};
use tests::PATIENCE;

use crate::world::{Version, World, over_both, pattern};

/// What can be switched at either end.
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
        for inside in combinations() {
            container.namespace.offloads("eth0", &inside).unwrap();
            for outside in combinations() {
                world.vpc.offloads(world.device(), &outside).unwrap();
                for server in &servers {
                    let from = if server.address().is_ipv4() { Version::V4 } else { Version::V6 };
                    let exchange = || tcp_exchange(from.any(), server.address(), &payload, PATIENCE);
                    let outcome = container.run(exchange);
                    let context = || (&inside, &outside, from, world.all_drops());
                    assert!(outcome.is_ok(), "{outcome:?}: {:?}", context());
                }
            }
        }
        for namespace in [&container.namespace, &world.vpc] {
            assert_eq!(checksum_errors(namespace), 0, "{}", namespace.name());
        }
    });
}

/// Every combination of features but those with `tso` and without `tx`, which kernels do not allow.
fn combinations() -> impl Iterator<Item = Vec<(&'static str, Switch)>> {
    let switch = |on: bool| if on { On } else { Off };
    (0_u32..1 << FEATURES.len()).filter(|combination| combination & 0b11 != 0b10).map(move |combination| {
        (0..).zip(FEATURES).map(|(i, f)| (f, switch(combination >> i & 1 == 1))).collect()
    })
}

/// Segments that the namespace's kernel has found broken, over either version of IP.
fn checksum_errors(namespace: &netlab::Namespace) -> u64 {
    let snmp = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).unwrap();
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let place = names.split(' ').position(|name| name == "InCsumErrors").unwrap();
    values.split(' ').nth(place).unwrap().parse().unwrap()
}
