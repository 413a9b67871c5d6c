//! `/v1/connectors`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control_core::{ConnectorView, NewConnector};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, List};
use super::extract::{Body, Path};
use super::failure::Failure;
use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, delete))
}

/// Creates a connector to a VPC.
#[utoipa::path(
    post, path = "/v1/connectors", tag = "connectors", operation_id = "create_connector", request_body = NewConnector,
    responses((status = 201, description = "Created.", body = ConnectorView), Failure)
)]
async fn create(
    State(app): State<App>,
    Body(new): Body<NewConnector>,
) -> Result<Created<ConnectorView>, Failure> {
    let view = app.create_connector(new)?;
    Ok(Created { path: format!("/v1/connectors/{}", view.name), view })
}

/// Lists connectors by name.
#[utoipa::path(
    get, path = "/v1/connectors", tag = "connectors", operation_id = "list_connectors",
    responses((status = 200, description = "All of them.", body = List<ConnectorView>), Failure)
)]
async fn list(State(app): State<App>) -> Json<List<ConnectorView>> {
    Json(List { items: app.connectors() })
}

/// Shows a connector.
#[utoipa::path(
    get, path = "/v1/connectors/{name}", tag = "connectors", operation_id = "show_connector",
    params(("name" = String, Path, description = "The connector's name.")),
    responses((status = 200, description = "The connector.", body = ConnectorView), Failure)
)]
async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<ConnectorView>, Failure> {
    Ok(Json(app.connector(&name)?))
}

/// Deletes a connector. Refused while it is attached.
#[utoipa::path(
    delete, path = "/v1/connectors/{name}", tag = "connectors", operation_id = "delete_connector",
    params(("name" = String, Path, description = "The connector's name.")),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    app.delete_connector(&name)?;
    Ok(StatusCode::NO_CONTENT)
}
