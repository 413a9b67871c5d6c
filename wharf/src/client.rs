//! A client of the REST API, over the unix socket or over TCP on loopback. One connection, one request at a time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::failure::{Exit, Failure};

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

/// Largest body taken from a daemon: a page of sessions is well below. Bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP on loopback.
    Tcp(SocketAddr),
}

/// A connection to the daemon.
pub(crate) struct Client {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
    used: Instant,
}

/// The daemon's refusal: RFC 9457 problem details with the API's stable `code`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The stable code.
    pub(crate) code: String,
    /// The kind of problem, for people.
    pub(crate) title: String,
    /// What is wrong here, and what to do.
    pub(crate) detail: String,
    /// The one field that is to blame.
    pub(crate) field: Option<String>,
}

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there, or we may not connect.
    #[error("no daemon answers at {target}: {source}")]
    Unreachable {
        /// Where we tried.
        target: Target,
        /// Why it failed.
        source: io::Error,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to {target} broke: {reason}")]
    Broken {
        /// Where.
        target: Target,
        /// How.
        reason: String,
    },
    /// The daemon is there and silent.
    #[error("the daemon at {0} did not answer within {seconds} s", seconds = TIMEOUT.as_secs())]
    Silent(Target),
    /// The daemon refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// An answer that is none of Wharf's.
    #[error("{target} answered with status {status} and no JSON that Wharf knows; is it a wharf daemon?")]
    Alien {
        /// Who.
        target: Target,
        /// The HTTP status.
        status: u16,
    },
}

impl Client {
    /// Connects to the daemon at `target`.
    pub(crate) async fn connect(target: Target) -> Result<Self, ClientError> {
        let sender = sender(&target).await?;
        Ok(Self { target, sender, used: Instant::now() })
    }

    /// Reads a resource.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::GET, path, None).await
    }

    /// Makes a resource, or asks a question that needs a body.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Makes something so.
    pub(crate) async fn put(&mut self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::PUT, path, None).await
    }

    /// Ends a resource.
    pub(crate) async fn delete(&mut self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::DELETE, path, None).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await;
        let (status, bytes) = answer.map_err(|_| ClientError::Silent(self.target.clone()))??;
        self.understand(status, &bytes)
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        if self.sender.is_closed() || self.used.elapsed() > IDLE {
            self.sender = sender(&self.target).await?;
        }
        let broken = |reason: String| ClientError::Broken { target: self.target.clone(), reason };
        self.sender.ready().await.map_err(|e| broken(e.to_string()))?;
        let answer = self.sender.send_request(request(method, path, body)).await;
        let answer: Response<Incoming> = answer.map_err(|e| broken(e.to_string()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
        let body = body.map_err(|e| broken(e.to_string()))?.to_bytes();
        self.used = Instant::now();
        Ok((status, body))
    }

    fn understand(&self, status: StatusCode, bytes: &[u8]) -> Result<Value, ClientError> {
        let alien = || ClientError::Alien { target: self.target.clone(), status: status.as_u16() };
        if status.is_success() {
            return if bytes.is_empty() {
                Ok(Value::Null)
            } else {
                serde_json::from_slice(bytes).map_err(|_| alien())
            };
        }
        match serde_json::from_slice::<Problem>(bytes) {
            Ok(problem) if !problem.code.is_empty() => {
                Err(ClientError::Refused(Box::new(Problem { status: status.as_u16(), ..problem })))
            }
            _ => Err(alien()),
        }
    }
}

async fn sender(target: &Target) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let unreachable = |source| ClientError::Unreachable { target: target.clone(), source };
    let sender = match target {
        Target::Unix(path) => handshake(UnixStream::connect(path).await.map_err(unreachable)?).await,
        Target::Tcp(address) => handshake(TcpStream::connect(address).await.map_err(unreachable)?).await,
    };
    sender.map_err(|e| ClientError::Broken { target: target.clone(), reason: e.to_string() })
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> hyper::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its error reaches the request that it broke.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Bytes::new, |b| b.to_string().into());
    request.body(Full::new(body)).expect("paths are built from escaped segments")
}

/// `text` as one segment of a path or one value of a query.
pub(crate) fn escaped(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(b as char);
        } else {
            write!(out, "%{b:02X}").expect("a String takes everything");
        }
        out
    })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.detail.is_empty() { &self.title } else { &self.detail };
        match &self.field {
            Some(field) => write!(f, "{text} [{}, field {field}]", self.code),
            None => write!(f, "{text} [{}]", self.code),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(e: ClientError) -> Self {
        let exit = match &e {
            ClientError::Unreachable { .. } | ClientError::Silent(_) => Exit::Unreachable,
            ClientError::Refused(problem) if matches!(&*problem.code, "not_found" | "not_attached") => {
                Exit::NotFound
            }
            ClientError::Broken { .. } | ClientError::Refused(_) | ClientError::Alien { .. } => Exit::Failed,
        };
        let failure = Self::new(exit, &e);
        match hint(&e) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What to do about it, where the API's own words do not say so already.
fn hint(e: &ClientError) -> Option<String> {
    match e {
        ClientError::Unreachable { target: Target::Unix(path), source } => Some(match source.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("run as root, or as a member of the group that owns {}", path.display())
            }
            _ if path.as_os_str() == DEFAULT_SOCKET => {
                "start the daemon with `sudo wharf serve`, or say where it is with --socket or --api"
                    .to_owned()
            }
            _ => format!("start the daemon with `sudo wharf serve --socket {}`", path.display()),
        }),
        ClientError::Unreachable { target: Target::Tcp(address), .. } => {
            Some(format!("start the daemon with `sudo wharf serve --listen {address}`"))
        }
        ClientError::Silent(_) | ClientError::Broken { .. } => {
            Some("the daemon's log says what it was doing".to_owned())
        }
        ClientError::Refused(problem) => refusal_hint(&problem.code).map(str::to_owned),
        ClientError::Alien { .. } => None,
    }
}

fn refusal_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "not_found" => {
            "`wharf vpc list`, `wharf connector list` and `wharf container list` show what there is"
        }
        "not_attached" => "`wharf container list` shows which connectors each container has",
        "netns_missing" => {
            "`ip netns list` shows namespaces with a name; one without is named by a process that runs in it, pid:PID"
        }
        "not_permitted" => "run the daemon as root",
        "route_not_found" | "method_not_allowed" => "daemon and command line may be of different versions",
        "internal" => "the daemon's log says more",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
