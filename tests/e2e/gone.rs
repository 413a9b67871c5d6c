//! Namespaces that disappear under traffic.

use std::net::SocketAddr;

use netlab::Namespace;
use netlab::traffic::{TcpEcho, tcp_exchange};
use serde_json::json;
use tests::{PATIENCE, SERVER, eventually};

use crate::fixture::{Repeated, Scene, any_port, hears, udp_socket};

#[test]
fn a_container_whose_namespace_is_deleted_is_reported_and_cleaned_and_others_go_on() {
    let scene = Scene::start("gone");
    let vpc = scene.vpc("orders");
    let (c1, c2) = (scene.container("c1", "orders"), scene.container("c2", "orders"));
    let echo = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
    exchange(&c2, &echo);

    // From the VPC without end; from the container until its socket is closed, as that keeps the namespace alive.
    let (inbound, outbound) = flood(&vpc, &c1);
    c1.remove();
    drop(outbound);

    eventually("the loss to be reported", || scene.state("containers", "c1") == "gone");
    assert_eq!(scene.state("containers", "c2"), "ready");
    assert!(scene.api.sessions("").iter().all(|session| session["container"] == "c2"));
    assert_eq!(scene.ports_used("orders"), scene.api.sessions("").len() as u64, "only those of c2");
    exchange(&c2, &echo);
    drop(inbound);

    let attach = scene.api.put("/v1/containers/c1/connectors/orders");
    assert_eq!((attach.0, &attach.1["code"]), (409, &"not_ready".into()));
    scene.delete("containers", "c1");
    exchange(&scene.container("c1", "orders"), &echo);
}

#[test]
fn a_vpc_whose_namespace_is_deleted_is_reported_and_cleaned_and_others_go_on() {
    let scene = Scene::start("gone-vpc");
    let (orders, billing) = (scene.vpc("orders"), scene.vpc("billing"));
    let (c1, c2) = (scene.container("c1", "orders"), scene.container("c2", "billing"));
    let other = TcpEcho::start(&billing, SERVER, "billing").unwrap();
    let echo = TcpEcho::start(&orders, SERVER, "orders").unwrap();
    exchange(&c1, &echo);
    exchange(&c2, &other);
    let (inbound, outbound) = flood(&orders, &c1);
    // Its sockets too keep a namespace alive.
    drop((inbound, echo));
    orders.remove();

    eventually("the loss to be reported", || scene.state("vpcs", "orders") == "gone");
    assert_eq!(scene.state("vpcs", "billing"), "ready");
    assert_eq!(scene.state("containers", "c1"), "ready", "it has lost a way, not its link");
    assert!(scene.api.sessions("").iter().all(|session| session["vpc"] == "billing"));
    exchange(&c2, &other);
    drop(outbound);

    let (_, container) = scene.api.get("/v1/containers/c1");
    assert_eq!(container["connectors"], json!([]), "what led nowhere is detached");
    scene.delete("connectors", "orders");
    scene.delete("vpcs", "orders");
    let orders = scene.vpc("orders");
    scene.api.attach("c1", "orders");
    exchange(&c1, &TcpEcho::start(&orders, SERVER, "orders").unwrap());
}

/// Datagrams without end, from the VPC to the container and from the container to the VPC.
fn flood(vpc: &Namespace, container: &Namespace) -> (Repeated, Repeated) {
    let (server, client) = (udp_socket(vpc, SERVER), udp_socket(container, any_port()));
    client.connect(server.local_addr().unwrap()).unwrap();
    client.send(b"hello").unwrap();
    let (_, external): (_, SocketAddr) = server.recv_from(&mut [0; 16]).unwrap();
    let inbound = Repeated::start(move || server.send_to(b"x", external));
    assert!(hears(&client));
    let outbound = Repeated::start(move || client.send(b"x"));
    eventually("traffic both ways", || inbound.times() > 100 && outbound.times() > 100);
    (inbound, outbound)
}

/// Answered by a server, whose tag does not matter. By TCP: a flood may fill the queues of the VPC's device.
fn exchange(container: &Namespace, server: &TcpEcho) {
    container.run(|| tcp_exchange(any_port(), server.address(), b"x", PATIENCE)).unwrap();
}
