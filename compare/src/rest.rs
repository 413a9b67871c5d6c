//! Wharf's REST API on its unix socket, one blocking call a request, on one connection.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// The daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// It does not answer.
    #[error("wharf does not answer: {0}")]
    Connection(#[from] io::Error),
    /// It refused.
    #[error("wharf, {method} {path}: {status} {body}")]
    Refused {
        /// The request's method.
        method: Method,
        /// The request's path.
        path: String,
        /// The answer's status.
        status: u16,
        /// The answer's body.
        body: Value,
    },
    /// It takes too long.
    #[error("wharf, {0}: not ready after {PATIENCE:?}")]
    NotReady(String),
}

/// How long anything may take that normally takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a daemon.
#[derive(Debug)]
pub struct Rest {
    sender: SendRequest<Full<Bytes>>,
    runtime: Runtime,
}

impl Rest {
    /// Connects to the daemon that listens at `socket`.
    pub fn connect(socket: &Path) -> Result<Self, RestError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sender = runtime.block_on(async {
            let stream = UnixStream::connect(socket).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok::<_, io::Error>(sender)
        })?;
        Ok(Self { sender, runtime })
    }

    /// Reads.
    pub fn get(&mut self, path: &str) -> Result<Value, RestError> {
        self.send(Method::GET, path, &Value::Null)
    }

    /// Makes something.
    pub fn post(&mut self, path: &str, body: &Value) -> Result<Value, RestError> {
        self.send(Method::POST, path, body)
    }

    /// Changes something.
    pub fn patch(&mut self, path: &str, body: &Value) -> Result<Value, RestError> {
        self.send(Method::PATCH, path, body)
    }

    /// Makes something so.
    pub fn put(&mut self, path: &str) -> Result<Value, RestError> {
        self.send(Method::PUT, path, &Value::Null)
    }

    /// Ends something.
    pub fn delete(&mut self, path: &str) -> Result<Value, RestError> {
        self.send(Method::DELETE, path, &Value::Null)
    }

    /// Makes a VPC or a container, and waits until it is ready.
    pub fn make(&mut self, collection: &str, body: &Value) -> Result<(), RestError> {
        self.post(&format!("/v1/{collection}"), body)?;
        let path = format!("/v1/{collection}/{}", body["name"].as_str().unwrap_or_default());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.get(&path)?["state"] == "ready" {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(RestError::NotReady(path))
    }

    fn send(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, RestError> {
        let mut request = Request::builder().method(method.clone()).uri(path).header("host", "wharf");
        let mut bytes = Bytes::new();
        if !body.is_null() {
            request = request.header("content-type", "application/json");
            bytes = Bytes::from(body.to_string());
        }
        let request = request.body(Full::new(bytes)).map_err(io::Error::other)?;
        let (status, body) = self.exchange(request)?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(RestError::Refused { method, path: path.to_owned(), status, body })
    }

    fn exchange(&mut self, request: Request<Full<Bytes>>) -> io::Result<(u16, Value)> {
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let answer = async {
                sender.ready().await.map_err(io::Error::other)?;
                let answer = sender.send_request(request).await.map_err(io::Error::other)?;
                let status = answer.status().as_u16();
                let bytes = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
                let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
                Ok((status, body))
            };
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}
