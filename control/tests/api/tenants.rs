//! Tenants, and what their tokens may name.

use serde_json::json;

use crate::netns::{Netns, container, vpc};
use crate::server::{Api, ask};

#[tokio::test]
async fn a_tenant_is_there_from_its_creation_to_its_deletion() {
    let api = Api::start().await;
    let made = ask("POST", "/v1/tenants").json(&json!({"name": "acme", "netns_prefix": "acme-"}));
    let created = api.ask(made.clone()).await;
    assert_eq!((created.status, &*created.headers["location"]), (201, "/v1/tenants/acme"));
    let shown = api.ask(ask("GET", "/v1/tenants/acme")).await;
    assert_eq!((shown.json(), shown.etag()), (created.json(), created.etag()));
    assert_eq!(shown.json()["netns_prefix"], "acme-");
    let names = |list: serde_json::Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(api.get("/v1/tenants").await), ["acme", "default"]);
    let again = api.refuse("already_exists", made).await;
    assert_eq!(again["field"], "name");
    api.refuse("in_use", ask("DELETE", "/v1/tenants/default")).await;
    api.refuse("not_found", ask("DELETE", "/v1/tenants/nobody")).await;
    api.refuse("not_found", ask("GET", "/v1/vpcs").of("nobody")).await;
    api.refuse("invalid_header", ask("GET", "/v1/vpcs").of("A B")).await;
    api.expect(204, ask("DELETE", "/v1/tenants/acme")).await;
    api.refuse("not_found", ask("GET", "/v1/tenants/acme")).await;
}

#[tokio::test]
async fn a_tenant_with_resources_stays_and_its_tokens_end_with_it() {
    let (netns, api) = (Netns::new(), Api::start().await);
    api.make_tenant("acme", "").await;
    let secret = api.token("acme", "t", "reader").await;
    let made = ask("POST", "/v1/containers").of("acme").json(&container("c", &netns));
    api.expect(201, made).await;
    let problem = api.refuse("in_use", ask("DELETE", "/v1/tenants/acme")).await;
    assert_eq!(problem["dependents"], json!(["c"]));
    assert_eq!(api.ask(ask("GET", "/v1/containers").bearing(&secret)).await.status, 200);
    api.expect(204, ask("DELETE", "/v1/containers/c").of("acme")).await;
    api.expect(204, ask("DELETE", "/v1/tenants/acme")).await;
    api.refuse("unauthenticated", ask("GET", "/v1/containers").bearing(&secret)).await;
    // Another of the same name is another.
    api.make_tenant("acme", "").await;
    api.refuse("unauthenticated", ask("GET", "/v1/containers").bearing(&secret)).await;
}

#[tokio::test]
async fn equal_names_of_two_tenants_do_not_meet() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    let (outside2, inside2) = (Netns::new(), Netns::new());
    for (tenant, outside, inside) in [("a", &outside, &inside), ("b", &outside2, &inside2)] {
        api.make_tenant(tenant, "").await;
        api.expect(201, ask("POST", "/v1/vpcs").of(tenant).json(&vpc("v", outside))).await;
        api.expect(201, ask("POST", "/v1/connectors").of(tenant).json(&json!({"name": "k", "vpc": "v"})))
            .await;
        api.expect(201, ask("POST", "/v1/containers").of(tenant).json(&container("c", inside))).await;
        api.expect(200, ask("PUT", "/v1/containers/c/connectors/k").of(tenant)).await;
        assert!(inside.reaches("10.1.0.1"));
    }
    api.expect(200, ask("DELETE", "/v1/containers/c/connectors/k").of("a")).await;
    assert!(!inside.reaches("10.1.0.1"));
    assert!(inside2.reaches("10.1.0.1"), "the other tenant's goes on");
    assert_eq!(api.get("/v1/containers").await["items"], json!([]), "the default tenant has none");
}

#[tokio::test]
async fn tokens_name_only_namespaces_of_their_tenant() {
    let (theirs, others, api) = (Netns::beginning("acme"), Netns::new(), Api::start().await);
    api.make_tenant("acme", "acme-").await;
    let secret = api.token("acme", "t", "admin").await;
    let create = |netns: serde_json::Value| {
        let body = json!({"name": "c", "netns": netns});
        ask("POST", "/v1/containers").bearing(&secret).json(&body)
    };
    let missing = format!("{}x", others.0);
    for netns in [
        json!({"name": others.0}),
        json!({"name": missing}),
        json!({"pid": 1}),
        json!({"path": "/proc/1/ns/net"}),
    ] {
        let problem = api.refuse("forbidden", create(netns)).await;
        assert_eq!(problem["field"], "netns");
    }
    let own = json!({
        "name": "v", "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"],
        "uplink": {"kind": "packet", "device": "lo"},
    });
    let problem = api.refuse("forbidden", ask("POST", "/v1/vpcs").bearing(&secret).json(&own)).await;
    assert_eq!(problem["field"], "uplink.netns");
    api.expect(201, create(json!({"name": theirs.0}))).await;
    api.expect(204, ask("DELETE", "/v1/containers/c").bearing(&secret)).await;
}
