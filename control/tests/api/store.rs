//! A store that outlives the daemon, and one that cannot be written; secrets in logs.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use control::Settings;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use crate::netns::{Netns, container};
use crate::server::{Api, ask};

/// A small file system, gone with the value.
struct Small(tempfile::TempDir);

impl Small {
    fn new(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        mount(Some("store"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) {
        let mut file = File::create(self.path().join("ballast")).unwrap();
        loop {
            match file.write(&[1; 512]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn a_full_store_refuses_changes_and_nothing_else() {
    let (disk, outside, inside) = (Small::new("size=8m"), Netns::new(), Netns::new());
    let spare = Netns::new();
    let api = Api::with(Some(&disk.path().join("store")), Settings::default()).await;
    api.make_vpc(&outside).await;
    api.create("/v1/containers", container("c", &inside)).await;
    api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;
    assert!(inside.reaches("10.1.0.1"));
    disk.fill();
    // What is free within the file can still be used.
    let users: Vec<_> = (10..74).map(|i| format!("{}{i}", "c".repeat(60))).collect();
    let create = |i: usize| json!({"name": format!("k{i}"), "vpc": "other/v", "users": users});
    let mut refused = None;
    for i in 0..2_000 {
        let answer = api.ask(ask("POST", "/v1/connectors").json(&create(i))).await;
        if answer.status != 201 {
            refused = Some((i, answer));
            break;
        }
    }
    let (next, answer) = refused.expect("the disk is full at some time");
    assert_eq!((answer.status, &*answer.code()), (503, "store_unavailable"));
    api.refuse("not_found", ask("GET", &format!("/v1/connectors/k{next}"))).await;
    assert_eq!(api.ask(ask("GET", "/readyz")).await.code(), "store_unavailable");
    for request in [
        ask("DELETE", "/v1/containers/c/connectors/k"),
        ask("POST", "/v1/containers").json(&container("c2", &spare)),
        ask("POST", "/v1/connectors").json(&create(next)),
    ] {
        let told = format!("{request:?}");
        let answer = api.ask(request).await;
        assert_eq!((answer.status, &*answer.code()), (503, "store_unavailable"), "{told}: {}", answer.text);
    }
    assert!(!spare.has("eth0"));
    // What runs goes on.
    assert!(inside.reaches("10.1.0.1"));
    assert_eq!(api.get("/v1/containers/c").await["connectors"], json!(["k"]));

    disk.make_room();
    api.expect(201, ask("POST", "/v1/connectors").json(&create(next))).await;
    assert_eq!(api.ask(ask("GET", "/readyz")).await.status, 200);
    api.expect(204, ask("DELETE", "/v1/containers/c")).await;
    api.stop().await;
    let api = Api::with(Some(&disk.path().join("store")), Settings::default()).await;
    api.await_state("/v1/vpcs/v", "ready").await;
    api.expect(204, ask("DELETE", "/v1/connectors/k")).await;
    api.expect(204, ask("DELETE", "/v1/vpcs/v")).await;
    api.stop().await;
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let (store, outside, inside) = (tempfile::tempdir().unwrap(), Netns::new(), Netns::new());
    let api = Api::with(Some(store.path()), Settings::default()).await;
    api.make_vpc(&outside).await;
    api.create("/v1/containers", container("c", &inside)).await;
    api.expect(200, ask("PUT", "/v1/containers/c/connectors/k")).await;
    assert!(inside.reaches("10.1.0.1"));
    let mut before = Vec::new();
    for path in ["/v1/vpcs/v", "/v1/connectors/k", "/v1/containers/c", "/v1/tenants/default"] {
        before.push((path, api.get(path).await));
    }
    api.stop().await;

    let api = Api::with(Some(store.path()), Settings::default()).await;
    api.await_state("/v1/containers/c", "ready").await;
    api.await_state("/v1/connectors/k", "ready").await;
    for (path, mut seen) in before {
        let mut again = api.get(path).await;
        // Counted by the gateway, which has begun anew; or chosen by it again.
        for view in [&mut seen, &mut again] {
            let fields = view.as_object_mut().unwrap();
            fields.remove("ports_used");
            fields.remove("worker");
        }
        assert_eq!(again, seen, "{path}");
    }
    assert!(inside.reaches("10.1.0.1"));
    api.expect(204, ask("DELETE", "/v1/containers/c")).await;
    api.expect(204, ask("DELETE", "/v1/connectors/k")).await;
    api.expect(204, ask("DELETE", "/v1/vpcs/v")).await;
    assert!(!inside.has("eth0") && !outside.has("wharf0"));
    api.stop().await;
}

#[tokio::test]
async fn no_secret_is_in_any_log_or_problem() {
    let api = Api::start().await;
    let secret = api.token("default", "logged", "reader").await;
    let random = secret.rsplit('_').next().unwrap();
    let mut answers = Vec::new();
    for request in [
        ask("GET", "/v1/vpcs").bearing(&secret),
        ask("DELETE", "/v1/vpcs/v").bearing(&secret),
        ask("GET", "/v1/vpcs").bearing(&format!("{secret}0")),
        ask("GET", "/v1/vpcs").header("authorization", &secret),
        ask("GET", "/v1/vpcs").header("authorization", &format!("Basic {secret}")),
        ask("POST", "/v1/vpcs").bearing(&secret).json(&json!([])),
    ] {
        answers.push(api.ask(request).await.text);
    }
    api.expect(204, ask("DELETE", "/v1/tokens/logged")).await;
    answers.push(api.ask(ask("GET", "/v1/vpcs").bearing(&secret)).await.text);
    for answer in answers {
        assert!(!answer.contains(random), "{answer}");
    }
    let log = crate::logs::text();
    assert!(log.contains("token created") && log.contains("refused"), "the log tells of it");
    assert!(!log.contains(random), "a secret is in the log");
}
