//! `/v1/vpcs`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control_core::{NewVpc, VpcView};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, List};
use super::extract::{Body, Path};
use super::failure::Failure;
use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, delete))
}

/// Creates a VPC and makes its link.
#[utoipa::path(
    post, path = "/v1/vpcs", tag = "vpcs", operation_id = "create_vpc", request_body = NewVpc,
    responses((status = 201, description = "Created and ready.", body = VpcView), Failure)
)]
async fn create(State(app): State<App>, Body(new): Body<NewVpc>) -> Result<Created<VpcView>, Failure> {
    let view = app.create_vpc(new).await?;
    Ok(Created { path: format!("/v1/vpcs/{}", view.name), view })
}

/// Lists VPCs by name.
#[utoipa::path(
    get, path = "/v1/vpcs", tag = "vpcs", operation_id = "list_vpcs",
    responses((status = 200, description = "All of them.", body = List<VpcView>), Failure)
)]
async fn list(State(app): State<App>) -> Json<List<VpcView>> {
    Json(List { items: app.vpcs() })
}

/// Shows a VPC.
#[utoipa::path(
    get, path = "/v1/vpcs/{name}", tag = "vpcs", operation_id = "show_vpc",
    params(("name" = String, Path, description = "The VPC's name.")),
    responses((status = 200, description = "The VPC.", body = VpcView), Failure)
)]
async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<VpcView>, Failure> {
    Ok(Json(app.vpc(&name)?))
}

/// Removes a VPC's link. Refused while connectors lead to it.
#[utoipa::path(
    delete, path = "/v1/vpcs/{name}", tag = "vpcs", operation_id = "delete_vpc",
    params(("name" = String, Path, description = "The VPC's name.")),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    app.delete_vpc(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
