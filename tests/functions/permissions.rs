//! A function may use what both sides say, as long as they say it, and nothing else.

use std::thread;
use std::time::Duration;

use netlab::traffic::Http;
use serde_json::json;
use tests::SERVER;

use crate::fixture::{FETCH, Scene, patiently};

#[test]
fn a_function_that_a_connector_does_not_name_cannot_be_deployed_with_it() {
    let scene = Scene::start("fn-users");
    let _vpc = scene.vpc("orders");
    let new = json!({"name": "reports", "vpc": "orders", "functions": ["report-*"]});
    assert_eq!(scene.api.post("/v1/connectors", &new).0, 201);
    let more = json!({"connectors": ["reports"]});
    let (status, body) = scene.deploy("shop", FETCH, &more);
    assert_eq!((status, body["code"].as_str()), (403, Some("may_not_use")), "{body}");
    assert_eq!(scene.api.get("/v1/functions/shop").0, 404, "a failed call leaves nothing");
    let (status, body) = scene.deploy("shop", FETCH, &json!({"connectors": ["none"]}));
    assert_eq!((status, body["code"].as_str()), (404, Some("not_found")), "{body}");
    scene.deployed("report-daily", FETCH, &more);
    // While the function names it, it can be neither deleted nor taken away.
    let (status, body) = scene.api.delete("/v1/connectors/reports");
    assert_eq!((status, body["code"].as_str()), (409, Some("in_use")), "{body}");
    let (status, body) = scene.patch("/v1/connectors/reports", &json!({"functions": ["other"]}));
    assert_eq!((status, body["code"].as_str()), (409, Some("in_use")), "{body}");
}

#[test]
fn a_revoked_connector_ends_what_a_function_has_in_mid_flight_and_reaches_nothing_until_it_is_approved_again()
{
    let scene = Scene::start("fn-revoke");
    let vpc = scene.vpc("orders");
    let server = Http::start(&vpc, SERVER, "orders").unwrap();
    let (host, port) = (server.address().ip().to_string(), server.address().port());
    // Opens a connection, says so, and waits on it for an answer to what it never asks.
    let wait = "import socket\ndef handler(event, context):\n    one = socket.create_connection(tuple(event[:2]), 2)\n    print('connected', flush=True)\n    one.settimeout(8)\n    try:\n        return repr(one.recv(1))\n    except OSError as error:\n        return type(error).__name__\n";
    scene.deployed("waits", wait, &json!({"connectors": ["orders"]}));
    scene.deployed("fetches", FETCH, &json!({"connectors": ["orders"]}));
    let event = json!([host, port]);
    assert!(scene.answer("fetches", &event).as_str().unwrap().contains("orders"));
    thread::scope(|scope| {
        let waits = scope.spawn(|| scene.answer("waits", &event));
        patiently("the connection", || {
            scene.api.get("/v1/functions/waits/logs").1.to_string().contains("connected")
        });
        let (status, body) = scene.api.delete("/v1/vpcs/orders/connectors/orders");
        assert!(status < 300, "{status} {body}");
        assert_eq!(waits.join().unwrap(), "ConnectionResetError");
    });
    for name in ["fetches", "waits"] {
        let (status, code, _) = scene.fault(name, &event);
        assert_eq!((status, code.as_str()), (409, "not_approved"));
    }
    // What they did before is there to be read.
    let (status, body) = scene.api.get("/v1/functions/waits/logs");
    assert!(status == 200 && body.to_string().contains("connected"), "{status} {body}");
    let (status, body) = scene.api.get("/v1/functions/waits/invocations");
    assert!(status == 200 && body["items"].as_array().is_some_and(|all| !all.is_empty()), "{status} {body}");
    let seen = server.clients().len();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(server.clients().len(), seen);
    let (status, body) = scene.api.put("/v1/vpcs/orders/connectors/orders");
    assert!(status < 300, "{status} {body}");
    assert!(
        scene.answer("fetches", &event).as_str().unwrap().contains("orders"),
        "the environment that it had"
    );
}

#[test]
fn an_environment_is_no_container_that_anybody_attaches_or_deletes() {
    let scene = Scene::start("fn-managed");
    let _vpc = scene.vpc("orders");
    scene.deployed("echo", crate::fixture::ECHO, &json!({}));
    scene.answer("echo", &json!(1));
    let containers = scene.api.get("/v1/containers").1;
    let name = containers["items"][0]["name"].as_str().unwrap().to_owned();
    let managed = |(status, body): tests::Answer| {
        assert_eq!((status, body["code"].as_str()), (409, Some("managed")), "{body}");
    };
    managed(scene.api.put(&format!("/v1/containers/{name}/connectors/orders")));
    managed(scene.api.delete(&format!("/v1/containers/{name}")));
    assert_eq!(scene.answer("echo", &json!(2)), 2);
}
