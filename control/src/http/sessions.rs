//! `/v1/sessions`

use axum::Json;
use axum::extract::State;
use control_core::SessionParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::Known;
use super::extract::Query;
use super::failure::Failure;
use super::parameters::ForTenant;
use crate::app::{App, SessionPageView};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Lists live sessions, page by page. Sessions that live through all pages are in exactly one of them.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "live", operation_id = "list_sessions", params(SessionParams, ForTenant),
    responses((status = 200, description = "One page.", body = SessionPageView), Failure)
)]
async fn list(
    State(app): State<App>,
    Known(caller): Known,
    Query(params): Query<SessionParams>,
) -> Result<Json<SessionPageView>, Failure> {
    Ok(Json(app.sessions(&caller, params).await?))
}
