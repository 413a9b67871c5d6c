//! What is read from a request: [`Body`], [`Query`], [`Path`]. Whatever is wrong becomes a problem that names the field.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawQuery, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use control_core::{Code, Problem};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::failure::Failure;

/// Longest body that is read. Bytes. The largest valid request is less than a quarter of it.
pub(crate) const BODY_BYTES: usize = 64 * 1024;

/// A body has to arrive within this time.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// The parameters of a query, all text.
pub(crate) struct Query<T>(pub(crate) T);

/// The names in a path.
pub(crate) struct Path<T>(pub(crate) T);

/// The parameters of whatever takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// Lets requests without parameters through. For routes whose handlers do not look at them.
pub(super) async fn without_params(_: Query<NoParams>, request: Request, next: Next) -> Response {
    next.run(request).await
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !content_type.is_some_and(is_json) {
            let detail = "the body has to be JSON; send the header `content-type: application/json`";
            return Err(Problem::new(Code::UnsupportedMediaType, detail).into());
        }
        let body = read_body(request).await?;
        Ok(Self(from_json(&body)?))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Ok(RawQuery(raw)) = RawQuery::from_request_parts(parts, state).await;
        Ok(Self(from_query(parts, raw.is_some())?))
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

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&b| b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let limited = Limited::new(request.into_body(), BODY_BYTES);
    match tokio::time::timeout(BODY_TIME, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Code::BodyTooLarge, format!("a body has at most {BODY_BYTES} bytes")))
        }
        Ok(Err(error)) => Err(Problem::new(Code::MalformedJson, format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(
            Code::MalformedJson,
            format!("the body took longer than {} s", BODY_TIME.as_secs()),
        )),
    }
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Whether it is JSON at all comes first: otherwise the first wrong field would hide that the end is missing.
    serde_json::from_slice::<IgnoredAny>(body).map_err(|error| malformed(&error))?;
    // Serde would take an array for the fields in their order of declaration, which is nobody's business.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Code::InvalidType, "the body has to be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| blame(error.path().to_string(), error.inner()))
}

/// Reads parameters as if they were fields of text, so that unknown ones are found and named as those of bodies are.
fn from_query<T: DeserializeOwned>(parts: &Parts, given: bool) -> Result<T, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidQuery, detail);
    let pairs = if given {
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
    serde_path_to_error::deserialize(serde_json::Value::from(fields)).map_err(|error| {
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
