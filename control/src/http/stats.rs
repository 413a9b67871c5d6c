//! `/v1/stats`

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::Look;
use super::failure::Failure;
use super::parameters::ForTenant;
use crate::app::{App, StatsView};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Shows counters of workers, containers and VPCs.
#[utoipa::path(
    get, path = "/v1/stats", tag = "live", operation_id = "stats", params(ForTenant),
    responses((status = 200, description = "Counters of everything.", body = StatsView), Failure)
)]
async fn show(State(app): State<App>, Look(caller): Look) -> Result<Json<StatsView>, Failure> {
    Ok(Json(app.stats(&caller).await?))
}
