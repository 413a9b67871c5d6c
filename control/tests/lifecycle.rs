//! The API over a real gateway and real namespaces: what is created exists, what is deleted is gone. Needs root.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use control::{Listeners, Settings};
use gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A namespace of this test alone, removed with it.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wharf-control-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        assert!(ip(&["netns", "add", &name]), "namespaces cannot be made; run as root");
        Self(name)
    }

    fn has(&self, device: &str) -> bool {
        ip(&["-n", &self.0, "link", "show", device])
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().expect("iproute2 is installed").status.success()
}

struct Api {
    socket: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
    _gateway: Gateway,
}

impl Api {
    fn start() -> Self {
        let gateway = Gateway::start(&Config::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("wharf.sock");
        let listeners = Listeners { unix: UnixListener::bind(&socket).unwrap(), tcp: None };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { _ = stopped.await };
        let task = tokio::spawn(control::serve(listeners, gateway.handle(), shutdown, Settings::default()));
        Self { socket, stop, task, _folder: folder, _gateway: gateway }
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> UnixStream {
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let length = body.len();
        let request =
            format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Status and body; `null` if there is none.
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut answer = String::new();
        self.send(method, path, body.as_ref()).await.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() })
    }

    /// Expects `status`; gives the body.
    async fn expect(&self, status: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        let (got, answer) = self.call(method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        answer
    }

    /// Expects a refusal with this code.
    async fn refuse(&self, code: &str, method: &str, path: &str, body: Option<Value>) {
        let (_, answer) = self.call(method, path, body).await;
        assert_eq!(answer["code"], code, "{method} {path}: {answer}");
    }

    /// Waits until the resource is in this state.
    async fn await_state(&self, path: &str, state: &str) -> Value {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let view = self.expect(200, "GET", path, None).await;
            if view["state"] == state {
                return view;
            }
            assert!(Instant::now() < patience, "{path} did not become {state}: {view}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Creates VPC `v` in `netns` and connector `k` to it.
    async fn make_vpc(&self, netns: &Netns) {
        self.expect(201, "POST", "/v1/vpcs", Some(vpc("v", netns))).await;
        self.expect(201, "POST", "/v1/connectors", Some(json!({"name": "k", "vpc": "v"}))).await;
    }
}

fn vpc(name: &str, netns: &Netns) -> Value {
    json!({
        "name": name, "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"],
        "uplink": {"kind": "tap", "netns": {"name": netns.0}, "device": "wharf0", "address": "10.1.0.1/16"},
    })
}

fn container(name: &str, netns: &Netns) -> Value {
    json!({"name": name, "netns": {"name": netns.0}})
}

#[tokio::test]
async fn everything_is_made_used_and_removed_in_order() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start());
    api.make_vpc(&outside).await;
    let view = api.expect(201, "POST", "/v1/containers", Some(container("c", &inside))).await;
    assert_eq!((&view["state"], &view["address"]), (&json!("ready"), &json!("169.254.1.2")));
    assert!(inside.has("eth0") && outside.has("wharf0"));

    for _ in 0..2 {
        let attached = api.expect(200, "PUT", "/v1/containers/c/connectors/k", None).await;
        assert!(attached["attached_in_us"].is_u64(), "{attached}");
    }
    assert_eq!(api.expect(200, "GET", "/v1/containers/c", None).await["connectors"], json!(["k"]));
    assert_eq!(api.expect(200, "GET", "/v1/connectors/k", None).await["containers"], json!(["c"]));
    let probe = json!({"container": "c", "protocol": "tcp", "destination": "10.1.0.1", "port": 80});
    let explanation = api.expect(200, "POST", "/v1/explain", Some(probe.clone())).await;
    assert_eq!(explanation["verdict"], "hold", "nobody has asked for its next hop yet");
    assert_eq!(explanation["steps"][0]["step"], "route");
    assert_eq!(explanation["steps"][0]["connector"], "k");
    let stats = api.expect(200, "GET", "/v1/stats", None).await;
    assert_eq!((&stats["containers"][0]["name"], &stats["vpcs"][0]["name"]), (&json!("c"), &json!("v")));
    assert_eq!(stats["vpcs"][0]["ports"][0]["external"], "10.1.0.10");
    let sessions =
        api.expect(200, "GET", "/v1/sessions?container=c&vpc=v&connector=k&protocol=tcp", None).await;
    assert_eq!(sessions, json!({"items": []}));
    api.refuse("not_found", "GET", "/v1/sessions?vpc=x", None).await;
    api.expect(200, "GET", "/v1/containers/c/drops", None).await;
    api.expect(200, "GET", "/readyz", None).await;
    let ping = json!({"container": "c", "protocol": "icmp", "destination": "169.254.1.1"});
    assert_eq!(api.expect(200, "POST", "/v1/explain", Some(ping)).await["verdict"], "respond");

    api.refuse("in_use", "DELETE", "/v1/connectors/k", None).await;
    api.refuse("in_use", "DELETE", "/v1/vpcs/v", None).await;
    let detached = api.expect(200, "DELETE", "/v1/containers/c/connectors/k", None).await;
    assert_eq!(detached["sessions_ended"], 0);
    api.refuse("not_attached", "DELETE", "/v1/containers/c/connectors/k", None).await;
    let explanation = api.expect(200, "POST", "/v1/explain", Some(probe)).await;
    assert_eq!((&explanation["verdict"], &explanation["reason"]), (&json!("drop"), &json!("no_connector")));

    api.expect(200, "PUT", "/v1/containers/c/connectors/k", None).await;
    api.expect(204, "DELETE", "/v1/containers/c", None).await;
    api.expect(204, "DELETE", "/v1/connectors/k", None).await;
    api.expect(204, "DELETE", "/v1/vpcs/v", None).await;
    assert!(!inside.has("eth0") && !outside.has("wharf0"));
    for list in ["/v1/vpcs", "/v1/connectors", "/v1/containers"] {
        assert_eq!(api.expect(200, "GET", list, None).await, json!({"items": []}));
    }
    api.stop.send(()).unwrap();
    api.task.await.unwrap();
}

#[tokio::test]
async fn a_failed_creation_leaves_nothing() {
    let (netns, api) = (Netns::new(), Api::start());
    let missing = json!({"name": "c", "netns": {"name": "there-is-no-such-namespace"}});
    api.refuse("netns_missing", "POST", "/v1/containers", Some(missing)).await;
    api.refuse(
        "netns_invalid",
        "POST",
        "/v1/containers",
        Some(json!({"name": "c", "netns": {"path": "/etc/hostname"}})),
    )
    .await;
    let packet = json!({"kind": "packet", "netns": {"name": netns.0}, "device": "nothing0"});
    let mut bad = vpc("v", &netns);
    bad["uplink"] = packet;
    api.refuse("device_missing", "POST", "/v1/vpcs", Some(bad)).await;

    api.expect(201, "POST", "/v1/containers", Some(container("c", &netns))).await;
    api.refuse("already_exists", "POST", "/v1/containers", Some(container("c", &netns))).await;
    api.refuse("device_taken", "POST", "/v1/containers", Some(container("c2", &netns))).await;
    api.refuse("not_found", "GET", "/v1/containers/c2", None).await;
    assert_eq!(api.expect(200, "GET", "/v1/vpcs", None).await, json!({"items": []}));
}

#[tokio::test]
async fn unknown_parameters_are_refused_wherever_they_are() {
    let api = Api::start();
    let paths =
        ["vpcs", "vpcs/v", "connectors", "connectors/k", "containers", "containers/c", "sessions", "stats"];
    for path in paths {
        api.refuse("invalid_query", "GET", &format!("/v1/{path}?foo=1"), None).await;
    }
    let create = api.call("POST", "/v1/containers?foo=1", Some(json!({}))).await.1;
    assert_eq!((&create["code"], &create["field"]), (&json!("invalid_query"), &json!("foo")));
    api.refuse("invalid_query", "PUT", "/v1/containers/c/connectors/k?foo", None).await;
    api.refuse("invalid_query", "GET", "/readyz?foo=1", None).await;
    api.expect(200, "GET", "/v1/vpcs?", None).await;
    api.refuse("route_not_found", "GET", "/v1/nothing?foo=1", None).await;
    api.refuse("method_not_allowed", "PATCH", "/v1/vpcs?foo=1", None).await;
}

#[tokio::test]
async fn of_many_creators_of_one_name_one_succeeds() {
    let (netns, api) = (Netns::new(), Api::start());
    let body = container("c", &netns);
    let tries = (0..8).map(|_| api.send("POST", "/v1/containers", Some(&body)));
    let mut statuses = Vec::new();
    let mut streams = Vec::new();
    for request in tries {
        streams.push(request.await);
    }
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        statuses.push(answer[9..12].to_owned());
    }
    statuses.sort();
    assert_eq!(statuses[0], "201");
    assert!(statuses[1..].iter().all(|status| status == "409"), "{statuses:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_whole_container_or_none() {
    let (netns, api) = (Netns::new(), Api::start());
    drop(api.send("POST", "/v1/containers", Some(&container("c", &netns))).await);
    // The request may not have been read yet: one more of the same name settles it.
    let (status, _) = api.call("POST", "/v1/containers", Some(container("c", &netns))).await;
    assert!(status == 201 || status == 409, "{status}");
    api.await_state("/v1/containers/c", "ready").await;
    assert!(netns.has("eth0"));
    api.expect(204, "DELETE", "/v1/containers/c", None).await;
}

#[tokio::test]
async fn what_disappears_is_gone_and_can_be_deleted() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start());
    api.make_vpc(&outside).await;
    api.expect(201, "POST", "/v1/containers", Some(container("c", &inside))).await;
    api.expect(200, "PUT", "/v1/containers/c/connectors/k", None).await;

    drop(outside);
    api.await_state("/v1/vpcs/v", "gone").await;
    let view = api.await_state("/v1/containers/c", "ready").await;
    assert_eq!(view["connectors"], json!([]), "the way through the VPC is gone with it");
    api.refuse("not_ready", "PUT", "/v1/containers/c/connectors/k", None).await;

    drop(inside);
    api.await_state("/v1/containers/c", "gone").await;
    api.refuse("not_ready", "GET", "/v1/containers/c/drops", None).await;
    api.expect(204, "DELETE", "/v1/containers/c", None).await;
    api.expect(204, "DELETE", "/v1/connectors/k", None).await;
    api.expect(204, "DELETE", "/v1/vpcs/v", None).await;
}

/// Whatever the order, a container is afterwards either deleted or attached as its answers said.
#[tokio::test]
async fn attach_detach_and_delete_of_one_container_take_turns() {
    let (outside, inside, api) = (Netns::new(), Netns::new(), Api::start());
    api.make_vpc(&outside).await;
    for _ in 0..10 {
        api.expect(201, "POST", "/v1/containers", Some(container("c", &inside))).await;
        let path = "/v1/containers/c/connectors/k";
        let (attached, detached, again, deleted) = tokio::join!(
            api.call("PUT", path, None),
            api.call("DELETE", path, None),
            api.call("PUT", path, None),
            api.call("DELETE", "/v1/containers/c", None),
        );
        assert_eq!(deleted.0, 204, "{}", deleted.1);
        for (status, answer) in [attached, detached, again] {
            let code = answer["code"].as_str().unwrap_or("none");
            assert!(status == 200 || ["not_found", "not_attached"].contains(&code), "{answer}");
        }
        assert_eq!(api.expect(200, "GET", "/v1/connectors/k", None).await["containers"], json!([]));
        assert!(!inside.has("eth0"));
    }
}
