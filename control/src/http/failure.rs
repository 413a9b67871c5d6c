//! Problems as responses: RFC 9457.

use std::collections::BTreeMap;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use control_core::Problem;
use serde::Serialize;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure(Problem);

/// What is wrong with the request (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemView<'a> {
    /// Always `about:blank`: `code` says more.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong, for programs. A code never changes its meaning.
    #[schema(example = "invalid_cidr")]
    code: &'static str,
    /// What went wrong and what to do, for people.
    detail: &'a str,
    /// The field or parameter to blame, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "uplink.mtu")]
    field: Option<&'a str>,
}

const PROBLEM_JSON: &str = "application/problem+json";

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status =
            StatusCode::from_u16(problem.code().status()).expect("a code's status is an HTTP status");
        let (code, field) = (problem.code().as_str(), problem.field());
        if status.is_server_error() {
            tracing::error!(code, detail = problem.detail(), "failed");
        } else {
            tracing::debug!(code, field, detail = problem.detail(), "refused");
        }
        let title = status.canonical_reason().unwrap_or_default();
        let (status_code, detail) = (status.as_u16(), problem.detail());
        let view = ProblemView { kind: "about:blank", title, status: status_code, code, detail, field };
        let body = serde_json::to_vec(&view).expect("a problem is plain text");
        (status, [(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))], body).into_response()
    }
}

impl IntoResponses for Failure {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response =
            ResponseBuilder::new().description("A problem.").content(PROBLEM_JSON, content).build();
        BTreeMap::from([("default".to_owned(), response.into())])
    }
}
