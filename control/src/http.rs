//! HTTP: routes, what is read from requests, what responses look like. One file per resource.
//!
//! A handler is three steps: extract → app → convert. Routes and the OpenAPI document come from the same declarations.

mod answer;
mod audit;
mod call;
mod connectors;
mod containers;
mod docs;
mod document;
mod door;
mod environments;
mod explain;
mod extract;
mod failure;
mod functions;
mod health;
mod host;
mod invocations;
mod limit;
mod logs;
mod metrics;
mod observe;
mod parameters;
mod patch;
mod pools;
mod sessions;
mod sse;
mod stats;
mod tenants;
#[cfg(test)]
mod tests;
mod tokens;
mod upload;
mod vpcs;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use control_core::{Code, Problem};
pub use document::openapi;
use door::Door;
use failure::Failure;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The API over an application; these users are the local administrator.
pub(crate) fn router(app: App, admins: &[u32]) -> Router {
    let door = Door { app: app.clone(), admins: admins.into(), limiter: Arc::default() };
    let routes = routes().split_for_parts().0;
    finish(routes.layer(from_fn_with_state(door, door::find_out))).with_state(app)
}

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document::head())
        .merge(vpcs::routes())
        .merge(connectors::routes())
        .merge(containers::routes())
        .merge(invocations::routes())
        .merge(logs::routes())
        .merge(environments::routes())
        .merge(functions::routes())
        .merge(pools::routes())
        .merge(tenants::routes())
        .merge(tokens::routes())
        .merge(audit::routes())
        .merge(sessions::routes())
        .merge(stats::routes())
        .merge(explain::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(docs::routes())
}

/// What every response has in common: problems instead of empty errors, a request id, no connection lost to a panic, nothing
/// for pages of other hosts.
fn finish<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(async || {
            Failure::from(Problem::new(Code::RouteNotFound, "there is no such path; see /openapi.json"))
        })
        .method_not_allowed_fallback(async || {
            let detail = "the path exists, but not with this method; see the Allow header";
            Failure::from(Problem::new(Code::MethodNotAllowed, detail))
        })
        .layer(from_fn(host::check))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(observe::in_span))
}

#[allow(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message, "a handler panicked");
    Failure::from(Problem::new(Code::Internal, "a defect in the daemon; its log says more")).into_response()
}
