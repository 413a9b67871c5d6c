//! What lies between: the hops of a path and its MTU, as the usual programs find them.

use netlab::Namespace;

use crate::world::{Container, Setup, World, ip, net, output, over_both};

/// A host behind a router behind the gateway.
struct Path {
    world: World,
    far: Namespace,
    container: Container,
}

impl Path {
    /// `mtu` is that of the last link.
    fn start(topic: &str, setup: Setup, mtu: u16) -> Self {
        let world =
            World::with(topic, setup, |uplink| uplink.next_hops = vec![ip("10.1.0.1"), ip("fd01::1")]);
        let (router, far) = (world.vpc.clone(), world.lab.namespace("far").unwrap());
        router.veth("down0", &far, "eth0").unwrap();
        for (namespace, device, addresses) in
            [(&router, "down0", ["10.2.0.1/24", "fd02::1/64"]), (&far, "eth0", ["10.2.0.2/24", "fd02::2/64"])]
        {
            for address in addresses {
                namespace.address(device, net(address)).unwrap();
            }
            namespace.mtu(device, mtu).unwrap();
            // By default a kernel says the same thing to one host once a second only.
            namespace.sysctl("net.ipv4.icmp_ratelimit", "0").unwrap();
            namespace.sysctl("net.ipv6.icmp.ratelimit", "0").unwrap();
        }
        far.route(net("0.0.0.0/0"), ip("10.2.0.1")).unwrap();
        far.route(net("::/0"), ip("fd02::1")).unwrap();
        router.sysctl("net.ipv4.ip_forward", "1").unwrap();
        router.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
        let container = world.container("c");
        Self { world, far, container }
    }

    fn output(&self, program: &str, arguments: &str) -> String {
        output(&self.container.namespace, program, arguments)
    }
}

#[test]
fn traceroute_shows_every_hop_by_udp_and_by_icmp() {
    over_both(|setup| {
        let path = Path::start("traceroute", setup, 1500);
        for hops in [["169.254.1.1", "10.1.0.1", "10.2.0.2"], ["fe80::1", "fd01::1", "fd02::2"]] {
            let to = hops[2];
            for mode in ["", "-I", "-I 60", "-U -p 53"] {
                let (mode, size) = mode.split_once(" 60").map_or((mode, ""), |(mode, _)| (mode, "60"));
                let said = path.output("traceroute", &format!("-n -q 2 -w 3 {mode} {to} {size}"));
                assert_eq!(shown(&said), hops, "{mode}: {said}\n{:?}", path.world.all_drops());
            }
        }
    });
}

#[test]
fn tracepath_finds_the_mtu_of_a_link_behind_a_router() {
    over_both(|setup| {
        // The last link, and the uplink as well, are smaller than the container's.
        for (uplink, last, expected) in [(1500, 1400, 1400), (1420, 1300, 1300), (1300, 1500, 1300)] {
            let path = Path::start("tracepath", Setup { mtu: uplink, ..setup }, last);
            for to in ["10.2.0.2", "fd02::2"] {
                let said = path.output("tracepath", &format!("-n {to}"));
                let found = format!("Resume: pmtu {expected} hops 3 back 3");
                assert!(said.contains(&found), "{to}: {said}\n{:?}", path.world.all_drops());
            }
        }
    });
}

#[test]
fn tcp_and_large_datagrams_adapt_to_a_smaller_link_behind_a_router() {
    use netlab::traffic::{TcpEcho, UdpEcho, tcp_exchange, udp_exchange};
    use tests::PATIENCE;

    use crate::world::{Version, at, pattern};

    over_both(|setup| {
        let path = Path::start("adapt", setup, 1300);
        for (version, to) in [(Version::V4, "10.2.0.2"), (Version::V6, "fd02::2")] {
            let tcp = TcpEcho::start(&path.far, at(to, 0), "far").unwrap();
            let udp = UdpEcho::start(&path.far, at(to, 0), "far").unwrap();
            path.container.run(|| {
                tcp_exchange(version.any(), tcp.address(), &pattern(500_000), PATIENCE).unwrap();
                // An IPv6 socket is told that its datagram was too big for the path, and sends it again.
                let ask = || udp_exchange(version.any(), udp.address(), &pattern(20_000), PATIENCE);
                let outcome = match ask() {
                    Err(e) if e.raw_os_error() == Some(libc::EMSGSIZE) && version == Version::V6 => ask(),
                    other => other,
                };
                outcome.unwrap_or_else(|e| panic!("{version:?}: {e} {:?}", path.world.all_drops()));
            });
        }
    });
}

/// The address of each hop that traceroute has shown.
fn shown(said: &str) -> Vec<String> {
    let hop = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        words.next()?.parse::<u8>().ok()?;
        let address = words.next()?;
        Some(address.split('%').next().unwrap_or(address).to_owned())
    };
    said.lines().filter_map(hop).collect()
}
