//! Requests that come again, and writers that come too late.

use serde_json::json;

use crate::netns::{Netns, container};
use crate::server::{Api, ask};

#[tokio::test]
async fn a_request_with_a_key_is_carried_out_once() {
    let (netns, api) = (Netns::new(), Api::start().await);
    for (path, body, other) in [
        (
            "/v1/containers",
            container("c", &netns),
            json!({"name": "c", "netns": {"name": netns.0}, "device": "eth1"}),
        ),
        ("/v1/tenants", json!({"name": "c"}), json!({"name": "d"})),
        ("/v1/connectors", json!({"name": "c", "vpc": "other/v"}), json!({"name": "c", "vpc": "other/w"})),
        ("/v1/tokens", json!({"name": "c", "role": "reader"}), json!({"name": "c", "role": "admin"})),
    ] {
        let key = format!("key of {path}");
        let create = |body: &serde_json::Value| ask("POST", path).header("idempotency-key", &key).json(body);
        let first = api.ask(create(&body)).await.stripped();
        assert_eq!(first.status, 201, "{}", first.text);
        let again = api.ask(create(&body)).await.stripped();
        if path == "/v1/tokens" {
            assert!(again.json()["secret"].is_null(), "a secret is told once");
            assert_eq!((again.status, &again.json()["name"]), (201, &json!("c")));
        } else {
            assert_eq!(again, first);
        }
        let problem = api.ask(create(&other)).await;
        assert_eq!((problem.status, &*problem.code()), (422, "key_reused"));
        api.expect(204, ask("DELETE", &format!("{path}/c"))).await;
        let problem = api.ask(create(&body)).await;
        assert_eq!((problem.status, &*problem.code()), (409, "key_done"), "it was created and deleted");
        // Without a key, or with another, it is another request.
        api.create(path, body.clone()).await;
        let new_key = ask("POST", path).header("idempotency-key", "another").json(&body);
        api.refuse("already_exists", new_key).await;
        api.expect(204, ask("DELETE", &format!("{path}/c"))).await;
    }
    // Keys are of one tenant.
    api.make_tenant("acme", "").await;
    let theirs = ask("POST", "/v1/containers").of("acme").header("idempotency-key", "key of /v1/containers");
    api.expect(201, theirs.json(&container("c", &netns))).await;
    api.expect(204, ask("DELETE", "/v1/containers/c").of("acme")).await;
}

#[tokio::test]
async fn a_request_that_failed_may_come_again_with_its_key() {
    let api = Api::start().await;
    let late = Netns::new();
    let gone = late.0.clone();
    drop(late);
    let create = ask("POST", "/v1/containers").header("idempotency-key", "k");
    let create = create.json(&json!({"name": "c", "netns": {"name": gone}}));
    for _ in 0..2 {
        api.refuse("netns_missing", create.clone()).await;
    }
    // A dry run takes no key.
    let (netns, body) = (Netns::new(), |netns: &Netns| container("c", netns));
    let dry = ask("POST", "/v1/containers?dry_run=true").header("idempotency-key", "k2").json(&body(&netns));
    api.expect(201, dry).await;
    let real = ask("POST", "/v1/containers").header("idempotency-key", "k2").json(&body(&netns));
    api.expect(201, real).await;
}

#[tokio::test]
async fn of_many_equal_requests_at_once_one_creates() {
    let (netns, api) = (Netns::new(), Api::start().await);
    let create = ask("POST", "/v1/containers").header("idempotency-key", "k").json(&container("c", &netns));
    let answers = futures(&api, &create, 8).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert!(created >= 1);
    for answer in &answers {
        assert!(answer.status == 201 || answer.code() == "key_done", "{}", answer.text);
    }
    let audit = api.get("/v1/audit").await;
    let creations =
        audit["items"].as_array().unwrap().iter().filter(|entry| entry["action"] == "create_container");
    assert_eq!(creations.count(), 1, "{audit}");
    assert_eq!(api.ask(create).await.status, 201, "afterwards it answers as the first did");
}

async fn futures(api: &Api, request: &crate::server::Ask, n: usize) -> Vec<crate::server::Answer> {
    let mut all = Vec::new();
    for _ in 0..n {
        all.push(api.ask(request.clone()));
    }
    futures_util::future::join_all(all).await
}

#[tokio::test]
async fn the_later_of_two_writers_hears_that_it_is_late() {
    let (outside, api) = (Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    let seen = api.ask(ask("GET", "/v1/connectors/k")).await.etag();
    let patch = |tag: &str, linger_s: u64| {
        ask("PATCH", "/v1/connectors/k").header("if-match", tag).json(&json!({"linger_s": linger_s}))
    };
    let first = api.ask(patch(&seen, 1)).await;
    assert_eq!(first.status, 200);
    assert_ne!(first.etag(), seen);
    let late = api.ask(patch(&seen, 2)).await;
    assert_eq!((late.status, &*late.code()), (412, "changed"));
    assert_eq!(api.get("/v1/connectors/k").await["linger_s"], 1);
    for path in ["/v1/connectors/k", "/v1/connectors/k?dry_run=true"] {
        api.refuse("changed", ask("DELETE", path).header("if-match", &seen)).await;
    }
    api.refuse(
        "changed",
        ask("PATCH", "/v1/connectors/k?dry_run=true").header("if-match", &seen).json(&json!({})),
    )
    .await;
    // What is done to a connector, and not asked of it, changes no ETag; the owner of the VPC does.
    let tag = first.etag();
    api.expect(200, ask("DELETE", "/v1/vpcs/v/connectors/k")).await;
    api.refuse("changed", ask("DELETE", "/v1/connectors/k").header("if-match", &tag)).await;
    let tag = api.ask(ask("GET", "/v1/connectors/k")).await.etag();
    api.expect(204, ask("DELETE", "/v1/connectors/k").header("if-match", &tag)).await;
    api.refuse("not_found", ask("DELETE", "/v1/connectors/k").header("if-match", &tag)).await;
    api.refuse("changed", ask("DELETE", "/v1/vpcs/v").header("if-match", "\"1\"")).await;
    let tag = api.ask(ask("GET", "/v1/vpcs/v")).await.etag();
    api.expect(204, ask("DELETE", "/v1/vpcs/v").header("if-match", &tag)).await;
}

/// Whoever patches what it has read wins or hears of it: no change is lost.
#[tokio::test]
async fn no_change_of_concurrent_writers_is_lost() {
    let (outside, api) = (Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    api.expect(200, ask("PATCH", "/v1/connectors/k").json(&json!({"linger_s": 0}))).await;
    let add_one = async || {
        for _ in 0..5 {
            loop {
                let seen = api.ask(ask("GET", "/v1/connectors/k")).await;
                let next = seen.json()["linger_s"].as_u64().unwrap() + 1;
                let patch = ask("PATCH", "/v1/connectors/k").header("if-match", &seen.etag());
                let answer = api.ask(patch.json(&json!({"linger_s": next}))).await;
                if answer.status == 200 {
                    break;
                }
                assert_eq!(answer.code(), "changed");
            }
        }
    };
    tokio::join!(add_one(), add_one(), add_one());
    assert_eq!(api.get("/v1/connectors/k").await["linger_s"], 15);
}
