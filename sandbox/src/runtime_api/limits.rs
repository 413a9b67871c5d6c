//! Bounds of one container's runtime API.

use std::time::Duration;

use hyper::http::HeaderName;

/// Connections at once; more wait in the listener's queue. A runtime needs one or two, and one for each of its threads.
pub(super) const CONNECTIONS: usize = 16;

/// Bytes of a request's head, and of what is read at once of a body. Trailers of a stream carry a whole stack trace.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// For the head of a request, and for a connection that asks nothing. Longer than a handler may take (900 s), during which a
/// runtime's only connection is idle; whoever sends its heads slowly keeps nobody but itself from its connections.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(1_200);

/// Bytes of a whole answer, and of an error report as it is read. AWS: 6 MiB and 100 bytes.
pub(super) const ANSWER_BYTES: usize = 6_291_556;

/// Bytes of a streamed answer. AWS: 20 MiB by default.
pub(super) const STREAM_BYTES: usize = 20 * 1024 * 1024;

/// Pieces of a streamed answer that wait for a slow reader; hyper makes none longer than [`HEAD_BYTES`].
pub(super) const STREAM_PIECES: usize = 16;

/// Bytes that are read and dropped of what is too long, so that its sender gets to read why.
pub(super) const DROPPED_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of an error report as it is passed on.
pub(super) const REPORT_BYTES: usize = 256 * 1024;

/// Bytes of an error's name, and of a content type.
pub(super) const NAME_BYTES: usize = 256;

/// Headers of AWS's API that a runtime sends.
pub(super) const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
pub(super) const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");
pub(super) const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");

/// How long a whole body may take: it comes from the same machine.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);
