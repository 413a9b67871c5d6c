//! `/v1/functions/{name}/invocations`

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use control_core::limits::{PAGE_DEFAULT, PAGE_MAX};
use control_core::{InvocationId, TraceSpan};
use futures_util::stream;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Items;
use super::call::{Known, Look, Mode, Trigger, invalid};
use super::extract::{Path, Query};
use super::failure::Failure;
use super::parameters::ForTenant;
use crate::app::{Answered, App, InvocationView, StreamEnding, Unanswered};

const INVOCATION: HeaderName = HeaderName::from_static("wharf-invocation");
const VERSION: HeaderName = HeaderName::from_static("wharf-function-version");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(invoke, list)).routes(routes!(show))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    limit: Option<String>,
}

/// Invokes a function with an event. What it answers is the answer; `server-timing` says what took how long.
#[utoipa::path(
    post, path = "/v1/functions/{name}/invocations", tag = "functions", operation_id = "invoke_function",
    params(
        ("name" = String, Path, description = "The function's name."),
        ("mode" = Option<String>, Query, pattern = "^(sync|async)$", description = "`sync`, which it is unless given: the answer is the function's, and the event has at most 6 MiB. `async`: the invocation is kept and run later, at least once, and again after faults; the event has at most 1 MiB."),
        ("version" = Option<u64>, Query, minimum = 1, description = "The version to run; the latest unless given."),
        ("dry_run" = Option<bool>, Query, description = "Check whether it may be invoked, and do not."),
        ("idempotency-key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Of an asynchronous invocation: the same request with the same key is accepted once, for as long as it is kept."),
        ForTenant
    ),
    request_body(content = serde_json::Value, description = "The event: JSON. Without a body it is `null`."),
    responses(
        (status = 200, description = "What the function has answered, of the content type that it says.", headers(
            ("wharf-invocation" = String, description = "The invocation's id."),
            ("wharf-function-version" = u64, description = "The version that has run."),
            ("server-timing" = String, description = "What took how long, up to the answer or its beginning.")
        )),
        (status = 202, description = "Accepted and kept, to be run later.", body = InvocationView),
        (status = 204, description = "It might be invoked; nothing was done."),
        Failure
    )
)]
async fn invoke(
    State(app): State<App>,
    Path(name): Path<String>,
    Trigger { call, mode, version, event }: Trigger,
) -> Result<Response, Failure> {
    if call.dry_run {
        let version = app.resolve(&call, &name, version)?;
        return Ok((StatusCode::NO_CONTENT, [(VERSION, HeaderValue::from(version))]).into_response());
    }
    match mode {
        Mode::Sync => Ok(match app.invoke(&call, &name, version, event).await {
            Ok(answered) => answer(answered),
            Err(unanswered) => refuse(unanswered),
        }),
        Mode::Async => {
            let view = app.accept_invocation(&call, &name, version, event).await?;
            let path = format!("/v1/functions/{name}/invocations/{}", view.id);
            let location = HeaderValue::from_str(&path).expect("names and ids fit a path");
            let headers = [(LOCATION, location), (INVOCATION, text(&view.id))];
            Ok((StatusCode::ACCEPTED, headers, Json(view)).into_response())
        }
    }
}

/// Lists the latest invocations of a function that are remembered, the newest first.
#[utoipa::path(
    get, path = "/v1/functions/{name}/invocations", tag = "functions", operation_id = "list_invocations",
    params(
        ("name" = String, Path, description = "The function's name."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most this many; 100 unless given."),
        ForTenant
    ),
    responses((status = 200, description = "The latest.", body = Items<InvocationView>), Failure)
)]
async fn list(
    State(app): State<App>,
    Known(caller): Known,
    Path(name): Path<String>,
    Query(ListParams { limit }): Query<ListParams>,
) -> Result<Json<Items<InvocationView>>, Failure> {
    let limit = count("limit", limit.as_deref(), PAGE_DEFAULT, PAGE_MAX)?;
    Ok(Json(Items { items: app.invocations(&caller, &name, limit)? }))
}

/// Shows an invocation: where it is, what took how long, and the answer if it was asynchronous.
#[utoipa::path(
    get, path = "/v1/functions/{name}/invocations/{id}", tag = "functions", operation_id = "show_invocation",
    params(
        ("name" = String, Path, description = "The function's name."),
        ("id" = String, Path, description = "The invocation's id."),
        ForTenant
    ),
    responses((status = 200, description = "The invocation.", body = InvocationView), Failure)
)]
async fn show(
    State(app): State<App>,
    Look(caller): Look,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<InvocationView>, Failure> {
    Ok(Json(app.invocation(&caller, &name, &id).await?))
}

/// A number of items from 1 to `most`.
pub(super) fn count(
    parameter: &str,
    text: Option<&str>,
    unless_given: usize,
    most: usize,
) -> Result<usize, control_core::Problem> {
    let Some(text) = text else { return Ok(unless_given) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| invalid(parameter, &format!("{text:?} is not a number from 1 to {most}")))
}

fn answer(answered: Answered) -> Response {
    let Answered { id, version, spans, content_type, body, ending } = answered;
    let body = match body {
        sandbox::Body::Whole(bytes) => HttpBody::from(bytes),
        sandbox::Body::Stream(parts) => streamed(parts, ending),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let octets = || HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&content_type).unwrap_or_else(|_| octets()));
    headers.insert(VERSION, version.into());
    describe(headers, id, &spans);
    response
}

fn refuse(Unanswered { id, fault }: Unanswered) -> Response {
    let spans = fault.spans.clone();
    let mut response = Failure::of_invocation(*fault).into_response();
    if let Some(id) = id {
        describe(response.headers_mut(), id, &spans);
    }
    response
}

fn describe(headers: &mut HeaderMap, id: InvocationId, spans: &[TraceSpan]) {
    headers.insert(INVOCATION, text(&id.to_string()));
    if !spans.is_empty() {
        headers.insert(SERVER_TIMING, text(&server_timing(spans)));
    }
}

/// A body that comes as the function writes it. A fault breaks it off, so that nobody takes it for whole.
fn streamed(
    parts: tokio::sync::mpsc::Receiver<Result<bytes::Bytes, sandbox::Fault>>,
    ending: Option<StreamEnding>,
) -> HttpBody {
    let stream = stream::unfold((parts, ending), |(mut parts, mut ending)| async move {
        let next = parts.recv().await;
        let fault = match &next {
            Some(Ok(_)) => return Some((next?, (parts, ending))),
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        if let Some(ending) = ending.take() {
            ending.tell(fault);
        }
        Some((next?, (parts, ending)))
    });
    HttpBody::from_stream(stream)
}

/// What took how long (W3C Server Timing §2): milliseconds, and when it began in the description.
fn server_timing(spans: &[TraceSpan]) -> String {
    let ms = |us: u64| format!("{}.{:03}", us / 1_000, us % 1_000);
    let entry = |span: &TraceSpan| {
        let token = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = span.name.chars().map(token).collect();
        format!("{name};dur={};desc=\"at {}\"", ms(span.duration_us), ms(span.start_us))
    };
    spans.iter().map(entry).collect::<Vec<_>>().join(", ")
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("it is visible ASCII")
}

#[cfg(test)]
mod tests;
