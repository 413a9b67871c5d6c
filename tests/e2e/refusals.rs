//! Bad input over REST: the right status, code and field; nothing created, no device left.

use std::process::Command;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use netlab::Namespace;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use tests::{CIDR, EXTERNAL, SERVER};

use crate::fixture::Scene;
use crate::footprint::{devices, staged_devices};

/// What is changed of a valid body (by JSON pointer; `null` removes the field), and how that is refused.
type Case = (&'static str, Value, u16, &'static str, &'static str);

#[test]
fn bad_vpcs_are_refused_and_leave_nothing() {
    let world = World::start("bad-vpc");
    let [vpc, free] = [world.vpc.name(), world.free.name()];
    let valid = json!({
        "name": "new", "cidr": CIDR, "external_addresses": [EXTERNAL],
        "uplink": {"kind": "tap", "netns": {"name": free}, "device": "wharf0"},
    });
    let packet = |device| json!({"kind": "packet", "netns": {"name": free}, "device": device});
    let bridged =
        |bridge| json!({"kind": "tap", "netns": {"name": free}, "device": "wharf0", "bridge": bridge});
    let small_ipv6 = json!({"kind": "tap", "netns": {"name": free}, "device": "wharf0", "address6": "fd00::1/64", "mtu": 1279});
    let without_9 = json!({"first": 9, "last": 9, "exclude": [{"first": 1, "last": 9}]});
    world.refuses_all(
        "/v1/vpcs",
        &valid,
        &[
            ("/color", json!("blue"), 422, "unknown_field", "color"),
            ("/uplink/speed", json!(10), 422, "unknown_field", "uplink.speed"),
            ("/cidr", Value::Null, 422, "missing_field", "cidr"),
            ("/uplink", Value::Null, 422, "missing_field", "uplink"),
            ("/uplink/kind", json!("wire"), 422, "invalid_type", "uplink.kind"),
            ("/external_addresses", json!("10.1.0.10"), 422, "invalid_type", "external_addresses"),
            ("/name", json!("Orders"), 422, "invalid_name", "name"),
            ("/name", json!(""), 422, "invalid_name", "name"),
            ("/name", json!("x".repeat(64)), 422, "invalid_name", "name"),
            ("/name", json!("orders"), 409, "already_exists", "name"),
            ("/cidr", json!("10.1.0.0/33"), 422, "invalid_cidr", "cidr"),
            ("/cidr", json!("10.1.2.3/16"), 422, "invalid_cidr", "cidr"),
            ("/cidr", json!("fd00::/8"), 422, "invalid_cidr", "cidr"),
            ("/cidr6", json!("10.1.0.0/16"), 422, "invalid_cidr", "cidr6"),
            ("/cidr6", json!("fe80::/64"), 422, "invalid_cidr", "cidr6"),
            ("/on_link", json!("ten"), 422, "invalid_cidr", "on_link"),
            ("/on_link6", json!("fd00::/64"), 422, "invalid_cidr", "on_link6"),
            ("/next_hop6", json!("fd00::1"), 422, "invalid_address", "next_hop6"),
            ("/next_hop", json!("10.2.0.1"), 422, "invalid_address", "next_hop"),
            ("/external_addresses", json!([]), 422, "invalid_address", "external_addresses"),
            ("/external_addresses", json!(["x"]), 422, "invalid_address", "external_addresses[0]"),
            ("/external_addresses", json!(["10.2.0.1"]), 422, "address_outside_vpc", "external_addresses[0]"),
            ("/external_addresses", json!(["fd00::10"]), 422, "address_outside_vpc", "external_addresses[0]"),
            ("/external_addresses", json!(["10.1.0.0"]), 422, "invalid_address", "external_addresses[0]"),
            (
                "/external_addresses",
                json!([EXTERNAL, EXTERNAL]),
                422,
                "duplicate_address",
                "external_addresses[1]",
            ),
            ("/ports", json!({"first": 9, "last": 8}), 422, "invalid_ports", "ports"),
            ("/ports", json!({"first": 9}), 422, "missing_field", "ports.last"),
            ("/ports", without_9, 422, "invalid_ports", "ports.exclude"),
            ("/port_blocks", json!("yes"), 422, "invalid_type", "port_blocks"),
            ("/unsolicited_syn", json!("rst"), 422, "invalid_policy", "unsolicited_syn"),
            ("/uplink/mtu", json!(575), 422, "invalid_mtu", "uplink.mtu"),
            ("/uplink/mtu", json!(65_522), 422, "invalid_mtu", "uplink.mtu"),
            ("/uplink", small_ipv6, 422, "invalid_mtu", "uplink.mtu"),
            ("/uplink/device", json!("much-too-long-name"), 422, "invalid_device", "uplink.device"),
            ("/uplink/device", json!("a/b"), 422, "invalid_device", "uplink.device"),
            ("/uplink/address", json!("10.1.0.1"), 422, "invalid_address", "uplink.address"),
            ("/uplink/address6", json!("fe80::1/64"), 422, "invalid_address", "uplink.address6"),
            (
                "/uplink/address",
                json!(format!("{EXTERNAL}/16")),
                422,
                "invalid_address",
                "external_addresses[0]",
            ),
            ("/uplink/netns", json!({}), 422, "invalid_netns", "uplink.netns"),
            ("/uplink/netns", json!({"name": "no-such"}), 422, "netns_missing", "uplink.netns"),
            ("/uplink/netns", json!({"path": "/etc/hostname"}), 422, "netns_invalid", "uplink.netns"),
            ("/uplink/netns", json!({"name": vpc}), 409, "device_taken", "uplink.device"),
            ("/uplink", bridged("br9"), 422, "device_missing", "uplink.bridge"),
            ("/uplink", bridged("up0"), 422, "not_a_bridge", "uplink.bridge"),
            ("/uplink", packet("up9"), 422, "device_missing", "uplink.device"),
            ("/uplink", packet("lo"), 422, "not_ethernet", "uplink.device"),
        ],
    );
}

#[test]
fn an_external_address_of_the_host_itself_is_refused() {
    let world = World::start("bad-own");
    world.free.address("up0", format!("{EXTERNAL}/16").parse().unwrap()).unwrap();
    let uplink = json!({"kind": "packet", "netns": {"name": world.free.name()}, "device": "up0"});
    let body = json!({"name": "new", "cidr": CIDR, "external_addresses": [EXTERNAL], "uplink": uplink});
    let answer = world.scene.api.post("/v1/vpcs", &body);
    assert_eq!((answer.0, &answer.1["code"]), (409, &"address_in_use".into()));
    assert_eq!(world.state(), world.before);
}

#[test]
fn a_device_that_is_too_small_for_ipv6_is_given_back() {
    let world = World::start("bad-mtu");
    let api = &world.scene.api;
    let uplink = json!({"kind": "packet", "netns": {"name": world.free.name()}, "device": "up0"});
    let v4 = json!({"name": "new", "cidr": CIDR, "external_addresses": [EXTERNAL], "uplink": uplink});
    let mut dual = v4.clone();
    dual["cidr6"] = "fd00::/64".into();
    world.free.mtu("up0", 1_279).unwrap();
    let (status, problem) = api.post("/v1/vpcs", &dual);
    let said = (status, &problem["code"], &problem["field"]);
    assert_eq!(said, (422, &"invalid_mtu".into(), &"uplink.device".into()), "{problem}");
    assert_eq!(world.state(), world.before);
    for (mtu, body) in [(1_279, &v4), (1_280, &dual), (1_281, &dual)] {
        world.free.mtu("up0", mtu).unwrap();
        let (status, answer) = api.post("/v1/vpcs", body);
        assert_eq!((status, &answer["mtu"]), (201, &mtu.into()), "{answer}");
        assert_eq!(api.delete("/v1/vpcs/new").0, 204);
    }
}

#[test]
fn port_blocks_without_a_whole_block_are_refused() {
    let world = World::start("bad-blocks");
    let vpc = |last: u16| {
        json!({
            "name": "new", "cidr": CIDR, "external_addresses": [EXTERNAL], "port_blocks": true,
            "ports": {"first": 1024, "last": last},
            "uplink": {"kind": "tap", "netns": {"name": world.free.name()}, "device": "wharf0"},
        })
    };
    let (status, problem) = world.scene.api.post("/v1/vpcs", &vpc(1_086));
    let said = (status, &problem["code"], &problem["field"]);
    assert_eq!(said, (422, &"invalid_ports".into(), &"port_blocks".into()), "{problem}");
    assert_eq!(world.state(), world.before);
    world.scene.api.made("vpcs", &vpc(1_087));
}

#[test]
fn bad_connectors_are_refused_and_leave_nothing() {
    let world = World::start("bad-connector");
    let foreign = json!([{"protocol": "tcp", "external_address": "10.1.0.99", "external_port": 80}]);
    let twice = json!([
        {"protocol": "udp", "external_port": 53},
        {"protocol": "udp", "external_address": EXTERNAL, "external_port": 53, "container_port": 5353},
    ]);
    world.refuses_all(
        "/v1/connectors",
        &json!({"name": "new", "vpc": "orders"}),
        &[
            ("/speed", json!(1), 422, "unknown_field", "speed"),
            ("/vpc", Value::Null, 422, "missing_field", "vpc"),
            ("/vpc", json!("no-such"), 404, "not_found", "vpc"),
            ("/name", json!("-x"), 422, "invalid_name", "name"),
            ("/name", json!("orders"), 409, "already_exists", "name"),
            ("/destinations", json!([]), 422, "invalid_cidr", "destinations"),
            ("/destinations", json!(["10.1.0.1/16"]), 422, "invalid_cidr", "destinations[0]"),
            ("/destinations", json!(["10.1.0.0/16", "127.0.0.0/8"]), 422, "invalid_cidr", "destinations[1]"),
            ("/destinations", json!(["::/0", "ff00::/8"]), 422, "invalid_cidr", "destinations[1]"),
            ("/destinations", json!(["0.0.0.0/0", "::/0"]), 422, "invalid_cidr", "destinations[1]"),
            ("/filtering", json!("eif"), 422, "invalid_policy", "filtering"),
            ("/filtering", json!(1), 422, "invalid_type", "filtering"),
            ("/mapping", json!("eim"), 422, "invalid_policy", "mapping"),
            ("/udp_filtering", json!("none"), 422, "invalid_policy", "udp_filtering"),
            ("/udp_refresh", json!("inbound"), 422, "invalid_policy", "udp_refresh"),
            ("/on_detach", json!("rst"), 422, "invalid_policy", "on_detach"),
            ("/translation", json!("no"), 422, "invalid_type", "translation"),
            ("/port_quota", json!(0), 422, "invalid_policy", "port_quota"),
            ("/port_quota", json!(64_513), 422, "invalid_policy", "port_quota"),
            ("/port_quota_per_container", json!(64_513), 422, "invalid_policy", "port_quota_per_container"),
            (
                "/publications",
                json!([{"protocol": "tcp"}]),
                422,
                "missing_field",
                "publications[0].external_port",
            ),
            ("/publications", published("icmp", 80), 422, "invalid_policy", "publications[0].protocol"),
            ("/publications", published("tcp", 0), 422, "invalid_ports", "publications[0].external_port"),
            ("/publications", foreign, 422, "invalid_policy", "publications[0].external_address"),
            ("/publications", twice, 422, "invalid_policy", "publications[1]"),
        ],
    );
}

#[test]
fn policies_that_contradict_each_other_are_refused() {
    let world = World::start("bad-policy");
    let blocks = json!({
        "name": "blocks", "cidr": CIDR, "external_addresses": [EXTERNAL], "port_blocks": true,
        "uplink": {"kind": "tap", "netns": {"name": world.free.name()}, "device": "wharf0"},
    });
    world.scene.api.made("vpcs", &blocks);
    for (connector, field) in [
        (json!({"vpc": "orders", "translation": false, "mapping": "address_dependent"}), "mapping"),
        (json!({"vpc": "orders", "translation": false, "port_quota": 1}), "port_quota"),
        (
            json!({"vpc": "orders", "translation": false, "publications": published("tcp", 80)}),
            "publications",
        ),
        (
            json!({"vpc": "orders", "port_quota": 1, "port_quota_per_container": 2}),
            "port_quota_per_container",
        ),
        (json!({"vpc": "blocks", "mapping": "address_and_port_dependent"}), "mapping"),
    ] {
        let mut body = connector;
        body["name"] = "new".into();
        let (status, problem) = world.scene.api.post("/v1/connectors", &body);
        assert_eq!(
            (status, &problem["code"], &problem["field"]),
            (422, &"invalid_policy".into(), &field.into()),
            "{body}: {problem}"
        );
    }
    assert_eq!(world.scene.api.names("connectors"), ["orders"]);
}

#[test]
fn what_another_container_has_in_the_vpc_cannot_be_attached_again() {
    let world = World::start("bad-attach");
    let api = &world.scene.api;
    for name in ["r1", "r2"] {
        let namespace = world.scene.namespace(name);
        let body = json!({"name": name, "netns": {"name": namespace.name()}, "address": "10.9.0.2"});
        api.made("containers", &body);
    }
    for (name, policy, code, said) in [
        ("web", json!({"publications": published("tcp", 80)}), "publication_taken", format!("{EXTERNAL}:80")),
        ("plain", json!({"translation": false}), "address_taken", "10.9.0.2".to_owned()),
    ] {
        let mut connector = json!({"name": name, "vpc": "orders", "destinations": ["10.1.0.1/32"]});
        connector.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
        assert_eq!(api.post("/v1/connectors", &connector).0, 201);
        api.attach("r1", name);
        let (status, problem) = api.put(&format!("/v1/containers/r2/connectors/{name}"));
        assert_eq!((status, &problem["code"]), (409, &code.into()), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(&said), "{problem}");
        assert_eq!(api.get(&format!("/v1/connectors/{name}")).1["containers"], json!(["r1"]));
        // What was taken is free again.
        api.detach("r1", name);
        api.attach("r2", name);
        api.detach("r2", name);
    }
    for (name, address, said) in [
        ("external", EXTERNAL.to_string(), "external address"),
        ("server", SERVER.ip().to_string(), "address of the uplink"),
    ] {
        let namespace = world.scene.namespace(name);
        api.made(
            "containers",
            &json!({"name": name, "netns": {"name": namespace.name()}, "address": address}),
        );
        let (status, problem) = api.put(&format!("/v1/containers/{name}/connectors/plain"));
        assert_eq!((status, &problem["code"]), (409, &"address_taken".into()), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{problem}");
    }
    let (status, problem) = api.put("/v1/containers/c1/connectors/plain");
    assert_eq!((status, &problem["code"]), (409, &"address_not_routable".into()), "{problem}");
}

/// A list of one publication.
fn published(protocol: &str, external_port: u16) -> Value {
    json!([{"protocol": protocol, "external_port": external_port}])
}

#[test]
fn bad_containers_are_refused_and_leave_nothing() {
    let world = World::start("bad-container");
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    world.refuses_all(
        "/v1/containers",
        &json!({"name": "new", "netns": {"name": world.free.name()}}),
        &[
            ("/image", json!("busybox"), 422, "unknown_field", "image"),
            ("/netns/color", json!("blue"), 422, "unknown_field", "netns.color"),
            ("/name", Value::Null, 422, "missing_field", "name"),
            ("/netns", Value::Null, 422, "missing_field", "netns"),
            ("/name", json!(7), 422, "invalid_type", "name"),
            ("/name", json!("under_score"), 422, "invalid_name", "name"),
            ("/name", json!("c1"), 409, "already_exists", "name"),
            ("/mac", json!("02:00"), 422, "invalid_mac", "mac"),
            ("/mac", json!("01:00:5e:00:00:01"), 422, "invalid_mac", "mac"),
            ("/mtu", json!(100), 422, "invalid_mtu", "mtu"),
            ("/address6", json!("fe80::2"), 422, "invalid_address", "address6"),
            ("/address6", json!("10.1.0.5"), 422, "invalid_address", "address6"),
            ("/gateway6", json!("fe80::1"), 422, "invalid_address", "gateway6"),
            ("/device", json!(".."), 422, "invalid_device", "device"),
            ("/device", json!("eth%d"), 422, "invalid_device", "device"),
            ("/address", json!("here"), 422, "invalid_address", "address"),
            ("/gateway", json!("169.254.1.2"), 422, "invalid_address", "gateway"),
            ("/netns", json!({"name": "a", "pid": 1}), 422, "invalid_netns", "netns"),
            ("/netns", json!({"path": "relative"}), 422, "invalid_netns", "netns"),
            ("/netns", json!({"pid": 0}), 422, "invalid_netns", "netns"),
            ("/netns", json!({"pid": ended.id()}), 422, "netns_missing", "netns"),
            ("/netns", json!({"name": "no-such"}), 422, "netns_missing", "netns"),
            ("/netns", json!({"path": "/proc/self/ns/mnt"}), 422, "netns_invalid", "netns"),
            ("/netns", json!({"path": "/run"}), 422, "netns_invalid", "netns"),
            // Nobody writes to it: opening it could take for ever.
            ("/netns", json!({"path": pipe}), 422, "netns_invalid", "netns"),
            ("/netns", json!({"name": world.c1.name()}), 409, "device_taken", "device"),
            ("/device", json!("up0"), 409, "device_taken", "device"),
        ],
    );
}

#[test]
fn requests_that_fit_nothing_are_refused() {
    let world = World::start("bad-request");
    let probe = |container: &str| {
        json!({"container": container, "protocol": "tcp", "destination": "10.1.0.1", "port": 80}).to_string()
    };
    let large = " ".repeat(70_000) + "{}";
    for (method, path, body, status, code) in [
        ("GET", "/v1/nothing", "", 404, "route_not_found"),
        ("GET", "/v1/vpcs/no-such", "", 404, "not_found"),
        ("DELETE", "/v1/containers/no-such", "", 404, "not_found"),
        ("PATCH", "/v1/vpcs/orders", "{}", 405, "method_not_allowed"),
        ("PUT", "/v1/containers/c1/connectors/no-such", "", 404, "not_found"),
        ("PUT", "/v1/containers/no-such/connectors/orders", "", 404, "not_found"),
        ("DELETE", "/v1/containers/c1/connectors/no-such", "", 404, "not_found"),
        ("DELETE", "/v1/connectors/orders", "", 409, "in_use"),
        ("DELETE", "/v1/vpcs/orders", "", 409, "in_use"),
        ("POST", "/v1/containers", &large, 413, "body_too_large"),
        ("POST", "/v1/containers", "{\"name\":", 400, "malformed_json"),
        ("POST", "/v1/containers", "[]", 422, "invalid_type"),
        ("POST", "/v1/containers", "\u{0}", 400, "malformed_json"),
        ("POST", "/v1/containers", "", 415, "unsupported_media_type"),
        ("GET", "/v1/sessions?limit=0", "", 422, "invalid_query"),
        ("GET", "/v1/sessions?limit=1001", "", 422, "invalid_query"),
        ("GET", "/v1/sessions?color=blue", "", 422, "invalid_query"),
        ("GET", "/v1/sessions?protocol=sctp", "", 422, "invalid_query"),
        ("GET", "/v1/sessions?cursor=%FF", "", 422, "invalid_query"),
        ("GET", "/v1/sessions?container=no-such", "", 404, "not_found"),
        ("GET", "/v1/containers/no-such/drops", "", 404, "not_found"),
        ("POST", "/v1/explain", &probe("no-such"), 404, "not_found"),
        ("POST", "/v1/explain", "{\"vpc\": \"no-such\", \"packet\": \"45\"}", 404, "not_found"),
        ("POST", "/v1/explain", "{\"vpc\": \"orders\", \"packet\": \"4\"}", 422, "invalid_packet"),
        ("POST", "/v1/explain", "{\"packet\": \"45\"}", 422, "missing_field"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let body = Bytes::from(body.to_owned());
        let answer = world.scene.api.send(method.clone(), path, body).unwrap();
        assert_eq!((answer.0, &answer.1["code"]), (status, &code.into()), "{method} {path}: {}", answer.1);
        assert_eq!(world.state(), world.before, "{method} {path} changed something");
    }
}

#[test]
fn a_body_that_is_not_declared_as_json_is_refused() {
    let world = World::start("bad-type");
    let body = json!({"name": "new", "netns": {"name": world.free.name()}}).to_string();
    let request =
        Request::post("/v1/containers").header("host", "wharf").header("content-type", "text/plain");
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let (status, problem) = world.scene.api.connect().exchange(request).unwrap();
    assert_eq!((status, &problem["code"]), (415, &"unsupported_media_type".into()));
    assert_eq!(world.state(), world.before);
}

struct World {
    scene: Scene,
    vpc: Namespace,
    c1: Namespace,
    /// With a device `up0`, but none of the gateway's.
    free: Namespace,
    before: State,
}

/// Names of all resources, and devices of all namespaces.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    names: [Vec<String>; 3],
    devices: [Vec<String>; 3],
    staged: Vec<String>,
}

impl World {
    fn start(topic: &str) -> Self {
        let scene = Scene::start(topic);
        let (vpc, c1, free) = (scene.vpc("orders"), scene.container("c1", "orders"), scene.namespace("free"));
        free.veth("up0", &scene.namespace("far"), "eth0").unwrap();
        let mut world = Self { scene, vpc, c1, free, before: State::default() };
        world.before = world.state();
        world
    }

    fn state(&self) -> State {
        State {
            names: ["vpcs", "connectors", "containers"].map(|collection| self.scene.api.names(collection)),
            devices: [&self.vpc, &self.c1, &self.free].map(devices),
            staged: staged_devices(self.scene.daemon.pid()),
        }
    }

    /// Posts `valid` with each of the changes, all of which have to be refused; and then as it is, to show that only
    /// the change was wrong.
    fn refuses_all(&self, path: &str, valid: &Value, cases: &[Case]) {
        for (pointer, value, status, code, field) in cases {
            let (got, problem) = self.scene.api.post(path, &changed(valid, pointer, value));
            let case = format!("{pointer} = {value}: {problem}");
            assert_eq!(
                (got, &problem["code"], &problem["field"]),
                (*status, &(*code).into(), &(*field).into()),
                "{case}"
            );
            assert_eq!(problem["status"], *status, "{case}");
            assert!(!problem["detail"].as_str().unwrap().is_empty(), "{case}");
            assert_eq!(self.state(), self.before, "something is left of {case}");
        }
        let (status, body) = self.scene.api.post(path, valid);
        assert_eq!(status, 201, "{body}");
    }
}

fn changed(body: &Value, pointer: &str, value: &Value) -> Value {
    let mut body = body.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => _ = parent.remove(field),
        value => _ = parent.insert(field.to_owned(), value.clone()),
    }
    body
}
