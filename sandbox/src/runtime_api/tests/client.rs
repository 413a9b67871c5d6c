//! A client that sends what the test says, and reads what comes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub(super) struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Client {
    pub(super) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        Self { stream, received: Vec::new() }
    }

    /// Sends these bytes.
    pub(super) async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.expect("the server reads");
    }

    /// Asks for a path, and waits for no answer.
    pub(super) async fn ask(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    }

    /// Asks for a path.
    pub(super) async fn get(&mut self, path: &str) -> Reply {
        self.ask(path).await;
        self.reply().await
    }

    /// Asks for the next event.
    pub(super) async fn next(&mut self) -> Reply {
        self.get(NEXT).await
    }

    /// Posts to a path below an invocation's, or to another one.
    pub(super) async fn post(&mut self, path: &str, headers: &str, body: &str) -> Reply {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{INVOCATION}{path}") };
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}"
        ))
        .await;
        self.reply().await
    }

    /// Reads one response.
    pub(super) async fn reply(&mut self) -> Reply {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await;
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).expect("heads are text");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        while self.received.len() < length {
            self.read().await;
        }
        let body = String::from_utf8(self.received.drain(..length).collect()).expect("bodies are text");
        Reply { status: head[9..12].parse().expect("a status"), head, body }
    }

    async fn read(&mut self) {
        let count = self.stream.read_buf(&mut self.received).await.expect("the server writes");
        assert_ne!(count, 0, "the server closed after {:?}", String::from_utf8_lossy(&self.received));
    }
}

impl Reply {
    /// Whether it has this line in its head.
    pub(super) fn says(&self, line: &str) -> bool {
        self.head.lines().any(|said| said == line)
    }
}

pub(super) const NEXT: &str = "/2018-06-01/runtime/invocation/next";
pub(super) const INIT_ERROR: &str = "/2018-06-01/runtime/init/error";
const INVOCATION: &str = "/2018-06-01/runtime/invocation/";
