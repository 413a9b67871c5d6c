//! `/v1/tenants`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control_core::{NewTenant, TenantView};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, List, Shown};
use super::call::{Do, DoWith, Look, Paged};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::{DryRun, ForTenant, IdempotencyKey, IfMatch};
use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, delete))
}

/// Creates a tenant. For the local administrator.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "access", operation_id = "create_tenant", request_body = NewTenant,
    params(DryRun, IdempotencyKey, ForTenant),
    responses((status = 201, description = "Created.", body = TenantView), Failure)
)]
async fn create(
    State(app): State<App>,
    DoWith(call, new): DoWith<NewTenant>,
) -> Result<Created<TenantView>, Failure> {
    call.caller.need_local()?;
    let view = app.create_tenant(call, new).await?;
    Ok(Created { path: format!("/v1/tenants/{}", view.name), view })
}

/// Lists tenants by name. For the local administrator.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "access", operation_id = "list_tenants",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most this many; 100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."), ForTenant),
    responses((status = 200, description = "A page of them.", body = List<TenantView>), Failure)
)]
async fn list(State(app): State<App>, Paged(caller, page): Paged) -> Result<Json<List<TenantView>>, Failure> {
    caller.need_local()?;
    Ok(Json(app.tenants(&page).into()))
}

/// Shows a tenant. For the local administrator.
#[utoipa::path(
    get, path = "/v1/tenants/{name}", tag = "access", operation_id = "show_tenant", params(("name" = String, Path, description = "The tenant's name."), ForTenant),
    responses((status = 200, description = "The tenant.", body = TenantView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Shown<TenantView>, Failure> {
    caller.need_local()?;
    Ok(Shown(app.tenant(&name)?))
}

/// Deletes a tenant and its tokens. Refused while it has anything else. For the local administrator.
#[utoipa::path(
    delete, path = "/v1/tenants/{name}", tag = "access", operation_id = "delete_tenant",
    params(("name" = String, Path, description = "The tenant's name."), DryRun, IfMatch, ForTenant),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(
    State(app): State<App>,
    Do(call): Do,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    call.caller.need_local()?;
    app.delete_tenant(call, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
