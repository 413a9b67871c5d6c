//! `/v1/explain`

use axum::Json;
use axum::extract::State;
use control_core::NewProbe;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::Look;
use super::extract::Body;
use super::failure::Failure;
use super::parameters::ForTenant;
use crate::app::{App, ExplanationView};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// Explains what would happen to a packet of a container or of a VPC, of the caller's tenant. Changes nothing.
#[utoipa::path(
    post, path = "/v1/explain", tag = "live", operation_id = "explain", request_body = NewProbe, params(ForTenant),
    responses((status = 200, description = "What would happen.", body = ExplanationView), Failure)
)]
async fn explain(
    State(app): State<App>,
    Look(caller): Look,
    Body(probe): Body<NewProbe>,
) -> Result<Json<ExplanationView>, Failure> {
    Ok(Json(app.explain(&caller, probe).await?))
}
