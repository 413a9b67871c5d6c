//! `/v1/vpcs`, and who may join them

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control_core::{ConnectorView, Kind, NewVpc, VpcView};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, Items, List, Shown};
use super::call::{Ask, Do, DoWith, Look, Wish};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::{DryRun, ForTenant, IdempotencyKey, IfMatch};
use super::sse;
use crate::app::App;
use crate::server::Ending;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, delete))
        .routes(routes!(connectors))
        .routes(routes!(approve, revoke))
}

/// Creates a VPC and makes its link.
#[utoipa::path(
    post, path = "/v1/vpcs", tag = "vpcs", operation_id = "create_vpc", request_body = NewVpc,
    params(DryRun, IdempotencyKey, ForTenant),
    responses((status = 201, description = "Created and ready.", body = VpcView), Failure)
)]
async fn create(
    State(app): State<App>,
    DoWith(call, new): DoWith<NewVpc>,
) -> Result<Created<VpcView>, Failure> {
    let view = app.create_vpc(call, new).await?;
    Ok(Created { path: format!("/v1/vpcs/{}", view.name), view })
}

/// Lists VPCs by name.
#[utoipa::path(
    get, path = "/v1/vpcs", tag = "vpcs", operation_id = "list_vpcs",
    params(
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most this many; 100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("watch" = Option<bool>, Query, description = "Instead of a page, stream what changes, as server-sent events `created`, `changed` and `deleted`; `id` is the revision."),
        ("since" = Option<u64>, Query, description = "Watch what has changed after this revision; what changes from now on unless given."),
        ForTenant
    ),
    responses((status = 200, description = "A page of them, or a stream.", content((List<VpcView> = "application/json"), (String = "text/event-stream"))), Failure)
)]
async fn list(
    State(app): State<App>,
    ending: Ending,
    Ask { caller, wish }: Ask,
) -> Result<Response, Failure> {
    Ok(match wish {
        Wish::Page(page) => Json(List::from(app.vpcs(&caller, &page))).into_response(),
        Wish::Watch { since } => sse::answer(app.watch(caller, Kind::Vpc, since)?, ending),
    })
}

/// Shows a VPC.
#[utoipa::path(
    get, path = "/v1/vpcs/{name}", tag = "vpcs", operation_id = "show_vpc", params(("name" = String, Path, description = "The vpc's name."), ForTenant),
    responses((status = 200, description = "The vpc.", body = VpcView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Shown<VpcView>, Failure> {
    Ok(Shown(app.vpc(&caller, &name)?))
}

/// Removes a VPC's link. Refused while connectors may join it.
#[utoipa::path(
    delete, path = "/v1/vpcs/{name}", tag = "vpcs", operation_id = "delete_vpc",
    params(("name" = String, Path, description = "The vpc's name."), DryRun, IfMatch, ForTenant),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(
    State(app): State<App>,
    Do(call): Do,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    app.delete_vpc(call, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists connectors of whichever tenant that have joined the VPC or would like to.
#[utoipa::path(
    get, path = "/v1/vpcs/{name}/connectors", tag = "vpcs", operation_id = "list_vpc_connectors",
    params(("name" = String, Path, description = "The VPC's name."), ForTenant),
    responses((status = 200, description = "All of them; those of other tenants without their containers.", body = Items<ConnectorView>), Failure)
)]
async fn connectors(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Json<Items<ConnectorView>>, Failure> {
    Ok(Json(Items { items: app.vpc_connectors(&caller, &name)? }))
}

/// Lets a connector join the VPC.
#[utoipa::path(
    put, path = "/v1/vpcs/{name}/connectors/{connector}", tag = "vpcs", operation_id = "approve",
    params(
        ("name" = String, Path, description = "The VPC's name."),
        ("connector" = String, Path, description = "The connector's name; that of another tenant as `tenant/name`, its slash written as %2F."),
        DryRun, ForTenant
    ),
    responses((status = 200, description = "Approved.", body = ConnectorView), Failure)
)]
async fn approve(
    State(app): State<App>,
    Do(call): Do,
    Path((vpc, connector)): Path<(String, String)>,
) -> Result<Shown<ConnectorView>, Failure> {
    Ok(Shown(app.approve(call, &vpc, &connector).await?))
}

/// Lets a connector join the VPC no more. It is detached from all containers, and all of its sessions have ended when this answers.
#[utoipa::path(
    delete, path = "/v1/vpcs/{name}/connectors/{connector}", tag = "vpcs", operation_id = "revoke",
    params(
        ("name" = String, Path, description = "The VPC's name."),
        ("connector" = String, Path, description = "The connector's name; that of another tenant as `tenant/name`, its slash written as %2F."),
        DryRun, ForTenant
    ),
    responses((status = 200, description = "Revoked.", body = ConnectorView), Failure)
)]
async fn revoke(
    State(app): State<App>,
    Do(call): Do,
    Path((vpc, connector)): Path<(String, String)>,
) -> Result<Shown<ConnectorView>, Failure> {
    Ok(Shown(app.revoke(call, &vpc, &connector).await?))
}
