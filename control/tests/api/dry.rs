//! Dry runs: everything is checked, nothing is done.

use serde_json::{Value, json};

use crate::netns::{Netns, container};
use crate::operations::all;
use crate::server::{Api, ask};

/// Everything there is, in all tenants.
async fn dump(api: &Api) -> Vec<Value> {
    let mut all = Vec::new();
    for tenant in ["default", "x"] {
        for path in [
            "tenants",
            "tokens",
            "vpcs",
            "vpcs/v/connectors",
            "connectors",
            "containers",
            "functions",
            "functions/f/versions",
            "pools",
            "audit",
            "sessions",
        ] {
            let mut found = api.ask(ask("GET", &format!("/v1/{path}")).of(tenant)).await.json();
            // Time passes.
            for session in found["items"].as_array_mut().into_iter().flatten() {
                session
                    .as_object_mut()
                    .unwrap()
                    .retain(|field, _| !["age_s", "expires_in_s"].contains(&&**field));
            }
            all.push(found);
        }
    }
    all
}

#[tokio::test]
async fn a_dry_run_of_any_operation_leaves_everything_as_it_is() {
    let (outside, inside, spare, api) = (Netns::new(), Netns::new(), Netns::new(), Api::start().await);
    api.make_vpc(&outside).await;
    api.create("/v1/containers", container("c", &inside)).await;
    api.create("/v1/tenants", json!({"name": "x"})).await;
    api.create("/v1/tokens", json!({"name": "t", "role": "reader"})).await;
    api.create("/v1/functions", crate::functions::function("f")).await;
    api.expect(200, ask("PATCH", "/v1/functions/f").json(&json!({"timeout_s": 9}))).await;
    let manual = json!({"name": "k8", "vpc": "x/v"});
    api.create("/v1/connectors", manual).await;
    for attached in [false, true] {
        if attached {
            api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;
            assert!(inside.reaches("10.1.0.1"));
        }
        let before = dump(&api).await;
        let mut told = Vec::new();
        for operation in all().iter().filter(|operation| operation.changes_something()) {
            let answer = api.ask(operation.request(&spare)).await;
            told.push((operation.id.clone(), answer.status));
            assert_eq!(dump(&api).await, before, "{}: {}", operation.id, answer.text);
        }
        // What would be refused is refused.
        let refused: Vec<_> =
            told.iter().filter(|(_, status)| *status >= 400).map(|(id, status)| (&**id, *status)).collect();
        let expected: &[_] = if attached {
            &[("delete_connector", 409), ("delete_vpc", 409)]
        } else {
            &[("detach", 404), ("delete_vpc", 409)]
        };
        // There is nothing here that containers could be made of.
        let nowhere: &[_] = &[("drain_environment", 503), ("invoke_function", 503)];
        let expected = &[expected, nowhere].concat();
        for refusal in expected {
            assert!(refused.contains(refusal), "{refusal:?}: {refused:?}");
        }
        assert_eq!(refused.len(), expected.len(), "{refused:?}");
    }
    assert!(!spare.has("eth0") && !spare.has("wharf0"));
    assert!(inside.reaches("10.1.0.1"), "the session goes on");
}
