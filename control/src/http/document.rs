//! The OpenAPI document: made from the routes, and from what all of them have in common.

use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};
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
        (name = "functions", description = "Code that runs when somebody asks for it, its invocations, and containers that wait for it."),
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
    let mut document = super::routes().into_openapi();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.parameters.iter_mut().flatten().for_each(without_null);
        }
    }
    document
}

/// A parameter that need not be there is still never `null`: it is text.
fn without_null(parameter: &mut RefOr<Parameter>) {
    if let RefOr::T(Parameter { schema: Some(RefOr::T(Schema::Object(object))), .. }) = parameter
        && let SchemaType::Array(types) = &object.schema_type
        && let Some(only) = types.iter().find(|kind| **kind != Type::Null)
    {
        object.schema_type = SchemaType::Type(only.clone());
    }
}
