//! Connections: accepting, bounding and ending them.
//!
//! By hyper itself, as `axum::serve` has neither a limit of connections nor one of the time that a client may take.

mod accept;
mod deadline;
#[cfg(test)]
mod tests;
mod tls;

use std::convert::Infallible;
use std::future::Future;
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
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use accept::{Listeners, Tcp};
pub use tls::{Tls, TlsError, TlsFiles};

use accept::{Accepted, Doors};
use deadline::WriteDeadline;

/// Bounds against clients that are slow, many or hostile.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Users who are the local administrator when they come in through the unix socket.
    pub admins: Vec<u32>,
    /// Connections at a time of each listener, those in TLS' handshake among them; more wait in its queue.
    pub connections: usize,
    /// A request's header has to arrive within this time of the connection, or of the answer before; TLS' handshake has as long.
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
    let doors = Doors::new(listeners, settings.connections);
    loop {
        let accepted = doors.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(accepted) => {
                let service = service(router.clone(), accepted.peer, ending.clone());
                let watcher = graceful.watcher();
                connections.spawn(serve_connection(
                    accepted,
                    service,
                    settings.clone(),
                    watcher,
                    ending.clone(),
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
    /// Anybody, through TLS.
    Tls,
}

/// Tells of the daemon's end, for answers that would go on for ever. Every request has this as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Ending(watch::Receiver<bool>);

impl Ending {
    /// The end that this tells of.
    #[cfg(test)]
    pub(crate) const fn told_by(end: watch::Receiver<bool>) -> Self {
        Self(end)
    }

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

/// Serves one client. Its place is free again when this returns.
async fn serve_connection(
    accepted: Accepted,
    service: impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
    settings: Settings,
    watcher: Watcher,
    mut ending: Ending,
) {
    let Accepted { connection, peer, place: _place } = accepted;
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(settings.header_time, connection.open()) => handshake,
        // Nobody has asked for anything yet.
        () = ending.begins() => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(?peer, %error, "a handshake failed"),
        Err(_) => return tracing::debug!(?peer, "a handshake took too long"),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_time)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(WriteDeadline::new(stream, settings.write_time)), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
