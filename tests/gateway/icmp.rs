//! Ping over the MTU, and what the gateway and the kernels say about packets that go nowhere.

use std::net::SocketAddr;

use gateway::Reason;
use tests::{PATIENCE, eventually};

use crate::raw;
use crate::world::{Setup, Version, World, echo, output, over_both, over_tap};

#[test]
fn pings_larger_than_the_mtu_are_answered() {
    over_both(|setup| {
        let world = World::start("ping-large", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            let to = version.server().ip();
            for options in ["-s 4000", "-s 4000 -M dont", "-s 60000", "-s 60000 -M dont"] {
                // ping compares what comes back byte by byte.
                let said =
                    output(&container.namespace, "ping", &format!("-n -c 3 -i 0.1 -W 5 {options} {to}"));
                let fine = said.contains("3 received") && !said.contains("wrong data");
                assert!(fine, "{version:?} {options}: {said}\n{:?}", world.all_drops());
            }
        }
    });
}

#[test]
fn a_ping_that_may_not_be_fragmented_gets_the_uplinks_mtu() {
    over_both(|setup| {
        let world = World::start("ping-df", Setup { mtu: 1300, ..setup });
        let container = world.container("c");
        for version in Version::BOTH {
            let to = version.server().ip();
            let said = output(&container.namespace, "ping", &format!("-n -c 1 -W 5 -s 1400 -M do {to}"));
            let told = match version {
                Version::V4 => said.contains("From 169.254.1.1") && said.contains("(mtu = 1300)"),
                Version::V6 => said.contains("From fe80::1") && said.contains("Packet too big: mtu=1300"),
            };
            assert!(told, "{version:?}: {said}");
            let said = output(&container.namespace, "ping", &format!("-n -c 1 -W 5 -s 1200 -M do {to}"));
            assert!(said.contains("1 received"), "what fits passes: {said}");
        }
    });
}

#[test]
fn pings_pass_links_of_different_mtu_in_fragments() {
    over_both(|setup| {
        for (inside, outside) in [(1500, 1300), (9000, 1500), (1300, 9000)] {
            let world = World::start("ping-mtu", Setup { mtu: outside, ..setup });
            let container = world.container_with("c", |link| link.mtu = inside, |_| {});
            for version in Version::BOTH {
                let to = version.server().ip();
                // The first ones may teach either kernel the path's MTU.
                let arguments = format!("-n -c 4 -i 0.1 -W 1 -s 7000 {to}");
                let said = output(&container.namespace, "ping", &arguments);
                let sequences = (1..=4).filter(|i| said.contains(&format!("icmp_seq={i} ttl=")));
                let answered = sequences.max() == Some(4);
                assert!(answered, "{version:?}, {inside} to {outside}: {said}\n{:?}", world.all_drops());
            }
        }
    });
}

#[test]
fn protocols_that_are_not_translated_are_refused_by_icmp_and_counted() {
    over_tap(|setup| {
        let world = World::start("protocol", setup);
        let container = world.container("c");
        let mut before = 0;
        for version in Version::BOTH {
            for protocol in [libc::IPPROTO_SCTP, UNASSIGNED] {
                let told = container.run(|| {
                    let socket = raw::socket(version, protocol).unwrap();
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    socket.connect(SocketAddr::new(version.server().ip(), 0)).unwrap();
                    socket.send(&[0; 32]).unwrap();
                    socket.recv(&mut [0; 64]).unwrap_err()
                });
                let expected = match version {
                    // Protocol unreachable (raw(7)).
                    Version::V4 => libc::ENOPROTOOPT,
                    // Parameter problem: unrecognized next header.
                    Version::V6 => libc::EPROTO,
                };
                assert_eq!(told.raw_os_error(), Some(expected), "{version:?}, {protocol}: {told}");
                let drops = world.drops(Reason::ProtocolUnsupported);
                assert_eq!(drops, before + 1, "{version:?}, {protocol}");
                before = drops;
            }
        }
        let drops = world.fixture.wait(world.fixture.handle.recent_drops(container.id)).unwrap();
        let numbers: Vec<_> = drops.iter().rev().filter_map(|d| d.packet.protocol).collect();
        assert_eq!(numbers, [132, 253, 132, 253]);
    });
}

#[test]
fn the_gateway_answers_ping_on_its_own_address() {
    over_tap(|setup| {
        let world = World::start("ping-gateway", setup);
        let container = world.unattached("c", |_| {});
        container.run(|| echo(Version::V4.gateway())).unwrap();
        eventually("the link-local address", || {
            output(&container.namespace, "ping", "-n -c 1 -W 1 fe80::1%eth0").contains("1 received")
        });
    });
}

/// For experiments (RFC 3692).
const UNASSIGNED: libc::c_int = 253;
