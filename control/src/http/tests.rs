//! What clients hear of requests that never reach the application.

mod calls;

use std::convert::Infallible;

use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::header::{ALLOW, CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use control_core::{NewConnector, NewContainer, NewVpc, SessionParams};
use futures_util::stream::{self, StreamExt};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::extract::{BODY_BYTES, Body, Path, Query};
use super::*;
use crate::server::Peer;

/// The extractors and layers of the real thing over a state of nothing.
fn router() -> Router {
    let vpcs = |State(()): State<()>, Body(vpc): Body<NewVpc>| async move {
        vpc.validate().map(|vpc| vpc.name.to_string()).map_err(Failure::from)
    };
    let connectors = |Body(connector): Body<NewConnector>| async move {
        connector.validate().map(|connector| connector.name.to_string()).map_err(Failure::from)
    };
    let containers = |Body(container): Body<NewContainer>| async move { container.name };
    let sessions = |Query(params): Query<SessionParams>| async move {
        params.validate().map(|filter| filter.limit.to_string()).map_err(Failure::from)
    };
    let echo = |Path((a, b)): Path<(String, String)>| async move { format!("{a} {b}") };
    let broken = || async { assert!(std::hint::black_box(false), "as tests do") };
    finish(
        calls::routes()
            .route("/v1/vpcs", post(vpcs))
            .route("/v1/connectors", post(connectors))
            .route("/v1/containers", post(containers))
            .route("/v1/sessions", get(sessions))
            .route("/v1/{a}/of/{b}", get(echo))
            .route("/broken", get(broken)),
    )
    .with_state(())
}

async fn call(request: Request<HttpBody>) -> (StatusCode, Value) {
    let response = TowerToHyperService::new(router()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert!(parts.headers.contains_key("x-request-id"));
    if !parts.status.is_success() {
        assert_eq!(parts.headers[CONTENT_TYPE], "application/problem+json");
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], parts.status.canonical_reason().unwrap());
        assert_eq!(problem["status"], parts.status.as_u16());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        if parts.status == StatusCode::METHOD_NOT_ALLOWED {
            assert!(parts.headers.contains_key(ALLOW));
        }
        return (parts.status, problem);
    }
    (parts.status, String::from_utf8(body.to_vec()).unwrap().into())
}

async fn post_to(path: &str, body: impl Into<HttpBody>) -> (u16, String, Option<String>) {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(body.into()).unwrap();
    blamed(call(request).await)
}

async fn get_from(path: &str) -> (u16, String, Option<String>) {
    blamed(call(Request::get(path).body(HttpBody::empty()).unwrap()).await)
}

/// Status, code (or the whole body of a success) and field.
fn blamed((status, body): (StatusCode, Value)) -> (u16, String, Option<String>) {
    let code = body["code"].as_str().or(body.as_str()).unwrap().to_owned();
    (status.as_u16(), code, body["field"].as_str().map(str::to_owned))
}

fn expect(status: u16, code: &str, field: &str) -> (u16, String, Option<String>) {
    (status, code.to_owned(), (!field.is_empty()).then(|| field.to_owned()))
}

fn vpc() -> Value {
    json!({
        "name": "orders", "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"],
        "uplink": {"kind": "tap", "netns": {"name": "vpc"}, "device": "wharf0", "address": "10.1.0.1/16"},
    })
}

/// A VPC in which `change` replaces a field, found by its JSON pointer; `null` removes it.
fn vpc_with(pointer: &str, change: Value) -> String {
    let mut vpc = vpc();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = vpc.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match change {
        Value::Null => _ = parent.remove(field),
        change => _ = parent.insert(field.into(), change),
    }
    vpc.to_string()
}

#[tokio::test]
async fn a_valid_body_reaches_the_handler() {
    assert_eq!(post_to("/v1/vpcs", vpc().to_string()).await, expect(200, "orders", ""));
    let request = Request::post("/v1/vpcs").header(CONTENT_TYPE, "Application/JSON; charset=utf-8");
    let (status, _) = call(request.body(vpc().to_string().into()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn wrong_fields_are_named_by_their_whole_path() {
    for (pointer, change, code, field) in [
        ("/foo", json!(1), "unknown_field", "foo"),
        ("/uplink/foo", json!(1), "unknown_field", "uplink.foo"),
        ("/uplink/uplink", json!(1), "unknown_field", "uplink.uplink"),
        ("/uplink/netns/foo", json!(1), "unknown_field", "uplink.netns.foo"),
        ("/uplink/back`tick`, expected", json!(1), "unknown_field", "uplink.back`tick`, expected"),
        ("/cidr", Value::Null, "missing_field", "cidr"),
        ("/uplink", Value::Null, "missing_field", "uplink"),
        ("/uplink/kind", Value::Null, "missing_field", "uplink.kind"),
        ("/ports", json!({"first": 1}), "missing_field", "ports.last"),
        ("/ports", json!({"exclude": [{"first": 1}]}), "missing_field", "ports.exclude[0].last"),
        ("/ports", json!({"exclude": [{"first": 2, "last": 1}]}), "invalid_ports", "ports.exclude[0]"),
        ("/ports", json!({"ranges": []}), "unknown_field", "ports.ranges"),
        ("/port_blocks", json!("yes"), "invalid_type", "port_blocks"),
        ("/name", json!(7), "invalid_type", "name"),
        ("/external_addresses", json!("10.1.0.10"), "invalid_type", "external_addresses"),
        ("/external_addresses", json!(["10.1.0.10", 7]), "invalid_type", "external_addresses[1]"),
        ("/uplink", json!("eth0"), "invalid_type", "uplink"),
        ("/uplink/kind", json!("veth"), "invalid_type", "uplink.kind"),
        ("/uplink/mtu", json!("1500"), "invalid_type", "uplink.mtu"),
        ("/uplink/mtu", json!(1500.5), "invalid_type", "uplink.mtu"),
        ("/uplink/mtu", json!(-1), "invalid_mtu", "uplink.mtu"),
        ("/uplink/netns/pid", json!(1), "invalid_netns", "uplink.netns"),
        ("/cidr", json!("10.1.0.1/16"), "invalid_cidr", "cidr"),
        ("/cidr6", json!("10.1.0.0/16"), "invalid_cidr", "cidr6"),
    ] {
        let body = vpc_with(pointer, change);
        assert_eq!(post_to("/v1/vpcs", body.clone()).await, expect(422, code, field), "{body}");
    }
}

#[tokio::test]
async fn all_wrong_fields_of_one_body_are_told_at_once() {
    let all = async |path: &str, body: Value| {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json");
        let (status, problem) = call(request.body(body.to_string().into()).unwrap()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        if let Some(first) = errors.first() {
            assert_eq!((&first["code"], &first["field"]), (&problem["code"], &problem["field"]));
        }
        let mut told: Vec<_> = errors
            .iter()
            .map(|error| {
                format!("{} {}", error["field"].as_str().unwrap_or("-"), error["code"].as_str().unwrap())
            })
            .collect();
        told.sort();
        told
    };
    // Of the wrong shape.
    let mut shape = vpc();
    shape["foo"] = json!(1);
    shape["name"] = json!(7);
    shape["uplink"]["mtu"] = json!("1500");
    shape["uplink"]["bar"] = json!(1);
    shape["external_addresses"] = json!(["10.1.0.10", 7]);
    assert_eq!(
        all("/v1/vpcs", shape).await,
        [
            "external_addresses[1] invalid_type",
            "foo unknown_field",
            "name invalid_type",
            "uplink.bar unknown_field",
            "uplink.mtu invalid_type",
        ]
    );
    // Of the wrong content.
    let mut content = vpc();
    content["name"] = json!("A");
    content["cidr"] = json!("10.1.0.1/16");
    content["uplink"]["mtu"] = json!(1);
    content["approval"] = json!("maybe");
    assert_eq!(
        all("/v1/vpcs", content).await,
        ["approval invalid_policy", "cidr invalid_cidr", "name invalid_name", "uplink.mtu invalid_mtu"]
    );
    // A single one is told once.
    let mut one = vpc();
    one["name"] = json!("A");
    assert_eq!(all("/v1/vpcs", one).await, [""; 0]);
    // However many there are, what is told is bounded.
    let many: serde_json::Map<_, _> = (0..1_000).map(|i| (format!("f{i}"), json!(i))).collect();
    assert_eq!(all("/v1/connectors", many.into()).await.len(), 16);
}

#[tokio::test]
async fn wrong_fields_of_publications_are_named_by_their_whole_path() {
    for (publication, code, field) in [
        (json!({"external_port": 80}), "missing_field", "publications[1].protocol"),
        (json!({"protocol": "tcp"}), "missing_field", "publications[1].external_port"),
        (json!({"protocol": "tcp", "external_port": "80"}), "invalid_type", "publications[1].external_port"),
        (json!({"protocol": "tcp", "port": 80}), "unknown_field", "publications[1].port"),
        (json!({"protocol": "sctp", "external_port": 80}), "invalid_policy", "publications[1].protocol"),
        (json!("tcp:80"), "invalid_type", "publications[1]"),
    ] {
        let good = json!({"protocol": "udp", "external_port": 53});
        let body = json!({"name": "k", "vpc": "v", "publications": [good, publication]}).to_string();
        assert_eq!(post_to("/v1/connectors", body.clone()).await, expect(422, code, field), "{body}");
    }
}

fn merged(one: &Value, other: &Value) -> Value {
    let fields = one.as_object().unwrap().iter().chain(other.as_object().unwrap());
    fields.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn the_largest_valid_requests_are_read() {
    let address = |i| format!("fd00:1111:2222:3333:4444:5555:6666:{i:04x}");
    let publication = |i| {
        let protocol = "tcp";
        json!({
            "protocol": protocol, "external_address": address(1), "external_port": 65_000 + i, "container_port": 65_000,
        })
    };
    let rule = json!({
        "action": "allow", "destination": format!("{}/128", address(1)), "protocol": "icmp", "ports": {"first": 65_000, "last": 65_001},
    });
    let rule =
        |i| if i == 0 { json!({"action": "deny"}) } else { merged(&rule, &json!({"protocol": "tcp"})) };
    let rate = 1_000_000_000_000_u64;
    let connector = json!({
        "name": "k".repeat(63), "vpc": format!("{}/{}", "t".repeat(63), "v".repeat(63)),
        "users": (10..74).map(|i| format!("{}{i}*", "c".repeat(60))).collect::<Vec<_>>(),
        "functions": (10..74).map(|i| format!("{}{i}*", "f".repeat(60))).collect::<Vec<_>>(),
        "external_addresses": (1..=64).map(address).collect::<Vec<_>>(),
        "dns_servers": (1..=3).map(address).collect::<Vec<_>>(),
        "rules": (0..100).map(rule).collect::<Vec<_>>(),
        "rate_limits": {"packets_per_second": rate, "bits_per_second": rate, "sessions_per_second": rate},
        "destinations": (1..=64).map(|i| format!("{}/128", address(i))).collect::<Vec<_>>(),
        "publications": (1..=64).map(publication).collect::<Vec<_>>(),
    });
    let pretty = serde_json::to_string_pretty(&connector).unwrap();
    assert!(pretty.len() < BODY_BYTES / 4 * 3, "{}", pretty.len());
    assert_eq!(post_to("/v1/connectors", pretty).await.0, 200);
}

#[tokio::test]
async fn bodies_that_are_no_json_are_malformed() {
    for body in ["", "{", "{]", "nonsense", "{\"name\": \"a\"} x", "\u{feff}{}", "{\"name\": \"\\ud800\"}"] {
        assert_eq!(post_to("/v1/containers", body).await, expect(400, "malformed_json", ""), "{body:?}");
    }
    for nested in ["name", "foo"] {
        let deep = format!("{{\"{nested}\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(post_to("/v1/containers", deep).await.0, 422, "deep, but JSON, and no text");
    }
    let twice = "{\"name\": \"a\", \"name\": \"b\"}";
    assert_eq!(post_to("/v1/containers", twice).await, expect(400, "malformed_json", "name"));
}

#[tokio::test]
async fn json_that_is_no_object_is_of_the_wrong_type() {
    for body in ["[]", " [\"c1\", {\"pid\": 1}]", "null", "7", "\"x\""] {
        assert_eq!(post_to("/v1/containers", body).await, expect(422, "invalid_type", ""), "{body}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let padded = |bytes: usize| {
        let body = "{\"name\": \"c1\", \"netns\": {\"pid\": 1}}";
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    assert_eq!(post_to("/v1/containers", padded(BODY_BYTES)).await, expect(200, "c1", ""));
    assert_eq!(post_to("/v1/containers", padded(BODY_BYTES + 1)).await, expect(413, "body_too_large", ""));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let begun = axum::body::Bytes::from_static(b"{\"name\": \"c1\",");
    let never = stream::iter([Ok::<_, Infallible>(begun)]).chain(stream::pending());
    let started = tokio::time::Instant::now();
    let answer = post_to("/v1/containers", HttpBody::from_stream(never)).await;
    assert_eq!(answer, expect(400, "malformed_json", ""));
    assert!(started.elapsed() < std::time::Duration::from_secs(11), "{:?}", started.elapsed());
}

#[tokio::test]
async fn bodies_have_to_be_declared_as_json() {
    for content_type in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")]
    {
        let mut request = Request::post("/v1/vpcs");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let answer = call(request.body(vpc().to_string().into()).unwrap()).await;
        assert_eq!(blamed(answer), expect(415, "unsupported_media_type", ""), "{content_type:?}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    assert_eq!(get_from("/v1/sessions").await, expect(200, "100", ""));
    assert_eq!(get_from("/v1/sessions?limit=7&container=c1&protocol=udp").await, expect(200, "7", ""));
    for (query, field) in [
        ("foo=1", "foo"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("protocol=sctp", "protocol"),
        ("remote=10.1", "remote"),
        ("cursor=zz", "cursor"),
    ] {
        let answer = get_from(&format!("/v1/sessions?{query}")).await;
        assert_eq!(answer, expect(422, "invalid_query", field), "{query}");
    }
}

#[tokio::test]
async fn what_is_not_served_is_a_problem_too() {
    assert_eq!(get_from("/v1/nothing").await, expect(404, "route_not_found", ""));
    assert_eq!(get_from("/v1/vpcs/").await, expect(404, "route_not_found", ""));
    assert_eq!(get_from("/v1/vpcs").await, expect(405, "method_not_allowed", ""));
    assert_eq!(get_from("/v1/a%20b/of/c").await, expect(200, "a b c", ""));
    assert_eq!(get_from("/v1/%ff/of/c").await, expect(404, "route_not_found", ""));
}

#[tokio::test]
async fn over_tcp_only_this_host_may_be_named() {
    let asked = async |peer: Peer, target: &str, host: Option<&str>| {
        let mut request = Request::get(target).extension(peer);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        blamed(call(request.body(HttpBody::empty()).unwrap()).await)
    };
    let (served, refused) = (expect(200, "100", ""), expect(421, "host_not_allowed", ""));
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:80", "127.9.9.9", "[::1]:8080", "[::1]"] {
        assert_eq!(asked(Peer::Loopback, "/v1/sessions", Some(host)).await, served, "{host}");
    }
    let strangers =
        ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"];
    for host in strangers.into_iter().chain(["0.0.0.0", "[::]", "", "a b", "\u{e4}"]) {
        assert_eq!(asked(Peer::Loopback, "/v1/sessions", Some(host)).await, refused, "{host}");
        assert_eq!(asked(Peer::Unix { uid: 7 }, "/v1/sessions", Some(host)).await, served, "{host}");
    }
    assert_eq!(asked(Peer::Loopback, "/v1/sessions", None).await, refused);
    let absolute = asked(Peer::Loopback, "http://evil.example/v1/sessions", Some("localhost")).await;
    assert_eq!(absolute, refused, "the target goes before the header");
    assert_eq!(asked(Peer::Loopback, "/v1/nothing", Some("evil.example")).await, refused);
}

#[tokio::test]
async fn a_panic_ends_one_request_only() {
    assert_eq!(get_from("/broken").await, expect(500, "internal", ""));
}

#[test]
fn the_document_has_every_route_and_no_dangling_reference() {
    let document = serde_json::to_value(openapi()).unwrap();
    let text = document.to_string();
    for path in [
        "/v1/vpcs",
        "/v1/vpcs/{name}",
        "/v1/connectors",
        "/v1/connectors/{name}",
        "/v1/containers",
        "/v1/containers/{name}",
        "/v1/containers/{container}/connectors/{connector}",
        "/v1/containers/{name}/drops",
        "/v1/functions",
        "/v1/functions/{name}",
        "/v1/functions/{name}/versions",
        "/v1/functions/{name}/versions/{version}",
        "/v1/pools",
        "/v1/pools/{runtime}",
        "/v1/sessions",
        "/v1/stats",
        "/v1/explain",
        "/v1/tenants",
        "/v1/tenants/{name}",
        "/v1/tokens",
        "/v1/tokens/{name}",
        "/v1/audit",
        "/v1/vpcs/{name}/connectors",
        "/v1/vpcs/{name}/connectors/{connector}",
        "/metrics",
        "/docs",
        "/healthz",
        "/readyz",
        "/openapi.json",
    ] {
        assert!(document["paths"].get(path).is_some(), "{path} is missing");
    }
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}
