//! Invocations, logs and environments by HTTP, over functions that are made up.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use bytes::Bytes;
use control_core::{Caller, Code, FullName, Problem};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gateway::{Config, Gateway, Lifetime};
use http_body_util::{BodyExt, Collected};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use sandbox::{Answer, Body, Fault, FunctionError};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::*;
use crate::app::{
    EnvironmentDetailView, EnvironmentView, InvocationFault, Invoked, LogLineView, LogTail, Order, Runner,
    TransitionView,
};
use crate::deliveries::Deliveries;
use crate::medium::Volatile;
use crate::registry::Registry;
use crate::server::{Ending, Peer};

/// Functions by what they do: `echo`, `raise`, `stream`, `slow`, `flaky` and `forbidden`; version 3 is the latest of each.
struct Stage {
    lines: broadcast::Sender<LogLineView>,
    drained: Mutex<Vec<String>>,
    attempts: Mutex<Vec<String>>,
}

/// The version stands for how long it took.
fn spans(version: u64) -> Vec<TraceSpan> {
    let span = |name: &str, start_us, duration_us| TraceSpan { name: name.into(), start_us, duration_us };
    vec![span("mount", 0, 126), span("handler", 126, version * 1_000)]
}

fn raised() -> Fault {
    let report = r#"{"errorType":"KeyError","errorMessage":"'id'","stackTrace":["line 1"]}"#;
    Fault::Reported(FunctionError {
        error_type: "KeyError".into(),
        message: "'id'".into(),
        report: report.into(),
    })
}

fn line(text: &str) -> LogLineView {
    LogLineView { at_ms: 1, environment: "1".into(), invocation: None, stream: "stdout", text: text.into() }
}

fn environment(id: &str) -> EnvironmentView {
    EnvironmentView {
        id: id.into(),
        runtime: "python3".into(),
        state: "idle".into(),
        since_ms: 5,
        function: Some("echo".into()),
        version: Some(3),
        container: None,
        invocations: 2,
        memory_bytes: None,
        memory_limit_mb: Some(128),
    }
}

fn missing(what: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {what}"))
}

impl Runner for Stage {
    fn find(&self, function: &FullName, version: Option<u64>) -> Result<u64, Problem> {
        match (function.name.as_str(), version.unwrap_or(3)) {
            ("echo" | "raise" | "stream" | "slow" | "flaky" | "forbidden", version @ 1..=3) => Ok(version),
            _ => Err(missing("such function")),
        }
    }

    fn resolve(&self, function: &FullName, version: Option<u64>) -> Result<u64, Problem> {
        if function.name.as_str() == "forbidden" {
            return Err(Problem::new(Code::NotApproved, "its connector is not approved"));
        }
        self.find(function, version)
    }

    fn invoke(&self, order: Order) -> BoxFuture<'static, Result<Invoked, Box<InvocationFault>>> {
        let answer = |body| {
            Ok(Invoked {
                answer: Answer { content_type: "application/json".into(), body },
                spans: spans(order.version),
            })
        };
        self.attempts.lock().unwrap().push(order.id.to_string());
        let is_first =
            self.attempts.lock().unwrap().iter().filter(|id| **id == order.id.to_string()).count() == 1;
        match order.function.name.as_str() {
            "raise" => async { Err(InvocationFault::of_sandbox(&raised()).after(spans(3)).into()) }.boxed(),
            "flaky" if is_first => async { Err(InvocationFault::of_sandbox(&Fault::Removed).into()) }.boxed(),
            "slow" => std::future::pending().boxed(),
            "stream" => {
                let (sender, parts) = mpsc::channel(1);
                tokio::spawn(async move {
                    for part in ["[1", ",2"] {
                        _ = sender.send(Ok(Bytes::from_static(part.as_bytes()))).await;
                    }
                    let last = if &*order.event == b"null" { Ok("]".into()) } else { Err(raised()) };
                    _ = sender.send(last).await;
                });
                std::future::ready(answer(Body::Stream(parts))).boxed()
            }
            _ => std::future::ready(answer(Body::Whole(order.event))).boxed(),
        }
    }

    fn logs(&self, function: &FullName, tail: usize, follows: bool) -> Result<LogTail, Problem> {
        self.find(function, None)?;
        let lines = ["one", "two", "three"].map(line);
        Ok(LogTail {
            lines: lines[lines.len().saturating_sub(tail)..].to_vec(),
            live: follows.then(|| self.lines.subscribe()),
        })
    }

    fn environments(&self, _: &Caller) -> Vec<EnvironmentView> {
        vec![environment("1")]
    }

    fn environment(&self, _: &Caller, id: &str) -> Result<EnvironmentDetailView, Problem> {
        if id != "1" {
            return Err(missing("such environment"));
        }
        let step = TransitionView { at_ms: 5, from: None, to: "creating".into(), cause: "refill".into() };
        Ok(EnvironmentDetailView { environment: environment(id), transitions: vec![step] })
    }

    fn drain(&self, caller: &Caller, id: &str) -> Result<(), Problem> {
        self.environment(caller, id)?;
        self.drained.lock().unwrap().push(id.to_owned());
        Ok(())
    }
}

/// A daemon's API.
struct Api {
    app: App,
    router: Router,
    stage: Arc<Stage>,
    end: watch::Sender<bool>,
    _gateway: Gateway,
}

struct Heard {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or("-").to_owned())
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

impl Api {
    fn new() -> Self {
        let gateway = Gateway::start(&Config::default()).unwrap();
        let registry = Registry::open(Box::new(Volatile)).unwrap();
        let app = App::new(registry, gateway.handle(), Lifetime::Process, None);
        let (drained, attempts) = Default::default();
        let stage = Arc::new(Stage { lines: broadcast::channel(16).0, drained, attempts });
        app.connect(Arc::clone(&stage) as Arc<dyn Runner>);
        app.keep_invocations(Some(Deliveries::open(None).unwrap()));
        let router = crate::http::router(app.clone(), &[own_uid()]);
        Self { app, router, stage, end: watch::channel(false).0, _gateway: gateway }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(HttpBody::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer::Unix { uid: own_uid() });
        request.extensions_mut().insert(Ending::told_by(self.end.subscribe()));
        TowerToHyperService::new(self.router.clone()).call(request).await.unwrap()
    }

    async fn hear(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Heard {
        let (parts, body) = self.send(method, path, headers, body).await.into_parts();
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        Heard { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn post(&self, path: &str, body: &str) -> Heard {
        self.hear("POST", path, &[("content-type", "application/json")], body).await
    }

    async fn get(&self, path: &str) -> Heard {
        self.hear("GET", path, &[], "").await
    }

    /// Waits on a level: until the invocation is in that state.
    async fn reaches(&self, path: &str, state: &str) -> Value {
        for _ in 0..10_000 {
            let found = self.get(path).await.json();
            if found["state"] == state {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{path} does not become {state}");
    }
}

fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[tokio::test]
async fn an_answer_is_the_functions_own_with_its_id_and_its_times() {
    let api = Api::new();
    let heard = api.post("/v1/functions/echo/invocations", r#"{"a":1}"#).await;
    assert_eq!((heard.status, &*heard.body), (200, &br#"{"a":1}"#[..]));
    assert_eq!(heard.header("content-type"), "application/json");
    assert_eq!(heard.header("wharf-function-version"), "3");
    let timing = "mount;dur=0.126;desc=\"at 0.000\", handler;dur=3.000;desc=\"at 0.126\"";
    assert_eq!(heard.header("server-timing"), timing);
    let id = heard.header("wharf-invocation");
    let found = api.get(&format!("/v1/functions/echo/invocations/{id}")).await.json();
    assert_eq!(
        (&found["mode"], &found["state"], &found["version"]),
        (&json!("sync"), &json!("succeeded"), &json!(3))
    );
    assert_eq!(found["spans"][1], json!({"name": "handler", "start_us": 126, "duration_us": 3000}));
    let other = api.get(&format!("/v1/functions/raise/invocations/{id}")).await;
    assert_eq!(other.code(), (404, "not_found".into()));
    let empty = api.hear("POST", "/v1/functions/echo/invocations?version=2", &[], "").await;
    assert_eq!((&*empty.body, empty.header("wharf-function-version")), (&b"null"[..], "2"));
}

#[tokio::test]
async fn a_fault_is_a_problem_with_what_the_function_reports() {
    let api = Api::new();
    let heard = api.post("/v1/functions/raise/invocations", "1").await;
    assert_eq!(heard.code(), (502, "function_failed".into()));
    assert_eq!(heard.header("content-type"), "application/problem+json");
    assert!(heard.header("server-timing").starts_with("mount;dur=0.126"));
    let error = json!({"errorType": "KeyError", "errorMessage": "'id'", "stackTrace": ["line 1"]});
    assert_eq!(heard.json()["function_error"], error);
    let path = format!("/v1/functions/raise/invocations/{}", heard.header("wharf-invocation"));
    let found = api.get(&path).await.json();
    assert_eq!((&found["state"], &found["fault"]["code"]), (&json!("failed"), &json!("function_failed")));
    assert_eq!(found["fault"]["function_error"], error);
}

#[tokio::test]
async fn a_streamed_answer_comes_in_parts_and_a_fault_breaks_it_off() {
    let api = Api::new();
    let whole = api.post("/v1/functions/stream/invocations", "").await;
    assert_eq!((whole.status, &*whole.body), (200, &b"[1,2]"[..]));
    let path = format!("/v1/functions/stream/invocations/{}", whole.header("wharf-invocation"));
    assert_eq!(api.get(&path).await.json()["state"], "succeeded");
    let broken = api
        .send("POST", "/v1/functions/stream/invocations", &[("content-type", "application/json")], "1")
        .await;
    let path = format!(
        "/v1/functions/stream/invocations/{}",
        broken.headers()["wharf-invocation"].to_str().unwrap()
    );
    assert_eq!(api.get(&path).await.json()["state"], "running");
    assert!(broken.into_body().collect().await.is_err());
    let found = api.get(&path).await.json();
    assert_eq!((&found["state"], &found["fault"]["code"]), (&json!("failed"), &json!("function_failed")));
}

#[tokio::test]
async fn what_is_wrong_with_an_invocation_is_told() {
    let api = Api::new();
    let path = |rest: &str| format!("/v1/functions/{rest}");
    for (path, body, status, code) in [
        (path("nothing/invocations"), "1", 404, "not_found"),
        (path("No/invocations"), "1", 404, "not_found"),
        (path("forbidden/invocations"), "1", 409, "not_approved"),
        (path("forbidden/invocations?mode=async"), "1", 409, "not_approved"),
        (path("echo/invocations?version=4"), "1", 404, "not_found"),
        (path("echo/invocations?version=0"), "1", 422, "invalid_query"),
        (path("echo/invocations?mode=later"), "1", 422, "invalid_query"),
        (path("echo/invocations?foo=1"), "1", 422, "invalid_query"),
        (path("echo/invocations"), "{", 400, "malformed_json"),
        (path("forbidden/invocations?dry_run=true"), "1", 409, "not_approved"),
    ] {
        assert_eq!(api.post(&path, body).await.code(), (status, code.to_owned()), "{path}");
    }
    let plain = api.hear("POST", &path("echo/invocations"), &[], "1").await;
    assert_eq!(plain.code(), (415, "unsupported_media_type".into()));
    let dry = api.post(&path("echo/invocations?dry_run=true"), "1").await;
    assert_eq!((dry.status, dry.header("wharf-function-version")), (204, "3"));
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let keyed = api.hear("POST", &path("echo/invocations"), &headers, "1").await;
    assert_eq!(keyed.code(), (422, "invalid_query".into()));
    assert!(api.stage.attempts.lock().unwrap().is_empty(), "nothing was invoked");
    for (bytes, mode, status) in [
        (1 << 20, "async", 202),
        ((1 << 20) + 1, "async", 413),
        ((1 << 20) + 1, "sync", 200),
        (6 << 20, "sync", 200),
        ((6 << 20) + 1, "sync", 413),
    ] {
        let event = format!("\"{}\"", "x".repeat(bytes - 2));
        let heard = api.post(&path(&format!("echo/invocations?mode={mode}")), &event).await;
        assert_eq!(heard.status, status, "{bytes} bytes, {mode}");
    }
}

#[tokio::test]
async fn an_accepted_invocation_is_run_and_its_answer_fetched() {
    let api = Api::new();
    let accepted = api.post("/v1/functions/flaky/invocations?mode=async", r#"{"a":1}"#).await;
    assert_eq!((accepted.status, &accepted.json()["state"]), (202, &json!("queued")));
    let path = accepted.header("location").to_owned();
    assert!(path.ends_with(accepted.json()["id"].as_str().unwrap()));
    assert_eq!(api.get(&path).await.json()["attempts"], 0);
    let (end, ended) = oneshot::channel::<()>();
    let runs = tokio::spawn(api.app.clone().deliver(async { _ = ended.await }, Duration::ZERO));
    let found = api.reaches(&path, "succeeded").await;
    assert_eq!((&found["attempts"], &found["answer"]), (&json!(2), &json!({"a": 1})));
    assert_eq!(found["spans"].as_array().unwrap().len(), 2);
    let raised = api.post("/v1/functions/raise/invocations?mode=async&version=1", "").await;
    let faulty = api.get(raised.header("location")).await.json();
    assert_eq!((&faulty["version"], &faulty["mode"]), (&json!(1), &json!("async")));
    let list = api.get("/v1/functions/flaky/invocations").await.json();
    assert_eq!(
        (list["items"].as_array().unwrap().len(), &list["items"][0]["state"]),
        (1, &json!("succeeded"))
    );
    assert!(list["items"][0].get("answer").is_none(), "not in lists");
    drop(end);
    runs.await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_is_accepted_once() {
    let api = Api::new();
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let path = "/v1/functions/echo/invocations?mode=async";
    let first = api.hear("POST", path, &headers, "1").await.json();
    let again = api.hear("POST", path, &headers, "1").await.json();
    assert_eq!(first["id"], again["id"]);
    assert_eq!(api.hear("POST", path, &headers, "2").await.code(), (422, "key_reused".into()));
    assert_eq!(api.get("/v1/functions/echo/invocations").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_invocation_whose_caller_has_hung_up_is_forgotten() {
    let api = Api::new();
    let path = "/v1/functions/slow/invocations";
    let hung_up = tokio::time::timeout(Duration::from_millis(50), api.post(path, "")).await;
    assert!(hung_up.is_err());
    let list = api.get(path).await.json();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn the_end_of_a_log_is_shown_or_followed() {
    let api = Api::new();
    let texts = |json: &Value| -> Vec<String> {
        json["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    };
    let path = "/v1/functions/echo/logs";
    assert_eq!(texts(&api.get(path).await.json()), ["one", "two", "three"]);
    assert_eq!(texts(&api.get(&format!("{path}?tail=2")).await.json()), ["two", "three"]);
    for wrong in ["?tail=0", "?tail=10001", "?follow=1", "?since=1"] {
        assert_eq!(api.get(&format!("{path}{wrong}")).await.code(), (422, "invalid_query".into()), "{wrong}");
    }
    assert_eq!(api.get("/v1/functions/nothing/logs").await.code(), (404, "not_found".into()));
    let followed = api.send("GET", &format!("{path}?tail=1&follow=true"), &[], "").await;
    assert_eq!(followed.headers()["content-type"], "text/event-stream");
    api.stage.lines.send(line("four")).unwrap();
    let mut body = followed.into_body();
    let mut text = String::new();
    while !text.contains("four") {
        let part = body.frame().await.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    api.end.send_replace(true);
    assert!(body.frame().await.is_none(), "it ends with the daemon");
    assert!(
        text.starts_with("event: line\ndata: {") && text.contains("three") && !text.contains("two"),
        "{text}"
    );
}

#[tokio::test]
async fn environments_are_listed_shown_and_drained() {
    let api = Api::new();
    let list = api.get("/v1/environments").await.json();
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["state"]), (&json!("1"), &json!("idle")));
    let one = api.get("/v1/environments/1").await.json();
    assert_eq!((&one["function"], &one["transitions"][0]["cause"]), (&json!("echo"), &json!("refill")));
    assert_eq!(api.get("/v1/environments/2").await.code(), (404, "not_found".into()));
    assert_eq!(api.hear("DELETE", "/v1/environments/1?dry_run=true", &[], "").await.status, 202);
    assert!(api.stage.drained.lock().unwrap().is_empty());
    assert_eq!(api.hear("DELETE", "/v1/environments/1", &[], "").await.status, 202);
    assert_eq!(*api.stage.drained.lock().unwrap(), ["1"]);
}

#[tokio::test]
async fn a_daemon_without_functions_says_so() {
    let gateway = Gateway::start(&Config::default()).unwrap();
    let registry = Registry::open(Box::new(Volatile)).unwrap();
    let app = App::new(registry, gateway.handle(), Lifetime::Process, None);
    let router = crate::http::router(app, &[own_uid()]);
    let mut request = Request::get("/v1/environments").body(HttpBody::empty()).unwrap();
    request.extensions_mut().insert(Peer::Unix { uid: own_uid() });
    let heard = TowerToHyperService::new(router).call(request).await.unwrap();
    assert_eq!(heard.status(), 503);
}
