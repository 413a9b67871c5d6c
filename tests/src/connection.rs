//! One connection to the daemon, kept for as many requests as wanted.

use std::io;
use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::PATIENCE;

/// Status and body; the body is `null` if there is none.
pub type Answer = (u16, Value);

/// A connection to the REST API. Requests are blocking calls, one after the other.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    runtime: Runtime,
}

impl Connection {
    /// Connects to the daemon that listens at `socket`.
    pub(crate) fn open(socket: &Path) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sender = runtime.block_on(async {
            let stream = UnixStream::connect(socket).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok::<_, io::Error>(sender)
        })?;
        Ok(Self { sender, runtime })
    }

    /// One request with any body, which need not be JSON, declared as JSON if there is one.
    pub fn send(&mut self, method: Method, path: &str, body: Bytes) -> io::Result<Answer> {
        self.send_as(None, method, path, body)
    }

    /// The same for a tenant.
    pub(crate) fn send_as(
        &mut self,
        tenant: Option<&str>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", "wharf");
        if let Some(tenant) = tenant {
            request = request.header("wharf-tenant", tenant);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.exchange(request.body(Full::new(body)).map_err(io::Error::other)?)
    }

    /// One request as it is.
    pub fn exchange(&mut self, request: Request<Full<Bytes>>) -> io::Result<Answer> {
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
