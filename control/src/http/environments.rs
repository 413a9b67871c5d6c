//! `/v1/environments`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Items;
use super::call::{Do, Look};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::ForTenant;
use crate::app::{App, EnvironmentDetailView, EnvironmentView};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, drain))
}

/// Lists the environments of the tenant's functions; for the local administrator, warm containers that wait for a function, too.
#[utoipa::path(
    get, path = "/v1/environments", tag = "functions", operation_id = "list_environments",
    params(ForTenant),
    responses((status = 200, description = "All of them.", body = Items<EnvironmentView>), Failure)
)]
async fn list(State(app): State<App>, Look(caller): Look) -> Result<Json<Items<EnvironmentView>>, Failure> {
    Ok(Json(Items { items: app.environments(&caller)? }))
}

/// Shows an environment, and how it came to be as it is.
#[utoipa::path(
    get, path = "/v1/environments/{id}", tag = "functions", operation_id = "show_environment",
    params(("id" = String, Path, description = "The environment's id."), ForTenant),
    responses((status = 200, description = "The environment.", body = EnvironmentDetailView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(id): Path<String>,
) -> Result<Json<EnvironmentDetailView>, Failure> {
    Ok(Json(app.environment(&caller, &id)?))
}

/// Gives an environment nothing more to do, and removes it when it is done. Others take its place as they are needed.
#[utoipa::path(
    delete, path = "/v1/environments/{id}", tag = "functions", operation_id = "drain_environment",
    params(("id" = String, Path, description = "The environment's id."), ("dry_run" = Option<bool>, Query, description = "Check whether there is such an environment, and do nothing."), ForTenant),
    responses((status = 202, description = "It goes as soon as it is done."), Failure)
)]
async fn drain(State(app): State<App>, Do(call): Do, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    app.drain_environment(&call, &id)?;
    Ok(StatusCode::ACCEPTED)
}
