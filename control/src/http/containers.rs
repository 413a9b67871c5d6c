//! `/v1/containers`, their connectors and their drops

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control_core::{ContainerView, Kind, NewContainer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, Items, List, Shown};
use super::call::{Ask, Do, DoWith, Look, Wish};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::{DryRun, ForTenant, IdempotencyKey, IfMatch};
use super::sse;
use crate::app::{App, AttachView, DetachView, DropItem};
use crate::server::Ending;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, delete))
        .routes(routes!(attach, detach))
        .routes(routes!(drops))
}

/// Creates a container and makes its link.
#[utoipa::path(
    post, path = "/v1/containers", tag = "containers", operation_id = "create_container", request_body = NewContainer,
    params(DryRun, IdempotencyKey, ForTenant),
    responses((status = 201, description = "Created and ready.", body = ContainerView), Failure)
)]
async fn create(
    State(app): State<App>,
    DoWith(call, new): DoWith<NewContainer>,
) -> Result<Created<ContainerView>, Failure> {
    let view = app.create_container(call, new).await?;
    Ok(Created { path: format!("/v1/containers/{}", view.name), view })
}

/// Lists containers by name.
#[utoipa::path(
    get, path = "/v1/containers", tag = "containers", operation_id = "list_containers",
    params(
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most this many; 100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("watch" = Option<bool>, Query, description = "Instead of a page, stream what changes, as server-sent events `created`, `changed` and `deleted`; `id` is the revision."),
        ("since" = Option<u64>, Query, description = "Watch what has changed after this revision; what changes from now on unless given."),
        ForTenant
    ),
    responses((status = 200, description = "A page of them, or a stream.", content((List<ContainerView> = "application/json"), (String = "text/event-stream"))), Failure)
)]
async fn list(
    State(app): State<App>,
    ending: Ending,
    Ask { caller, wish }: Ask,
) -> Result<Response, Failure> {
    Ok(match wish {
        Wish::Page(page) => Json(List::from(app.containers(&caller, &page))).into_response(),
        Wish::Watch { since } => sse::answer(app.watch(caller, Kind::Container, since)?, ending),
    })
}

/// Shows a container.
#[utoipa::path(
    get, path = "/v1/containers/{name}", tag = "containers", operation_id = "show_container", params(("name" = String, Path, description = "The container's name."), ForTenant),
    responses((status = 200, description = "The container.", body = ContainerView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Shown<ContainerView>, Failure> {
    Ok(Shown(app.container(&caller, &name)?))
}

/// Removes a container's link. Its connectors are detached and its sessions end.
#[utoipa::path(
    delete, path = "/v1/containers/{name}", tag = "containers", operation_id = "delete_container",
    params(("name" = String, Path, description = "The container's name."), DryRun, IfMatch, ForTenant),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(
    State(app): State<App>,
    Do(call): Do,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    app.delete_container(call, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a container use a connector. Answers when the gateway has it; asking again changes nothing.
#[utoipa::path(
    put, path = "/v1/containers/{container}/connectors/{connector}", tag = "containers", operation_id = "attach",
    params(
        ("container" = String, Path, description = "The container's name."),
        ("connector" = String, Path, description = "The connector's name."),
        DryRun, ForTenant
    ),
    responses((status = 200, description = "Attached.", body = AttachView), Failure)
)]
async fn attach(
    State(app): State<App>,
    Do(call): Do,
    Path(names): Path<(String, String)>,
) -> Result<Json<AttachView>, Failure> {
    Ok(Json(app.attach(call, &names.0, &names.1).await?))
}

/// Ends a container's use of a connector. Every session of the pair has ended when this answers.
#[utoipa::path(
    delete, path = "/v1/containers/{container}/connectors/{connector}", tag = "containers", operation_id = "detach",
    params(
        ("container" = String, Path, description = "The container's name."),
        ("connector" = String, Path, description = "The connector's name."),
        DryRun, ForTenant
    ),
    responses((status = 200, description = "Detached.", body = DetachView), Failure)
)]
async fn detach(
    State(app): State<App>,
    Do(call): Do,
    Path(names): Path<(String, String)>,
) -> Result<Json<DetachView>, Failure> {
    Ok(Json(app.detach(call, &names.0, &names.1).await?))
}

/// A container's last drops with their reasons, newest first.
#[utoipa::path(
    get, path = "/v1/containers/{name}/drops", tag = "live", operation_id = "list_drops",
    params(("name" = String, Path, description = "The container's name."), ForTenant),
    responses((status = 200, description = "The last drops.", body = Items<DropItem>), Failure)
)]
async fn drops(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Json<Items<DropItem>>, Failure> {
    Ok(Json(Items { items: app.drops(&caller, &name).await? }))
}
