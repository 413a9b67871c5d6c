//! What a runtime hears.

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::delivery::Piece;
use super::limits::{ANSWER_BYTES, STREAM_BYTES};
use super::state::Refusal;
use crate::FunctionError;

/// A response of ours.
pub(super) type Reply = Response<Piece>;

/// 202: taken.
pub(super) fn accepted() -> Reply {
    json(StatusCode::ACCEPTED, br#"{"status":"OK"}"#.as_slice().into())
}

/// 400 or 403.
pub(super) fn refused(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::UnknownId => error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        Refusal::WrongState => {
            error(StatusCode::FORBIDDEN, "InvalidStateTransition", "Transition is not allowed")
        }
    }
}

/// 400: the body broke off.
pub(super) fn truncated() -> Reply {
    error(StatusCode::BAD_REQUEST, "TruncatedRequest", "The body ended before its end")
}

/// 413, of a whole answer.
pub(super) fn answer_too_long() -> Reply {
    too_large(&format!("Exceeded maximum allowed payload size ({ANSWER_BYTES} bytes)."))
}

/// 413, of a streamed answer.
pub(super) fn stream_too_long() -> Reply {
    too_large(&format!("Exceeded maximum allowed payload size ({STREAM_BYTES} bytes)."))
}

/// 404.
pub(super) fn not_found() -> Reply {
    error(StatusCode::NOT_FOUND, "NotFound", "There is nothing at this path")
}

/// 405.
pub(super) fn not_allowed(allow: &'static str) -> Reply {
    let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "This path has another method");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// 500: nothing comes any more; AWS says of it that the runtime should exit.
pub(super) fn ended() -> Reply {
    error(StatusCode::INTERNAL_SERVER_ERROR, "Container.Ended", "The environment has ended")
}

/// 200 of this type.
pub(super) fn found(content_type: &'static str, body: Piece) -> Reply {
    let mut reply = Response::new(body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn too_large(message: &str) -> Reply {
    error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
}

fn error(status: StatusCode, error_type: &str, message: &str) -> Reply {
    json(status, FunctionError::new(error_type, message).report)
}

fn json(status: StatusCode, body: bytes::Bytes) -> Reply {
    let mut reply = found("application/json", Piece::new(body));
    *reply.status_mut() = status;
    reply
}
