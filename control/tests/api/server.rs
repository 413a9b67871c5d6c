//! A daemon's API as clients see it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use control::{Functions, Listeners, Settings, State};
use gateway::{Config, Gateway};
use sandbox::CodeStore;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::netns::{Netns, vpc};

pub(crate) struct Api {
    pub(crate) socket: PathBuf,
    pub(crate) tcp: SocketAddr,
    /// Where the code of functions is.
    pub(crate) code: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
    _gateway: Gateway,
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    version: &'static str,
}

pub(crate) fn ask(method: &str, path: &str) -> Ask {
    Ask { method: method.into(), path: path.into(), headers: Vec::new(), body: None, version: "1.1" }
}

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self { body: Some(body.to_string()), ..self }
    }

    /// For this tenant, as the local administrator.
    pub(crate) fn of(self, tenant: &str) -> Self {
        self.header("wharf-tenant", tenant)
    }

    pub(crate) fn bearing(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    /// Of HTTP/1.0, whose answers have nothing between their parts.
    pub(crate) fn old(self) -> Self {
        Self { version: "1.0", ..self }
    }

    fn text(&self) -> String {
        let Self { method, path, headers, body, version } = self;
        let mut text = format!("{method} {path} HTTP/{version}\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        let body = body.as_deref().unwrap_or_default();
        if !body.is_empty() {
            text += "content-type: application/json\r\n";
        }
        text + &format!("content-length: {}\r\n\r\n{body}", body.len())
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, text: body.to_owned() }
    }

    /// The body; `null` if there is none.
    pub(crate) fn json(&self) -> Value {
        if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text).unwrap() }
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or("-").to_owned()
    }

    pub(crate) fn etag(&self) -> String {
        self.headers["etag"].clone()
    }

    /// As it is, but for what is another of every request.
    pub(crate) fn stripped(mut self) -> Self {
        self.headers.remove("date");
        self.headers.remove("x-request-id");
        self
    }
}

/// Opens the store, once a daemon of before has closed it.
async fn open(store: Option<&Path>) -> State {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        match State::open(store.map(Path::to_path_buf).as_ref()) {
            Ok(state) => return state,
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Api {
    /// Without a store.
    pub(crate) async fn start() -> Self {
        Self::with(None, Settings::default()).await
    }

    pub(crate) async fn with(store: Option<&Path>, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let code = store.map_or_else(|| folder.path().join("code"), |store| store.with_extension("code"));
        let functions = Functions {
            code: CodeStore::open(&code).unwrap(),
            runtimes: vec![
                ("python3".into(), Ok(())),
                ("provided".into(), Ok(())),
                ("broken".into(), Err("there is no such file".into())),
            ],
            sandbox: None,
        };
        Self::begin(store, settings, Some(functions), folder, code).await
    }

    /// On a machine that cannot serve functions.
    pub(crate) async fn without_functions(store: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let code = folder.path().join("code");
        Self::begin(store, Settings::default(), None, folder, code).await
    }

    async fn begin(
        store: Option<&Path>,
        settings: Settings,
        functions: Option<Functions>,
        folder: tempfile::TempDir,
        code: PathBuf,
    ) -> Self {
        crate::logs::listen();
        let gateway = Gateway::start(&Config::default()).unwrap();
        let socket = folder.path().join("wharf.sock");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        let listeners = Listeners {
            unix: UnixListener::bind(&socket).unwrap(),
            tcp: Some(control::Tcp::Plain(listener)),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { _ = stopped.await };
        let state = open(store).await;
        let serve = control::serve(listeners, gateway.handle(), state, functions, shutdown, settings);
        Self { socket, tcp, code, stop, task: tokio::spawn(serve), _folder: folder, _gateway: gateway }
    }

    /// Ends the daemon, and waits until it has.
    pub(crate) async fn stop(self) {
        let Self { stop, task, _gateway, .. } = self;
        _ = stop.send(());
        task.await.unwrap();
    }

    /// Begins to end the daemon.
    pub(crate) fn begin_to_stop(self) -> JoinHandle<()> {
        tokio::spawn(self.stop())
    }

    pub(crate) async fn send(&self, ask: &Ask) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(ask.text().as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let mut answer = String::new();
        self.send(&ask).await.read_to_string(&mut answer).await.unwrap();
        let answer = Answer::parse(&answer);
        assert!(answer.headers.contains_key("x-request-id"), "{ask:?}: {answer:?}");
        answer
    }

    /// The same over TCP.
    pub(crate) async fn ask_tcp(&self, ask: Ask) -> Answer {
        let mut stream = tokio::net::TcpStream::connect(self.tcp).await.unwrap();
        stream.write_all(ask.text().as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        Answer::parse(&answer)
    }

    /// Expects `status`; gives the body.
    pub(crate) async fn expect(&self, status: u16, ask: Ask) -> Value {
        let told = format!("{ask:?}");
        let answer = self.ask(ask).await;
        assert_eq!(answer.status, status, "{told}: {}", answer.text);
        answer.json()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.expect(200, ask("GET", path)).await
    }

    pub(crate) async fn create(&self, path: &str, body: Value) -> Value {
        self.expect(201, ask("POST", path).json(&body)).await
    }

    /// Expects a refusal with this code; gives the problem.
    pub(crate) async fn refuse(&self, code: &str, ask: Ask) -> Value {
        let told = format!("{ask:?}");
        let answer = self.ask(ask).await;
        assert_eq!(answer.code(), code, "{told}: {}", answer.text);
        answer.json()
    }

    /// Waits until the resource is in this state.
    pub(crate) async fn await_state(&self, path: &str, state: &str) -> Value {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let view = self.get(path).await;
            if view["state"] == state {
                return view;
            }
            assert!(Instant::now() < patience, "{path} did not become {state}: {view}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Creates VPC `v` in `netns` and connector `k` to it.
    pub(crate) async fn make_vpc(&self, netns: &Netns) {
        self.create("/v1/vpcs", vpc("v", netns)).await;
        self.create("/v1/connectors", json!({"name": "k", "vpc": "v"})).await;
    }

    /// Creates a tenant whose tokens may name namespaces that begin so.
    pub(crate) async fn make_tenant(&self, name: &str, prefix: &str) {
        self.create("/v1/tenants", json!({"name": name, "netns_prefix": prefix})).await;
    }

    /// Gives out a token of the tenant; tells its secret.
    pub(crate) async fn token(&self, tenant: &str, name: &str, role: &str) -> String {
        let new = ask("POST", "/v1/tokens").of(tenant).json(&json!({"name": name, "role": role}));
        self.expect(201, new).await["secret"].as_str().expect("the secret is told once").to_owned()
    }
}
