//! Policies of connectors as traffic sees them: changed while sessions live, revoked, limited, with addresses of their own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hyper::Method;
use netlab::Namespace;
use netlab::traffic::{Bulk, UdpEcho, ping, tcp_connect, udp_exchange};
use serde_json::{Value, json};
use tests::{Api, Daemon, PATIENCE, SERVER, eventually};

use crate::fixture::{SHORT, Scene, any_port, port, udp_socket};

fn patch(api: &Api, connector: &str, policy: &Value) -> (u16, Value) {
    let path = format!("/v1/connectors/{connector}");
    api.send(Method::PATCH, &path, policy.to_string().into()).unwrap()
}

fn state(api: &Api, connector: &str) -> String {
    let (status, body) = api.get(&format!("/v1/connectors/{connector}"));
    assert_eq!(status, 200, "{body}");
    body["state"].as_str().unwrap().to_owned()
}

/// A download that has begun.
fn download(container: &Namespace, server: &Bulk) -> TcpStream {
    let mut stream = container.run(|| tcp_connect(any_port(), server.address(), PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"d").unwrap();
    stream.read_exact(&mut [0; 4 * 1024]).unwrap();
    stream
}

/// Reads until the connection has ended; how it did.
fn end_of(mut stream: TcpStream) -> Result<(), ErrorKind> {
    let mut block = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) => return Err(e.kind()),
        }
    }
}

#[test]
fn a_changed_policy_ends_what_it_forbids_and_leaves_the_rest_alone() {
    let scene = Scene::start("policy-change");
    let vpc = scene.vpc("orders");
    let c1 = scene.container("c1", "orders");
    let (bulk, udp) = (Bulk::start(&vpc, SERVER).unwrap(), UdpEcho::start(&vpc, SERVER, "orders").unwrap());
    let stream = download(&c1, &bulk);
    c1.run(|| udp_exchange(port(5_000), udp.address(), b"x", PATIENCE)).unwrap();
    let before = scene.api.sessions("protocol=udp");

    let started = Instant::now();
    let rules = json!([{"action": "deny", "protocol": "tcp"}, {"action": "allow"}]);
    let (status, body) = patch(&scene.api, "orders", &json!({"rules": rules}));
    let took = started.elapsed();
    assert_eq!(status, 200, "{body}");
    println!("a policy applies to a live session after {took:?}");

    // At once: not even the first look may find it.
    assert_eq!(scene.api.sessions("protocol=tcp"), Vec::<Value>::new());
    assert_eq!(end_of(stream), Err(ErrorKind::ConnectionReset));
    let refused = c1.run(|| tcp_connect(any_port(), bulk.address(), PATIENCE)).unwrap_err();
    assert_ne!(refused.kind(), ErrorKind::TimedOut, "its sender is told: {refused}");
    assert_eq!(scene.drops("c1")[0], "policy_denied");
    c1.run(|| udp_exchange(port(5_000), udp.address(), b"x", PATIENCE)).unwrap();
    let after = scene.api.sessions("protocol=udp");
    assert_eq!(
        (&before[0]["external"], before.len()),
        (&after[0]["external"], after.len()),
        "it is the same session"
    );

    let (status, _) = patch(&scene.api, "orders", &json!({"rules": null}));
    assert_eq!(status, 200);
    drop(download(&c1, &bulk));
}

#[test]
fn a_policy_that_the_gateway_refuses_leaves_everything_as_it_was() {
    let scene = Scene::start("policy-refused");
    let vpc = scene.vpc("orders");
    let c1 = scene.container("c1", "orders");
    let bulk = Bulk::start(&vpc, SERVER).unwrap();
    let stream = download(&c1, &bulk);
    // The container's address is one that nobody may route.
    let (status, body) = patch(&scene.api, "orders", &json!({"translation": false}));
    assert_eq!((status, &body["code"]), (409, &"address_not_routable".into()), "{body}");
    let (_, body) = scene.api.get("/v1/connectors/orders");
    assert_eq!(body["translation"], true);
    assert_eq!(scene.api.sessions("protocol=tcp").len(), 1);
    drop(stream);
}

#[test]
fn a_revocation_ends_all_sessions_before_it_answers() {
    let scene = Scene::start("revoke");
    let vpc = scene.vpc("orders");
    let (c1, c2) = (scene.container("c1", "orders"), scene.container("c2", "orders"));
    let bulk = Bulk::start(&vpc, SERVER).unwrap();
    let streams = [download(&c1, &bulk), download(&c2, &bulk)];
    assert_eq!(state(&scene.api, "orders"), "ready");

    let (status, body) = scene.api.delete("/v1/vpcs/orders/connectors/orders");
    assert_eq!((status, &body["state"]), (200, &"revoked".into()), "{body}");
    assert_eq!(scene.api.sessions(""), Vec::<Value>::new());
    for stream in streams {
        assert_eq!(end_of(stream), Err(ErrorKind::ConnectionReset));
    }
    assert!(c1.run(|| ping(*SERVER.ip(), 7, 1, SHORT)).is_err());
    assert_eq!(scene.drops("c1")[0], "no_connector");
    let (status, body) = scene.api.put("/v1/containers/c1/connectors/orders");
    assert_eq!((status, &body["code"]), (409, &"not_approved".into()), "{body}");

    let (status, body) = scene.api.put("/v1/vpcs/orders/connectors/orders");
    assert_eq!((status, &body["state"]), (200, &"approved".into()), "{body}");
    scene.api.attach("c1", "orders");
    drop(download(&c1, &bulk));
}

#[test]
fn three_vpcs_of_which_two_are_equal_are_told_apart_by_the_longest_prefix() {
    let scene = Scene::start("three-vpcs");
    let (a, b) = (scene.namespace("a"), scene.namespace("b"));
    scene.api.vpc_tap("a", &a);
    // The same CIDR; the server of interest has another address in it.
    let (server_b, server_c) = (Ipv4Addr::new(10, 1, 7, 1), Ipv4Addr::new(10, 3, 0, 1));
    let c = scene.namespace("c");
    for (name, namespace, cidr, server, external) in
        [("b", &b, "10.1.0.0/16", server_b, "10.1.0.10"), ("c", &c, "10.3.0.0/16", server_c, "10.3.0.10")]
    {
        let uplink = json!({
            "kind": "tap", "netns": {"name": namespace.name()}, "device": "wharf0", "address": format!("{server}/16"),
        });
        scene.api.made(
            "vpcs",
            &json!({"name": name, "cidr": cidr, "external_addresses": [external], "uplink": uplink}),
        );
    }
    let connector = |name: &str, vpc: &str, destination: Option<&str>| {
        let mut body = json!({"name": name, "vpc": vpc});
        if let Some(destination) = destination {
            body["destinations"] = json!([destination]);
        }
        let (status, body) = scene.api.post("/v1/connectors", &body);
        assert_eq!(status, 201, "{body}");
    };
    connector("to-a", "a", None);
    connector("to-b", "b", Some("10.1.7.0/24"));
    connector("to-c", "c", None);
    connector("tie", "b", None);
    let container = scene.container("c1", "to-a");
    scene.api.attach("c1", "to-b");
    scene.api.attach("c1", "to-c");

    let (status, body) = scene.api.put("/v1/containers/c1/connectors/tie");
    assert_eq!((status, &body["code"]), (409, &"destination_tie".into()), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("to-a"), "it says with whom: {body}");

    for (namespace, server, tag) in [(&a, *SERVER.ip(), "a"), (&b, server_b, "b"), (&c, server_c, "c")] {
        let echo = UdpEcho::start(namespace, SocketAddrV4::new(server, 0), tag).unwrap();
        let heard = container.run(|| udp_exchange(any_port(), echo.address(), b"x", PATIENCE)).unwrap();
        assert_eq!(heard, tag);
    }
    // A policy cannot become a tie either, and nothing has changed by the try.
    let (status, body) = patch(&scene.api, "to-b", &json!({"destinations": ["10.1.0.0/16"]}));
    assert_eq!((status, &body["code"]), (409, &"destination_tie".into()), "{body}");
    assert_eq!(scene.api.get("/v1/connectors/to-b").1["destinations"], json!(["10.1.7.0/24"]));
}

#[test]
fn rates_hold_for_all_containers_together() {
    let scene = Scene::start("rates");
    let vpc = scene.vpc("orders");
    let (c1, c2) = (scene.container("c1", "orders"), scene.container("c2", "orders"));
    let server = udp_socket(&vpc, SERVER);
    let (status, body) = patch(&scene.api, "orders", &json!({"rate_limits": {"sessions_per_second": 20}}));
    assert_eq!(status, 200, "{body}");
    let target = server.local_addr().unwrap();
    // The neighbor is asked for first, so that the burst is not what waits for it.
    c1.run(|| UdpSocket::bind(any_port())).unwrap().send_to(b"x", target).unwrap();
    eventually("the first", || server.recv(&mut [0; 16]).is_ok());
    let mut drops = 0;
    for container in [&c1, &c2] {
        for _ in 0..200 {
            container.run(|| UdpSocket::bind(any_port())).unwrap().send_to(b"x", target).unwrap();
        }
    }
    for name in ["c1", "c2"] {
        drops += scene.container_stats(name)["drops"]["session_rate"].as_u64().unwrap_or(0);
    }
    let sessions = scene.api.sessions("protocol=udp").len() as u64;
    assert!(drops > 100 && sessions + drops >= 400, "{sessions} sessions, {drops} drops");

    let (status, body) = patch(&scene.api, "orders", &json!({"rate_limits": {"sessions_per_second": null}}));
    assert_eq!((status, &body["rate_limits"]), (200, &json!({})), "{body}");
}

#[test]
fn a_connector_has_its_own_address_alone_until_it_rests() {
    let scene = Scene::start("own-address");
    let vpc = scene.namespace("orders");
    let uplink = json!({
        "kind": "tap", "netns": {"name": vpc.name()}, "device": "wharf0", "address": format!("{}/16", SERVER.ip()),
    });
    let new = json!({
        "name": "orders", "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"],
        "reserved_addresses": ["10.1.0.20"], "uplink": uplink,
    });
    scene.api.made("vpcs", &new);
    for (name, own) in [("pool", None), ("first", Some("10.1.0.20")), ("second", Some("10.1.0.20"))] {
        let mut body = json!({"name": name, "vpc": "orders", "linger_s": 0});
        if let Some(own) = own {
            body["external_addresses"] = json!([own]);
        }
        let (status, body) = scene.api.post("/v1/connectors", &body);
        assert_eq!(status, 201, "{body}");
    }
    let server = udp_socket(&vpc, SERVER);
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let sees = |container: &Namespace| {
        let target = server.local_addr().unwrap();
        container.run(|| UdpSocket::bind(any_port())).unwrap().send_to(b"x", target).unwrap();
        server.recv_from(&mut [0; 16]).unwrap().1.ip().to_string()
    };
    let (c1, c2) = (scene.container("c1", "pool"), scene.container("c2", "first"));
    assert_eq!((sees(&c1), sees(&c2)), ("10.1.0.10".into(), "10.1.0.20".into()));
    scene.api.detach("c1", "pool");
    let (status, body) = scene.api.put("/v1/containers/c1/connectors/second");
    assert_eq!((status, &body["code"]), (409, &"external_taken".into()), "{body}");

    scene.api.detach("c2", "first");
    eventually("its rest", || state(&scene.api, "first") == "idle");
    scene.api.attach("c1", "second");
    assert_eq!(sees(&c1), "10.1.0.20");
}

#[test]
fn another_tenants_vpc_is_joined_once_its_owner_approves() {
    let daemon = Daemon::start();
    let scene = Scene::with(daemon, "two-tenants");
    let vpc = scene.vpc("orders");
    let (status, body) = scene.api.post("/v1/tenants", &json!({"name": "acme"}));
    assert_eq!(status, 201, "{body}");
    let acme = scene.api.for_tenant("acme");
    let (status, body) = acme.post("/v1/connectors", &json!({"name": "k", "vpc": "default/orders"}));
    assert_eq!((status, &body["state"]), (201, &"requested".into()), "{body}");
    let namespace = scene.namespace("c1");
    acme.container("c1", &namespace);
    let (status, body) = acme.put("/v1/containers/c1/connectors/k");
    assert_eq!((status, &body["code"]), (409, &"not_approved".into()), "{body}");

    let (status, body) = scene.api.put("/v1/vpcs/orders/connectors/acme%2Fk");
    assert_eq!((status, &body["state"]), (200, &"approved".into()), "{body}");
    acme.attach("c1", "k");
    let echo = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let heard = namespace.run(|| udp_exchange(any_port(), echo.address(), b"x", PATIENCE)).unwrap();
    assert_eq!(heard, "orders");
    assert_eq!(scene.api.sessions(""), Vec::<Value>::new(), "they are the other tenant's");
    assert_eq!(acme.sessions("")[0]["vpc"], "default/orders");
    let (status, body) = scene.api.delete("/v1/vpcs/orders");
    assert_eq!((status, &body["code"]), (409, &"in_use".into()), "{body}");
    assert!(body["dependents"].as_array().unwrap().contains(&"acme/k".into()), "{body}");

    let (status, _) = scene.api.delete("/v1/vpcs/orders/connectors/acme%2Fk");
    assert_eq!(status, 200);
    assert_eq!(acme.sessions(""), Vec::<Value>::new());
    let silent = namespace.run(|| udp_exchange(any_port(), echo.address(), b"x", Duration::from_millis(200)));
    assert!(silent.is_err());
}
