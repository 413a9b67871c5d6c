//! Pages of lists while these change.

use serde_json::{Value, json};

use crate::server::{Api, ask};

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_show_what_is_there_all_the_time_exactly_once() {
    let api = Api::start().await;
    let create =
        async |name: String| api.create("/v1/connectors", json!({"name": name, "vpc": "other/v"})).await;
    for i in 0..20 {
        create(format!("k{i:02}")).await;
    }
    let (mut seen, mut path, mut pages) = (Vec::new(), "/v1/connectors?limit=3".to_owned(), 0);
    loop {
        let page = api.get(&path).await;
        assert!(names(&page).len() <= 3);
        seen.extend(names(&page));
        // Before and behind where the reader is, and the cursor itself.
        create(format!("a{pages}")).await;
        create(format!("z{pages}")).await;
        if pages == 2 {
            api.expect(204, ask("DELETE", "/v1/connectors/k08")).await;
        }
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/connectors?limit=3&cursor={cursor}");
        assert!(pages < 100, "it does not end");
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(seen, sorted, "in order, and none twice");
    for i in 0..20 {
        assert!(seen.contains(&format!("k{i:02}")), "k{i:02}");
    }
    assert!(!seen.iter().any(|name| name.starts_with('a')), "what came before the cursor came too late");
    let all = api.get("/v1/connectors?limit=1000").await;
    assert!(all.get("next_cursor").is_none());
    api.refuse("invalid_query", ask("GET", "/v1/connectors?cursor=K")).await;
}

#[tokio::test]
async fn every_list_has_pages() {
    let api = Api::start().await;
    for i in 0..3 {
        api.create("/v1/tenants", json!({"name": format!("t{i}")})).await;
        api.create("/v1/tokens", json!({"name": format!("t{i}"), "role": "reader"})).await;
    }
    for (path, expected) in
        [("/v1/tenants", &["default", "t0", "t1", "t2"][..]), ("/v1/tokens", &["t0", "t1", "t2"])]
    {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("{path}?limit=1{cursor}")).await;
            seen.extend(names(&page));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, expected, "{path}");
    }
    let newest = api.get("/v1/audit?limit=2").await;
    let last = newest["items"][1]["number"].as_u64().unwrap();
    let older = api.get(&format!("/v1/audit?limit=1&before={last}")).await;
    assert!(older["items"][0]["number"].as_u64().unwrap() < last);
    api.refuse("invalid_query", ask("GET", "/v1/audit?before=x")).await;
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_and_what_was_refused_is_not_in_it() {
    let api = Api::start().await;
    api.make_tenant("acme", "").await;
    let secret = api.token("acme", "ci", "admin").await;
    let made = ask("POST", "/v1/connectors").bearing(&secret).json(&json!({"name": "k", "vpc": "other/v"}));
    let answer = api.ask(made.clone()).await;
    api.refuse("already_exists", made).await;
    api.expect(204, ask("DELETE", "/v1/connectors/k?dry_run=true").bearing(&secret)).await;
    api.expect(200, ask("PATCH", "/v1/connectors/k").bearing(&secret).json(&json!({"linger_s": 1}))).await;
    api.expect(204, ask("DELETE", "/v1/connectors/k").of("acme")).await;
    let log = api.expect(200, ask("GET", "/v1/audit").bearing(&secret)).await;
    let told: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            ["principal", "action", "target"].map(|field| e[field].as_str().unwrap().to_owned()).join(" ")
        })
        .collect();
    let (local, token, k) = ("uid:0", "token:acme/ci", "/v1/connectors/k");
    let expected = [
        format!("{local} delete_connector {k}"),
        format!("{token} update_connector {k}"),
        format!("{token} create_connector {k}"),
        format!("{local} create_token /v1/tokens/ci"),
        format!("{local} create_tenant /v1/tenants/acme"),
    ];
    assert_eq!(told, expected);
    assert_eq!(log["items"][2]["request"], answer.headers["x-request-id"]);
    let default = api.get("/v1/audit").await;
    assert_eq!(default["items"], json!([]), "another tenant's are not told");
}
