//! Who asks for what: [`Look`] for what only looks, [`Ask`] for a page, [`Do`] for what changes something.
//!
//! Whoever comes in is known before anything of a request is read. Which role a request needs follows from what it is.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use control_core::limits::{DELIVERY_EVENT_BYTES, EVENT_BYTES};
use control_core::{Caller, Code, Problem, Role};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::extract::{Room, event, from_json, from_query, json_body};
use super::failure::Failure;
use super::observe::RequestId;
use crate::app::{Call, Key, Page};
use crate::registry::hexadecimal;

/// A caller who may be anybody. There are no parameters.
pub(super) struct Anybody;

/// A caller who may look. There are no parameters.
pub(super) struct Look(pub(super) Caller);

/// A caller who may look. What parameters there are is for others to read.
pub(super) struct Known(pub(super) Caller);

/// A caller who may look at a list, and which page of it.
pub(super) struct Paged(pub(super) Caller, pub(super) Page);

/// A caller who may look at a list, and which page of it; or who watches it.
pub(super) struct Ask {
    pub(super) caller: Caller,
    pub(super) wish: Wish,
}

/// What is wanted of a list.
pub(super) enum Wish {
    /// A page of it.
    Page(Page),
    /// What changes in it after this revision; after the latest unless given.
    Watch { since: Option<u64> },
}

/// A caller who may change something, without a body.
pub(super) struct Do(pub(super) Call);

/// The same with a body.
pub(super) struct DoWith<T>(pub(super) Call, pub(super) T);

/// A caller who invokes a function.
pub(super) struct Trigger {
    pub(super) call: Call,
    pub(super) mode: Mode,
    pub(super) version: Option<u64>,
    pub(super) event: Bytes,
}

/// Whether the caller of an invocation waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It does.
    Sync,
    /// The invocation is accepted, and run later.
    Async,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TriggerParams {
    mode: Option<String>,
    version: Option<String>,
    dry_run: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageParams {
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    limit: Option<String>,
    cursor: Option<String>,
    watch: Option<String>,
    since: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DoParams {
    dry_run: Option<String>,
}

/// Longest idempotency key. Bytes.
const KEY_BYTES: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl<S: Send + Sync> FromRequestParts<S> for Anybody {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let NoParams {} = from_query(parts)?;
        Ok(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Look {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let caller = caller(parts)?;
        let NoParams {} = from_query(parts)?;
        Ok(Self(caller))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(caller(parts)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Paged {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let caller = caller(parts)?;
        let PageParams { limit, cursor } = from_query(parts)?;
        Ok(Self(caller, Page::parse(limit.as_deref(), cursor.as_deref())?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let caller = caller(parts)?;
        let ListParams { limit, cursor, watch, since } = from_query(parts)?;
        let watches = truth("watch", watch.as_deref())?;
        if !watches {
            if since.is_some() {
                return Err(invalid("since", "it is for watching; add watch=true").into());
            }
            let page = Page::parse(limit.as_deref(), cursor.as_deref())?;
            return Ok(Self { caller, wish: Wish::Page(page) });
        }
        if let Some(field) = limit.map(|_| "limit").or(cursor.map(|_| "cursor")) {
            return Err(invalid(field, "a watch has no pages").into());
        }
        // A client that comes back says where it was in the header.
        let last = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let since =
            last.or(since).map(|text| number(&text).ok_or_else(|| invalid("since", "it is no revision")));
        Ok(Self { caller, wish: Wish::Watch { since: since.transpose()? } })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Do {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(call(parts, None)?))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for DoWith<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        // Who may not do it is not listened to.
        call(&parts, None)?;
        let body = json_body(&parts.headers, body, Room::USUAL).await?;
        Ok(Self(call(&parts, Some(&body))?, from_json(&body)?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Trigger {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let caller = caller(&parts)?;
        caller.need(Role::Operator)?;
        let TriggerParams { mode, version, dry_run } = from_query(&parts)?;
        let mode = Mode::parse(mode.as_deref())?;
        let dry_run = truth("dry_run", dry_run.as_deref())?;
        let wrong = || invalid("version", "it is the number of a version: 1, 2, …");
        let parse = |text: String| number(&text).filter(|&number| number > 0).ok_or_else(wrong);
        let version = version.map(parse).transpose()?;
        let event = event(&parts.headers, body, mode.event_bytes()).await?;
        let key = key(&parts, Some(&event))?;
        if key.is_some() && mode == Mode::Sync {
            let detail = "an answer is not kept, so that a synchronous invocation cannot be repeated by key; use mode=async";
            return Err(invalid("mode", detail).into());
        }
        let call = Call { caller, request: request_id(&parts), dry_run, key, expected: None };
        Ok(Self { call, mode, version, event })
    }
}

impl Mode {
    fn parse(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("sync") => Ok(Self::Sync),
            Some("async") => Ok(Self::Async),
            Some(_) => Err(invalid("mode", "choose sync or async")),
        }
    }

    const fn event_bytes(self) -> usize {
        match self {
            Self::Sync => EVENT_BYTES,
            Self::Async => DELIVERY_EVENT_BYTES,
        }
    }
}

/// Who asks, as the door has found out.
pub(super) fn caller(parts: &Parts) -> Result<Caller, Problem> {
    let caller = parts.extensions.get::<Result<Caller, Problem>>().cloned();
    caller.unwrap_or_else(|| Err(Problem::new(Code::Unauthenticated, "nobody is known to have asked")))
}

/// What goes with a call that changes something, of a caller who may do such a thing.
pub(super) fn call(parts: &Parts, body: Option<&[u8]>) -> Result<Call, Problem> {
    let caller = caller(parts)?;
    caller.need(Role::Operator)?;
    let DoParams { dry_run } = from_query(parts)?;
    Ok(Call {
        caller,
        request: request_id(parts),
        dry_run: truth("dry_run", dry_run.as_deref())?,
        key: key(parts, body)?,
        expected: expected(&parts.headers)?,
    })
}

fn request_id(parts: &Parts) -> String {
    parts.extensions.get::<RequestId>().map(ToString::to_string).unwrap_or_default()
}

/// The client's key, and what tells this request from others.
fn key(parts: &Parts, body: Option<&[u8]>) -> Result<Option<Key>, Problem> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let right = key.to_str().ok().filter(|key| (1..=KEY_BYTES).contains(&key.len()));
    let Some(key) = right else {
        let detail = format!("an Idempotency-Key is 1 to {KEY_BYTES} visible ASCII characters");
        return Err(Problem::new(Code::InvalidHeader, detail));
    };
    let mut hash = Sha256::new();
    hash.update(parts.method.as_str());
    hash.update([0]);
    hash.update(parts.uri.path_and_query().map_or("", PathAndQuery::as_str));
    hash.update([0]);
    hash.update(body.unwrap_or_default());
    Ok(Some(Key { key: key.to_owned(), fingerprint: hexadecimal(&hash.finalize()) }))
}

/// The ETag that the resource has to have (RFC 9110 §13.1.1); `*` is any.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(tag) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = tag.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    // Whoever leaves the quotes out means the same.
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match quoted.unwrap_or(text).parse() {
        Ok(number) => Ok(Some(number)),
        _ => {
            let detail = "If-Match is an ETag of the resource, such as \"42\", or *";
            Err(Problem::new(Code::InvalidHeader, detail))
        }
    }
}

/// A number as the document has them: 63 bits, and no sign.
pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&number| i64::try_from(number).is_ok())
}

pub(super) fn truth(name: &str, text: Option<&str>) -> Result<bool, Problem> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid(name, "choose true or false")),
    }
}

pub(super) fn invalid(parameter: &str, detail: &str) -> Problem {
    Problem::new(Code::InvalidQuery, detail).at(parameter)
}
