//! Uplinks with a queue for each worker: frames come in where their port is owned, not by way of another worker.

use std::thread;

use gateway::{Event, Lifetime, Link, Origin, UplinkDevice, UplinkId, limits};
use netlab::traffic::{TcpEcho, UdpEcho, ping, tcp_exchange, udp_exchange};
use netlab::{Lab, Namespace};
use tests::{PATIENCE, SERVER};

use crate::fixture::{Fixture, any_port, tap, uplink};

const WORKERS: u16 = 2;
const CONTAINERS: usize = 6;
/// Datagrams of one container.
const DATAGRAMS: usize = 20;

/// A VPC, its uplink, and containers of all workers.
struct Scene {
    fixture: Fixture,
    lab: Lab,
    vpc: Namespace,
    uplink: UplinkId,
    /// The uplink's device: its namespace and name.
    device: (Namespace, &'static str),
    containers: Vec<Namespace>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tap,
    /// A TAP device that an earlier gateway has made.
    TapTakenAgain,
    Packet,
}

impl Scene {
    /// The worker `reader` gets what is nobody's in particular: as many uplinks are made before this one.
    fn new(kind: Kind, reader: u16) -> Self {
        let lab = Lab::new("steering").unwrap();
        let vpc = lab.namespace("vpc").unwrap();
        let lasting = || uplink(tap(&vpc, Lifetime::Lasting));
        if matches!(kind, Kind::TapTakenAgain) {
            let earlier = Fixture::start(WORKERS);
            earlier.wait(earlier.handle.add_uplink(lasting())).unwrap();
        }
        let fixture = Fixture::start(WORKERS);
        for i in 0..reader {
            fixture.tap_uplink(&lab.namespace(&format!("earlier{i}")).unwrap());
        }
        let (uplink, device) = match kind {
            Kind::Tap => (fixture.tap_uplink(&vpc), (vpc.clone(), "wharf0")),
            Kind::TapTakenAgain => {
                let again = fixture.wait(fixture.handle.add_uplink(lasting())).unwrap();
                assert_eq!(again.origin, Origin::TakenAgain);
                (again.id, (vpc.clone(), "wharf0"))
            }
            Kind::Packet => {
                let edge = lab.namespace("edge").unwrap();
                edge.veth("up0", &vpc, "eth0").unwrap();
                vpc.address("eth0", format!("{}/16", SERVER.ip()).parse().unwrap()).unwrap();
                let device = UplinkDevice::Packet { netns: Some(edge.netns()), name: "up0".into() };
                (fixture.uplink(device), (edge, "up0"))
            }
        };
        let containers = (0..CONTAINERS)
            .map(|i| {
                let namespace = lab.namespace(&format!("c{i}")).unwrap();
                fixture.attach(fixture.container(&namespace), uplink);
                namespace
            })
            .collect();
        Self { fixture, lab, vpc, uplink, device, containers }
    }

    /// TCP, UDP and ping from all containers at once, and that few frames are handed over although many are another's
    /// than the reader's.
    fn check(&self) {
        let tcp = TcpEcho::start(&self.vpc, SERVER, "orders").unwrap();
        let udp = UdpEcho::start(&self.vpc, SERVER, "orders").unwrap();
        let (received, handed_off) = self.counts();
        let payload: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
        thread::scope(|scope| {
            for container in &self.containers {
                let exchange = || {
                    assert_eq!(
                        tcp_exchange(any_port(), tcp.address(), &payload, PATIENCE).unwrap(),
                        "orders"
                    );
                    for _ in 0..DATAGRAMS {
                        assert_eq!(
                            udp_exchange(any_port(), udp.address(), b"x", PATIENCE).unwrap(),
                            "orders"
                        );
                    }
                    ping(*SERVER.ip(), 1, 3, PATIENCE).unwrap();
                };
                scope.spawn(move || container.run(exchange));
            }
        });
        let (received, handed_off) = {
            let after = self.counts();
            (after.0 - received, after.1 - handed_off)
        };
        let peers: Vec<_> = tcp.peers().into_iter().chain(udp.peers()).collect();
        assert_eq!(peers.len(), CONTAINERS * (1 + DATAGRAMS));
        let reader = self.uplink.0 % u32::from(WORKERS);
        let owner = |port: u16| u32::from(port / limits::PORT_BLOCK % WORKERS);
        let of_others = peers.iter().filter(|peer| owner(peer.port()) != reader).count();
        println!(
            "{received} frames, {handed_off} handed over; {of_others} of {} flows of another",
            peers.len()
        );
        assert!(of_others * 4 > peers.len(), "{of_others} of {} flows are another worker's", peers.len());
        assert!(handed_off * 20 < received, "{handed_off} of {received} frames were handed over");
    }

    /// Frames that the uplink has received, and frames that workers have handed over.
    fn counts(&self) -> (u64, u64) {
        let stats = self.fixture.wait(self.fixture.handle.stats()).unwrap();
        let uplink = stats.links.iter().find(|report| report.link == Link::Uplink(self.uplink)).unwrap();
        let handed_off = stats.workers.iter().map(|worker| worker.handed_off).sum();
        (uplink.counters.received.frames, handed_off)
    }

    /// Removes the device, of which every worker has a queue and only one event comes.
    fn check_loss(mut self) {
        let (namespace, name) = &self.device;
        namespace.remove_device(name).unwrap();
        assert_eq!(self.fixture.event(), Event::UplinkGone(self.uplink));
        // What other workers say about it comes before the end of another uplink.
        let vpc = self.lab.namespace("next").unwrap();
        let next = self.fixture.tap_uplink(&vpc);
        vpc.remove_device("wharf0").unwrap();
        assert_eq!(self.fixture.event(), Event::UplinkGone(next));
    }
}

#[test]
fn few_frames_of_a_tap_uplink_are_handed_over_whoever_reads_it() {
    for reader in 0..WORKERS {
        let scene = Scene::new(Kind::Tap, reader);
        scene.check();
        scene.check_loss();
    }
}

#[test]
fn few_frames_of_a_tap_uplink_that_was_taken_again_are_handed_over_whoever_reads_it() {
    for reader in 0..WORKERS {
        let scene = Scene::new(Kind::TapTakenAgain, reader);
        scene.check();
        scene.check_loss();
    }
}

#[test]
fn few_frames_of_a_packet_uplink_are_handed_over_whoever_reads_it() {
    for reader in 0..WORKERS {
        let scene = Scene::new(Kind::Packet, reader);
        scene.check();
        scene.check_loss();
    }
}

#[test]
fn queues_keep_their_order_when_the_device_was_down() {
    for kind in [Kind::Tap, Kind::Packet] {
        let scene = Scene::new(kind, 1);
        let (namespace, name) = &scene.device;
        namespace.down(name).unwrap();
        namespace.up(name).unwrap();
        scene.check();
    }
}

#[test]
fn removing_an_uplink_closes_all_its_queues() {
    let Scene { fixture, device: (namespace, name), uplink, lab: _lab, .. } = Scene::new(Kind::Tap, 0);
    let is_there =
        || namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap().contains(name));
    assert!(is_there());
    fixture.wait(fixture.handle.remove_uplink(uplink)).unwrap();
    assert!(!is_there());
}
