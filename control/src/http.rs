//! HTTP: routes, what is read from requests, what responses look like. One file per resource.
//!
//! A handler is three steps: extract → app → convert. Routes and the OpenAPI document come from the same declarations.

mod answer;
mod connectors;
mod containers;
mod explain;
mod extract;
mod failure;
mod health;
mod host;
mod observe;
mod sessions;
mod stats;
#[cfg(test)]
mod tests;
mod vpcs;

use std::any::Any;

use axum::Router;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use control_core::{Code, Problem};
use failure::Failure;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Wharf",
        description = "Attaches containers to private networks. Errors are problem details (RFC 9457) with a stable `code`."
    ),
    components(schemas(failure::ProblemView)),
    tags(
        (name = "vpcs", description = "Private networks that the gateway has a link to."),
        (name = "connectors", description = "Named permissions that join containers to a VPC."),
        (name = "containers", description = "Namespaces that the gateway gives a link, and their connectors."),
        (name = "live", description = "What is happening: sessions, counters, explanations."),
        (name = "service", description = "The daemon itself.")
    )
)]
struct Document;

/// The OpenAPI document of the API, made from the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// The API over an application.
pub(crate) fn router(app: App) -> Router {
    finish(routes().split_for_parts().0).with_state(app)
}

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(vpcs::routes())
        .merge(connectors::routes())
        .merge(containers::routes())
        .merge(stats::routes())
        .merge(explain::routes())
        .merge(health::routes())
        .route_layer(from_fn(extract::without_params))
        .merge(sessions::routes())
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
