//! A function that tries to get out of a daemon's container.

use serde_json::json;

use crate::fixture::{ECHO, Scene};

#[test]
fn everything_is_denied_to_a_function_of_a_daemon() {
    let scene = Scene::start("fn-escape");
    let _vpc = scene.vpc("orders");
    scene.deployed("other", ECHO, &json!({}));
    scene.answer("other", &json!(1));
    let code =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/functions/escape/handler.py")).unwrap();
    scene.deployed("escapes", &code, &json!({"timeout_s": 60, "memory_mb": 256}));
    let host = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let event = json!({
        "daemon": scene.daemon.pid(),
        "sockets": [scene.daemon.socket()],
        // The metadata service, the gateway, itself by its own address from where others might be, the host, the VPC without a connector.
        "addresses": [["169.254.169.254", 80], ["169.254.1.1", 80], ["169.254.1.1", port], ["169.254.1.2", 9001], ["127.0.0.1", port], ["10.1.0.1", 80], ["fe80::1", 80]],
    });
    let outcomes = scene.answer("escapes", &event);
    let outcomes = outcomes.as_object().unwrap();
    assert!(outcomes.len() > 90, "{} attempts", outcomes.len());
    let allowed: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| !outcome.as_str().unwrap().starts_with("denied: ")).collect();
    assert!(allowed.is_empty(), "{allowed:#?}");
    assert_eq!(scene.answer("other", &json!(2)), 2);
}
