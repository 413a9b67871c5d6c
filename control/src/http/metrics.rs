//! `/metrics`: what Prometheus asks for (text format 0.0.4).

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::Look;
use super::failure::Failure;
use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Counters for Prometheus: those of the caller's tenant, and of the daemon and all tenants for the local administrator.
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain"), Failure)
)]
async fn metrics(State(app): State<App>, Look(caller): Look) -> Result<impl IntoResponse, Failure> {
    let text = app.metrics(&caller).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
