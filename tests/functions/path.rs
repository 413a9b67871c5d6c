//! Trigger, warm container, mount, load, attach, packets into the VPC.

use netlab::traffic::Http;
use serde_json::json;
use tests::{EXTERNAL, SERVER};

use crate::fixture::{FETCH, Scene};

#[test]
fn functions_reach_their_own_of_two_vpcs_with_equal_addresses_and_are_seen_as_its_external_address() {
    let scene = Scene::start("fn-path");
    let node = r"
const http = require('http');
exports.handler = (event) => new Promise((resolve, reject) => {
  http.get({ host: event[0], port: event[1] }, (answer) => {
    let body = '';
    answer.on('data', (part) => { body += part; });
    answer.on('end', () => resolve(body));
  }).on('error', reject);
});
";
    let shell = "#!/bin/sh\nwhile true; do\n  event=$(curl -sS -D /tmp/head http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next)\n  id=$(grep -i aws-request-id /tmp/head | tr -d '\\r' | cut -d' ' -f2)\n  address=$(echo \"$event\" | tr -d '[]\" ' | tr ',' ':')\n  page=$(curl -sS http://$address/)\n  curl -sS -d \"$page\" http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response >/dev/null\ndone\n";
    let vpcs = ["orders", "billing"].map(|name| (name, scene.vpc(name)));
    let servers = vpcs.each_ref().map(|(name, vpc)| Http::start(vpc, SERVER, name).unwrap());
    for ((name, _), server) in vpcs.iter().zip(&servers) {
        let event = json!([server.address().ip(), server.address().port()]);
        let more = json!({"connectors": [name]});
        let python = format!("python-{name}");
        scene.deployed(&python, FETCH, &more);
        let node_more = json!({"connectors": [name], "runtime": "nodejs", "handler": "index.handler"});
        let (status, body) = scene.deploy_files(&format!("node-{name}"), &[("index.js", node)], &node_more);
        assert_eq!(status, 201, "{body}");
        let shell_more = json!({"connectors": [name], "runtime": "provided", "handler": null});
        let (status, body) =
            scene.deploy_files(&format!("shell-{name}"), &[("bootstrap", shell)], &shell_more);
        assert_eq!(status, 201, "{body}");
        for function in ["python", "node", "shell"] {
            for _ in 0..2 {
                let answer = scene.answer(&format!("{function}-{name}"), &event);
                let page = answer
                    .as_str()
                    .map_or_else(|| answer.clone(), |text| serde_json::from_str(text).unwrap());
                assert_eq!(page["server"], *name, "{function}: {page}");
                assert!(page["client"].as_str().unwrap().starts_with(&EXTERNAL.to_string()), "{page}");
            }
        }
        assert_eq!(server.clients().len(), 6);
    }
    // Each is a container of its tenant's while it is there, with sessions that can be looked at.
    let containers = scene.api.get("/v1/containers").1;
    let functions: Vec<_> =
        containers["items"].as_array().unwrap().iter().map(|item| &item["function"]).collect();
    assert_eq!(functions.len(), 6, "{containers}");
    assert!(functions.iter().any(|name| *name == "node-billing"));
    let spans = scene.api.get("/v1/functions/python-orders/invocations").1;
    let first = spans["items"].as_array().unwrap().last().unwrap().clone();
    let names: Vec<_> =
        first["spans"].as_array().unwrap().iter().map(|span| span["name"].as_str().unwrap()).collect();
    for name in ["mount", "load", "attach", "handler"] {
        assert!(names.contains(&name), "{first}");
    }
}

#[test]
fn a_function_without_a_connector_reaches_nothing_and_hears_so_at_once() {
    let scene = Scene::start("fn-deny");
    let vpc = scene.vpc("orders");
    let server = Http::start(&vpc, SERVER, "orders").unwrap();
    scene.deployed("lonely", FETCH, &json!({}));
    let event = json!([server.address().ip(), server.address().port()]);
    let (status, code, error) = scene.fault("lonely", &event);
    assert_eq!((status, code.as_str()), (502, "function_failed"));
    assert_eq!(error["errorType"], "OSError", "ICMP says so: {error}");
    assert!(server.clients().is_empty());
}
