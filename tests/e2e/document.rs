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

/// A call: method, its path in the document, path, body, and the status that it has to be answered with.
type Step<'a> = (&'a Method, &'a str, &'a str, Value, u16);

/// Calls, and which responses of the document they were.
struct Explorer<'a> {
    scene: &'a Scene,
    document: Value,
    met: BTreeSet<(String, String, String)>,
}

impl Explorer<'_> {
    /// A call that has to be answered with this status; `template` is its path in the document.
    fn call(&mut self, method: &Method, template: &str, path: &str, body: &Value, status: u16) -> Value {
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.scene.api.send(method.clone(), path, bytes.into());
        // Pages and metrics are no JSON: that they are answered is what counts.
        let (got, answer) = match answer {
            Ok((got, answer)) => {
                assert_eq!(got, status, "{method} {path}: {answer}");
                (got, answer)
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{method} {path}: {error}");
                (status, Value::Null)
            }
        };
        let method = method.as_str().to_lowercase();
        let responses = &self.document["paths"][template][&method]["responses"];
        let exact = responses.get(got.to_string()).is_some();
        let response = if exact { got.to_string() } else { "default".to_owned() };
        assert!(responses.get(&response).is_some(), "{method} {template} does not tell of {got}");
        self.met.insert((method, template.to_owned(), response));
        answer
    }

    /// Calls that have no need of each other's answers.
    fn walk(&mut self, steps: &[Step<'_>]) {
        for (method, template, path, body, status) in steps {
            self.call(method, template, path, body, *status);
        }
    }

    /// What no operation knows is a problem of each that tells of problems.
    fn stumble(&mut self, steps: &[Step<'_>]) {
        for (method, template, path, body, _) in steps {
            let responses = &self.document["paths"][template][method.as_str().to_lowercase()]["responses"];
            let elsewhere = ELSEWHERE.iter().any(|(_, path, _)| path == template);
            if responses.get("default").is_some() && !elsewhere {
                let joint = if path.contains('?') { '&' } else { '?' };
                self.call(method, template, &format!("{path}{joint}nonsense=1"), body, 422);
            }
        }
    }

    /// From a function's deployment to its end, with an invocation of each kind.
    fn functions(&mut self) {
        let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
        let none = Value::Null;
        let function = json!({
            "name": "f", "runtime": "python3", "handler": "handler.handler", "timeout_s": 60, "code": {"zip": CODE}, "connectors": ["k"]
        });
        let invocations = "/v1/functions/{name}/invocations";
        let steps = [
            (&post, "/v1/functions", "/v1/functions", function, 201),
            (&get, "/v1/functions", "/v1/functions", none.clone(), 200),
            (&get, "/v1/functions/{name}", "/v1/functions/f", none.clone(), 200),
            (&patch, "/v1/functions/{name}", "/v1/functions/f", json!({"timeout_s": 61}), 200),
            (&get, "/v1/functions/{name}/versions", "/v1/functions/f/versions", none.clone(), 200),
            (&get, "/v1/pools", "/v1/pools", none.clone(), 200),
            (&get, "/v1/pools/{runtime}", "/v1/pools/python3", none.clone(), 200),
            (&patch, "/v1/pools/{runtime}", "/v1/pools/python3", json!({"max_warm": 20}), 200),
            (&post, invocations, "/v1/functions/f/invocations?dry_run=true", json!({"a": 1}), 204),
            (&post, invocations, "/v1/functions/f/invocations", json!({"a": 1}), 200),
            (&get, invocations, "/v1/functions/f/invocations", none.clone(), 200),
            (&get, "/v1/functions/{name}/logs", "/v1/functions/f/logs", none.clone(), 200),
        ];
        self.walk(&steps);
        self.stumble(&steps);
        let accepted =
            self.call(&post, invocations, "/v1/functions/f/invocations?mode=async", &json!({"a": 1}), 202);
        let invocation = format!("/v1/functions/f/invocations/{}", accepted["id"].as_str().unwrap());
        let environments = self.call(&get, "/v1/environments", "/v1/environments", &none, 200);
        let serving = environments["items"].as_array().unwrap().iter().find(|one| one["function"] == "f");
        let environment =
            format!("/v1/environments/{}", serving.expect("one has answered")["id"].as_str().unwrap());
        let steps = [
            (&get, "/v1/environments", "/v1/environments", none.clone(), 200),
            (&get, "/v1/environments/{id}", &*environment, none.clone(), 200),
            (&get, "/v1/functions/{name}/invocations/{id}", &*invocation, none.clone(), 200),
            (&delete, "/v1/environments/{id}", &*environment, none.clone(), 202),
            (
                &delete,
                "/v1/functions/{name}/versions/{version}",
                "/v1/functions/f/versions/1",
                none.clone(),
                204,
            ),
            (&delete, "/v1/functions/{name}", "/v1/functions/f", none.clone(), 204),
        ];
        self.walk(&steps);
        self.stumble(&steps);
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
    let probe = json!({"container": "c", "protocol": "tcp", "destination": "10.1.0.1", "port": 80});
    let steps: Vec<Step<'_>> = vec![
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
    let used = steps.iter().position(|step| step.1 == "/v1/explain").expect("everything is there by then");
    explorer.walk(&steps[..used]);
    explorer.functions();
    explorer.walk(&steps[used..]);
    explorer.stumble(&steps);

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
