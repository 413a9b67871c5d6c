//! Segmentation and checksum offload: super-packets pass whole, and checksums that arrive are right.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use netlab::Namespace;
use netlab::Switch::Off;
use netlab::traffic::{Bulk, TcpEcho, UdpEcho, download, tcp_exchange, udp_exchange, upload};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use serde_json::{Value, json};
use tests::{CIDR, EXTERNAL, PATIENCE, SERVER, eventually};

use crate::capture::{Capture, Checksum};
use crate::fixture::{INTERNAL, Scene, any_port, udp_socket};
use crate::footprint::kernel_counter;

/// Bytes of TCP each way.
const VOLUME: usize = 1_000_000;

/// UDP payloads: odd, even, and as much as fits a packet together with the server's tag.
const DATAGRAMS: [usize; 4] = [1, 2, 777, 1468];

/// Bytes of a frame that is no super-packet.
const FRAME: u64 = 1514;

#[test]
fn tcp_passes_as_super_packets_both_ways() {
    for kind in [Kind::Tap, Kind::Packet] {
        let world = World::start("super", kind);
        let server = Bulk::start(&world.vpc, SERVER).unwrap();
        let duration = Duration::from_millis(300);

        let before = world.counters();
        world.container.run(|| upload(server.address(), duration)).unwrap();
        let between = world.counters();
        world.container.run(|| download(server.address(), duration)).unwrap();
        let after = world.counters();

        for (who, direction, [from, to]) in [
            ("container", "received", [&before, &between]),
            ("vpc", "sent", [&before, &between]),
            ("vpc", "received", [&between, &after]),
            ("container", "sent", [&between, &after]),
        ] {
            let count = |name| {
                let at = |counters: &Value| counters[who][direction][name].as_u64().unwrap();
                at(to) - at(from)
            };
            let average = count("bytes") / count("frames");
            assert!(average > 4 * FRAME, "{kind:?}: the {who} {direction} {average} bytes a frame");
            assert!(count("super_packets") > 0, "{kind:?}: the {who} {direction} no super-packet");
        }
    }
}

#[test]
fn checksums_are_right_by_default() {
    for kind in [Kind::Tap, Kind::Packet] {
        let world = World::start("checksum", kind);
        let (container, vpc) = world.exchange();
        // Both kernels leave the checksum to the device that it never meets.
        for checksums in [container, vpc] {
            assert!(checksums.contains(&Checksum::Partial), "{kind:?}");
            assert!(!checksums.contains(&Checksum::Wrong), "{kind:?}");
        }
    }
}

#[test]
fn checksums_are_right_if_the_container_makes_them() {
    for kind in [Kind::Tap, Kind::Packet] {
        let world = World::start("checksum-c", kind);
        world.container.offload("eth0", "tx", Off).unwrap();
        let (_, vpc) = world.exchange();
        assert!(vpc.iter().all(|checksum| *checksum == Checksum::Complete), "{kind:?}: {vpc:?}");
    }
}

#[test]
fn checksums_are_right_if_the_vpc_makes_them() {
    for kind in [Kind::Tap, Kind::Packet] {
        let world = World::start("checksum-v", kind);
        world.vpc.offload(kind.vpc_device(), "tx", Off).unwrap();
        let (container, _) = world.exchange();
        assert!(container.iter().all(|checksum| *checksum == Checksum::Complete), "{kind:?}: {container:?}");
    }
}

#[test]
fn a_device_that_cannot_offload_completes_what_the_gateway_passes_on() {
    for kind in [Kind::Bridge, Kind::Packet] {
        let world = World::start("complete", kind);
        // Behind the gateway the kernel cuts super-packets and adds the checksums, from what we left in them.
        world.edge.offload("up0", "tx", Off).unwrap();
        let (_, vpc) = world.exchange();
        assert!(vpc.iter().all(|checksum| *checksum == Checksum::Complete), "{kind:?}: {vpc:?}");
    }
}

#[test]
fn a_wrong_checksum_stays_wrong_and_the_receiver_finds_it() {
    let world = World::start("wrong", Kind::Tap);
    let server = udp_socket(&world.vpc, SERVER);
    let to = server.local_addr().unwrap();
    let raw = world.container.run(|| {
        socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Udp).unwrap()
    });
    // From port 1000, 8 bytes, and a checksum that it has not.
    let datagram = [1000_u16, to.port(), 8, 0xbad0].map(u16::to_be_bytes);
    UdpSocket::from(raw).send_to(datagram.as_flattened(), to).unwrap();
    eventually("the receiver to count it", || kernel_counter(&world.vpc, "Udp", "InCsumErrors") == 1);
    assert!(!crate::fixture::hears(&server));
}

/// What the VPC's link is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A TAP device in the VPC.
    Tap,
    /// A TAP device on a bridge in a namespace between.
    Bridge,
    /// An existing device in a namespace between.
    Packet,
}

impl Kind {
    const fn vpc_device(self) -> &'static str {
        match self {
            Self::Tap => "wharf0",
            Self::Bridge | Self::Packet => "eth0",
        }
    }
}

struct World {
    scene: Scene,
    kind: Kind,
    vpc: Namespace,
    /// The namespace between, whose `up0` leads to the VPC; empty for [`Kind::Tap`].
    edge: Namespace,
    container: Namespace,
}

impl World {
    fn start(topic: &str, kind: Kind) -> Self {
        let scene = Scene::start(topic);
        let (vpc, edge) = (scene.namespace("vpc"), scene.namespace("edge"));
        let netns = json!({"name": edge.name()});
        let uplink = match kind {
            Kind::Tap => {
                json!({"kind": "tap", "netns": {"name": vpc.name()}, "device": "wharf0", "address": "10.1.0.1/16"})
            }
            Kind::Bridge => json!({"kind": "tap", "netns": netns, "device": "wharf0", "bridge": "br0"}),
            Kind::Packet => json!({"kind": "packet", "netns": netns, "device": "up0"}),
        };
        if kind != Kind::Tap {
            edge.veth("up0", &vpc, "eth0").unwrap();
            vpc.address("eth0", "10.1.0.1/16".parse().unwrap()).unwrap();
        }
        if kind == Kind::Bridge {
            edge.bridge("br0", &["up0"]).unwrap();
        }
        let body = json!({"name": "vpc", "cidr": CIDR, "external_addresses": [EXTERNAL], "uplink": uplink});
        scene.api.made("vpcs", &body);
        scene.api.connector("vpc", "vpc");
        let container = scene.container("c1", "vpc");
        Self { scene, kind, vpc, edge, container }
    }

    fn counters(&self) -> Value {
        json!({"container": self.scene.container_stats("c1"), "vpc": self.scene.vpc_stats("vpc")})
    }

    /// Sends TCP and UDP to the VPC and back. Returns the checksums of what arrived: at the container, in the VPC.
    fn exchange(&self) -> (Vec<Checksum>, Vec<Checksum>) {
        let captures = [(&self.container, "eth0"), (&self.vpc, self.kind.vpc_device())]
            .map(|(namespace, device)| Capture::start(namespace, device));
        let tcp = TcpEcho::start(&self.vpc, SERVER, "vpc").unwrap();
        let udp = UdpEcho::start(&self.vpc, SERVER, "vpc").unwrap();
        self.container.run(|| {
            let payload: Vec<u8> = (0..VOLUME as u32).map(|i| (i % 251) as u8).collect();
            tcp_exchange(any_port(), tcp.address(), &payload, PATIENCE).unwrap();
            for length in DATAGRAMS {
                udp_exchange(any_port(), udp.address(), &payload[..length], PATIENCE).unwrap();
            }
        });
        let [at_container, in_vpc] = captures;
        let arrived =
            (arrived(&at_container, *SERVER.ip(), INTERNAL), arrived(&in_vpc, EXTERNAL, *SERVER.ip()));
        for namespace in [&self.container, &self.vpc] {
            for (group, counter) in
                [("Tcp", "InCsumErrors"), ("Tcp", "InErrs"), ("Udp", "InCsumErrors"), ("Udp", "InErrors")]
            {
                assert_eq!(
                    kernel_counter(namespace, group, counter),
                    0,
                    "{:?}: {group} {counter}",
                    self.kind
                );
            }
            assert!(kernel_counter(namespace, "Tcp", "InSegs") > 0, "the counters are the namespace's own");
        }
        arrived
    }
}

/// The checksums of the captured packets between these addresses, once all are there.
fn arrived(capture: &Capture, from: Ipv4Addr, to: Ipv4Addr) -> Vec<Checksum> {
    let mut checksums = Vec::new();
    eventually("the capture to be whole", || {
        let packets = capture.packets();
        let packets = packets.iter().filter(|packet| (packet.source(), packet.destination()) == (from, to));
        let (each, bytes): (Vec<_>, Vec<_>) =
            packets.map(|packet| (packet.checksum(), packet.payload().len())).unzip();
        checksums = each;
        bytes.iter().sum::<usize>() >= VOLUME + DATAGRAMS.iter().sum::<usize>()
    });
    if checksums.iter().all(|checksum| *checksum == Checksum::Complete) {
        // Then tcpdump can judge too.
        let said = capture.judged_by_tcpdump(&format!("src {from} and dst {to}"));
        let count = |text| said.lines().filter(|line| line.contains(text)).count();
        assert!(count("(correct)") > 0 && count("[udp sum ok]") == DATAGRAMS.len());
        assert_eq!(count("incorrect") + count("bad udp cksum") + count("bad cksum"), 0);
    }
    checksums
}
