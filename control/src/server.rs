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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use deadline::WriteDeadline;

/// Where clients come in.
#[derive(Debug)]
pub struct Listeners {
    /// Always; who may connect is decided by the file's mode.
    pub unix: UnixListener,
    /// For machines without unix sockets in their tools. There is no authentication: bind it to loopback. Requests have to
    /// name it as `localhost` or by a loopback address, so that no page in a browser gets through.
    pub tcp: Option<TcpListener>,
}

/// Bounds against clients that are slow, many or hostile.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
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
        Self { connections: 256, header_time: patience, write_time: patience, drain: Duration::from_secs(5) }
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
    tokio::select! {
        () = shutdown => {}
        never = accept_all(&listeners, &router, settings, &graceful, &mut connections) => match never {},
    }
    drop(listeners);
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
    settings: Settings,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) -> Infallible {
    let slots = Arc::new(Semaphore::new(settings.connections));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("nobody closes the semaphore");
        while connections.try_join_next().is_some() {}
        match listeners.accept().await {
            Ok((transport, stream)) => {
                let service = service(router.clone(), transport);
                connections.spawn(serve_connection(stream, service, settings, graceful.watcher(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// How a client came in. Every request has this as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Through the unix socket.
    Unix,
    /// Through the TCP listener.
    Tcp,
}

/// A byte stream to a client.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listeners {
    async fn accept(&self) -> io::Result<(Transport, Box<dyn Stream>)> {
        tokio::select! {
            accepted = self.unix.accept() => Ok((Transport::Unix, Box::new(accepted?.0))),
            accepted = accept_tcp(self.tcp.as_ref()) => Ok((Transport::Tcp, accepted?)),
        }
    }
}

async fn accept_tcp(listener: Option<&TcpListener>) -> io::Result<Box<dyn Stream>> {
    let Some(listener) = listener else { return std::future::pending().await };
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// The router, told how the client came in.
fn service(
    router: Router,
    transport: Transport,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(transport);
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
