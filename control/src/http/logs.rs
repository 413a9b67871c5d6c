//! `/v1/functions/{name}/logs`

use axum::Json;
use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Items;
use super::call::{Known, truth};
use super::extract::{Path, Query};
use super::failure::Failure;
use super::parameters::ForTenant;
use super::{invocations, sse};
use crate::app::{App, LogLineView, LogTail};
use crate::server::Ending;

/// Lines that are told, unless asked for.
const TAIL_DEFAULT: usize = 100;

/// Most lines that are told.
const TAIL_MAX: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(logs))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogParams {
    tail: Option<String>,
    follow: Option<String>,
}

/// Shows the last lines that a function has written, the oldest first, with those of the daemon about it.
#[utoipa::path(
    get, path = "/v1/functions/{name}/logs", tag = "functions", operation_id = "function_logs",
    params(
        ("name" = String, Path, description = "The function's name."),
        ("tail" = Option<usize>, Query, minimum = 1, maximum = 10000, description = "At most this many lines; 100 unless given."),
        ("follow" = Option<bool>, Query, description = "Stream these lines and those that follow as server-sent events `line`; `lost` says how many were too many for this client."),
        ForTenant
    ),
    responses((status = 200, description = "Lines, or a stream of them.", content((Items<LogLineView> = "application/json"), (String = "text/event-stream"))), Failure)
)]
async fn logs(
    State(app): State<App>,
    ending: Ending,
    Known(caller): Known,
    Path(name): Path<String>,
    Query(LogParams { tail, follow }): Query<LogParams>,
) -> Result<Response, Failure> {
    let tail = invocations::count("tail", tail.as_deref(), TAIL_DEFAULT, TAIL_MAX)?;
    let follows = truth("follow", follow.as_deref())?;
    let LogTail { lines, live } = app.function_logs(&caller, &name, tail, follows)?;
    Ok(match live {
        Some(live) => sse::follow(events(lines, live), ending),
        None => Json(Items { items: lines }).into_response(),
    })
}

fn events(before: Vec<LogLineView>, after: Receiver<LogLineView>) -> impl Stream<Item = Event> {
    let after = stream::unfold(after, |mut live| async move {
        match live.recv().await {
            Ok(line) => Some((event(&line), live)),
            Err(RecvError::Lagged(count)) => {
                let lost = serde_json::json!({ "lines": count });
                Some((Event::default().event("lost").data(lost.to_string()), live))
            }
            Err(RecvError::Closed) => None,
        }
    });
    stream::iter(before).map(|line| event(&line)).chain(after)
}

fn event(line: &LogLineView) -> Event {
    let data = serde_json::to_string(line).expect("a line is plain data");
    Event::default().event("line").data(data)
}
