//! Connections: few, and each its own task that ends with the server.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::delivery::{Delivery, Noted};
use super::limits::{CONNECTIONS, HEAD_BYTES, HEAD_TIME};
use super::{Shared, routes};

/// Takes connections for as long as it is polled.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it an answer waits for the acknowledgement of what was written before.
                _ = stream.set_nodelay(true);
                let shared = shared.clone();
                connections.spawn(async move {
                    connection(stream, shared).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a runtime's connection was not accepted");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection until it is closed.
async fn connection(io: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let delivery = Delivery::default();
    let _undelivered = Undelivered { shared: &shared, delivery: &delivery };
    let answer = service_fn(|request| routes::answer(request, &shared, &delivery));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
    server.auto_date_header(false);
    let io = TokioIo::new(Noted::new(io, delivery.clone()));
    if let Err(error) = server.serve_connection(io, answer).await {
        tracing::debug!(%error, "a runtime's connection broke");
    }
}

/// Gives an event back that a connection has not delivered, however it ended.
struct Undelivered<'a> {
    shared: &'a Shared,
    delivery: &'a Delivery,
}

impl Drop for Undelivered<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.delivery.undelivered() {
            self.shared.change(|state| state.undelivered(ticket));
        }
    }
}

/// Before the next attempt when the kernel has no descriptor left.
const AFTER_ERROR: Duration = Duration::from_millis(100);
