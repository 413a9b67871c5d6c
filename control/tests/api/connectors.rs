//! Connectors over their whole life, and what a new policy does to live sessions.

use serde_json::{Value, json};

use crate::netns::{Netns, container, vpc};
use crate::server::{Api, ask};

#[tokio::test]
async fn a_connector_to_another_tenants_vpc_waits_works_rests_and_is_revoked() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.make_tenant("net", "").await;
    api.make_tenant("app", "").await;
    api.expect(201, ask("POST", "/v1/vpcs").of("net").json(&vpc("v", &outside))).await;
    api.expect(201, ask("POST", "/v1/containers").of("app").json(&container("c", &inside))).await;
    let new = json!({"name": "k", "vpc": "net/v", "linger_s": 0});
    let created = api.expect(201, ask("POST", "/v1/connectors").of("app").json(&new)).await;
    assert_eq!((&created["state"], &created["vpc"]), (&json!("requested"), &json!("net/v")));

    let attach = || ask("PUT", "/v1/containers/c/connectors/k").of("app");
    let (approve, revoke) = (
        || ask("PUT", "/v1/vpcs/v/connectors/app%2Fk").of("net"),
        || ask("DELETE", "/v1/vpcs/v/connectors/app%2Fk").of("net"),
    );
    api.refuse("not_approved", attach()).await;
    // Only the owner of the VPC approves, and it is the VPC that the connector means.
    api.refuse("not_found", ask("PUT", "/v1/vpcs/v/connectors/k").of("app")).await;
    api.refuse("not_found", ask("PUT", "/v1/vpcs/v/connectors/k").of("net")).await;
    let wanting = api.expect(200, ask("GET", "/v1/vpcs/v/connectors").of("net")).await;
    assert_eq!((&wanting["items"][0]["tenant"], &wanting["items"][0]["name"]), (&json!("app"), &json!("k")));

    for _ in 0..2 {
        assert_eq!(api.expect(200, approve()).await["state"], "approved");
    }
    assert!(!inside.reaches("10.1.0.1"));
    api.expect(200, attach()).await;
    let state = async || api.expect(200, ask("GET", "/v1/connectors/k").of("app")).await["state"].clone();
    assert_eq!(state().await, "ready");
    assert!(inside.reaches("10.1.0.1"));
    let problem = api.refuse("in_use", ask("DELETE", "/v1/vpcs/v").of("net")).await;
    assert_eq!(problem["dependents"], json!(["app/k"]));

    assert_eq!(api.expect(200, revoke()).await["state"], "revoked");
    assert!(!inside.reaches("10.1.0.1"), "its sessions have ended, and there are no new ones");
    let sessions = api.expect(200, ask("GET", "/v1/sessions").of("app")).await;
    assert_eq!(sessions["items"], json!([]));
    assert_eq!(api.expect(200, ask("GET", "/v1/containers/c").of("app")).await["connectors"], json!([]));
    api.refuse("not_approved", attach()).await;
    assert_eq!(api.expect(200, approve()).await["state"], "approved");
    api.expect(200, attach()).await;
    assert!(inside.reaches("10.1.0.1"));

    api.expect(200, ask("DELETE", "/v1/containers/c/connectors/k").of("app")).await;
    api_state(&api, "app", "idle").await;
    api.expect(200, attach()).await;
    assert_eq!(state().await, "ready");
    api.expect(204, ask("DELETE", "/v1/containers/c").of("app")).await;
    api_state(&api, "app", "idle").await;
    api.expect(204, ask("DELETE", "/v1/connectors/k").of("app")).await;
    api.expect(204, ask("DELETE", "/v1/vpcs/v").of("net")).await;
}

/// Waits until connector `k` is in this state.
async fn api_state(api: &Api, tenant: &str, state: &str) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let view = api.expect(200, ask("GET", "/v1/connectors/k").of(tenant)).await;
        if view["state"] == state {
            return;
        }
        assert!(std::time::Instant::now() < patience, "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_applies_to_live_sessions() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    api.create("/v1/containers", container("c", &inside)).await;
    api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;
    assert!(inside.reaches("10.1.0.1"));
    let patch = async |body: Value| api.ask(ask("PATCH", "/v1/connectors/k").json(&body)).await;

    let deny = json!({"rules": [{"action": "deny", "protocol": "icmp"}, {"action": "allow"}], "linger_s": 7});
    let changed = patch(deny).await;
    assert_eq!((changed.status, &changed.json()["linger_s"]), (200, &json!(7)), "{}", changed.text);
    assert!(!inside.reaches("10.1.0.1"));
    let taken_out = patch(json!({"rules": null})).await.json();
    assert_eq!((&taken_out["rules"], &taken_out["linger_s"]), (&json!([]), &json!(7)), "the rest stays");
    assert!(inside.reaches("10.1.0.1"));

    let same = patch(json!({})).await;
    assert_eq!((same.status, same.json()["revision"].clone()), (200, taken_out["revision"].clone()));
    let inner = patch(json!({"rate_limits": {"packets_per_second": 5, "bits_per_second": 6}})).await;
    assert_eq!(inner.status, 200, "{}", inner.text);
    let inner = patch(json!({"rate_limits": {"packets_per_second": null}})).await.json();
    assert_eq!(inner["rate_limits"], json!({"bits_per_second": 6}), "a merge goes inside");

    for (body, code, field) in [
        (json!({"vpc": "other"}), "immutable_field", "vpc"),
        (json!({"name": "other"}), "immutable_field", "name"),
        (json!({"vpc": null}), "missing_field", "vpc"),
        (json!({"foo": 1}), "unknown_field", "foo"),
        (json!({"linger_s": "7"}), "invalid_type", "linger_s"),
        (json!({"linger_s": -1}), "invalid_policy", "linger_s"),
        (json!({"destinations": ["fd00::/64"]}), "invalid_cidr", "destinations[0]"),
    ] {
        let before = api.get("/v1/connectors/k").await;
        let answer = patch(body.clone()).await;
        assert_eq!((&*answer.code(), &answer.json()["field"]), (code, &json!(field)), "{body}");
        assert_eq!(api.get("/v1/connectors/k").await, before);
    }
    let users = patch(json!({"users": ["d*"]})).await;
    assert_eq!((users.code(), users.json()["dependents"].clone()), ("in_use".into(), json!(["c"])));
    assert!(inside.reaches("10.1.0.1"));
}

#[tokio::test]
async fn all_that_depends_on_something_is_listed() {
    let (outside, api) = (Netns::new(), Api::start().await);
    let inside: Vec<_> = (0..12).map(|_| Netns::new()).collect();
    api.make_vpc(&outside).await;
    for (i, netns) in inside.iter().enumerate() {
        api.create("/v1/containers", container(&format!("c{i:02}"), netns)).await;
        api.expect(200, ask("PUT", &format!("/v1/containers/c{i:02}/connectors/k"))).await;
    }
    let problem = api.refuse("in_use", ask("DELETE", "/v1/connectors/k")).await;
    let expected: Vec<_> = (0..12).map(|i| format!("c{i:02}")).collect();
    assert_eq!(problem["dependents"], json!(expected));
    assert_eq!(api.refuse("in_use", ask("DELETE", "/v1/vpcs/v")).await["dependents"], json!(["k"]));
}

#[tokio::test]
async fn a_container_that_disappears_gives_back_what_its_connectors_have() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.create("/v1/vpcs", vpc("v", &outside)).await;
    api.create("/v1/connectors", json!({"name": "k", "vpc": "v", "linger_s": 0})).await;
    api.create("/v1/containers", container("c", &inside)).await;
    api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;
    drop(inside);
    api.await_state("/v1/containers/c", "gone").await;
    api_state(&api, "default", "idle").await;
}

/// Whatever the order, a connector that is revoked is nobody's.
#[tokio::test]
async fn what_is_attached_while_it_is_revoked_is_revoked_too() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    api.create("/v1/containers", container("c", &inside)).await;
    for _ in 0..20 {
        let (attached, revoked) = tokio::join!(
            api.ask(ask("PUT", "/v1/containers/c/connectors/k")),
            api.ask(ask("DELETE", "/v1/vpcs/v/connectors/k")),
        );
        assert_eq!(revoked.status, 200, "{}", revoked.text);
        assert!(attached.status == 200 || attached.code() == "not_approved", "{}", attached.text);
        let probe = json!({"container": "c", "protocol": "tcp", "destination": "10.1.0.1", "port": 80});
        let explained = api.expect(200, ask("POST", "/v1/explain").json(&probe)).await;
        assert_eq!(explained["reason"], "no_connector", "{explained}");
        api.expect(200, ask("PUT", "/v1/vpcs/v/connectors/k")).await;
    }
}
