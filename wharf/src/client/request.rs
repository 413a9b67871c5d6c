//! One request, before it is sent: it may have to be sent twice.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, IF_MATCH};
use serde_json::Value;

use super::{Access, TIMEOUT};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A slow way to the daemon, code unpacked there included.
const BYTES_PER_S: usize = 1 << 20;

/// Whether a change is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// It is to be made.
    Real,
    /// It is to be checked, and nothing is to be done.
    Dry,
}

/// What tells a creation from others, so that it is carried out once however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

/// A request.
pub(super) struct Request {
    method: Method,
    path: String,
    body: Bytes,
    headers: Vec<(HeaderName, String)>,
}

impl Key {
    /// One that nobody else has.
    pub(crate) fn random() -> io::Result<Self> {
        use fmt::Write;
        let mut bytes = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes everything");
            text
        })))
    }

    /// One of the caller's own: 1 to 255 visible ASCII characters.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        let right = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if right { Ok(Self(text.to_owned())) } else { Err("is not 1 to 255 visible ASCII characters") }
    }
}

impl Request {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), body: Bytes::new(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        self.headers.push((CONTENT_TYPE, "application/json".to_owned()));
        self
    }

    pub(super) fn once(mut self, key: &Key) -> Self {
        self.headers.push((IDEMPOTENCY_KEY, key.0.clone()));
        self
    }

    pub(super) fn only_if(mut self, etag: Option<&str>) -> Self {
        self.headers.extend(etag.map(|etag| (IF_MATCH, etag.to_owned())));
        self
    }

    pub(super) fn since(mut self, revision: u64) -> Self {
        self.headers.push((LAST_EVENT_ID, revision.to_string()));
        self
    }

    pub(super) fn run(mut self, run: Run) -> Self {
        if run == Run::Dry {
            self.path.push_str("?dry_run=true");
        }
        self
    }

    /// How long its answer may take: longer than usual if there is much to be sent.
    pub(super) fn patience(&self) -> Duration {
        TIMEOUT + Duration::from_secs((self.body.len() / BYTES_PER_S) as u64)
    }

    pub(super) fn build(&self, access: &Access) -> hyper::Request<Full<Bytes>> {
        let mut request = hyper::Request::builder().method(&self.method).uri(&self.path);
        request = request.header(HOST, access.target.host());
        for (name, value) in access.headers() {
            request = request.header(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(self.body.clone()))
            .expect("paths are built from escaped segments, and headers of what is checked")
    }
}

/// `text` as one segment of a path or one value of a query.
pub(crate) fn escaped(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(b as char);
        } else {
            write!(out, "%{b:02X}").expect("a String takes everything");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::Target;

    #[test]
    fn a_request_says_all_that_goes_with_it() {
        let header = |request: &hyper::Request<_>, name| request.headers()[name].to_str().unwrap().to_owned();
        let (body, key) = (json!({"name": "k"}), Key::new("k-1").unwrap());
        let request = Request::new(Method::POST, "/v1/connectors").with(&body).once(&key).run(Run::Dry);
        let built = request.build(&Target::Unix("/s".into()).into());
        assert_eq!(built.uri(), "/v1/connectors?dry_run=true");
        assert_eq!(header(&built, "idempotency-key"), "k-1");
        assert_eq!(header(&built, "content-type"), "application/json");
        assert_eq!(header(&built, "host"), "localhost");
        let request = Request::new(Method::PATCH, "/v1/connectors/k").only_if(Some("\"7\"")).run(Run::Real);
        let built = request.build(&Target::Unix("/s".into()).into());
        assert_eq!(built.uri(), "/v1/connectors/k");
        assert_eq!(header(&built, "if-match"), "\"7\"");
    }

    #[test]
    fn keys_are_random_or_as_they_were_given() {
        assert_ne!(Key::random().unwrap(), Key::random().unwrap());
        assert_eq!(Key::random().unwrap().0.len(), 32);
        for (text, right) in
            [("a", true), (&"a".repeat(255), true), (&"a".repeat(256), false), ("", false), ("a b", false)]
        {
            assert_eq!(Key::new(text).is_ok(), right, "{text}");
        }
    }

    #[test]
    fn names_are_escaped_into_paths() {
        assert_eq!(escaped("orders-1"), "orders-1");
        assert_eq!(escaped("acme/web"), "acme%2Fweb");
        assert_eq!(escaped("../v1?x#y ü"), "..%2Fv1%3Fx%23y%20%C3%BC");
    }
}
