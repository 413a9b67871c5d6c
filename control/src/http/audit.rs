//! `/v1/audit`

use axum::Json;
use axum::extract::State;
use control_core::limits::PAGE_DEFAULT;
use control_core::{Code, Problem, Role};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Items;
use super::call::{Known, number};
use super::extract::Query;
use super::failure::Failure;
use super::parameters::ForTenant;
use crate::app::{App, Page};
use crate::registry::EntryView;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which part of the audit log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Params {
    /// At most this many; 100 unless given.
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// Only entries before the one of this number.
    #[param(value_type = Option<u64>)]
    before: Option<String>,
}

/// Lists who changed what, newest first: the last 10,000 changes are kept. For admins.
#[utoipa::path(
    get, path = "/v1/audit", tag = "access", operation_id = "list_audit", params(Params, ForTenant),
    responses((status = 200, description = "A part of the log.", body = Items<EntryView>), Failure)
)]
async fn list(
    State(app): State<App>,
    Known(caller): Known,
    Query(params): Query<Params>,
) -> Result<Json<Items<EntryView>>, Failure> {
    caller.need(Role::Admin)?;
    let limit = params
        .limit
        .map_or(Ok(PAGE_DEFAULT), |limit| Page::parse(Some(&limit), None).map(|page| page.limit))?;
    let wrong = || Problem::new(Code::InvalidQuery, "it is the number of an entry").at("before");
    let before = params.before.map(|text| number(&text).ok_or_else(wrong)).transpose()?;
    Ok(Json(Items { items: app.audit(&caller, limit, before) }))
}
