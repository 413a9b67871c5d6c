//! Port quotas of a connector: for each container, and for all of them together, whichever worker serves them.

use netlab::Namespace;
use netlab::traffic::{UdpEcho, udp_exchange};
use serde_json::json;
use tests::{Daemon, SERVER};

use crate::fixture::{SHORT, Scene, port};

#[test]
fn rfc6888_req_4_containers_of_a_connector_share_its_ports() {
    let scene = Scene::with(Daemon::start_with(&["--workers", "2"]), "quota");
    let vpc = scene.namespace("vpc");
    scene.api.vpc_tap("orders", &vpc);
    let few = json!({"name": "few", "vpc": "orders", "port_quota": 3, "port_quota_per_container": 2});
    assert_eq!(scene.api.post("/v1/connectors", &few).0, 201);
    let [c1, c2] = ["c1", "c2"].map(|name| scene.container(name, "few"));
    let echo = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let gets_through = |container: &Namespace, source: u16| {
        container.run(|| udp_exchange(port(source), echo.address(), b"x", SHORT)).is_ok()
    };

    assert!(gets_through(&c1, 4000) && gets_through(&c1, 4001));
    assert!(!gets_through(&c1, 4002), "two are all that one container gets");
    assert!(gets_through(&c1, 4000), "what it has it keeps");
    assert!(gets_through(&c2, 4000));
    assert!(!gets_through(&c2, 4001), "three are all that there are");
    assert_eq!([scene.drops("c1"), scene.drops("c2")], [["quota_reached"], ["quota_reached"]]);
    assert_eq!(scene.ports_used("orders"), 3);

    scene.api.detach("c1", "few");
    assert!(gets_through(&c2, 4001), "what the other has given up can be had");
    scene.api.attach("c1", "few");
    assert!(gets_through(&c1, 4000));
    assert!(!gets_through(&c1, 4001), "the same ports are counted after it was attached again");
}
