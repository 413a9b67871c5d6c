//! What is created exists, what is deleted is gone.

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::netns::{Netns, container, vpc};
use crate::server::{Api, ask};

#[tokio::test]
async fn everything_is_made_used_and_removed_in_order() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    let view = api.create("/v1/containers", container("c", &inside)).await;
    assert_eq!((&view["state"], &view["address"]), (&json!("ready"), &json!("169.254.1.2")));
    assert!(inside.has("eth0") && outside.has("wharf0"));

    for _ in 0..2 {
        let attached = api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;
        assert!(attached["attached_in_us"].is_u64(), "{attached}");
    }
    assert_eq!(api.get("/v1/containers/c").await["connectors"], json!(["k"]));
    assert_eq!(api.get("/v1/connectors/k").await["containers"], json!(["c"]));
    let probe = json!({"container": "c", "protocol": "tcp", "destination": "10.1.0.1", "port": 80});
    let explanation = api.expect(200, ask("POST", "/v1/explain").json(&probe.clone())).await;
    assert_eq!(explanation["verdict"], "hold", "nobody has asked for its next hop yet");
    assert_eq!(explanation["steps"][0]["step"], "route");
    assert_eq!(explanation["steps"][0]["connector"], "k");
    let stats = api.get("/v1/stats").await;
    assert_eq!((&stats["containers"][0]["name"], &stats["vpcs"][0]["name"]), (&json!("c"), &json!("v")));
    assert_eq!(stats["vpcs"][0]["ports"][0]["external"], "10.1.0.10");
    let sessions = api.get("/v1/sessions?container=c&vpc=v&connector=k&protocol=tcp").await;
    assert_eq!(sessions, json!({"items": []}));
    api.refuse("not_found", ask("GET", "/v1/sessions?vpc=x")).await;
    api.get("/v1/containers/c/drops").await;
    api.get("/readyz").await;
    let ping = json!({"container": "c", "protocol": "icmp", "destination": "169.254.1.1"});
    assert_eq!(api.expect(200, ask("POST", "/v1/explain").json(&ping)).await["verdict"], "respond");

    api.refuse("in_use", ask("DELETE", "/v1/connectors/k")).await;
    api.refuse("in_use", ask("DELETE", "/v1/vpcs/v")).await;
    let detached = api.expect(200, ask("DELETE", "/v1/containers/c/connectors/k")).await;
    assert_eq!(detached["sessions_ended"], 0);
    api.refuse("not_attached", ask("DELETE", "/v1/containers/c/connectors/k")).await;
    let explanation = api.expect(200, ask("POST", "/v1/explain").json(&probe)).await;
    assert_eq!((&explanation["verdict"], &explanation["reason"]), (&json!("drop"), &json!("no_connector")));

    api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;
    api.expect(204, ask("DELETE", "/v1/containers/c")).await;
    api.expect(204, ask("DELETE", "/v1/connectors/k")).await;
    api.expect(204, ask("DELETE", "/v1/vpcs/v")).await;
    assert!(!inside.has("eth0") && !outside.has("wharf0"));
    for list in ["/v1/vpcs", "/v1/connectors", "/v1/containers"] {
        assert_eq!(api.get(list).await["items"], json!([]));
    }
    api.stop().await;
}

#[tokio::test]
async fn a_failed_creation_leaves_nothing() {
    let (netns, api) = (Netns::new(), Api::start().await);
    let missing = json!({"name": "c", "netns": {"name": "there-is-no-such-namespace"}});
    api.refuse("netns_missing", ask("POST", "/v1/containers").json(&missing)).await;
    api.refuse(
        "netns_invalid",
        ask("POST", "/v1/containers").json(&json!({"name": "c", "netns": {"path": "/etc/hostname"}})),
    )
    .await;
    let packet = json!({"kind": "packet", "netns": {"name": netns.0}, "device": "nothing0"});
    let mut bad = vpc("v", &netns);
    bad["uplink"] = packet;
    api.refuse("device_missing", ask("POST", "/v1/vpcs").json(&bad)).await;

    api.create("/v1/containers", container("c", &netns)).await;
    api.refuse("already_exists", ask("POST", "/v1/containers").json(&container("c", &netns))).await;
    api.refuse("device_taken", ask("POST", "/v1/containers").json(&container("c2", &netns))).await;
    api.refuse("not_found", ask("GET", "/v1/containers/c2")).await;
    assert_eq!(api.get("/v1/vpcs").await["items"], json!([]));
}

#[tokio::test]
async fn unknown_parameters_are_refused_wherever_they_are() {
    let api = Api::start().await;
    let paths =
        ["vpcs", "vpcs/v", "connectors", "connectors/k", "containers", "containers/c", "sessions", "stats"];
    for path in paths {
        api.refuse("invalid_query", ask("GET", &format!("/v1/{path}?foo=1"))).await;
    }
    let create = api.ask(ask("POST", "/v1/containers?foo=1").json(&json!({}))).await.json();
    assert_eq!((&create["code"], &create["field"]), (&json!("invalid_query"), &json!("foo")));
    api.refuse("invalid_query", ask("PUT", "/v1/containers/c/connectors/k?foo")).await;
    api.refuse("invalid_query", ask("GET", "/readyz?foo=1")).await;
    api.get("/v1/vpcs?").await;
    api.refuse("route_not_found", ask("GET", "/v1/nothing?foo=1")).await;
    api.refuse("method_not_allowed", ask("PATCH", "/v1/vpcs?foo=1")).await;
}

#[tokio::test]
async fn of_many_creators_of_one_name_one_succeeds() {
    let (netns, api) = (Netns::new(), Api::start().await);
    let body = container("c", &netns);
    let create = ask("POST", "/v1/containers").json(&body);
    let tries = (0..8).map(|_| api.send(&create));
    let mut statuses = Vec::new();
    let mut streams = Vec::new();
    for request in tries {
        streams.push(request.await);
    }
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        statuses.push(answer[9..12].to_owned());
    }
    statuses.sort();
    assert_eq!(statuses[0], "201");
    assert!(statuses[1..].iter().all(|status| status == "409"), "{statuses:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_whole_container_or_none() {
    let (netns, api) = (Netns::new(), Api::start().await);
    let create = ask("POST", "/v1/containers").json(&container("c", &netns));
    drop(api.send(&create).await);
    // The request may not have been read yet: one more of the same name settles it.
    let status = api.ask(create).await.status;
    assert!(status == 201 || status == 409, "{status}");
    api.await_state("/v1/containers/c", "ready").await;
    assert!(netns.has("eth0"));
    api.expect(204, ask("DELETE", "/v1/containers/c")).await;
}

#[tokio::test]
async fn what_disappears_is_gone_and_can_be_deleted() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    api.create("/v1/containers", container("c", &inside)).await;
    api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;

    drop(outside);
    api.await_state("/v1/vpcs/v", "gone").await;
    let view = api.await_state("/v1/containers/c", "ready").await;
    assert_eq!(view["connectors"], json!([]), "the way through the VPC is gone with it");
    api.refuse("not_ready", ask("PUT", "/v1/containers/c/connectors/k")).await;

    drop(inside);
    api.await_state("/v1/containers/c", "gone").await;
    api.refuse("not_ready", ask("GET", "/v1/containers/c/drops")).await;
    api.expect(204, ask("DELETE", "/v1/containers/c")).await;
    api.expect(204, ask("DELETE", "/v1/connectors/k")).await;
    api.expect(204, ask("DELETE", "/v1/vpcs/v")).await;
}

/// Whatever the order, a container is afterwards either deleted or attached as its answers said.
#[tokio::test]
async fn attach_detach_and_delete_of_one_container_take_turns() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    for _ in 0..10 {
        api.create("/v1/containers", container("c", &inside)).await;
        let path = "/v1/containers/c/connectors/k";
        let (attached, detached, again, deleted) = tokio::join!(
            api.ask(ask("PUT", path)),
            api.ask(ask("DELETE", path)),
            api.ask(ask("PUT", path)),
            api.ask(ask("DELETE", "/v1/containers/c")),
        );
        assert_eq!(deleted.status, 204, "{}", deleted.text);
        for answer in [attached, detached, again] {
            // While it is being deleted, it is not ready.
            let codes = ["not_found", "not_attached", "not_ready"];
            assert!(answer.status == 200 || codes.contains(&&*answer.code()), "{answer:?}");
        }
        assert_eq!(api.get("/v1/connectors/k").await["containers"], json!([]));
        assert!(!inside.has("eth0"));
    }
}
