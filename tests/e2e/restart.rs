//! A daemon that is killed, or told to stop, under traffic; and the next one.

use std::fs;
use std::io::{Read, Write};

use netlab::Namespace;
use netlab::traffic::{Bulk, UdpEcho, tcp_connect, udp_exchange, upload};
use tests::{PATIENCE, SERVER, eventually};

use crate::fixture::{Repeated, SHORT, Scene, any_port};
use crate::footprint::{devices, staged_devices};

#[test]
fn a_killed_daemon_leaves_nothing_that_stops_the_next() {
    let mut scene = Scene::start("killed");
    let (vpc, c1) = (scene.vpc("orders"), scene.container("c1", "orders"));
    let (bulk, udp) = (Bulk::start(&vpc, SERVER).unwrap(), UdpEcho::start(&vpc, SERVER, "orders").unwrap());
    let transfer = transfer(&c1, &bulk);
    let first = scene.daemon.pid();
    scene.daemon.kill();
    nothing_is_left(&vpc, &c1);
    drop(transfer);
    assert!(scene.daemon.socket().exists(), "nobody could remove it: that is the case to be survived");

    scene.daemon.restart();
    assert_ne!(scene.daemon.pid(), first);
    works_again(&scene, &vpc, &c1, &udp);
}

#[test]
fn a_stopped_daemon_removes_its_devices_and_its_socket() {
    let mut scene = Scene::start("stopped");
    let (vpc, c1) = (scene.vpc("orders"), scene.container("c1", "orders"));
    let (bulk, udp) = (Bulk::start(&vpc, SERVER).unwrap(), UdpEcho::start(&vpc, SERVER, "orders").unwrap());
    let transfer = transfer(&c1, &bulk);
    let status = scene.daemon.stop();
    assert!(status.success(), "{status}");
    assert!(!scene.daemon.socket().exists());
    nothing_is_left(&vpc, &c1);
    drop(transfer);
    scene.daemon.restart();
    works_again(&scene, &vpc, &c1, &udp);
}

/// A TCP transfer that runs, until its daemon ends.
fn transfer(container: &Namespace, server: &Bulk) -> Repeated {
    let mut stream = container.run(|| tcp_connect(any_port(), server.address(), PATIENCE)).unwrap();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    stream.write_all(b"d").unwrap();
    let mut block = vec![0; 64 * 1024];
    stream.read_exact(&mut block).unwrap();
    Repeated::start(move || stream.read(&mut block).map(drop))
}

fn nothing_is_left(vpc: &Namespace, container: &Namespace) {
    for namespace in [vpc, container] {
        eventually("the devices to go", || devices(namespace) == ["lo"]);
    }
}

/// The same names, in the same namespaces.
fn works_again(scene: &Scene, vpc: &Namespace, container: &Namespace, server: &UdpEcho) {
    for collection in ["vpcs", "connectors", "containers"] {
        assert_eq!(scene.api.names(collection), Vec::<String>::new());
    }
    scene.api.vpc_tap("orders", vpc);
    scene.api.connector("orders", "orders");
    scene.api.container("c1", container);
    scene.api.attach("c1", "orders");
    let bulk = Bulk::start(vpc, SERVER).unwrap();
    container.run(|| {
        assert_eq!(udp_exchange(any_port(), server.address(), b"x", PATIENCE).unwrap(), "orders");
        assert!(upload(bulk.address(), SHORT).unwrap().bytes > 0);
    });
    assert_eq!(staged_devices(scene.daemon.pid()), ["lo"]);
    let sockets = fs::read_dir(scene.daemon.socket().parent().unwrap()).unwrap();
    let lock = sockets.filter(|e| e.as_ref().unwrap().file_name() == "wharf.sock.lock").count();
    assert_eq!(lock, 1, "the lock's file is used again");
}
