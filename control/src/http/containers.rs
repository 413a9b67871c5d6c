//! `/v1/containers`, their connectors and their drops

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control_core::{ContainerView, NewContainer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, List};
use super::extract::{Body, Path};
use super::failure::Failure;
use crate::app::{App, AttachView, DetachView, DropItem};

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
    responses((status = 201, description = "Created and ready.", body = ContainerView), Failure)
)]
async fn create(
    State(app): State<App>,
    Body(new): Body<NewContainer>,
) -> Result<Created<ContainerView>, Failure> {
    let view = app.create_container(new).await?;
    Ok(Created { path: format!("/v1/containers/{}", view.name), view })
}

/// Lists containers by name.
#[utoipa::path(
    get, path = "/v1/containers", tag = "containers", operation_id = "list_containers",
    responses((status = 200, description = "All of them.", body = List<ContainerView>), Failure)
)]
async fn list(State(app): State<App>) -> Json<List<ContainerView>> {
    Json(List { items: app.containers() })
}

/// Shows a container.
#[utoipa::path(
    get, path = "/v1/containers/{name}", tag = "containers", operation_id = "show_container",
    params(("name" = String, Path, description = "The container's name.")),
    responses((status = 200, description = "The container.", body = ContainerView), Failure)
)]
async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<ContainerView>, Failure> {
    Ok(Json(app.container(&name)?))
}

/// Removes a container's link. Its connectors are detached and its sessions end.
#[utoipa::path(
    delete, path = "/v1/containers/{name}", tag = "containers", operation_id = "delete_container",
    params(("name" = String, Path, description = "The container's name.")),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    app.delete_container(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a container use a connector. Answers when the gateway has it; asking again changes nothing.
#[utoipa::path(
    put, path = "/v1/containers/{container}/connectors/{connector}", tag = "containers", operation_id = "attach",
    params(
        ("container" = String, Path, description = "The container's name."),
        ("connector" = String, Path, description = "The connector's name.")
    ),
    responses((status = 200, description = "Attached.", body = AttachView), Failure)
)]
async fn attach(
    State(app): State<App>,
    Path(names): Path<(String, String)>,
) -> Result<Json<AttachView>, Failure> {
    Ok(Json(app.attach(&names.0, &names.1).await?))
}

/// Ends a container's use of a connector. Every session of the pair has ended when this answers.
#[utoipa::path(
    delete, path = "/v1/containers/{container}/connectors/{connector}", tag = "containers", operation_id = "detach",
    params(
        ("container" = String, Path, description = "The container's name."),
        ("connector" = String, Path, description = "The connector's name.")
    ),
    responses((status = 200, description = "Detached.", body = DetachView), Failure)
)]
async fn detach(
    State(app): State<App>,
    Path(names): Path<(String, String)>,
) -> Result<Json<DetachView>, Failure> {
    Ok(Json(app.detach(&names.0, &names.1).await?))
}

/// A container's last drops with their reasons, newest first.
#[utoipa::path(
    get, path = "/v1/containers/{name}/drops", tag = "live", operation_id = "list_drops",
    params(("name" = String, Path, description = "The container's name.")),
    responses((status = 200, description = "The last drops.", body = List<DropItem>), Failure)
)]
async fn drops(State(app): State<App>, Path(name): Path<String>) -> Result<Json<List<DropItem>>, Failure> {
    Ok(Json(List { items: app.drops(&name).await? }))
}
