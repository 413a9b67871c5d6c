//! Connections: accepting, bounding and ending them.
//!
//! By hyper itself, as `axum::serve` has neither a limit of connections nor one of the time that a client may take.

mod deadline;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use deadline::WriteDeadline;

/// Where clients come in.
#[derive(Debug)]
pub struct Listeners {
    /// Always; who may connect is decided by the file's mode.
    pub unix: UnixListener,
    /// For machines without unix sockets in their tools. It is not encrypted: bind it to loopback. Requests have to name it as
    /// `localhost` or by a loopback address, so that no page in a browser gets through, and bear a token.
    pub tcp: Option<TcpListener>,
}

/// Bounds against clients that are slow, many or hostile.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Users who are the local administrator when they come in through the unix socket.
    pub admins: Vec<u32>,
    /// Connections at a time; more wait in the listeners' queues.
    pub connections: usize,
    /// A request's header has to arrive within this time of the connection, or of the answer before.
    pub header_time: Duration,
    /// A client has to take some part of a waiting answer within this time.
    pub write_time: Duration,
    /// Requests that are under way at shutdown have this long to end.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let patience = Duration::from_secs(10);
        Self {
            admins: vec![0],
            connections: 256,
            header_time: patience,
            write_time: patience,
            drain: Duration::from_secs(5),
        }
    }
}

/// Longest header of a request. Bytes.
const HEADER_BYTES: usize = 64 * 1024;

/// Between two tries to accept, when the process is out of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown` ends, then lets requests under way end.
pub(crate) async fn run(
    listeners: Listeners,
    router: Router,
    shutdown: impl Future<Output = ()>,
    settings: Settings,
) {
    let mut connections = JoinSet::new();
    let graceful = GracefulShutdown::new();
    let (end, ending) = watch::channel(false);
    let ending = Ending(ending);
    tokio::select! {
        () = shutdown => {}
        never = accept_all(&listeners, &router, &settings, &graceful, &ending, &mut connections) => match never {},
    }
    drop(listeners);
    end.send_replace(true);
    if tokio::time::timeout(settings.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests took too long to end; their connections are closed"
        );
    }
    connections.shutdown().await;
}

async fn accept_all(
    listeners: &Listeners,
    router: &Router,
    settings: &Settings,
    graceful: &GracefulShutdown,
    ending: &Ending,
    connections: &mut JoinSet<()>,
) -> Infallible {
    let slots = Arc::new(Semaphore::new(settings.connections));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("nobody closes the semaphore");
        while connections.try_join_next().is_some() {}
        match listeners.accept().await {
            Ok((peer, stream)) => {
                let service = service(router.clone(), peer, ending.clone());
                connections.spawn(serve_connection(
                    stream,
                    service,
                    settings.clone(),
                    graceful.watcher(),
                    slot,
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Who is at the other end, as far as the connection tells. Every request has this as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this machine, through the unix socket.
    Unix {
        /// Its user, by the kernel.
        uid: u32,
    },
    /// Anybody at this machine, through TCP.
    Loopback,
}

/// Tells of the daemon's end, for answers that would go on for ever. Every request has this as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Ending(watch::Receiver<bool>);

impl Ending {
    /// Returns when the daemon begins to end.
    pub(crate) async fn begins(&mut self) {
        // That nobody can tell any more is the end too.
        _ = self.0.wait_for(|&ending| ending).await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ending {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let never = || Self(watch::channel(false).1);
        Ok(parts.extensions.get().cloned().unwrap_or_else(never))
    }
}

/// A byte stream to a client.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listeners {
    async fn accept(&self) -> io::Result<(Peer, Box<dyn Stream>)> {
        tokio::select! {
            accepted = self.unix.accept() => {
                let stream = accepted?.0;
                Ok((Peer::Unix { uid: stream.peer_cred()?.uid() }, Box::new(stream)))
            }
            accepted = accept_tcp(self.tcp.as_ref()) => Ok((Peer::Loopback, accepted?)),
        }
    }
}

async fn accept_tcp(listener: Option<&TcpListener>) -> io::Result<Box<dyn Stream>> {
    let Some(listener) = listener else { return std::future::pending().await };
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// The router, told who came in.
fn service(
    router: Router,
    peer: Peer,
    ending: Ending,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(ending.clone());
        router.call(request)
    })
}

/// Serves one client. `slot` is free again when it returns.
async fn serve_connection(
    stream: Box<dyn Stream>,
    service: impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
    settings: Settings,
    watcher: Watcher,
    slot: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_time)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(WriteDeadline::new(stream, settings.write_time)), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(slot);
}
