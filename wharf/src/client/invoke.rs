//! Invocations, whose answers are not the API's but a function's: they may be anything, come in parts, and take their time.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::request::Request;
use super::{Answer, Client, ClientError, Events, Key, TIMEOUT, Target, sender};
use crate::output::chart::Span;

/// How long a function may take until it answers: the longest that one may have, and the time that it may wait for an environment.
const PATIENCE: Duration = Duration::from_secs(900 + 60);

/// What an invocation has led to.
pub(crate) struct Reply {
    /// The invocation's id, if it came to that.
    pub(crate) id: Option<String>,
    /// What took how long.
    pub(crate) spans: Vec<Span>,
    /// Which version has run.
    pub(crate) version: Option<u64>,
    /// The answer, or why there is none.
    pub(crate) outcome: Result<Said, ClientError>,
}

/// What was answered.
pub(crate) enum Said {
    /// What the function says.
    Answer(Parts),
    /// It runs later: the invocation as the API shows it.
    Accepted(Value),
    /// It would have been invoked.
    Nothing,
}

/// An answer that is still coming in.
pub(crate) struct Parts {
    body: Incoming,
    // The connection ends when nobody can send on it any more.
    _sender: SendRequest<Full<Bytes>>,
    target: Target,
}

impl Client {
    /// Invokes a function, on a connection of its own.
    pub(crate) async fn invoke(
        &self,
        path: &str,
        event: Bytes,
        key: Option<&Key>,
    ) -> Result<Reply, ClientError> {
        let mut sender = sender(&self.access.target).await?;
        let request = Request::new(Method::POST, path);
        let request = key.into_iter().fold(request, Request::once).build(&self.access);
        let (mut head, _) = request.into_parts();
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = hyper::Request::from_parts(head, Full::new(event));
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let answer = answer.map_err(|_| ClientError::Silent(self.access.target.clone()))?;
        let answer = answer.map_err(|e| ClientError::broken(&self.access.target, &e))?;
        let header = |name| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let id = header("wharf-invocation");
        let version = header("wharf-function-version").and_then(|number| number.parse().ok());
        let spans = spans(answer.headers());
        let outcome = match answer.status() {
            StatusCode::ACCEPTED => {
                self.read(answer).await.and_then(|answer| self.json(&answer)).map(Said::Accepted)
            }
            StatusCode::NO_CONTENT => Ok(Said::Nothing),
            status if status.is_success() => {
                let target = self.access.target.clone();
                Ok(Said::Answer(Parts { body: answer.into_body(), _sender: sender, target }))
            }
            _ => Err(self.refused(&self.read(answer).await?)),
        };
        Ok(Reply { id, spans, version, outcome })
    }

    /// Follows a stream of events, on a connection of its own.
    pub(crate) async fn follow(&self, path: &str) -> Result<Events, ClientError> {
        let mut sender = sender(&self.access.target).await?;
        let request = Request::new(Method::GET, path).build(&self.access);
        let answer = tokio::time::timeout(TIMEOUT, sender.send_request(request)).await;
        let answer = answer.map_err(|_| ClientError::Silent(self.access.target.clone()))?;
        let answer = answer.map_err(|e| ClientError::broken(&self.access.target, &e))?;
        if answer.status().is_success() {
            return Ok(Events::new(answer.into_body(), sender, self.access.target.clone()));
        }
        let answer: Answer = self.read(answer).await?;
        Err(self.refused(&answer))
    }
}

impl Parts {
    /// Waits for the next part; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|e| ClientError::broken(&self.target, &e))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// What `server-timing` says (W3C Server Timing §2), with the beginnings that the daemon puts into descriptions.
fn spans(headers: &HeaderMap) -> Vec<Span> {
    let all = headers.get("server-timing").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let us = |ms: &str| {
        Some(Duration::try_from_secs_f64(ms.parse::<f64>().ok()? / 1_000.0).ok()?.as_micros() as u64)
    };
    let span = |entry: &str| {
        let mut parts = entry.split(';').map(str::trim);
        let mut span = Span { name: parts.next()?.to_owned(), start_us: 0, duration_us: 0 };
        for part in parts {
            match part.split_once('=')? {
                ("dur", ms) => span.duration_us = us(ms)?,
                ("desc", at) => span.start_us = us(at.trim_matches('"').strip_prefix("at ")?)?,
                _ => {}
            }
        }
        Some(span)
    };
    all.split(',').filter(|entry| !entry.trim().is_empty()).filter_map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_the_header() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("server-timing", HeaderValue::from_static(text));
            spans(&headers)
        };
        let span = |name: &str, start_us, duration_us| Span { name: name.into(), start_us, duration_us };
        let text = r#"mount;dur=0.126;desc="at 0.000", first_byte;dur=2.000;desc="at 0.126""#;
        assert_eq!(of(text), [span("mount", 0, 126), span("first_byte", 126, 2_000)]);
        assert_eq!(of("cache;dur=1.5"), [span("cache", 0, 1_500)]);
        for nothing in ["", " , ", "a;dur=x", "a;b"] {
            assert_eq!(of(nothing), [], "{nothing}");
        }
        assert_eq!(spans(&HeaderMap::new()), []);
    }
}
