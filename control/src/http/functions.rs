//! `/v1/functions` and their versions

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control_core::{FunctionVersionView, FunctionView, Kind, NewCode, NewFunction};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Created, Items, List, Shown};
use super::call::{Ask, Do, Look, Wish};
use super::extract::Path;
use super::failure::Failure;
use super::parameters::{DryRun, ForTenant, IdempotencyKey, IfMatch};
use super::upload::Upload;
use super::{patch, sse};
use crate::app::{App, Archive, Call};
use crate::server::Ending;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, delete, update))
        .routes(routes!(versions))
        .routes(routes!(delete_version))
}

/// Creates a function with its first version. Its connectors have to be approved and to let it use them.
#[utoipa::path(
    post, path = "/v1/functions", tag = "functions", operation_id = "create_function", request_body = NewFunction,
    params(DryRun, IdempotencyKey, ForTenant),
    responses((status = 201, description = "Created.", body = FunctionView), Failure)
)]
async fn create(
    State(app): State<App>,
    Upload { call, body, .. }: Upload<NewFunction>,
) -> Result<Created<FunctionView>, Failure> {
    let view = app.create_function(call, body).await?;
    Ok(Created { path: format!("/v1/functions/{}", view.name), view })
}

/// Lists functions by name.
#[utoipa::path(
    get, path = "/v1/functions", tag = "functions", operation_id = "list_functions",
    params(
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most this many; 100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("watch" = Option<bool>, Query, description = "Instead of a page, stream what changes, as server-sent events `created`, `changed` and `deleted`; `id` is the revision."),
        ("since" = Option<u64>, Query, description = "Watch what has changed after this revision; what changes from now on unless given."),
        ForTenant
    ),
    responses((status = 200, description = "A page of them, or a stream.", content((List<FunctionView> = "application/json"), (String = "text/event-stream"))), Failure)
)]
async fn list(
    State(app): State<App>,
    ending: Ending,
    Ask { caller, wish }: Ask,
) -> Result<Response, Failure> {
    Ok(match wish {
        Wish::Page(page) => Json(List::from(app.functions(&caller, &page))).into_response(),
        Wish::Watch { since } => sse::answer(app.watch(caller, Kind::Function, since)?, ending),
    })
}

/// Shows a function, with what its latest version is made of.
#[utoipa::path(
    get, path = "/v1/functions/{name}", tag = "functions", operation_id = "show_function", params(("name" = String, Path, description = "The function's name."), ForTenant),
    responses((status = 200, description = "The function.", body = FunctionView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Shown<FunctionView>, Failure> {
    Ok(Shown(app.function(&caller, &name)?))
}

/// Deletes a function with all of its versions. What runs of it is ended.
#[utoipa::path(
    delete, path = "/v1/functions/{name}", tag = "functions", operation_id = "delete_function",
    params(("name" = String, Path, description = "The function's name."), DryRun, IfMatch, ForTenant),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete(
    State(app): State<App>,
    Do(call): Do,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    app.delete_function(call, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a function: fields that are given. There is a new version of it if code, runtime, handler, command, environment, time or memory
/// are others than before; connectors, concurrency and keep-alive hold for all versions at once.
#[utoipa::path(
    patch, path = "/v1/functions/{name}", tag = "functions", operation_id = "update_function",
    params(("name" = String, Path, description = "The function's name."), DryRun, IfMatch, ForTenant),
    request_body(content = PatchFunction, description = "Fields that change; `null` for one that is to be left out."),
    responses((status = 200, description = "Changed.", body = FunctionView), Failure)
)]
async fn update(
    State(app): State<App>,
    Path(name): Path<String>,
    Upload { call, body, .. }: Upload<FunctionPatch>,
) -> Result<Shown<FunctionView>, Failure> {
    // It is not read for a function that is not there.
    app.asked_function(&call.caller, &name)?;
    let archive = match body.code {
        Some(code) => Some(Archive::read(code).await?),
        None => None,
    };
    let asked = |call: &Call| app.asked_function(&call.caller, &name);
    let update = |call, new| app.update_function(call, &name, new, archive.clone());
    Ok(Shown(patch::apply(call, body.rest, asked, update).await?))
}

/// Lists a function's versions that are kept, the oldest first.
#[utoipa::path(
    get, path = "/v1/functions/{name}/versions", tag = "functions", operation_id = "list_function_versions", params(("name" = String, Path, description = "The function's name."), ForTenant),
    responses((status = 200, description = "All of them.", body = Items<FunctionVersionView>), Failure)
)]
async fn versions(
    State(app): State<App>,
    Look(caller): Look,
    Path(name): Path<String>,
) -> Result<Json<Items<FunctionVersionView>>, Failure> {
    Ok(Json(Items { items: app.function_versions(&caller, &name)? }))
}

/// Deletes a version of a function. Refused for the latest one.
#[utoipa::path(
    delete, path = "/v1/functions/{name}/versions/{version}", tag = "functions", operation_id = "delete_function_version",
    params(("name" = String, Path, description = "The function's name."), ("version" = u64, Path, description = "The version's number."), DryRun, IfMatch, ForTenant),
    responses((status = 204, description = "Deleted."), Failure)
)]
async fn delete_version(
    State(app): State<App>,
    Do(call): Do,
    Path(names): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    app.delete_function_version(call, &names.0, &names.1).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A patch whose code is read on its own.
#[derive(Deserialize)]
struct FunctionPatch {
    code: Option<NewCode>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The schema of a patch: that of a new function, nothing of which is required, and everything can be taken out.
struct PatchFunction;

impl PartialSchema for PatchFunction {
    fn schema() -> RefOr<Schema> {
        let mut schema = NewFunction::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.clear();
            object.description = Some("Fields of a function that change.".to_owned());
        }
        schema
    }
}

impl ToSchema for PatchFunction {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        NewFunction::schemas(schemas);
    }
}
