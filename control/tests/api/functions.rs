//! Functions, their versions and pools over HTTP. No container is needed for any of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control::Settings;
use serde_json::{Value, json};

use crate::netns::{Netns, container, vpc};
use crate::server::{Api, Ask, ask};

/// An archive with one file, in base64.
pub(crate) fn zip(text: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("handler.py");
    std::fs::write(&file, text).unwrap();
    json!({"zip": STANDARD.encode(sandbox::pack(&file).unwrap())})
}

pub(crate) fn function(name: &str) -> Value {
    json!({"name": name, "runtime": "python3", "handler": "handler.handler", "code": zip("one")})
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn patch(path: &str, body: &Value) -> Ask {
    ask("PATCH", path).json(body)
}

/// Hashes of code that the store has.
fn stored(api: &Api) -> BTreeSet<String> {
    let names = std::fs::read_dir(&api.code).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_str().unwrap().to_owned()).filter(|name| name.len() == 64).collect()
}

#[tokio::test]
async fn a_function_is_deployed_changed_and_deleted() {
    let api = Api::start().await;
    let new = with(function("f"), "environment", json!({"STAGE": "test"}));
    let created = api.ask(ask("POST", "/v1/functions").json(&new)).await;
    assert_eq!((created.status, &*created.headers["location"]), (201, "/v1/functions/f"));
    let view = created.json();
    assert_eq!(
        (&view["version"], &view["timeout_s"], &view["memory_mb"]),
        (&json!(1), &json!(3), &json!(128))
    );
    assert_eq!(view["environment"], json!({"STAGE": "test"}));
    assert!(view["code_bytes"].as_u64().unwrap() > 0 && view["code"].is_null(), "{view}");
    assert_eq!(stored(&api), BTreeSet::from([view["code_sha256"].as_str().unwrap().to_owned()]));
    assert_eq!(api.get("/v1/functions/f").await, view);
    assert_eq!(api.get("/v1/functions").await["items"], json!([view]));

    let second =
        api.expect(200, patch("/v1/functions/f", &json!({"code": zip("two"), "timeout_s": 60}))).await;
    assert_eq!((&second["version"], &second["timeout_s"]), (&json!(2), &json!(60)));
    assert_ne!(second["code_sha256"], view["code_sha256"]);
    assert_eq!(stored(&api).len(), 2);
    let same =
        api.expect(200, patch("/v1/functions/f", &json!({"code": zip("two"), "concurrency": 3}))).await;
    assert_eq!((&same["version"], &same["concurrency"]), (&json!(2), &json!(3)), "made of the same");
    let less = json!({"concurrency": null, "environment": {"STAGE": null, "A": "b"}, "timeout_s": null});
    let third = api.expect(200, patch("/v1/functions/f", &less)).await;
    assert_eq!((&third["version"], &third["timeout_s"]), (&json!(3), &json!(3)));
    assert_eq!((&third["environment"], third["concurrency"].is_null()), (&json!({"A": "b"}), true));

    let versions = api.get("/v1/functions/f/versions").await["items"].clone();
    let numbers: Vec<_> = versions.as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(versions[0]["code_sha256"], view["code_sha256"]);
    api.refuse("in_use", ask("DELETE", "/v1/functions/f/versions/3")).await;
    api.expect(204, ask("DELETE", "/v1/functions/f/versions/1")).await;
    for gone in ["1", "9", "x", "-1"] {
        api.refuse("not_found", ask("DELETE", &format!("/v1/functions/f/versions/{gone}"))).await;
    }
    api.expect(204, ask("DELETE", "/v1/functions/f")).await;
    for path in ["/v1/functions/f", "/v1/functions/f/versions"] {
        api.refuse("not_found", ask("GET", path)).await;
    }
    api.refuse("not_found", patch("/v1/functions/f", &json!({}))).await;
    api.stop().await;
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused_with_what_is_wrong() {
    let api = Api::start().await;
    let create = |body: Value| ask("POST", "/v1/functions").json(&body);
    for (field, value, code, blamed) in [
        ("runtime", json!("cobol"), "unknown_runtime", "runtime"),
        ("runtime", json!("broken"), "unknown_runtime", "runtime"),
        ("code", json!(null), "missing_field", "code"),
        ("code", json!({}), "missing_field", "code.zip"),
        ("code", json!({"zip": "%%%"}), "invalid_code", "code.zip"),
        ("code", json!({"zip": "aGVsbG8="}), "invalid_code", "code.zip"),
        ("code", json!({"zip": ""}), "invalid_code", "code.zip"),
        ("code", json!({"tar": ""}), "unknown_field", "code.tar"),
        ("timeout_s", json!(901), "invalid_number", "timeout_s"),
        (
            "environment",
            json!({"AWS_LAMBDA_RUNTIME_API": "x"}),
            "invalid_environment",
            "environment.AWS_LAMBDA_RUNTIME_API",
        ),
        ("environment", json!({"A": 1}), "invalid_type", "environment.A"),
        ("connectors", json!(["k"]), "not_found", "connectors"),
        ("nonsense", json!(1), "unknown_field", "nonsense"),
    ] {
        let problem = api.refuse(code, create(with(function("f"), field, value.clone()))).await;
        assert_eq!(problem["field"], blamed, "{field} {value}: {problem}");
    }
    let two = with(with(function("F"), "memory_mb", json!(1)), "code", json!(null));
    let problem = api.refuse("missing_field", create(two)).await;
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");
    api.refuse("not_found", ask("GET", "/v1/functions/f")).await;
    assert!(stored(&api).is_empty(), "nothing is left");

    api.create("/v1/functions", function("f")).await;
    api.refuse("already_exists", create(with(function("f"), "code", zip("two")))).await;
    api.refuse("immutable_field", patch("/v1/functions/f", &json!({"name": "g"}))).await;
    api.refuse("unknown_runtime", patch("/v1/functions/f", &json!({"runtime": "cobol"}))).await;
    api.refuse("invalid_code", patch("/v1/functions/f", &json!({"code": {"zip": "aGVsbG8="}}))).await;
    api.refuse("missing_field", patch("/v1/functions/f", &json!({"handler": null}))).await;
    assert_eq!(stored(&api).len(), 1, "what was refused anyway is not stored");
    assert_eq!(api.get("/v1/functions/f").await["version"], 1);
}

#[tokio::test]
async fn long_bodies_are_read_where_code_is_sent() {
    let api = Api::start().await;
    let noise: String =
        (0..60_000_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string() + " ").collect();
    let long = zip(&noise);
    assert!(long.to_string().len() > 200_000);
    let view = api.create("/v1/functions", with(function("f"), "code", long.clone())).await;
    let again = api.expect(200, patch("/v1/functions/f", &json!({"code": long, "timeout_s": 7}))).await;
    assert_eq!(again["code_sha256"], view["code_sha256"]);
    // What is no JSON is still told as such.
    let cut = with(function("g"), "code", json!({"zip": noise, "more": [noise]}));
    api.refuse("unknown_field", ask("POST", "/v1/functions").json(&cut)).await;
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_tells_what_would_be() {
    let api = Api::start().await;
    let dry = ask("POST", "/v1/functions?dry_run=true").json(&function("f"));
    let foreseen = api.expect(201, dry).await;
    assert!(stored(&api).is_empty());
    api.refuse("not_found", ask("GET", "/v1/functions/f")).await;
    let made = api.create("/v1/functions", function("f")).await;
    assert_eq!(
        (&foreseen["code_sha256"], &foreseen["code_bytes"]),
        (&made["code_sha256"], &made["code_bytes"])
    );
    let dry = patch("/v1/functions/f?dry_run=true", &json!({"code": zip("two")}));
    assert_eq!(api.expect(200, dry).await["version"], 2);
    for path in ["/v1/functions/f?dry_run=true", "/v1/pools/python3?dry_run=true"] {
        let method = if path.contains("pools") { "PATCH" } else { "DELETE" };
        let request = ask(method, path);
        let request = if method == "PATCH" { request.json(&json!({"min_warm": 9})) } else { request };
        assert!(api.ask(request).await.status < 300);
    }
    assert_eq!(api.get("/v1/functions/f").await, made);
    assert_eq!(api.get("/v1/pools/python3").await["min_warm"], 2);
    assert_eq!(stored(&api).len(), 1);
}

#[tokio::test]
async fn a_connector_says_which_functions_may_use_it_and_cannot_take_it_back() {
    let (outside, api) = (Netns::new(), Api::start().await);
    api.create("/v1/vpcs", vpc("v", &outside)).await;
    api.create("/v1/connectors", json!({"name": "k", "vpc": "v", "functions": ["f*"]})).await;
    let wants = |name: &str| with(function(name), "connectors", json!(["k"]));
    let problem = api.refuse("may_not_use", ask("POST", "/v1/functions").json(&wants("g"))).await;
    assert!(
        problem["detail"].as_str().unwrap().contains("connector k may not be used by function g"),
        "{problem}"
    );
    api.create("/v1/functions", wants("f")).await;
    for request in [
        ask("DELETE", "/v1/connectors/k"),
        patch("/v1/connectors/k", &json!({"functions": ["g"]})),
        patch("/v1/connectors/k", &json!({"functions": null, "users": ["c"]})),
    ] {
        let problem = api.refuse("in_use", request).await;
        assert_eq!(problem["dependents"], json!(["f"]));
    }
    api.expect(200, patch("/v1/connectors/k", &json!({"functions": ["f"]}))).await;
    // It can be revoked. Then nothing is deployed with it.
    api.expect(200, ask("DELETE", "/v1/vpcs/v/connectors/k")).await;
    api.refuse("not_approved", patch("/v1/functions/f", &json!({"timeout_s": 9}))).await;
    api.expect(200, patch("/v1/functions/f", &json!({"connectors": []}))).await;
    api.expect(204, ask("DELETE", "/v1/connectors/k")).await;
}

#[tokio::test]
async fn a_container_may_not_use_what_is_for_functions() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    api.create("/v1/vpcs", vpc("v", &outside)).await;
    api.create("/v1/connectors", json!({"name": "k", "vpc": "v", "functions": ["c"]})).await;
    api.create("/v1/containers", container("c", &inside)).await;
    api.refuse("may_not_use", ask("PUT", "/v1/containers/c/connectors/k")).await;
}

#[tokio::test]
async fn repeats_late_writers_and_watchers_are_served_as_everywhere() {
    let api = Api::start().await;
    let revision = api.get("/v1/functions").await["revision"].as_u64().unwrap();
    let create = |body: &Value| ask("POST", "/v1/functions").header("idempotency-key", "k").json(body);
    let first = api.ask(create(&function("f"))).await.stripped();
    assert_eq!(first.status, 201);
    assert_eq!(api.ask(create(&function("f"))).await.stripped(), first);
    api.refuse("key_reused", create(&function("g"))).await;
    let late = |tag: &str| patch("/v1/functions/f", &json!({"timeout_s": 9})).header("if-match", tag);
    assert_eq!(api.ask(late(&first.etag())).await.status, 200);
    api.refuse("changed", late(&first.etag())).await;
    api.refuse("changed", ask("DELETE", "/v1/functions/f").header("if-match", &first.etag())).await;
    api.expect(204, ask("DELETE", "/v1/functions/f")).await;
    api.refuse("key_done", create(&function("f"))).await;
    for name in ["a", "b", "c"] {
        api.create("/v1/functions", function(name)).await;
    }
    let page = api.get("/v1/functions?limit=2").await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next_cursor"]), (2, &json!("b")));
    let told = crate::watches::told_since(&api, "/v1/functions", revision, 6).await;
    assert_eq!(told, ["deleted f", "deleted f", "deleted f", "created a", "created b", "created c"]);
}

#[tokio::test]
async fn values_of_variables_are_in_no_audit_log_and_no_other_tenants_answer() {
    let api = Api::start().await;
    for tenant in ["a", "b"] {
        api.make_tenant(tenant, "").await;
    }
    let secret = with(function("f"), "environment", json!({"TOKEN": "hunter2"}));
    api.expect(201, ask("POST", "/v1/functions").of("a").json(&secret)).await;
    api.refuse("in_use", ask("DELETE", "/v1/tenants/a")).await;
    api.refuse("not_found", ask("GET", "/v1/functions/f").of("b")).await;
    assert_eq!(api.expect(200, ask("GET", "/v1/functions").of("b")).await["items"], json!([]));
    let audit = api.ask(ask("GET", "/v1/audit").of("a")).await.text;
    assert!(audit.contains("create_function") && audit.contains("/v1/functions/f"), "{audit}");
    assert!(!audit.contains("hunter2") && !crate::logs::text().contains("hunter2"));
}

#[tokio::test]
async fn pools_are_there_for_each_runtime_and_the_local_administrators_to_change() {
    let api = Api::start().await;
    let pools = api.get("/v1/pools").await["items"].clone();
    let names: Vec<_> = pools.as_array().unwrap().iter().map(|pool| pool["runtime"].clone()).collect();
    assert_eq!(names, ["python3", "provided", "broken"]);
    assert!(pools[0]["unavailable"].is_null() && pools[2]["unavailable"] == "there is no such file");
    let before = api.ask(ask("GET", "/v1/pools/python3")).await;
    assert_eq!((before.json()["revision"].clone(), before.json()["max_warm"].clone()), (json!(0), json!(16)));
    let change = json!({"min_warm": 5, "memory_mb": 512});
    let after = api.ask(patch("/v1/pools/python3", &change).header("if-match", &before.etag())).await;
    assert_eq!(after.status, 200, "{}", after.text);
    assert_eq!((&after.json()["min_warm"], &after.json()["refill_per_s"]), (&json!(5), &json!(20)));
    api.refuse("changed", patch("/v1/pools/python3", &change).header("if-match", &before.etag())).await;
    api.expect(200, patch("/v1/pools/python3", &json!({"memory_mb": null}))).await;
    assert_eq!(api.get("/v1/pools/python3").await["memory_mb"], 16_384);
    let problem = api.refuse("invalid_number", patch("/v1/pools/python3", &json!({"max_warm": 4}))).await;
    assert_eq!(problem["field"], "max_warm");
    api.refuse("not_found", ask("GET", "/v1/pools/cobol")).await;
    api.refuse("not_found", patch("/v1/pools/cobol", &json!({}))).await;
    let secret = api.token("default", "t", "admin").await;
    assert_eq!(api.ask(ask("GET", "/v1/pools").bearing(&secret)).await.status, 200);
    let refused = api.ask(patch("/v1/pools/python3", &change).bearing(&secret)).await;
    assert_eq!(refused.status, 403);
}

/// An export of the store, once the daemon has closed it.
async fn exported(store: &Path) -> Vec<u8> {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let mut export = Vec::new();
        match control::state::export(store, &mut export) {
            Ok(_) => return export,
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn functions_and_pools_outlive_the_daemon_and_travel_with_an_export() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), Netns::new());
    let store = folder.path().join("store");
    let start = |store: &Path| {
        let store = store.to_path_buf();
        async move { Api::with(Some(&store), Settings::default()).await }
    };
    let api = start(&store).await;
    api.create("/v1/vpcs", vpc("v", &outside)).await;
    api.create("/v1/connectors", json!({"name": "k", "vpc": "v"})).await;
    let new = with(with(function("f"), "connectors", json!(["k"])), "environment", json!({"A": "b\n"}));
    api.create("/v1/functions", new).await;
    api.expect(200, patch("/v1/functions/f", &json!({"code": zip("two")}))).await;
    api.expect(200, patch("/v1/pools/python3", &json!({"min_warm": 7}))).await;
    let paths = ["/v1/functions/f", "/v1/functions/f/versions", "/v1/pools/python3"];
    let mut before = Vec::new();
    for path in paths {
        before.push(api.get(path).await);
    }
    let code = stored(&api);
    api.stop().await;

    let api = start(&store).await;
    for (path, before) in paths.iter().zip(&before) {
        assert_eq!(api.get(path).await, *before);
    }
    assert_eq!(stored(&api), code, "code that is needed is not swept away");
    assert_eq!(api.expect(200, patch("/v1/functions/f", &json!({"timeout_s": 9}))).await["version"], 3);
    api.refuse("in_use", ask("DELETE", "/v1/connectors/k")).await;
    before[0] = api.get(paths[0]).await;
    before[1] = api.get(paths[1]).await;
    api.stop().await;

    let export = exported(&store).await;
    let other = folder.path().join("other");
    control::state::import(&other, &mut &*export, control::state::Existing::Keep).unwrap();
    let api = start(&other).await;
    for (path, before) in paths.iter().zip(&before) {
        assert_eq!(api.get(path).await, *before);
    }
    api.stop().await;
}

#[tokio::test]
async fn without_what_functions_need_they_are_only_looked_at_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let api = Api::with(Some(&store), Settings::default()).await;
    api.create("/v1/functions", function("f")).await;
    api.stop().await;
    let api = Api::without_functions(Some(&store)).await;
    assert_eq!(api.get("/v1/functions/f").await["version"], 1);
    for request in [
        ask("POST", "/v1/functions").json(&function("g")),
        patch("/v1/functions/f", &json!({"timeout_s": 9})),
        ask("GET", "/v1/pools"),
        ask("GET", "/v1/pools/python3"),
        patch("/v1/pools/python3", &json!({})),
    ] {
        let answer = api.ask(request).await;
        assert_eq!((answer.status, &*answer.code()), (503, "functions_unavailable"));
    }
    api.expect(204, ask("DELETE", "/v1/functions/f")).await;
}
