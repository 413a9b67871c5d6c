//! Problems as responses: RFC 9457.

use std::collections::BTreeMap;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use control_core::{Code, Problem};
use serde::Serialize;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use crate::app::InvocationFault;

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Problem,
    /// What a function reports of itself.
    function_error: Option<serde_json::Value>,
}

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
    /// Everything that is wrong, if that is more than one thing; the first is the one above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorView<'a>>,
    /// What depends on the resource, if that is the problem: all of it.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    dependents: &'a [String],
    /// What the function reports, if it is to blame: `errorType`, `errorMessage`, `stackTrace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'a serde_json::Value>,
}

/// One of several things that are wrong with a request.
#[derive(Serialize, ToSchema)]
#[schema(as = Fault)]
pub(crate) struct ErrorView<'a> {
    /// What went wrong, for programs.
    #[schema(example = "invalid_cidr")]
    code: &'static str,
    /// What went wrong and what to do, for people.
    detail: &'a str,
    /// The field to blame, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "uplink.mtu")]
    field: Option<&'a str>,
}

impl Failure {
    /// What a function has done.
    pub(super) fn of_invocation(fault: InvocationFault) -> Self {
        Self { problem: fault.problem, function_error: fault.report }
    }
}

/// Whether it is a function that failed, and neither the daemon nor the machine.
const fn is_of_function(code: Code) -> bool {
    matches!(
        code,
        Code::FunctionFailed
            | Code::FunctionNotLoaded
            | Code::FunctionTimedOut
            | Code::FunctionOutOfMemory
            | Code::FunctionEnded
            | Code::AnswerTooLarge
    )
}

const PROBLEM_JSON: &str = "application/problem+json";

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { problem: error.into(), function_error: None }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { problem, function_error } = self;
        let status =
            StatusCode::from_u16(problem.code().status()).expect("a code's status is an HTTP status");
        let (code, field) = (problem.code().as_str(), problem.field());
        if status.is_server_error() && !is_of_function(problem.code()) {
            tracing::error!(code, detail = problem.detail(), "failed");
        } else {
            tracing::debug!(code, field, detail = problem.detail(), "refused");
        }
        let body = serde_json::to_vec(&ProblemView {
            function_error: function_error.as_ref(),
            ..ProblemView::new(&problem)
        })
        .expect("a problem is plain text");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match problem.code() {
            // RFC 9110 §11.6.1 and §10.2.3.
            Code::Unauthenticated => _ = headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Code::TooManyRequests | Code::TooManyInvocations => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl<'a> ProblemView<'a> {
    fn new(problem: &'a Problem) -> Self {
        let status = problem.code().status();
        let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let errors: Vec<_> = problem.errors().map(ErrorView::new).collect();
        Self {
            kind: "about:blank",
            title: title.unwrap_or_default(),
            status,
            code: problem.code().as_str(),
            detail: problem.detail(),
            field: problem.field(),
            errors: if errors.len() > 1 { errors } else { Vec::new() },
            dependents: problem.dependents(),
            function_error: None,
        }
    }
}

impl<'a> ErrorView<'a> {
    fn new(problem: &'a Problem) -> Self {
        Self { code: problem.code().as_str(), detail: problem.detail(), field: problem.field() }
    }
}

/// A problem where there is no response to be one.
pub(super) fn view(problem: &Problem) -> serde_json::Value {
    serde_json::to_value(ProblemView::new(problem)).expect("a problem is plain text")
}

impl IntoResponses for Failure {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response =
            ResponseBuilder::new().description("A problem.").content(PROBLEM_JSON, content).build();
        BTreeMap::from([("default".to_owned(), response.into())])
    }
}
