//! A client of the REST API, over the unix socket, TCP on loopback or TLS. One connection, one request at a time; a watch has
//! a connection of its own.

mod access;
mod invoke;
mod problem;
mod request;
mod sse;
mod target;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::ETAG;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

pub(crate) use access::{Access, Token};
pub(crate) use invoke::{Parts, Reply, Said};
pub(crate) use problem::{ClientError, Problem, stack_trace};
pub(crate) use request::{Key, Run, escaped};
pub(crate) use sse::{Event, Events};
pub(crate) use target::{Authority, Target, Trust};

use request::Request;

/// Where the daemon listens unless told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/wharf/wharf.sock";

/// `$WHARF_SOCKET`: where the daemon listens unless a flag or the daemon's own file says so.
pub(crate) fn socket_of_environment() -> Option<PathBuf> {
    std::env::var_os("WHARF_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// How long one request may take. Making a link is the slowest of them, and takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection that was idle for longer is not used again: the daemon closes it after twice this time.
const IDLE: Duration = Duration::from_secs(5);

/// Largest body taken from a daemon: a page of a thousand large resources is well below. Bytes.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// A connection to the daemon.
pub(crate) struct Client {
    access: Access,
    sender: SendRequest<Full<Bytes>>,
    used: Instant,
}

/// An answer that was read to its end.
struct Answer {
    status: StatusCode,
    etag: Option<String>,
    body: Bytes,
}

impl Client {
    /// Connects to the daemon.
    pub(crate) async fn connect(access: Access) -> Result<Self, ClientError> {
        let sender = sender(&access.target).await?;
        Ok(Self { access, sender, used: Instant::now() })
    }

    /// Reads a resource.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Value, ClientError> {
        let answer = self.send(&Request::new(Method::GET, path)).await?;
        self.json(&answer)
    }

    /// The ETag of a resource, which changes when it does.
    pub(crate) async fn etag(&mut self, path: &str) -> Result<Option<String>, ClientError> {
        Ok(self.send(&Request::new(Method::GET, path)).await?.etag)
    }

    /// Reads what is no JSON.
    pub(crate) async fn text(&mut self, path: &str) -> Result<String, ClientError> {
        let answer = self.send(&Request::new(Method::GET, path)).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Asks a question that needs a body.
    pub(crate) async fn ask(&mut self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let answer = self.send(&Request::new(Method::POST, path).with(body)).await?;
        self.json(&answer)
    }

    /// Makes a resource. If the connection breaks before the answer is there, it asks again with the same key, by which the
    /// daemon knows that it has made it.
    pub(crate) async fn create(
        &mut self,
        path: &str,
        body: &Value,
        key: &Key,
        run: Run,
    ) -> Result<Value, ClientError> {
        let request = Request::new(Method::POST, path).with(body).once(key).run(run);
        let answer = match self.send(&request).await {
            Err(ClientError::Broken { .. }) => {
                self.sender = sender(&self.access.target).await?;
                self.send(&request).await?
            }
            outcome => outcome?,
        };
        self.json(&answer)
    }

    /// Changes a resource, if it still is what this ETag says.
    pub(crate) async fn change(
        &mut self,
        path: &str,
        body: &Value,
        etag: Option<&str>,
        run: Run,
    ) -> Result<Value, ClientError> {
        let answer = self.send(&Request::new(Method::PATCH, path).with(body).only_if(etag).run(run)).await?;
        self.json(&answer)
    }

    /// Makes something so.
    pub(crate) async fn put(&mut self, path: &str, run: Run) -> Result<Value, ClientError> {
        let answer = self.send(&Request::new(Method::PUT, path).run(run)).await?;
        self.json(&answer)
    }

    /// Ends a resource.
    pub(crate) async fn delete(&mut self, path: &str, run: Run) -> Result<Value, ClientError> {
        let answer = self.send(&Request::new(Method::DELETE, path).run(run)).await?;
        self.json(&answer)
    }

    /// Watches what changes after a revision, on a connection of its own.
    pub(crate) async fn watch(&self, path: &str, revision: u64) -> Result<Events, ClientError> {
        let mut sender = sender(&self.access.target).await?;
        let request = Request::new(Method::GET, &format!("{path}?watch=true")).since(revision);
        let answer = tokio::time::timeout(TIMEOUT, sender.send_request(request.build(&self.access))).await;
        let answer = answer.map_err(|_| ClientError::Silent(self.access.target.clone()))?;
        let answer = answer.map_err(|e| ClientError::broken(&self.access.target, &e))?;
        if answer.status().is_success() {
            return Ok(Events::new(answer.into_body(), sender, self.access.target.clone()));
        }
        Err(self.refused(&self.read(answer).await?))
    }

    async fn send(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let answer = tokio::time::timeout(request.patience(), self.exchange(request)).await;
        let answer = answer.map_err(|_| ClientError::Silent(self.access.target.clone()))??;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    async fn exchange(&mut self, request: &Request) -> Result<Answer, ClientError> {
        if self.sender.is_closed() || self.used.elapsed() > IDLE {
            self.sender = sender(&self.access.target).await?;
        }
        let broken = |e: hyper::Error| ClientError::broken(&self.access.target, &e);
        self.sender.ready().await.map_err(broken)?;
        let answer = self.sender.send_request(request.build(&self.access)).await.map_err(broken)?;
        let answer = self.read(answer).await?;
        self.used = Instant::now();
        Ok(answer)
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<Answer, ClientError> {
        let status = answer.status();
        let etag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
        let body = body.map_err(|e| ClientError::broken(&self.access.target, &*e))?.to_bytes();
        Ok(Answer { status, etag, body })
    }

    fn json(&self, answer: &Answer) -> Result<Value, ClientError> {
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|_| self.alien(answer.status))
    }

    fn refused(&self, answer: &Answer) -> ClientError {
        match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) if !problem.code.is_empty() => {
                ClientError::Refused(Box::new(Problem { status: answer.status.as_u16(), ..problem }))
            }
            _ => self.alien(answer.status),
        }
    }

    fn alien(&self, status: StatusCode) -> ClientError {
        ClientError::Alien { target: self.access.target.clone(), status: status.as_u16() }
    }
}

async fn sender(target: &Target) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let connected = tokio::time::timeout(TIMEOUT, target.connect()).await;
    let stream = connected
        .map_err(|_| ClientError::Silent(target.clone()))?
        .map_err(|e| ClientError::of_connect(e, target))?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|e| ClientError::broken(target, &e))?;
    // Its error reaches the request that it broke.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}
