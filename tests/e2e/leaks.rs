//! That much coming and going leaves nothing: descriptors, devices, memory, ports, sessions.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use netlab::Namespace;
use netlab::traffic::{TcpEcho, UdpEcho, ping, tcp_connect, udp_exchange};
use serde_json::json;
use tests::{CIDR, Connection, EXTERNAL, PATIENCE, SERVER, eventually};

use crate::fixture::{Repeated, Scene, any_port, port, udp_socket};
use crate::footprint::{connections, descriptors, devices, resident_kib, staged_devices};

/// Attaches and detaches in all, and those of them after which memory is looked at first: the last changes and the audit log are then
/// as long as they get.
const ROUNDS: u32 = 16_000;
const WARM_UP: u32 = 6_000;

/// Containers made and deleted in all, and those of them after which memory is looked at first.
const CONTAINERS: u32 = 50;
const CONTAINERS_WARM_UP: u32 = 10;

/// How much the daemon may grow after it is warm, for what allocators keep: less than 500 bytes a round.
const GROWTH_KIB: u64 = 4 * 1024;

/// For all rounds together.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn ten_thousand_attaches_and_detaches_under_traffic_leave_nothing() {
    let scene = Scene::start("leaks");
    let vpc = scene.vpc("orders");
    let (c1, c2) = (scene.namespace("c1"), scene.container("c2", "orders"));
    scene.api.container("c1", &c1);
    let (tcp, udp) =
        (TcpEcho::start(&vpc, SERVER, "tcp").unwrap(), UdpEcho::start(&vpc, SERVER, "udp").unwrap());

    // The container that comes and goes tries all the time; the other one has to be served all the time.
    let _tries = {
        let (socket, server) = (udp_socket(&c1, port(4000)), udp.address());
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        Repeated::start(move || {
            let _ = socket.send_to(b"x", server);
            let _ = socket.recv(&mut [0; 16]);
        })
    };
    let served = ping_pong(&c2, &tcp);
    let mut connection = scene.api.connect();
    let start = Instant::now();
    let mut ended = 0;
    for round in 0..WARM_UP {
        ended += attach_and_detach(&mut connection, round);
    }
    let (before, memory) = (Footprint::of(&scene, 1, [&vpc, &c1, &c2]), resident_kib(scene.daemon.pid()));
    for round in WARM_UP..ROUNDS {
        ended += attach_and_detach(&mut connection, round);
    }
    let elapsed = start.elapsed();

    assert!(elapsed < LIMIT, "{elapsed:?}");
    assert!(ended > 0, "no session was ever there to be ended");
    assert!(served.times() > 0);
    assert_eq!(Footprint::of(&scene, 1, [&vpc, &c1, &c2]), before);
    let grown = resident_kib(scene.daemon.pid()).saturating_sub(memory);
    println!(
        "{ROUNDS} rounds in {elapsed:?}, {ended} sessions ended, grown by {grown} KiB from {memory} KiB"
    );
    assert!(grown < GROWTH_KIB, "{grown} KiB");
    let so_far = served.times();
    eventually("the other one to be served still", || served.times() > so_far);
}

#[test]
fn fifty_containers_made_and_deleted_leave_nothing() {
    let scene = Scene::start("leaks-made");
    let (vpc, c1, c2) = (scene.vpc("orders"), scene.namespace("c1"), scene.container("c2", "orders"));
    let udp = UdpEcho::start(&vpc, SERVER, "udp").unwrap();
    let round = || {
        scene.api.container("c1", &c1);
        scene.api.attach("c1", "orders");
        c1.run(|| udp_exchange(any_port(), udp.address(), b"x", PATIENCE)).unwrap();
        scene.delete("containers", "c1");
    };
    (0..CONTAINERS_WARM_UP).for_each(|_| round());
    let (before, memory) = (Footprint::of(&scene, 0, [&vpc, &c1, &c2]), resident_kib(scene.daemon.pid()));
    (CONTAINERS_WARM_UP..CONTAINERS).for_each(|_| round());
    assert_eq!(Footprint::of(&scene, 0, [&vpc, &c1, &c2]), before);
    let grown = resident_kib(scene.daemon.pid()).saturating_sub(memory);
    println!("{CONTAINERS} containers, grown by {grown} KiB from {memory} KiB");
    assert!(grown < GROWTH_KIB, "{grown} KiB");
    c2.run(|| ping(*SERVER.ip(), 1, 1, PATIENCE)).unwrap();
}

#[test]
fn vpcs_made_and_deleted_leave_nothing() {
    let scene = Scene::start("leaks-vpc");
    let (vpc, edge) = (scene.namespace("vpc"), scene.namespace("edge"));
    edge.veth("up0", &vpc, "eth0").unwrap();
    let round = || {
        scene.api.vpc_tap("tap", &vpc);
        let uplink = json!({"kind": "packet", "netns": {"name": edge.name()}, "device": "up0"});
        let packet =
            json!({"name": "packet", "cidr": CIDR, "external_addresses": [EXTERNAL], "uplink": uplink});
        scene.api.made("vpcs", &packet);
        scene.delete("vpcs", "tap");
        scene.delete("vpcs", "packet");
    };
    round();
    let look = || {
        let pid = scene.daemon.pid();
        eventually("connections to end", || connections(&scene.daemon.socket()) == 0);
        (descriptors(pid), staged_devices(pid), devices(&vpc), devices(&edge))
    };
    let before = look();
    (0..10).for_each(|_| round());
    assert_eq!(look(), before);
}

/// All that has to be the same at the end.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    descriptors: usize,
    staged: Vec<String>,
    devices: [Vec<String>; 3],
    sessions: Vec<String>,
    ports: u64,
}

impl Footprint {
    /// Looks when only `kept` connections are open: the end of one is seen by the daemon a moment later.
    fn of(scene: &Scene, kept: usize, namespaces: [&Namespace; 3]) -> Self {
        let sessions = scene.api.sessions("");
        let ports = scene.ports_used("orders");
        let pid = scene.daemon.pid();
        eventually("other connections to end", || connections(&scene.daemon.socket()) == kept);
        Self {
            descriptors: descriptors(pid),
            staged: staged_devices(pid),
            devices: namespaces.map(devices),
            sessions: sessions.iter().map(|s| format!("{} {}", s["container"], s["external"])).collect(),
            ports,
        }
    }
}

/// Returns how many sessions ended.
fn attach_and_detach(connection: &mut Connection, round: u32) -> u64 {
    let path = "/v1/containers/c1/connectors/orders";
    let (status, body) = connection.send(Method::PUT, path, Bytes::new()).unwrap();
    assert_eq!(status, 200, "round {round}: {body}");
    let (status, body) = connection.send(Method::DELETE, path, Bytes::new()).unwrap();
    assert_eq!(status, 200, "round {round}: {body}");
    body["sessions_ended"].as_u64().unwrap()
}

/// One long TCP connection that is used all the time.
fn ping_pong(container: &Namespace, server: &TcpEcho) -> Repeated {
    let mut stream = container.run(|| tcp_connect(any_port(), server.address(), PATIENCE)).unwrap();
    stream.read_exact(&mut [0; "tcp\n".len()]).unwrap();
    Repeated::start(move || {
        stream.write_all(&[7; 512]).unwrap();
        stream.read_exact(&mut [0; 512]).unwrap();
    })
}
