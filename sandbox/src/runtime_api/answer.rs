//! What a runtime sends: answers, whole or streamed, and errors.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use tokio::time::timeout;

use super::limits::{ANSWER_BYTES, BODY_TIME, DROPPED_BYTES, ERROR_TYPE, NAME_BYTES, RESPONSE_MODE};
use super::reply::{self, Reply};
use super::state::Ticket;
use super::{Shared, stream};
use crate::{Answer, Body, Fault, FunctionError};

/// Why a body was not read.
enum Unread {
    TooLong,
    Broken,
}

/// Takes an answer.
pub(super) async fn response(shared: &Arc<Shared>, id: &str, headers: &HeaderMap, body: Incoming) -> Reply {
    let running = shared
        .change(|state| state.running(id).map(|event| (event.ticket, event.invocation.deadline, event.time)));
    let (ticket, deadline, time) = match running {
        Ok(running) => running,
        Err(refusal) => return reply::refused(refusal),
    };
    let content_type = content_type(headers);
    if text(headers, &RESPONSE_MODE).is_some_and(|mode| mode.eq_ignore_ascii_case("streaming")) {
        return stream::response(shared, stream::Begun { ticket, deadline, time, content_type }, body).await;
    }
    whole(shared, ticket, content_type, body).await
}

/// Takes the report of a handler's error.
pub(super) async fn error(shared: &Shared, id: &str, headers: &HeaderMap, body: Incoming) -> Reply {
    let ticket = match shared.change(|state| state.running(id).map(|event| event.ticket)) {
        Ok(ticket) => ticket,
        Err(refusal) => return reply::refused(refusal),
    };
    let Some(error) = report(shared, headers, body).await else { return reply::truncated() };
    taken(shared.change(|state| state.answer(ticket, Err(Fault::Reported(error)))))
}

/// Takes the report that the handler cannot be loaded.
pub(super) async fn init_error(shared: &Shared, headers: &HeaderMap, body: Incoming) -> Reply {
    let Some(error) = report(shared, headers, body).await else { return reply::truncated() };
    taken(shared.change(|state| state.init_failed(error)))
}

async fn whole(shared: &Shared, ticket: Ticket, content_type: String, mut body: Incoming) -> Reply {
    match read(shared, &mut body).await {
        Ok(bytes) => {
            let answer = Answer { content_type, body: Body::Whole(bytes) };
            taken(shared.change(|state| state.answer(ticket, Ok(answer))))
        }
        Err(Unread::Broken) => reply::truncated(),
        Err(Unread::TooLong) => {
            let fault = Fault::ResponseTooLarge { limit: ANSWER_BYTES };
            let answered = shared.change(|state| state.answer(ticket, Err(fault)));
            discard(&mut body).await;
            answered.map_or_else(reply::refused, |()| reply::answer_too_long())
        }
    }
}

fn taken(taken: Result<(), super::state::Refusal>) -> Reply {
    taken.map_or_else(reply::refused, |()| reply::accepted())
}

/// Reads a report. One that is too long counts as one that says nothing; `None` if it broke off.
async fn report(shared: &Shared, headers: &HeaderMap, mut body: Incoming) -> Option<FunctionError> {
    let error_type = text(headers, &ERROR_TYPE);
    match read(shared, &mut body).await {
        Ok(bytes) => Some(FunctionError::read(bytes, error_type)),
        Err(Unread::Broken) => None,
        Err(Unread::TooLong) => {
            discard(&mut body).await;
            Some(FunctionError::read(Bytes::from_static(b"{}"), error_type))
        }
    }
}

/// Reads a body, one at a time: whoever sends on all connections at once makes us hold one.
async fn read(shared: &Shared, body: &mut Incoming) -> Result<Bytes, Unread> {
    let _turn = shared.bodies.lock().await;
    timeout(BODY_TIME, collect(body)).await.unwrap_or(Err(Unread::Broken))
}

/// Reads at most [`ANSWER_BYTES`].
async fn collect(body: &mut Incoming) -> Result<Bytes, Unread> {
    if hyper::body::Body::size_hint(body).lower() > ANSWER_BYTES as u64 {
        return Err(Unread::TooLong);
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if all.len() + piece.len() > ANSWER_BYTES {
            return Err(Unread::TooLong);
        }
        // Most answers come in one piece, which needs no copy.
        all = if all.is_empty() { piece.into() } else { joined(all, &piece) };
    }
    Ok(all.freeze())
}

fn joined(mut all: BytesMut, piece: &[u8]) -> BytesMut {
    all.extend_from_slice(piece);
    all
}

/// Reads on for a while, so that the sender, who may not listen before it has sent everything, hears our answer.
pub(super) async fn discard(body: &mut Incoming) {
    let mut room = DROPPED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match room.checked_sub(bytes) {
            Some(left) => room = left,
            None => return,
        }
    }
}

/// What the runtime says that its answer is. `curl -d`, with which bootstraps in shell answer, calls everything a form.
fn content_type(headers: &HeaderMap) -> String {
    let said = text(headers, &CONTENT_TYPE).filter(|said| !said.is_empty() && said.len() <= NAME_BYTES);
    said.filter(|said| *said != "application/x-www-form-urlencoded").unwrap_or("application/json").to_owned()
}

/// A header, if it is there and is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
