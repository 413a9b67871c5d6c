//! `/v1/connectors`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control_core::{ConnectorView, Kind, NewConnector};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, List, Shown};
use super::call::{Ask, Do, DoWith, Look, Wish};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::{DryRun, ForTenant, IdempotencyKey, IfMatch};
use super::{patch, sse};
use crate::app::{App, Call};
use crate::server::Ending;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, delete, update))
}

/// Creates a connector to a VPC. One of another tenant has to approve it.
#[utoipa::path(
    post, path = "/v1/connectors", tag = "connectors", operation_id = "create_connector", request_body = NewConnector,
    params(DryRun, IdempotencyKey, ForTenant),
    responses((status = 201, description = "Created.", body = ConnectorView), Failure)
)]
async fn create(
    State(app): State<App>,
    DoWith(call, new): DoWith<NewConnector>,
) -> Result<Created<ConnectorView>, Failure> {
    let view = app.create_connector(call, new).await?;
    Ok(Created { path: format!("/v1/connectors/{}", view.name), view })
}

/// Lists connectors by name.
#[utoipa::path(
    get, path = "/v1/connectors", tag = "connectors", operation_id = "list_connectors",
    params(
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most this many; 100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("watch" = Option<bool>, Query, description = "Instead of a page, stream what changes, as server-sent events `created`, `changed` and `deleted`; `id` is the revision."),
        ("since" = Option<u64>, Query, description = "Watch what has changed after this revision; what changes from now on unless given."),
        ForTenant
    ),
    responses((status = 200, description = "A page of them, or a stream.", content((List<ConnectorView> = "application/json"), (String = "text/event-stream"))), Failure)
)]
async fn list(
    State(app): State<App>,
    ending: Ending,
    Ask { caller, wish }: Ask,
) -> Result<Response, Failure> {
    Ok(match wish {
        Wish::Page(page) => Json(List::from(app.connectors(&caller, &page))).into_response(),
        Wish::Watch { since } => sse::answer(app.watch(caller, Kind::Connector, since)?, ending),
    })
}

/// Shows a connector.
#[utoipa::path(
    get, path = "/v1/connectors/{name}", tag = "connectors", operation_id = "show_connector", params(("name" = String, Path, description = "The connector's name."), ForTenant),
    responses((status = 200, description = "The connector.", body = ConnectorView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Shown<ConnectorView>, Failure> {
    Ok(Shown(app.connector(&caller, &name)?))
}

/// Deletes a connector. Refused while it is attached.
#[utoipa::path(
    delete, path = "/v1/connectors/{name}", tag = "connectors", operation_id = "delete_connector",
    params(("name" = String, Path, description = "The connector's name."), DryRun, IfMatch, ForTenant),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(
    State(app): State<App>,
    Do(call): Do,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    app.delete_connector(call, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a connector's policy: a JSON merge patch (RFC 7396) of what it was created from. It applies to live sessions: those that it does
/// not allow have ended when this answers.
#[utoipa::path(
    patch, path = "/v1/connectors/{name}", tag = "connectors", operation_id = "update_connector",
    params(("name" = String, Path, description = "The connector's name."), DryRun, IfMatch, ForTenant),
    request_body(content = PatchConnector, description = "Fields that change; `null` for one that is to be left out."),
    responses((status = 200, description = "Changed.", body = ConnectorView), Failure)
)]
async fn update(
    State(app): State<App>,
    Path(name): Path<String>,
    DoWith(call, fields): DoWith<Map<String, Value>>,
) -> Result<Shown<ConnectorView>, Failure> {
    let asked = |call: &Call| app.asked_connector(&call.caller, &name);
    let update = |call, new| app.update_connector(call, &name, new);
    Ok(Shown(patch::apply(call, fields, asked, update).await?))
}

/// The schema of a patch: that of a new connector, nothing of which is required, and everything can be taken out.
struct PatchConnector;

impl PartialSchema for PatchConnector {
    fn schema() -> RefOr<Schema> {
        let mut schema = NewConnector::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.clear();
            object.description = Some("Fields of a connector that change.".to_owned());
        }
        schema
    }
}

impl ToSchema for PatchConnector {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        NewConnector::schemas(schemas);
    }
}
