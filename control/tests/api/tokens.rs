//! Tokens: told once, kept as hashes, good for one tenant and one role.

use serde_json::{Value, json};

use crate::server::{Api, ask};
use control::Settings;

#[tokio::test]
async fn a_secret_is_told_once_and_only_its_hash_is_kept() {
    let store = tempfile::tempdir().unwrap();
    let api = Api::with(Some(store.path()), Settings::default()).await;
    let new = json!({"name": "ci", "role": "operator", "expires_in_s": 3600});
    let created = api.create("/v1/tokens", new).await;
    let secret = created["secret"].as_str().unwrap().to_owned();
    assert_eq!((&created["role"], &created["expired"]), (&json!("operator"), &json!(false)));
    let life = created["expires_at"].as_u64().unwrap() - created["created_at"].as_u64().unwrap();
    assert_eq!(life, 3600);
    for path in ["/v1/tokens", "/v1/tokens/ci", "/v1/audit", "/metrics"] {
        let answer = api.ask(ask("GET", path)).await;
        assert!(!answer.text.contains(&secret) && !answer.text.contains("hash"), "{path}: {}", answer.text);
    }
    assert_eq!(api.ask(ask("GET", "/v1/vpcs").bearing(&secret)).await.status, 200);
    assert_eq!(api.ask_tcp(ask("GET", "/v1/vpcs").bearing(&secret)).await.status, 200);
    api.stop().await;

    let random = secret.rsplit('_').next().unwrap().as_bytes();
    let mut searched = 0;
    for file in std::fs::read_dir(store.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(random.len()).any(|window| window == random), "the secret is in the store");
        searched += bytes.windows(4).filter(|window| window == b"hash").count();
    }
    assert!(searched > 0, "the token is in the store, but not found there");

    let api = Api::with(Some(store.path()), Settings::default()).await;
    assert_eq!(api.ask(ask("GET", "/v1/vpcs").bearing(&secret)).await.status, 200, "after a restart too");
    api.stop().await;
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_refused_without_a_word_about_why() {
    let api = Api::start().await;
    api.make_tenant("acme", "").await;
    let secret = api.token("acme", "t", "admin").await;
    let revoked = api.token("acme", "old", "admin").await;
    api.expect(204, ask("DELETE", "/v1/tokens/old").of("acme")).await;
    let mut wrong = secret.clone();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    let unknown = secret.replace("_t_", "_x_");
    let elsewhere = secret.replace("_acme_", "_default_");
    let mut told = Vec::new();
    for bad in [&*revoked, &wrong, &unknown, &elsewhere, "nonsense", "wharf_", "wharf_acme_t_"] {
        let answer = api.ask_tcp(ask("GET", "/v1/vpcs").bearing(bad)).await;
        assert_eq!((answer.status, &*answer.headers["www-authenticate"]), (401, "Bearer"));
        told.push(answer.stripped());
    }
    assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    for header in ["Basic eDp5", "Bearer", "Bearer ", ""] {
        let answer = api.ask(ask("GET", "/v1/vpcs").header("authorization", header)).await;
        assert_eq!(answer.status, 401, "{header}: the socket's rights do not replace a wrong token");
    }
    assert_eq!(api.ask_tcp(ask("GET", "/v1/vpcs")).await.status, 401);
    assert_eq!(
        api.ask(ask("GET", "/v1/vpcs").header("authorization", &format!("bEARER {secret}"))).await.status,
        200
    );
    // It acts for its own tenant only, whether or not there is another.
    let theirs = |tenant| ask("GET", "/v1/vpcs").bearing(&secret).of(tenant);
    assert_eq!(api.ask(theirs("acme")).await.status, 200);
    let (other, nobody) = (api.ask(theirs("default")).await, api.ask(theirs("nobody")).await);
    assert_eq!(other.status, 403);
    assert_eq!(other.stripped(), nobody.stripped());
}

#[tokio::test]
async fn nobody_gives_out_more_than_they_have() {
    let api = Api::start().await;
    let admin = api.token("default", "admin", "admin").await;
    let operator = api.token("default", "operator", "operator").await;
    let new = |secret: &str, role: &str| {
        ask("POST", "/v1/tokens").bearing(secret).json(&json!({"name": "new", "role": role}))
    };
    api.refuse("forbidden", new(&operator, "reader")).await;
    api.expect(201, new(&admin, "admin")).await;
    api.refuse("forbidden", ask("GET", "/v1/tokens").bearing(&operator)).await;
    for (new, field, code) in [
        (json!({"name": "x", "role": "king"}), "role", "invalid_type"),
        (json!({"name": "x"}), "role", "missing_field"),
        (json!({"name": "x", "role": "reader", "expires_in_s": 59}), "expires_in_s", "invalid_policy"),
    ] {
        let problem = api.refuse(code, ask("POST", "/v1/tokens").json(&new)).await;
        assert_eq!(problem["field"], field, "{new}");
    }
    let mut list = api.get("/v1/tokens").await;
    let names: Vec<Value> =
        list["items"].as_array_mut().unwrap().iter_mut().map(|t| t["name"].take()).collect();
    assert_eq!(names, ["admin", "new", "operator"]);
}

#[tokio::test]
async fn who_is_no_administrator_needs_a_token_on_the_socket_too() {
    let settings = Settings { admins: vec![4_000_000], ..Settings::default() };
    let api = Api::with(None, settings).await;
    assert_eq!(api.ask(ask("GET", "/v1/vpcs")).await.status, 401);
    assert_eq!(api.ask(ask("GET", "/healthz")).await.status, 200);
}
