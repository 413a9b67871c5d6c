//! `/v1/pools`

use axum::Json;
use axum::extract::State;
use control_core::{NewPool, PoolView};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Items, Shown};
use super::call::{DoWith, Look};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::{DryRun, ForTenant, IfMatch};
use super::patch;
use crate::app::{App, Call};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, update))
}

/// Lists pools of warm containers: one for each runtime.
#[utoipa::path(
    get, path = "/v1/pools", tag = "functions", operation_id = "list_pools", params(ForTenant),
    responses((status = 200, description = "All of them.", body = Items<PoolView>), Failure)
)]
async fn list(State(app): State<App>, Look(caller): Look) -> Result<Json<Items<PoolView>>, Failure> {
    Ok(Json(Items { items: app.pools(&caller)? }))
}

/// Shows a runtime's pool.
#[utoipa::path(
    get, path = "/v1/pools/{runtime}", tag = "functions", operation_id = "show_pool", params(("runtime" = String, Path, description = "The runtime's name."), ForTenant),
    responses((status = 200, description = "The pool.", body = PoolView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(runtime): Path<String>,
) -> Result<Shown<PoolView>, Failure> {
    Ok(Shown(app.pool(&caller, &runtime)?))
}

/// Changes a pool: fields that are given. For the local administrator.
#[utoipa::path(
    patch, path = "/v1/pools/{runtime}", tag = "functions", operation_id = "update_pool",
    params(("runtime" = String, Path, description = "The runtime's name."), DryRun, IfMatch, ForTenant),
    request_body(content = NewPool, description = "Fields that change; `null` for one that is to be left out."),
    responses((status = 200, description = "Changed.", body = PoolView), Failure)
)]
async fn update(
    State(app): State<App>,
    Path(runtime): Path<String>,
    DoWith(call, fields): DoWith<Map<String, Value>>,
) -> Result<Shown<PoolView>, Failure> {
    call.caller.need_local()?;
    let asked = |_: &Call| app.asked_pool(&runtime);
    let update = |call, new| app.update_pool(call, &runtime, new);
    Ok(Shown(patch::apply(call, fields, asked, update).await?))
}
