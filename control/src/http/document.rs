//! The OpenAPI document: made from the routes, and from what all of them have in common.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::failure::{ErrorView, ProblemView};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Wharf",
        description = "Attaches containers to private networks. Errors are problem details (RFC 9457) with a stable `code`. By the unix \
                       socket, the users on the daemon's list are the local administrator, who may do everything for the tenant in \
                       `wharf-tenant`. Everybody else sends a bearer token."
    ),
    components(schemas(ProblemView, ErrorView)),
    modifiers(&Bearer),
    security((), ("bearer" = [])),
    tags(
        (name = "vpcs", description = "Private networks that the gateway has a link to, and who may join them."),
        (name = "connectors", description = "Named permissions that join containers to a VPC."),
        (name = "containers", description = "Namespaces that the gateway gives a link, and their connectors."),
        (name = "access", description = "Tenants, tokens, and who changed what."),
        (name = "live", description = "What is happening: sessions, counters, explanations."),
        (name = "service", description = "The daemon itself.")
    )
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("bearer", bearer);
    }
}

/// The document without its routes.
pub(super) fn head() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The OpenAPI document of the API, made from the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    super::routes().into_openapi()
}
