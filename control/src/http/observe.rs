//! What the log tells of a request.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// When this daemon began, so that ids of another life are others. Unix time, seconds.
static BEGAN: LazyLock<u64> = LazyLock::new(|| crate::app::now().as_secs());

/// Tells a request from all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", *BEGAN, self.0)
    }
}

/// Runs the request in a span with an id that the client gets too, in `x-request-id`.
pub(super) async fn in_span(mut request: Request, next: Next) -> Response {
    let id = RequestId(REQUESTS.fetch_add(1, Ordering::Relaxed));
    let (method, path) = (request.method(), request.uri().path());
    let empty = tracing::field::Empty;
    let span = tracing::info_span!("request", %id, %method, path, principal = empty, tenant = empty);
    request.extensions_mut().insert(id);
    async {
        let started = Instant::now();
        let mut response = next.run(request).await;
        response.headers_mut().insert("x-request-id", header(id));
        tracing::debug!(
            status = response.status().as_u16(),
            elapsed_us = started.elapsed().as_micros() as u64,
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}

fn header(id: RequestId) -> HeaderValue {
    HeaderValue::from_str(&id.to_string()).expect("digits and a hyphen fit a header")
}
