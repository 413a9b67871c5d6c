//! What the log tells of a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// Runs the request in a span with an id that the client gets too, in `x-request-id`.
pub(super) async fn in_span(request: Request, next: Next) -> Response {
    let id = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    async {
        let started = Instant::now();
        let mut response = next.run(request).await;
        response.headers_mut().insert("x-request-id", HeaderValue::from(id));
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
