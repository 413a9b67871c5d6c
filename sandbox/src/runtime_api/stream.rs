//! Answers that are passed on while they are being written.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;

use super::Shared;
use super::answer::{discard, text};
use super::limits::{ERROR_BODY, ERROR_TYPE, STREAM_BYTES, STREAM_PIECES};
use super::reply::{self, Reply};
use super::state::Ticket;
use crate::{Answer, Body, Fault, FunctionError};

/// What is known of a streamed answer at its beginning.
pub(super) struct Begun {
    pub ticket: Ticket,
    pub deadline: SystemTime,
    /// How long it had at first.
    pub time: Duration,
    pub content_type: String,
}

type Piece = Result<Bytes, Fault>;

/// The end of a stream, which has its place kept in the queue: whatever happens, its reader learns whether that was all.
struct End {
    shared: Arc<Shared>,
    ticket: Ticket,
    place: Option<mpsc::OwnedPermit<Piece>>,
}

/// Passes an answer on, until it ends, is too long or too late, or the runtime vanishes or asks for another event.
pub(super) async fn response(shared: &Arc<Shared>, begun: Begun, mut body: Incoming) -> Reply {
    let Begun { ticket, deadline, time, content_type } = begun;
    let (pieces, reader) = mpsc::channel(STREAM_PIECES + 1);
    let place = pieces.clone().try_reserve_owned().expect("the queue is empty and its reader is here");
    let answer = Answer { content_type, body: Body::Stream(reader) };
    if let Err(refusal) = shared.change(|state| state.begin_stream(ticket, answer)) {
        return reply::refused(refusal);
    }
    let end = End { shared: shared.clone(), ticket, place: Some(place) };
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    let passed = tokio::select! {
        biased;
        passed = pass_on(&mut body, &pieces) => passed,
        fault = shared.until(|state| state.stream_fault(ticket)) => Err(fault),
        () = tokio::time::sleep(left) => Err(Fault::TimedOut { after: time }),
    };
    let too_long = matches!(passed, Err(Fault::ResponseTooLarge { .. }));
    end.with(passed);
    if too_long {
        discard(&mut body).await;
        return reply::stream_too_long();
    }
    reply::accepted()
}

/// Passes on what comes. If nobody reads it, it comes to its end all the same, and the function is not disturbed.
async fn pass_on(body: &mut Incoming, pieces: &mpsc::Sender<Piece>) -> Result<(), Fault> {
    let mut room = STREAM_BYTES;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| truncated())?.into_data() {
            Ok(piece) => {
                let left = room.checked_sub(piece.len());
                room = left.ok_or(Fault::ResponseTooLarge { limit: STREAM_BYTES })?;
                if !piece.is_empty() {
                    _ = pieces.send(Ok(piece)).await;
                }
            }
            Err(frame) => {
                if let Some(error) = frame.trailers_ref().and_then(reported) {
                    return Err(Fault::Reported(error));
                }
            }
        }
    }
    Ok(())
}

/// The error that the trailers tell of; its report is in Base64, or as it is.
fn reported(trailers: &HeaderMap) -> Option<FunctionError> {
    let error_type = text(trailers, &ERROR_TYPE)?;
    let body = trailers.get(ERROR_BODY).map_or(b"{}".as_slice(), HeaderValue::as_bytes);
    let body = STANDARD.decode(body).unwrap_or_else(|_| body.to_vec());
    Some(FunctionError::read(body.into(), Some(error_type)))
}

fn truncated() -> Fault {
    Fault::Reported(FunctionError::new("Runtime.TruncatedResponse", "the answer ended before its end"))
}

impl End {
    /// This is the end.
    fn with(mut self, end: Result<(), Fault>) {
        self.say(end);
    }

    fn say(&mut self, end: Result<(), Fault>) {
        let Some(place) = self.place.take() else { return };
        if let Err(fault) = end {
            place.send(Err(fault));
        }
        self.shared.change(|state| state.end_stream(self.ticket));
    }
}

impl Drop for End {
    /// The connection, or the whole server, is gone.
    fn drop(&mut self) {
        let fault = self.shared.change(|state| state.fault());
        self.say(Err(fault.unwrap_or_else(truncated)));
    }
}
