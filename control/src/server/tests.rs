//! Clients that are slow or many, and the end of the service.

mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, oneshot};

use super::accept::Stream;
use super::*;

struct Service {
    socket: PathBuf,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start(router: Router, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listeners = Listeners { unix: UnixListener::bind(&socket).unwrap(), tcp: None };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { stopped.await.unwrap() };
        let task = tokio::spawn(run(listeners, router, shutdown, settings));
        Self { socket, stop, task, _folder: folder }
    }

    async fn client(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }
}

async fn send(client: &mut UnixStream, path: &str) {
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
}

/// Everything up to the end of the connection.
async fn rest(client: &mut UnixStream) -> String {
    let mut text = String::new();
    // A connection that was cut may end with a reset.
    _ = client.read_to_string(&mut text).await;
    text
}

async fn answer_starts(client: &mut UnixStream) -> String {
    let mut start = [0; 12];
    client.read_exact(&mut start).await.unwrap();
    String::from_utf8(start.to_vec()).unwrap()
}

fn fast() -> Router {
    Router::new().route("/", get(async || "fast"))
}

/// A router that answers when told to, and tells when it was asked.
fn slow() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (asked.clone(), go.clone());
    let handler = async move || {
        tell.notify_one();
        wait.notified().await;
        "slow"
    };
    (Router::new().route("/", get(handler)), asked, go)
}

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_header_that_does_not_arrive_closes_the_connection() {
    let service = Service::start(fast(), Settings { header_time: SHORT, ..Settings::default() });
    let mut client = service.client().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert!(!rest(&mut client).await.contains("200 OK"));
    let mut silent = service.client().await;
    assert_eq!(rest(&mut silent).await, "");
    let mut idle = service.client().await;
    send(&mut idle, "/").await;
    assert!(rest(&mut idle).await.ends_with("fast"), "the connection is kept, but not for ever");
}

/// More than any socket takes while its reader is away. Bytes.
const LARGE: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_place() {
    let router = fast().route("/large", get(async || vec![0; LARGE]));
    let settings = Settings { connections: 1, write_time: SHORT, ..Settings::default() };
    let service = Service::start(router, settings);
    let (mut lazy, mut next) = (service.client().await, service.client().await);
    send(&mut lazy, "/large").await;
    send(&mut next, "/").await;
    let answered = tokio::time::timeout(Duration::from_secs(10), answer_starts(&mut next)).await;
    assert_eq!(answered.expect("the place is free again"), "HTTP/1.1 200");
    let mut taken = Vec::new();
    _ = lazy.read_to_end(&mut taken).await;
    assert!(taken.len() < LARGE);
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let (router, asked, go) = slow();
    let service = Service::start(router, Settings { connections: 1, ..Settings::default() });
    let (mut first, mut second) = (service.client().await, service.client().await);
    send(&mut first, "/").await;
    asked.notified().await;
    send(&mut second, "/").await;
    let waits = tokio::time::timeout(SHORT, asked.notified()).await;
    assert!(waits.is_err(), "the second client was served beside the first");

    go.notify_one();
    assert_eq!(answer_starts(&mut first).await, "HTTP/1.1 200");
    drop(first);
    asked.notified().await;
    go.notify_one();
    assert_eq!(answer_starts(&mut second).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn requests_under_way_end_before_the_service_does() {
    let (router, asked, go) = slow();
    let service = Service::start(router, Settings::default());
    let mut idle = service.client().await;
    let mut client = service.client().await;
    send(&mut client, "/").await;
    asked.notified().await;
    service.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed at once");
    assert!(UnixStream::connect(&service.socket).await.is_err(), "nobody listens any more");
    assert!(!service.task.is_finished());
    go.notify_one();
    assert!(rest(&mut client).await.ends_with("slow"));
    service.task.await.unwrap();
}

#[tokio::test]
async fn requests_that_do_not_end_are_cut() {
    let (router, asked, _go) = slow();
    let service = Service::start(router, Settings { drain: SHORT, ..Settings::default() });
    let mut client = service.client().await;
    send(&mut client, "/").await;
    asked.notified().await;
    service.stop.send(()).unwrap();
    service.task.await.unwrap();
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn tcp_is_served_beside_the_unix_socket_and_told_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let listeners = Listeners { unix: UnixListener::bind(&socket).unwrap(), tcp: Some(Tcp::Plain(tcp)) };
    let router = Router::new().route(
        "/",
        get(async |Extension(peer): Extension<Peer>| match peer {
            Peer::Unix { .. } => "unix",
            Peer::Loopback => "tcp",
            Peer::Tls => "tls",
        }),
    );
    let mut service = JoinSet::new();
    service.spawn(run(listeners, router, std::future::pending(), Settings::default()));
    let clients: [(Box<dyn Stream>, _); 2] = [
        (Box::new(tokio::net::TcpStream::connect(address).await.unwrap()), "tcp"),
        (Box::new(UnixStream::connect(&socket).await.unwrap()), "unix"),
    ];
    for (mut client, transport) in clients {
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with(&format!("\r\n\r\n{transport}")), "{text}");
    }
}
