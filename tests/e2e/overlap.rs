//! Two VPCs with the same addresses, which are those of the containers too: nothing crosses.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::thread;

use netlab::Namespace;
use netlab::traffic::{TcpEcho, UdpEcho, tcp_exchange, udp_exchange};
use serde_json::json;
use tests::{CIDR, Daemon, EXTERNAL, PATIENCE, SERVER, eventually};

use crate::capture::Capture;
use crate::fixture::{Scene, any_port, port};

const VPCS: [&str; 2] = ["orders", "billing"];

/// Source ports that both containers use; each of them only once, as TCP lets a closed connection rest.
const PORTS: std::ops::Range<u16> = 20_000..20_400;

/// External ports of each VPC: so few that most of those in use in one are in use in the other too.
const EXTERNAL_PORTS: (u16, u16) = (30_016, 30_463);

/// Of each container at the same time.
const CLIENTS: usize = 4;

#[test]
fn equal_servers_in_equal_vpcs_are_told_apart_by_who_asks() {
    let world = World::start("overlap");
    for (name, container) in world.attached() {
        let (tcp, udp) = world.ask(container, any_port(), name.as_bytes()).unwrap();
        assert_eq!((tcp.as_str(), udp.as_str()), (name, name));
    }
}

#[test]
fn under_load_from_the_same_ports_nothing_of_one_vpc_is_seen_in_the_other() {
    let world = World::start("overlap-load");
    let captures: Vec<_> = world.vpcs.iter().map(|vpc| Capture::start(vpc, "wharf0")).collect();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            for (name, container) in world.attached() {
                let world = &world;
                scope.spawn(move || {
                    // The content says for whom it is, everywhere in every packet.
                    let payload = format!("for {name}, ").repeat(1000).into_bytes();
                    for source in PORTS.skip(client).step_by(CLIENTS) {
                        let (tcp, udp) = world.ask(container, port(source), &payload).unwrap();
                        assert_eq!((tcp.as_str(), udp.as_str()), (name, name), "from port {source}");
                    }
                });
            }
        }
    });
    let [orders, billing]: [BTreeSet<_>; 2] =
        [0, 1].map(|vpc: usize| world.servers[vpc].0.peers().into_iter().collect());
    let both = orders.intersection(&billing).count();
    assert!(both > PORTS.len() / 2, "only {both} external endpoints are in use in both VPCs");
    for ((name, _), capture) in world.attached().into_iter().zip(&captures) {
        let (ours, theirs) = (format!("for {name}"), format!("for {}", other(name)));
        let carries = |text: &str| {
            capture.packets().iter().filter(|packet| contains(packet.payload(), text.as_bytes())).count()
        };
        eventually("the capture to see the traffic", || carries(&ours) >= 2 * PORTS.len());
        assert_eq!(carries(&theirs), 0, "packets in {name} that are for {}", other(name));
    }
}

#[test]
fn a_container_without_a_connector_reaches_neither_and_is_told_why() {
    let world = World::start("overlap-deny");
    let before: Vec<_> = world.servers.iter().map(|(tcp, udp)| (tcp.peers(), udp.peers())).collect();
    let refused = world.ask(&world.containers[2], any_port(), b"let me in").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EHOSTUNREACH), "ICMP says so at once: {refused}");
    assert!(world.scene.drops("c3").iter().any(|reason| reason == "no_connector"));
    let after: Vec<_> = world.servers.iter().map(|(tcp, udp)| (tcp.peers(), udp.peers())).collect();
    assert_eq!(before, after);
}

struct World {
    servers: Vec<(TcpEcho, UdpEcho)>,
    scene: Scene,
    vpcs: Vec<Namespace>,
    containers: Vec<Namespace>,
    server: SocketAddr,
}

impl World {
    /// Two VPCs and three containers, the third of which is not attached.
    fn start(topic: &str) -> Self {
        // One worker, as two never use the same external ports.
        let scene = Scene::with(Daemon::start_with(&["--workers", "1"]), topic);
        let vpcs: Vec<_> = VPCS.iter().map(|name| vpc(&scene, name)).collect();
        let mut server = SocketAddr::V4(SERVER);
        let mut servers = Vec::new();
        for (vpc, name) in vpcs.iter().zip(VPCS) {
            // The first takes a free port, the second the same.
            let tcp = TcpEcho::start(vpc, server, name).unwrap();
            server = tcp.address();
            servers.push((tcp, UdpEcho::start(vpc, server, name).unwrap()));
        }
        let containers = ["c1", "c2", "c3"].map(|name| {
            let namespace = scene.namespace(name);
            let netns = json!({"name": namespace.name()});
            // Inside the VPCs' prefix: a container cannot tell its own network from theirs.
            assert_eq!(CIDR, "10.1.0.0/16");
            let body = json!({"name": name, "netns": netns, "address": "10.1.0.5", "gateway": "10.1.0.254"});
            scene.api.made("containers", &body);
            namespace
        });
        scene.api.attach("c1", VPCS[0]);
        scene.api.attach("c2", VPCS[1]);
        Self { servers, scene, vpcs, containers: containers.into(), server }
    }

    /// Each VPC's name, and the container that is attached to it.
    fn attached(&self) -> [(&'static str, &Namespace); 2] {
        [(VPCS[0], &self.containers[0]), (VPCS[1], &self.containers[1])]
    }

    /// Who answers by TCP, who by UDP. That the content comes back unchanged is checked on the way.
    fn ask(&self, container: &Namespace, from: SocketAddrV4, payload: &[u8]) -> io::Result<(String, String)> {
        container.run(|| {
            let tcp = tcp_exchange(from, self.server, payload, PATIENCE)?;
            let datagram = &payload[..payload.len().min(1000)];
            Ok((tcp, udp_exchange(from, self.server, datagram, PATIENCE)?))
        })
    }
}

/// As [`Scene::vpc`], but with few external ports.
fn vpc(scene: &Scene, name: &str) -> Namespace {
    let namespace = scene.namespace(name);
    let (first, last) = EXTERNAL_PORTS;
    let netns = json!({"name": namespace.name()});
    let uplink = json!({"kind": "tap", "netns": netns, "device": "wharf0", "address": "10.1.0.1/16"});
    let mut body = json!({"name": name, "cidr": CIDR, "external_addresses": [EXTERNAL], "uplink": uplink});
    body["ports"] = json!({"first": first, "last": last});
    scene.api.made("vpcs", &body);
    scene.api.connector(name, name);
    namespace
}

fn other(vpc: &str) -> &'static str {
    if vpc == VPCS[0] { VPCS[1] } else { VPCS[0] }
}

fn contains(payload: &[u8], text: &[u8]) -> bool {
    payload.windows(text.len()).any(|window| window == text)
}
