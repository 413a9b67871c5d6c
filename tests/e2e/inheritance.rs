//! What ends with a detach or a container, and that nobody inherits it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use netlab::traffic::{Bulk, UdpEcho, ping, tcp_connect, udp_exchange};
use serde_json::json;
use tests::{PATIENCE, SERVER, eventually};

use crate::fixture::{Repeated, SHORT, Scene, any_port, hears, port, udp_socket};
use crate::footprint::kernel_counter;

/// Datagrams that have to be lost before a test believes that all are.
const MANY: u64 = 50;

const PORT: u16 = 4000;

#[test]
fn detach_ends_the_sessions_of_the_pair_before_it_answers() {
    let scene = Scene::start("detach");
    let (orders, billing) = (scene.vpc("orders"), scene.vpc("billing"));
    let (c1, c2) = (scene.container("c1", "orders"), scene.container("c2", "orders"));
    let (udp, other) = (
        UdpEcho::start(&orders, SERVER, "orders").unwrap(),
        UdpEcho::start(&billing, SERVER, "billing").unwrap(),
    );
    for (container, sources) in [(&c1, 10_000..10_005), (&c2, 10_000..10_002)] {
        for source in sources {
            container.run(|| udp_exchange(port(source), udp.address(), b"x", PATIENCE)).unwrap();
        }
    }
    c1.run(|| ping(*SERVER.ip(), 7, 1, PATIENCE)).unwrap();

    let answer = scene.api.detach("c1", "orders");
    // At once: not even the first look may find one.
    assert_eq!(scene.api.sessions("container=c1"), Vec::<serde_json::Value>::new());
    assert_eq!(answer["sessions_ended"], 6);
    assert_eq!(scene.ports_used("orders"), 2, "those of c2");
    assert_eq!(scene.api.sessions("container=c2").len(), 2);
    let again = scene.api.delete("/v1/containers/c1/connectors/orders");
    assert_eq!((again.0, &again.1["code"]), (404, &"not_attached".into()));

    // The same destination, through another VPC: a server that saw the old sessions is not asked any more.
    scene.api.attach("c1", "billing");
    let tag = c1.run(|| udp_exchange(port(10_000), other.address(), b"x", PATIENCE)).unwrap();
    assert_eq!(tag, "billing");
}

#[test]
fn detach_stops_a_transfer_that_runs() {
    let scene = Scene::start("detach-tcp");
    let vpc = scene.vpc("orders");
    let c1 = scene.container("c1", "orders");
    let server = Bulk::start(&vpc, SERVER).unwrap();
    let mut stream = c1.run(|| tcp_connect(any_port(), server.address(), PATIENCE)).unwrap();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    stream.write_all(b"d").unwrap();
    let mut block = vec![0; 64 * 1024];
    for _ in 0..100 {
        assert_ne!(stream.read(&mut block).unwrap(), 0, "it runs");
    }
    assert_eq!(scene.api.detach("c1", "orders")["sessions_ended"], 1);
    let forwarded = || scene.container_stats("c1")["sent"]["bytes"].as_u64().unwrap();
    let at_detach = forwarded();
    // What the container's kernel has already, and then the RST.
    let read = std::iter::repeat_with(|| stream.read(&mut block)).take(100_000).find_map(Result::err);
    assert_eq!(read.expect("an end").kind(), ErrorKind::ConnectionReset);
    // The gateway's own complaints are all that the container still gets.
    assert!(forwarded() - at_detach < 10_000, "{} bytes after the detach", forwarded() - at_detach);
}

#[test]
fn a_new_container_with_the_same_address_inherits_no_udp() {
    let scene = Scene::start("inherit-udp");
    let vpc = scene.vpc("orders");
    let c1 = scene.container("c1", "orders");
    let server = udp_socket(&vpc, SERVER);
    let old = udp_socket(&c1, port(PORT));
    old.send_to(b"hello", server.local_addr().unwrap()).unwrap();
    let (_, external) = server.recv_from(&mut [0; 16]).unwrap();
    let sending = sending_to(&server, external);
    assert!(hears(&old), "before, the datagrams arrive");
    scene.delete("containers", "c1");

    let c2 = scene.container("c2", "orders");
    let new = udp_socket(&c2, port(PORT));
    let (lost, sent) = (lost(&scene), sending.times());
    eventually("datagrams to be lost", || self::lost(&scene) > lost + MANY && sending.times() > sent + MANY);
    assert!(!hears(&new), "what was for another arrives");
    assert_eq!(kernel_counter(&c2, "Ip", "InReceives"), 0, "not even the kernel gets any");
    drop(sending);

    // Its own conversation works, and is told apart from the old one.
    new.send_to(b"hello", server.local_addr().unwrap()).unwrap();
    let (_, mine) = server.recv_from(&mut [0; 16]).unwrap();
    server.send_to(b"welcome", mine).unwrap();
    assert!(hears(&new));
}

#[test]
fn a_new_container_with_the_same_address_inherits_no_tcp() {
    let scene = Scene::start("inherit-tcp");
    let vpc = scene.vpc("orders");
    // A server that was told would not go on sending.
    let quiet = json!({"name": "quiet", "vpc": "orders", "on_detach": "silent"});
    assert_eq!(scene.api.post("/v1/connectors", &quiet).0, 201);
    let c1 = scene.container("c1", "quiet");
    let server = Bulk::start(&vpc, SERVER).unwrap();
    let mut stream = c1.run(|| tcp_connect(port(PORT), server.address(), PATIENCE)).unwrap();
    stream.write_all(b"d").unwrap();
    stream.read_exact(&mut vec![0; 1_000_000]).unwrap();
    scene.delete("containers", "c1");
    let lost_before = lost(&scene);

    // The same address and port, open for whoever comes.
    let c2 = scene.container("c2", "orders");
    let listener = c2.run(|| std::net::TcpListener::bind(port(PORT))).unwrap();
    listener.set_nonblocking(true).unwrap();
    eventually("the server to send again in vain", || lost(&scene) > lost_before);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(kernel_counter(&c2, "Tcp", "InSegs"), 0, "not even the kernel gets a segment");
    assert_eq!(scene.api.sessions("").len(), 0);
    drop::<TcpStream>(stream);
}

/// Datagrams without end to `external`, about as fast as the gateway takes them.
fn sending_to(server: &std::net::UdpSocket, external: SocketAddr) -> Repeated {
    let server = server.try_clone().unwrap();
    Repeated::start(move || {
        let _ = server.send_to(b"for c1", external);
        // A flood would keep everybody else from the processor.
        std::thread::yield_now();
    })
}

/// Packets from the VPC that were for nobody.
fn lost(scene: &Scene) -> u64 {
    scene.vpc_stats("orders")["drops"]["no_mapping"].as_u64().unwrap_or_default()
}
