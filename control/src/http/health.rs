//! `/healthz`, `/readyz`, `/openapi.json`

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::Anybody;
use super::failure::Failure;
use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(document))
}

/// All is well.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

const OK: Health = Health { status: "ok" };

/// Answers as long as the daemon lives.
#[utoipa::path(
    get, path = "/healthz", tag = "service", operation_id = "healthz",
    responses((status = 200, description = "The daemon lives.", body = Health), Failure)
)]
async fn healthz(_: Anybody) -> Json<Health> {
    Json(OK)
}

/// Answers whether the gateway's workers do.
#[utoipa::path(
    get, path = "/readyz", tag = "service", operation_id = "readyz",
    responses((status = 200, description = "The workers answer.", body = Health), Failure)
)]
async fn readyz(State(app): State<App>, _: Anybody) -> Result<Json<Health>, Failure> {
    app.ready().await?;
    Ok(Json(OK))
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "service", operation_id = "openapi",
    responses((status = 200, description = "The OpenAPI document.", body = serde_json::Value), Failure)
)]
async fn document(_: Anybody) -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> =
        LazyLock::new(|| super::openapi().to_pretty_json().expect("the document is plain data"));
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
