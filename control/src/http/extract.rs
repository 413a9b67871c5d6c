//! What is read from a request. Whatever is wrong becomes a problem that names the field; of a body, everything that is wrong.

use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use control_core::{Code, Faults, Problem};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::error::Category;

use super::failure::Failure;

/// Longest body that is read. Bytes. The largest valid request, indented, is less than three quarters of it.
pub(crate) const BODY_BYTES: usize = 64 * 1024;

/// A body has to arrive within this time.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a body may be, and may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// At most this many bytes.
    pub(super) bytes: usize,
    /// All of them have to arrive within this time.
    pub(super) time: Duration,
}

impl Room {
    /// For all that has no code in it.
    pub(super) const USUAL: Self = Self { bytes: BODY_BYTES, time: BODY_TIME };
}

/// Wrong fields of one body that are told.
const FAULTS: usize = 16;

/// A JSON body, of a request that changes nothing.
pub(crate) struct Body<T>(pub(crate) T);

/// The parameters of a query, all text.
pub(crate) struct Query<T>(pub(crate) T);

/// The names in a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        Ok(Self(from_json(&json_body(&parts.headers, body, Room::USUAL).await?)?))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(from_query(parts)?))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(names)) => Ok(Self(names)),
            // Escapes that are no UTF-8: no name has them.
            Err(_) => {
                Err(Problem::new(Code::RouteNotFound, "there is no such path; see /openapi.json").into())
            }
        }
    }
}

/// Reads a body that is declared as JSON.
pub(super) async fn json_body(headers: &HeaderMap, body: HttpBody, room: Room) -> Result<Bytes, Problem> {
    declared_as_json(headers)?;
    read_body(body, room).await
}

fn declared_as_json(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !content_type.is_some_and(is_json) {
        let detail = "the body has to be JSON; send the header `content-type: application/json`";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    Ok(())
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&b| b == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    // RFC 7396 has a type of its own for patches, which are JSON all the same.
    [&b"application/json"[..], b"application/merge-patch+json"]
        .iter()
        .any(|json| essence.eq_ignore_ascii_case(json))
}

/// Reads an event of at most `limit` bytes: JSON, or nothing, which is `null`.
pub(super) async fn event(headers: &HeaderMap, body: HttpBody, limit: usize) -> Result<Bytes, Problem> {
    let event = read_body(body, Room { bytes: limit, ..Room::USUAL }).await?;
    if event.is_empty() {
        return Ok(Bytes::from_static(b"null"));
    }
    declared_as_json(headers)?;
    serde_json::from_slice::<IgnoredAny>(&event).map_err(|error| malformed(&error))?;
    Ok(event)
}

async fn read_body(body: HttpBody, room: Room) -> Result<Bytes, Problem> {
    let limited = Limited::new(body, room.bytes);
    match tokio::time::timeout(room.time, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Code::BodyTooLarge, format!("a body has at most {} bytes here", room.bytes)))
        }
        Ok(Err(error)) => Err(Problem::new(Code::MalformedJson, format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(
            Code::MalformedJson,
            format!("the body took longer than {} s", room.time.as_secs()),
        )),
    }
}

/// Reads a JSON object. All of its wrong fields are told, as far as one does not hide another.
pub(super) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Whether it is JSON at all comes first: otherwise the first wrong field would hide that the end is missing.
    serde_json::from_slice::<IgnoredAny>(body).map_err(|error| malformed(&error))?;
    // Serde would take an array for the fields in their order of declaration, which is nobody's business.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Code::InvalidType, "the body has to be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let first = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => return Ok(value),
        Err(error) => blame(error.path().to_string(), error.inner()),
    };
    let value = serde_json::from_slice(body).unwrap_or(Value::Null);
    Err(all_faults::<T>(first, value))
}

/// The first fault, and those that are found once that one is out of the way.
fn all_faults<T: DeserializeOwned>(first: Problem, mut value: Value) -> Problem {
    let mut faults = Faults::default();
    let mut fault = first;
    for _ in 0..FAULTS {
        let field = fault.field().map(str::to_owned);
        let removable = matches!(fault.code(), Code::UnknownField | Code::InvalidType);
        faults.note(fault);
        if !removable || !field.is_some_and(|field| remove(&mut value, &field)) {
            break;
        }
        match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(_) => break,
            Err(error) => fault = blame(error.path().to_string(), error.inner()),
        }
        // What is missing now may be missing because it was taken out.
        if fault.code() == Code::MissingField {
            break;
        }
    }
    faults.end::<()>(None).expect_err("there is a fault")
}

/// Takes a field out, by its path; `false` if it is not found.
fn remove(value: &mut Value, path: &str) -> bool {
    let mut at = value;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let (name, indices) = step.split_once('[').unwrap_or((step, ""));
        let last = steps.peek().is_none();
        let Some(object) = at.as_object_mut() else { return false };
        // A wrong item of a list takes the list with it.
        if last || !indices.is_empty() && object.get(name).is_some_and(|v| !v.is_array()) {
            return object.remove(name).is_some();
        }
        let Some(mut next) = object.get_mut(name) else { return false };
        for index in indices.split('[').filter_map(|text| text.strip_suffix(']')?.parse::<usize>().ok()) {
            let Some(item) = next.get_mut(index) else { return false };
            next = item;
        }
        at = next;
    }
    false
}

/// Reads parameters as if they were fields of text, so that unknown ones are found and named as those of bodies are.
pub(super) fn from_query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidQuery, detail);
    let pairs = if parts.uri.query().is_some() {
        let parsed = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        parsed.map_err(|error| invalid(error.body_text()))?.0
    } else {
        Vec::new()
    };
    let mut fields = serde_json::Map::new();
    for (name, value) in pairs {
        if fields.insert(name.clone(), value.into()).is_some() {
            return Err(invalid(format!("{name} is given twice; give it once")).at(name));
        }
    }
    serde_path_to_error::deserialize(Value::from(fields)).map_err(|error| {
        let problem = blame(error.path().to_string(), error.inner());
        let blamed = problem.field().map(str::to_owned).unwrap_or_default();
        invalid(problem.detail().to_owned()).at(blamed)
    })
}

/// Finds code and field of what serde did not like.
///
/// Serde says which kind of mistake it was only in the words of its message.
fn blame(path: String, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return malformed(error);
    }
    let message = error.to_string();
    // The position in the text helps nobody who has the field.
    let detail = message.rfind(" at line ").map_or(&*message, |end| &message[..end]).to_owned();
    let path = if path == "." { String::new() } else { path };
    // The path ends with the field that was being read: the unknown one, but neither the missing nor the repeated one.
    let (code, field) = if detail.starts_with("unknown field `") {
        (Code::UnknownField, path)
    } else if let Some(name) = only_name(&detail, "missing field `") {
        (Code::MissingField, below(&path, name))
    } else if let Some(name) = only_name(&detail, "duplicate field `") {
        (Code::MalformedJson, below(&path, name))
    } else {
        (Code::InvalidType, path)
    };
    let problem = Problem::new(code, detail);
    if field.is_empty() { problem } else { problem.at(field) }
}

/// The name in a message that ends with it.
fn only_name<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.strip_suffix('`')
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Code::MalformedJson, format!("the body is not JSON: {error}"))
}
