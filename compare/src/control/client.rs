//! Requests that were made before, and a connection that sends one and takes its answer. No more is done than has to be, since the
//! daemon shares the machine.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};
use hyper::Method;
use serde_json::Value;

use crate::rest::RestError;

/// A request as it goes over the connection.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    bytes: Vec<u8>,
}

/// A connection to the daemon, which it keeps alive.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    /// Bytes of `received` that the answer has so far.
    filled: usize,
    /// The answer's shape, as soon as its header is there.
    shape: Option<Shape>,
}

/// What the header of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    status: u16,
    header: usize,
    body: usize,
}

/// How long an answer may take: that of a link waits for those of all others.
const PATIENCE: Duration = Duration::from_secs(30);

/// Headers of an answer.
const HEADERS: usize = 32;

/// An answer may be of this length before more room is made. Bytes.
const ROOM: usize = 8 * 1024;

impl Request {
    /// Shows something.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into(), &Value::Null)
    }

    /// Makes something.
    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path.into(), body)
    }

    /// Makes something so.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path.into(), &Value::Null)
    }

    /// Ends something.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path.into(), &Value::Null)
    }

    fn new(method: Method, path: String, body: &Value) -> Self {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let bytes = format!(
            "{method} {path} HTTP/1.1\r\nhost: wharf\r\n{kind}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { method, path, bytes: bytes.into_bytes() }
    }
}

impl Client {
    /// Connects to the daemon that listens at `socket`.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: vec![0; ROOM], filled: 0, shape: None })
    }

    /// Sends a request, and waits for the answer. Returns its body.
    pub fn send(&mut self, request: &Request) -> Result<&[u8], RestError> {
        self.begin(request)?;
        while !self.advance()? {}
        self.body(request)
    }

    /// A header of the last answer.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut response = Response::new(&mut headers);
        response.parse(&self.received[..self.shape?.header]).ok()?;
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        String::from_utf8(found.value.to_owned()).ok()
    }

    /// Sends a request. The answer to the one before has been taken.
    pub(super) fn begin(&mut self, request: &Request) -> io::Result<()> {
        (self.filled, self.shape) = (0, None);
        self.stream.write_all(&request.bytes)
    }

    /// Takes what has arrived of the answer, and waits if nothing has. Says whether it is all.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        if self.filled == self.received.len() {
            self.received.resize(self.filled * 2, 0);
        }
        let more = self.stream.read(&mut self.received[self.filled..])?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += more;
        if self.shape.is_none() {
            self.shape = shape(&self.received[..self.filled])?;
        }
        Ok(self.shape.is_some_and(|shape| self.filled >= shape.header + shape.body))
    }

    /// The body of the answer, of which all is there, if it says that all went well.
    pub(super) fn body(&self, request: &Request) -> Result<&[u8], RestError> {
        let shape = self.shape.expect("all of the answer is there");
        let body = &self.received[shape.header..shape.header + shape.body];
        if (200..300).contains(&shape.status) {
            return Ok(body);
        }
        Err(RestError::Refused {
            method: request.method.clone(),
            path: request.path.clone(),
            status: shape.status,
            body: serde_json::from_slice(body).unwrap_or_default(),
        })
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// What the header says; `None` if it is not all there.
fn shape(received: &[u8]) -> io::Result<Option<Shape>> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut response = Response::new(&mut headers);
    let Status::Complete(header) = response.parse(received).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|length| std::str::from_utf8(length.value).ok());
    let status = response.code.unwrap_or_default();
    let body = match length {
        Some(length) => length.trim().parse().map_err(io::Error::other)?,
        None if status == NO_CONTENT => 0,
        None => return Err(io::Error::other("an answer of unknown length")),
    };
    Ok(Some(Shape { status, header, body }))
}

/// RFC 9110 §15.3.5.
const NO_CONTENT: u16 = 204;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_ends_where_its_header_says() {
        let shape = |text: &str| shape(text.as_bytes());
        assert_eq!(shape("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n").unwrap(), None);
        let expected = Shape { status: 200, header: 39, body: 12 };
        assert_eq!(shape("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{").unwrap(), Some(expected));
        let expected = Shape { status: 204, header: 27, body: 0 };
        assert_eq!(shape("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Some(expected));
        assert!(shape("HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(shape("SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn answers_in_pieces_and_long_ones_are_put_together_and_refusals_have_their_body() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let long = "x".repeat(5 * ROOM);
        let sent = long.clone();
        let daemon = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut asked = String::new();
            for (status, body) in [("200 OK", sent.as_str()), ("409 Conflict", r#"{"code":"taken"}"#)] {
                let mut bytes = [0; 1024];
                let read = stream.read(&mut bytes).unwrap();
                asked += std::str::from_utf8(&bytes[..read]).unwrap();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                answer.as_bytes().chunks(7_000).for_each(|piece| stream.write_all(piece).unwrap());
            }
            asked
        });
        let mut client = Client::connect(&socket).unwrap();
        assert_eq!(client.send(&Request::get("/a")).unwrap(), long.as_bytes());
        assert_eq!(client.header("Content-Length"), Some(long.len().to_string()));
        assert_eq!(client.header("server-timing"), None);
        let refused = client.send(&Request::post("/b", &json!({"name": "n"}))).unwrap_err();
        assert!(refused.to_string().ends_with(r#"POST /b: 409 {"code":"taken"}"#), "{refused}");
        let asked = daemon.join().unwrap();
        assert!(
            asked.starts_with("GET /a HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"name\":\"n\"}"),
            "{asked}"
        );
    }
}
