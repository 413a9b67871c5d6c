//! A function that tries to get out.

use std::fs;
use std::os::unix::net::UnixListener;

use sandbox::Oci;
use serde_json::json;

use crate::fixture::{World, event, json};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_denied_to_a_function_that_tries_to_get_out() {
    tries_to_get_out(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_denied_under_runc_too() {
    tries_to_get_out(World::with(Oci::Program("runc".into())).await).await;
}

async fn tries_to_get_out(world: World) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("daemon.sock");
    let _daemon = UnixListener::bind(&socket).unwrap();
    let code =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/functions/escape/handler.py")).unwrap();
    let container = world.function("python3", &[("handler.py", &code)]).await;
    let other = world.warm("python3").await;
    let event_ = json!({
        "daemon": std::process::id(),
        "sockets": [socket],
        "addresses": [["169.254.169.254", 80], ["169.254.1.1", 80], ["169.254.1.2", 9001], ["10.0.0.1", 80], ["fe80::1", 80]],
    });
    let outcomes = json(container.invoke(event("one", &event_.to_string())).await);
    let outcomes = outcomes.as_object().unwrap();
    assert!(outcomes.len() > 90, "{} attempts", outcomes.len());
    let allowed: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| !outcome.as_str().unwrap().starts_with("denied: ")).collect();
    assert!(allowed.is_empty(), "{allowed:#?}");
    container.remove().await;
    other.remove().await;
    assert_eq!(world.left(), [""; 0]);
}
