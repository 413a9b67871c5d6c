//! Requests, one by one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::http::{HeaderMap, HeaderValue};
use hyper::{Method, Request};

use super::delivery::{Delivery, Piece};
use super::reply::{self, Reply};
use super::state::{Event, State};
use super::{Shared, answer};
use crate::Assignment;
use crate::assignment::variables;

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Next,
    Response(&'a str),
    Error(&'a str),
    InitError,
    Assignment,
    Exec,
}

/// Answers one request. Waits, if it asks for what has not come yet.
pub(super) async fn answer(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    delivery: &Delivery,
) -> Result<Reply, Infallible> {
    let (parts, body) = request.into_parts();
    let Some(route) = Route::of(parts.uri.path()) else { return Ok(reply::not_found()) };
    if parts.method != route.method() {
        return Ok(reply::not_allowed(if route.method() == Method::GET { "GET" } else { "POST" }));
    }
    Ok(match route {
        Route::Next => next(shared, delivery).await,
        Route::Response(id) => answer::response(shared, id, &parts.headers, body).await,
        Route::Error(id) => answer::error(shared, id, &parts.headers, body).await,
        Route::InitError => answer::init_error(shared, &parts.headers, body).await,
        Route::Assignment => assignment(shared).await,
        Route::Exec => exec(shared).await,
    })
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        match path {
            "/wharf/assignment" => return Some(Self::Assignment),
            "/wharf/exec" => return Some(Self::Exec),
            _ => {}
        }
        match path.strip_prefix("/2018-06-01/runtime/")? {
            "invocation/next" => Some(Self::Next),
            "init/error" => Some(Self::InitError),
            path => match path.strip_prefix("invocation/")?.split_once('/')? {
                (id, "response") => Some(Self::Response(id)),
                (id, "error") => Some(Self::Error(id)),
                _ => None,
            },
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::Next | Self::Assignment | Self::Exec => Method::GET,
            Self::Response(_) | Self::Error(_) | Self::InitError => Method::POST,
        }
    }
}

async fn next(shared: &Shared, delivery: &Delivery) -> Reply {
    if let Err(refusal) = shared.change(State::ask) {
        return reply::refused(refusal);
    }
    let event = shared.until(|state| match state.fault() {
        Some(_) => Some(None),
        None => state.take().map(Some),
    });
    let Some(event) = event.await else { return reply::ended() };
    let mut reply =
        reply::found("application/json", delivery.pack(event.ticket, event.invocation.payload.clone()));
    describe(&event, reply.headers_mut());
    reply
}

/// The headers of an event. What a header cannot hold is left out.
fn describe(event: &Event, headers: &mut HeaderMap) {
    let invocation = &event.invocation;
    let deadline = invocation.deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let function = event.function.as_deref().map(variables::arn);
    let described = [
        ("lambda-runtime-aws-request-id", Some(invocation.id.clone())),
        ("lambda-runtime-deadline-ms", Some(deadline.as_millis().to_string())),
        ("lambda-runtime-invoked-function-arn", function),
        ("lambda-runtime-trace-id", invocation.trace.clone()),
    ];
    for (name, value) in described {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// What to become, for a bootstrap that can read JSON.
async fn assignment(shared: &Shared) -> Reply {
    let Some(assignment) = assigned(shared).await else { return reply::ended() };
    let environment: serde_json::Map<_, _> =
        variables::of(&assignment, shared.address).into_iter().map(|(k, v)| (k, v.into())).collect();
    let body = serde_json::json!({
        "handler": assignment.handler,
        "task_root": variables::TASK_ROOT,
        "command": assignment.command,
        "environment": environment,
    });
    reply::found("application/json", Piece::new(body.to_string().into()))
}

/// What to become, for one that only executes: how many arguments, they, variables; each ends with NUL.
async fn exec(shared: &Shared) -> Reply {
    let Some(assignment) = assigned(shared).await else { return reply::ended() };
    let own = [format!("{}/bootstrap", variables::TASK_ROOT)];
    let arguments = assignment.command.as_deref().unwrap_or(&own);
    let mut body = format!("{}\0", arguments.len()).into_bytes();
    for argument in arguments {
        // What execve(2) cannot be given ends early, as it would there.
        body.extend(argument.bytes().take_while(|byte| *byte != 0));
        body.push(0);
    }
    for (name, value) in variables::of(&assignment, shared.address) {
        body.extend_from_slice(format!("{name}={value}\0").as_bytes());
    }
    reply::found("application/octet-stream", Piece::new(body.into()))
}

async fn assigned(shared: &Shared) -> Option<Arc<Assignment>> {
    shared.change(State::bootstrap_asks);
    let assigned = shared.until(|state| match state.fault() {
        Some(_) => Some(None),
        None => state.assignment().map(Some),
    });
    assigned.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_runtime_api_and_nothing_else() {
        for (path, expected) in [
            ("/2018-06-01/runtime/invocation/next", Some(Route::Next)),
            ("/2018-06-01/runtime/invocation/a-1/response", Some(Route::Response("a-1"))),
            ("/2018-06-01/runtime/invocation/a-1/error", Some(Route::Error("a-1"))),
            ("/2018-06-01/runtime/invocation//error", Some(Route::Error(""))),
            ("/2018-06-01/runtime/invocation/next/error", Some(Route::Error("next"))),
            ("/2018-06-01/runtime/init/error", Some(Route::InitError)),
            ("/wharf/assignment", Some(Route::Assignment)),
            ("/wharf/exec", Some(Route::Exec)),
            ("/2018-06-01/runtime/invocation/a/b/response", None),
            ("/2018-06-01/runtime/invocation/a-1", None),
            ("/2018-06-01/runtime/invocation/next/", None),
            ("/2018-06-01/extension/register", None),
            ("/wharf/exec/", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(Route::of(path), expected, "{path}");
        }
    }
}
