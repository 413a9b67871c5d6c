//! `/v1/tokens`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control_core::{NewToken, Role, TokenView};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, List, Shown};
use super::call::{Do, DoWith, Look, Paged};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::{DryRun, ForTenant, IdempotencyKey, IfMatch};
use crate::app::{App, CreatedToken};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, delete))
}

/// Gives out a token. Its secret is in this answer, and nowhere else. For admins.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "access", operation_id = "create_token", request_body = NewToken,
    params(DryRun, IdempotencyKey, ForTenant),
    responses((status = 201, description = "Created.", body = CreatedToken), Failure)
)]
async fn create(
    State(app): State<App>,
    DoWith(call, new): DoWith<NewToken>,
) -> Result<Created<CreatedToken>, Failure> {
    call.caller.need(Role::Admin)?;
    let view = app.create_token(call, new).await?;
    Ok(Created { path: format!("/v1/tokens/{}", view.token.name), view })
}

/// Lists tokens by name. For admins.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "access", operation_id = "list_tokens",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most this many; 100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."), ForTenant),
    responses((status = 200, description = "A page of them.", body = List<TokenView>), Failure)
)]
async fn list(State(app): State<App>, Paged(caller, page): Paged) -> Result<Json<List<TokenView>>, Failure> {
    caller.need(Role::Admin)?;
    Ok(Json(app.tokens(&caller, &page).into()))
}

/// Shows a token, without its secret. For admins.
#[utoipa::path(
    get, path = "/v1/tokens/{name}", tag = "access", operation_id = "show_token", params(("name" = String, Path, description = "The token's name."), ForTenant),
    responses((status = 200, description = "The token.", body = TokenView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Shown<TokenView>, Failure> {
    caller.need(Role::Admin)?;
    Ok(Shown(app.token(&caller, &name)?))
}

/// Revokes a token: the next request that bears it is refused. For admins.
#[utoipa::path(
    delete, path = "/v1/tokens/{name}", tag = "access", operation_id = "delete_token",
    params(("name" = String, Path, description = "The token's name."), DryRun, IfMatch, ForTenant),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(
    State(app): State<App>,
    Do(call): Do,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    call.caller.need(Role::Admin)?;
    app.delete_token(call, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
