//! Watches: what changes, from where the client was.

use std::time::Duration;

use control::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::UnixStream;

use crate::server::{Api, Ask, ask};

/// A watch. Its client speaks HTTP/1.0, so that there is nothing around the events.
struct Watch(Lines<BufReader<UnixStream>>);

/// An event's name, id and resource.
type Told = (String, Option<u64>, Value);

impl Watch {
    async fn begin(api: &Api, request: Ask) -> Self {
        let mut lines = BufReader::new(api.send(&request.old()).await).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        assert!(status.ends_with("200 OK"), "{status}");
        while !lines.next_line().await.unwrap().unwrap().is_empty() {}
        Self(lines)
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Told> {
        let (mut name, mut id, mut resource) = (String::new(), None, Value::Null);
        let next = async {
            while let Some(line) = self.0.next_line().await.ok()? {
                match line.split_once(": ") {
                    Some(("event", text)) => text.clone_into(&mut name),
                    Some(("id", text)) => id = Some(text.parse().unwrap()),
                    Some(("data", text)) => resource = serde_json::from_str(text).unwrap(),
                    // Signs of life begin with the colon.
                    _ if line.is_empty() && !name.is_empty() => return Some((name, id, resource)),
                    _ => {}
                }
            }
            None
        };
        tokio::time::timeout(Duration::from_secs(10), next).await.expect("an event or the end comes in time")
    }
}

fn connector(name: &str) -> Ask {
    ask("POST", "/v1/connectors").json(&json!({"name": name, "vpc": "other/v"}))
}

async fn next(watch: &mut Watch) -> (String, String) {
    let (event, _, resource) = watch.next().await.expect("the watch goes on");
    (event, resource["name"].as_str().unwrap().to_owned())
}

fn told(event: &str, name: &str) -> (String, String) {
    (event.to_owned(), name.to_owned())
}

/// Names of what is told of a kind after a revision, each after what became of it.
pub(crate) async fn told_since(api: &Api, list: &str, revision: u64, events: usize) -> Vec<String> {
    let mut watch = Watch::begin(api, ask("GET", &format!("{list}?watch=true&since={revision}"))).await;
    let mut told = Vec::new();
    for _ in 0..events {
        let (event, name) = next(&mut watch).await;
        told.push(format!("{event} {name}"));
    }
    told
}

#[tokio::test]
async fn a_watch_tells_of_each_change_from_the_lists_revision_on() {
    let api = Api::start().await;
    api.expect(201, connector("before")).await;
    let revision = api.get("/v1/connectors").await["revision"].as_u64().unwrap();
    api.expect(201, connector("between")).await;
    let path = format!("/v1/connectors?watch=true&since={revision}");
    let mut watch = Watch::begin(&api, ask("GET", &path)).await;
    assert_eq!(next(&mut watch).await, told("created", "between"));
    api.expect(200, ask("PATCH", "/v1/connectors/before").json(&json!({"linger_s": 7}))).await;
    let (event, id, resource) = watch.next().await.unwrap();
    assert_eq!((&*event, &resource["linger_s"]), ("changed", &json!(7)));
    assert_eq!(id, resource["revision"].as_u64(), "the id is the revision");
    // Other kinds and other tenants are not of it.
    api.make_tenant("acme", "").await;
    api.expect(201, connector("theirs").of("acme")).await;
    api.expect(204, ask("DELETE", "/v1/connectors/before")).await;
    assert_eq!(next(&mut watch).await, told("deleted", "before"));
    let mut theirs = Watch::begin(&api, ask("GET", "/v1/connectors?watch=true").of("acme")).await;
    api.expect(204, ask("DELETE", "/v1/connectors/theirs").of("acme")).await;
    assert_eq!(next(&mut theirs).await, told("deleted", "theirs"));
}

#[tokio::test]
async fn a_watch_goes_on_where_its_client_was_also_after_a_restart() {
    let store = tempfile::tempdir().unwrap();
    let api = Api::with(Some(store.path()), Settings::default()).await;
    let mut watch = Watch::begin(&api, ask("GET", "/v1/connectors?watch=true")).await;
    api.expect(201, connector("a")).await;
    let (_, id, _) = watch.next().await.unwrap();
    let id = id.unwrap().to_string();
    drop(watch);
    api.expect(201, connector("b")).await;
    api.expect(201, connector("c")).await;
    let again = || ask("GET", "/v1/connectors?watch=true").header("last-event-id", &id);
    let mut watch = Watch::begin(&api, again()).await;
    assert_eq!(
        [next(&mut watch).await, next(&mut watch).await],
        [told("created", "b"), told("created", "c")]
    );
    drop(watch);
    api.stop().await;

    let api = Api::with(Some(store.path()), Settings::default()).await;
    let mut watch = Watch::begin(&api, again()).await;
    assert_eq!(
        [next(&mut watch).await, next(&mut watch).await],
        [told("created", "b"), told("created", "c")]
    );
    api.expect(201, connector("d")).await;
    assert_eq!(next(&mut watch).await, told("created", "d"));
    drop(watch);
    api.stop().await;
}

#[tokio::test]
async fn what_is_not_remembered_is_too_old() {
    let api = Api::start().await;
    let latest = api.get("/v1/connectors").await["revision"].as_u64().unwrap();
    let future = format!("/v1/connectors?watch=true&since={}", latest + 1_000_000);
    let answer = api.ask(ask("GET", &future)).await;
    assert_eq!((answer.status, &*answer.code()), (410, "revision_too_old"));
}

#[tokio::test]
async fn a_watch_ends_with_the_daemon() {
    let api = Api::start().await;
    let mut watch = Watch::begin(&api, ask("GET", "/v1/vpcs?watch=true")).await;
    let begun = std::time::Instant::now();
    let ended = api.begin_to_stop();
    assert_eq!(watch.next().await, None);
    ended.await.unwrap();
    assert!(begun.elapsed() < Settings::default().drain, "the watch was not waited for");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_cut_off() {
    let settings = Settings { write_time: Duration::from_millis(100), ..Settings::default() };
    let api = Api::with(None, settings).await;
    let users: Vec<_> = (10..74).map(|i| format!("{}{i}", "c".repeat(60))).collect();
    let create = json!({"name": "k", "vpc": "other/v", "users": users});
    api.expect(201, ask("POST", "/v1/connectors").json(&create)).await;
    let mut lazy = api.send(&ask("GET", "/v1/connectors?watch=true").old()).await;
    let mut start = [0; 12];
    lazy.read_exact(&mut start).await.unwrap();
    // More than any socket takes.
    for i in 0..1_000 {
        api.expect(200, ask("PATCH", "/v1/connectors/k").json(&json!({"linger_s": i}))).await;
    }
    let mut taken = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), lazy.read_to_end(&mut taken)).await;
    assert!(ended.is_ok(), "it was not cut off");
    assert!(taken.len() < 2 << 20, "what waits for it is bounded: {}", taken.len());
}
