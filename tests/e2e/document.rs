//! The OpenAPI document: every operation and every response in it is met here at least once, over a real daemon. That answers have the form that
//! it says is for schemathesis to find out (`cargo xtask api`).

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use crate::fixture::Scene;

/// Responses that only a defect or a full disk would bring about; each has a test of its own elsewhere.
const ELSEWHERE: [(&str, &str, &str); 1] = [("get", "/readyz", "default")];

/// A zip archive of a `handler.py` that answers with its event.
const CODE: &str = "UEsDBBQAAAAAAAAAIQC0CHBpLgAAAC4AAAAKAAAAaGFuZGxlci5weWRlZiBoYW5kbGVyKGV2ZW50LCBjb250ZXh0KToKICAgIHJldHVybiBldmVudApQSwECFAMUAAAAAAAAACEAtAhwaS4AAAAuAAAACgAAAAAAAAAAAAAApIEAAAAAaGFuZGxlci5weVBLBQYAAAAAAQABADgAAABWAAAAAAA=";

/// Calls, and which responses of the document they were.
struct Explorer<'a> {
    scene: &'a Scene,
    document: Value,
    met: BTreeSet<(String, String, String)>,
}

impl Explorer<'_> {
    /// A call that has to be answered with this status; `template` is its path in the document.
    fn call(&mut self, method: &Method, template: &str, path: &str, body: &Value, status: u16) {
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.scene.api.send(method.clone(), path, bytes.into());
        // Pages and metrics are no JSON: that they are answered is what counts.
        let got = match answer {
            Ok((got, body)) => {
                assert_eq!(got, status, "{method} {path}: {body}");
                got
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{method} {path}: {error}");
                status
            }
        };
        let method = method.as_str().to_lowercase();
        let responses = &self.document["paths"][template][&method]["responses"];
        let exact = responses.get(got.to_string()).is_some();
        let response = if exact { got.to_string() } else { "default".to_owned() };
        assert!(responses.get(&response).is_some(), "{method} {template} does not tell of {got}");
        self.met.insert((method, template.to_owned(), response));
    }
}

#[test]
fn every_operation_and_every_response_of_the_document_is_met() {
    let scene = Scene::start("document");
    let (vpc, c1) = (scene.namespace("vpc"), scene.namespace("c1"));
    let (status, document) = scene.api.get("/openapi.json");
    assert_eq!(status, 200);
    let mut explorer = Explorer { scene: &scene, document, met: BTreeSet::new() };
    let (get, post, put, patch, delete) =
        (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let none = Value::Null;

    let uplink =
        json!({"kind": "tap", "netns": {"name": vpc.name()}, "device": "wharf0", "address": "10.1.0.1/16"});
    let made =
        json!({"name": "v", "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"], "uplink": uplink});
    let container = json!({"name": "c", "netns": {"name": c1.name()}});
    let code = json!({"zip": CODE});
    let function = json!({"name": "f", "runtime": "python3", "handler": "handler.handler", "code": code, "connectors": ["k"]});
    let probe = json!({"container": "c", "protocol": "tcp", "destination": "10.1.0.1", "port": 80});
    let steps: Vec<(&Method, &str, &str, Value, u16)> = vec![
        (&post, "/v1/tenants", "/v1/tenants", json!({"name": "acme"}), 201),
        (&get, "/v1/tenants", "/v1/tenants", none.clone(), 200),
        (&get, "/v1/tenants/{name}", "/v1/tenants/acme", none.clone(), 200),
        (&delete, "/v1/tenants/{name}", "/v1/tenants/acme", none.clone(), 204),
        (&post, "/v1/tokens", "/v1/tokens", json!({"name": "t", "role": "reader"}), 201),
        (&get, "/v1/tokens", "/v1/tokens", none.clone(), 200),
        (&get, "/v1/tokens/{name}", "/v1/tokens/t", none.clone(), 200),
        (&delete, "/v1/tokens/{name}", "/v1/tokens/t", none.clone(), 204),
        (&post, "/v1/vpcs", "/v1/vpcs", made, 201),
        (&get, "/v1/vpcs", "/v1/vpcs", none.clone(), 200),
        (&get, "/v1/vpcs/{name}", "/v1/vpcs/v", none.clone(), 200),
        (&post, "/v1/connectors", "/v1/connectors", json!({"name": "k", "vpc": "v"}), 201),
        (&get, "/v1/connectors", "/v1/connectors", none.clone(), 200),
        (&get, "/v1/connectors/{name}", "/v1/connectors/k", none.clone(), 200),
        (&patch, "/v1/connectors/{name}", "/v1/connectors/k", json!({"linger_s": 1}), 200),
        (&get, "/v1/vpcs/{name}/connectors", "/v1/vpcs/v/connectors", none.clone(), 200),
        (&put, "/v1/vpcs/{name}/connectors/{connector}", "/v1/vpcs/v/connectors/k", none.clone(), 200),
        (&post, "/v1/containers", "/v1/containers", container, 201),
        (&get, "/v1/containers", "/v1/containers", none.clone(), 200),
        (&get, "/v1/containers/{name}", "/v1/containers/c", none.clone(), 200),
        (
            &put,
            "/v1/containers/{container}/connectors/{connector}",
            "/v1/containers/c/connectors/k",
            none.clone(),
            200,
        ),
        (&post, "/v1/functions", "/v1/functions", function, 201),
        (&get, "/v1/functions", "/v1/functions", none.clone(), 200),
        (&get, "/v1/functions/{name}", "/v1/functions/f", none.clone(), 200),
        (&patch, "/v1/functions/{name}", "/v1/functions/f", json!({"timeout_s": 9, "connectors": []}), 200),
        (&get, "/v1/functions/{name}/versions", "/v1/functions/f/versions", none.clone(), 200),
        (&delete, "/v1/functions/{name}/versions/{version}", "/v1/functions/f/versions/1", none.clone(), 204),
        (&delete, "/v1/functions/{name}", "/v1/functions/f", none.clone(), 204),
        (&get, "/v1/pools", "/v1/pools", none.clone(), 200),
        (&get, "/v1/pools/{runtime}", "/v1/pools/python3", none.clone(), 200),
        (&patch, "/v1/pools/{runtime}", "/v1/pools/python3", json!({"max_warm": 20}), 200),
        (&post, "/v1/explain", "/v1/explain", probe, 200),
        (&get, "/v1/containers/{name}/drops", "/v1/containers/c/drops", none.clone(), 200),
        (&get, "/v1/sessions", "/v1/sessions", none.clone(), 200),
        (&get, "/v1/stats", "/v1/stats", none.clone(), 200),
        (
            &delete,
            "/v1/containers/{container}/connectors/{connector}",
            "/v1/containers/c/connectors/k",
            none.clone(),
            200,
        ),
        (&delete, "/v1/vpcs/{name}/connectors/{connector}", "/v1/vpcs/v/connectors/k", none.clone(), 200),
        (&delete, "/v1/connectors/{name}", "/v1/connectors/k", none.clone(), 204),
        (&delete, "/v1/containers/{name}", "/v1/containers/c", none.clone(), 204),
        (&delete, "/v1/vpcs/{name}", "/v1/vpcs/v", none.clone(), 204),
        (&get, "/v1/audit", "/v1/audit", none.clone(), 200),
        (&get, "/healthz", "/healthz", none.clone(), 200),
        (&get, "/readyz", "/readyz", none.clone(), 200),
        (&get, "/openapi.json", "/openapi.json", none.clone(), 200),
        (&get, "/docs", "/docs", none.clone(), 200),
        (&get, "/metrics", "/metrics", none.clone(), 200),
    ];
    for (method, template, path, body, status) in &steps {
        explorer.call(method, template, path, body, *status);
    }
    // What no operation knows is a problem of each that tells of problems.
    for (method, template, path, body, _) in &steps {
        let responses = &explorer.document["paths"][template][method.as_str().to_lowercase()]["responses"];
        let elsewhere = ELSEWHERE.iter().any(|(_, path, _)| path == template);
        if responses.get("default").is_some() && !elsewhere {
            explorer.call(method, template, &format!("{path}?nonsense=1"), body, 422);
        }
    }

    let mut documented = BTreeSet::new();
    for (path, methods) in explorer.document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for response in operation["responses"].as_object().unwrap().keys() {
                documented.insert((method.clone(), path.clone(), response.clone()));
            }
        }
    }
    let elsewhere = ELSEWHERE.map(|(method, path, response)| (method.into(), path.into(), response.into()));
    let met: BTreeSet<_> = explorer.met.iter().cloned().chain(elsewhere).collect();
    let missing: Vec<_> = documented.difference(&met).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
}
