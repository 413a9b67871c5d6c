//! Tenants that look for what others have.

use serde_json::{Value, json};

use crate::netns::{Netns, container, vpc};
use crate::operations::all;
use crate::server::{Answer, Api, Ask, ask};

/// Every operation of the document as `secret`'s bearer asks it, with what the answers are; counts of changes are another each time.
async fn everything(api: &Api, secret: &str, netns: &Netns) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    for operation in all() {
        let answer = api.ask(operation.request(netns).bearing(secret)).await.stripped();
        let answer = match &*operation.id {
            "metrics" | "stats" => without_traffic(answer),
            _ => without_revisions(answer),
        };
        answers.push((operation.id, answer));
    }
    // Those that name another tenant.
    for (method, path) in [
        ("PUT", "/v1/vpcs/v/connectors/a%2Fk"),
        ("DELETE", "/v1/vpcs/v/connectors/a%2Fk"),
        ("PUT", "/v1/vpcs/own/connectors/a%2Fk"),
        ("DELETE", "/v1/vpcs/own/connectors/a%2Fk"),
        ("GET", "/v1/vpcs/a%2Fv"),
        ("GET", "/v1/sessions?vpc=v"),
        ("GET", "/v1/sessions?vpc=a%2Fv"),
        ("GET", "/v1/sessions?container=c"),
        ("GET", "/v1/sessions?connector=k"),
    ] {
        let answer = api.ask(ask(method, path).bearing(secret)).await.stripped();
        answers.push((format!("{method} {path}"), without_revisions(answer)));
    }
    for vpc in ["a/v", "a/nothing", "nobody/v"] {
        let new = json!({"name": "k9", "vpc": vpc, "destinations": ["10.1.0.0/24"], "external_addresses": ["10.1.0.20"]});
        let request = ask("POST", "/v1/connectors?dry_run=true").bearing(secret).json(&new);
        let answer = api.ask(request).await.stripped();
        assert_eq!(answer.status, 201);
        let text = answer.text.replace(vpc, "VPC");
        answers.push(("create_connector to another's".into(), Answer { text, ..answer }));
    }
    answers
}

fn without_revisions(mut answer: Answer) -> Answer {
    let text = without_number(&answer.text, "\"revision\":");
    let text = without_number(&text, "\"created_at\":");
    let length = text.len().to_string();
    if answer.headers.contains_key("content-length") {
        answer.headers.insert("content-length".into(), length);
    }
    Answer { text, ..answer }
}

fn without_number(text: &str, field: &str) -> String {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut parts = text.split(field);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + field + &part[digits(part)..])
}

/// Counters without their values: the kernel at the other end of the tenant's own link sends when it likes.
fn without_traffic(mut answer: Answer) -> Answer {
    answer.headers.remove("content-length");
    let lines = answer.text.lines().filter(|line| !line.contains("drops_total{"));
    let metrics = lines.map(|line| line.rsplit_once(' ').map_or(line, |(labels, _)| labels)).collect();
    let text = match serde_json::from_str::<Value>(&answer.text) {
        Ok(stats) => {
            let names = ["workers", "containers", "vpcs"].map(|list| {
                let items = stats[list].as_array().into_iter().flatten();
                items.map(|item| item["name"].clone()).collect::<Vec<_>>()
            });
            json!(names).to_string()
        }
        Err(_) => metrics,
    };
    Answer { text, ..answer }
}

#[tokio::test]
async fn no_answer_tells_a_tenant_what_another_has() {
    let (outside, own, inside, api) = (Netns::new(), Netns::new(), Netns::new(), Api::start().await);
    for tenant in ["a", "b"] {
        api.make_tenant(tenant, "").await;
    }
    let secret = api.token("b", "probe", "admin").await;
    api.expect(201, ask("POST", "/v1/vpcs").of("b").json(&vpc("own", &own))).await;
    let before = everything(&api, &secret, &outside).await;

    let of_a = |request: Ask| request.of("a");
    let reserved = json!(["10.1.0.20"]);
    let mut body = vpc("v", &outside);
    body["reserved_addresses"] = reserved.clone();
    api.expect(201, of_a(ask("POST", "/v1/vpcs")).json(&body)).await;
    let connector = json!({"name": "k", "vpc": "v", "external_addresses": reserved});
    api.expect(201, of_a(ask("POST", "/v1/connectors")).json(&connector)).await;
    api.expect(201, of_a(ask("POST", "/v1/containers")).json(&container("c", &inside))).await;
    api.expect(201, of_a(ask("POST", "/v1/tokens")).json(&json!({"name": "t", "role": "reader"}))).await;
    api.expect(201, of_a(ask("POST", "/v1/functions")).json(&crate::functions::function("f"))).await;
    api.make_tenant("x", "").await;
    api.expect(200, of_a(ask("PUT", "/v1/containers/c/connectors/k"))).await;
    assert!(inside.reaches("10.1.0.1"), "there is a session to be seen");

    let after = everything(&api, &secret, &outside).await;
    assert_eq!(before.len(), after.len());
    for ((id, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before, after, "{id}");
    }
    // The other tenant sees all of it.
    assert_eq!(api.expect(200, of_a(ask("GET", "/v1/sessions"))).await["items"][0]["container"], "c");
}

#[tokio::test]
async fn the_owner_of_a_vpc_sees_who_wants_in_but_not_their_containers() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start().await);
    for tenant in ["a", "b"] {
        api.make_tenant(tenant, "").await;
    }
    api.expect(201, ask("POST", "/v1/vpcs").of("a").json(&vpc("v", &outside))).await;
    let new = json!({"name": "k", "vpc": "a/v", "users": ["secret-*"]});
    api.expect(201, ask("POST", "/v1/connectors").of("b").json(&new)).await;
    api.expect(201, ask("POST", "/v1/containers").of("b").json(&container("secret-c", &inside))).await;
    let approved = api.ask(ask("PUT", "/v1/vpcs/v/connectors/b%2Fk").of("a")).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
    api.expect(200, ask("PUT", "/v1/containers/secret-c/connectors/k").of("b")).await;
    let mut answers = vec![approved];
    for request in [
        ask("GET", "/v1/vpcs/v/connectors"),
        ask("PUT", "/v1/vpcs/v/connectors/b%2Fk"),
        ask("PUT", "/v1/vpcs/v/connectors/b%2Fk?dry_run=true"),
        ask("DELETE", "/v1/vpcs/v/connectors/b%2Fk?dry_run=true"),
        ask("DELETE", "/v1/vpcs/v?dry_run=true"),
        ask("GET", "/v1/sessions"),
        ask("GET", "/v1/stats"),
        ask("GET", "/metrics"),
        ask("DELETE", "/v1/vpcs/v/connectors/b%2Fk"),
        ask("GET", "/v1/audit"),
    ] {
        answers.push(api.ask(request.of("a")).await);
    }
    for answer in answers {
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}
