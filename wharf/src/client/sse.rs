//! A stream of server-sent events (WHATWG HTML §9.2), as far as the API uses them.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;

use super::{ClientError, Target};

/// The daemon gives a sign of life every 5 seconds; who is silent for longer than this is gone.
const SILENCE: Duration = Duration::from_secs(20);

/// Longest event. Bytes.
const EVENT_LIMIT: usize = 16 * 1024 * 1024;

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its kind.
    pub(crate) name: String,
    /// What comes with it.
    pub(crate) data: String,
    /// To resume after it.
    pub(crate) id: Option<String>,
}

/// The events of one connection.
pub(crate) struct Events {
    body: Incoming,
    // The connection ends when nobody can send on it any more.
    _sender: SendRequest<Full<Bytes>>,
    target: Target,
    reader: Reader,
}

/// Takes lines apart.
#[derive(Debug, Default)]
struct Reader {
    rest: Vec<u8>,
    event: Event,
    ready: VecDeque<Event>,
}

impl Events {
    pub(super) fn new(body: Incoming, sender: SendRequest<Full<Bytes>>, target: Target) -> Self {
        Self { body, _sender: sender, target, reader: Reader::default() }
    }

    /// Waits for the next one; `None` when the daemon ends the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.reader.ready.pop_front() {
                return Ok(Some(event));
            }
            let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| ClientError::Silent(self.target.clone()))? else {
                return Ok(None);
            };
            let frame = frame.map_err(|e| ClientError::broken(&self.target, &e))?;
            if let Ok(bytes) = frame.into_data() {
                self.reader.take(&bytes);
            }
            if self.reader.rest.len() + self.reader.event.data.len() > EVENT_LIMIT {
                let reason = format!("an event has more than {EVENT_LIMIT} bytes");
                return Err(ClientError::Broken { target: self.target.clone(), reason });
            }
        }
    }
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.rest);
        let mut lines = 0;
        for line in rest.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")) {
            lines += line.len();
            self.line(&String::from_utf8_lossy(line.trim_ascii_end()));
        }
        rest.drain(..lines);
        self.rest = rest;
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            // What has no data is no event, says the standard.
            self.ready.extend(Some(event).filter(|event| !event.data.is_empty()));
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A line that begins with a colon is a sign of life.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ":\n\nevent: created\ndata: {\"name\":\"a\"}\nid: 7\n\n: alive\n\nevent: deleted\r\ndata: 1\r\ndata: 2\r\n\r\nevent: none\n\ndata";

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let event = |name: &str, data: &str, id: Option<&str>| Event {
            name: name.into(),
            data: data.into(),
            id: id.map(Into::into),
        };
        let expected = [event("created", "{\"name\":\"a\"}", Some("7")), event("deleted", "1\n2", None)];
        for cut in 1..STREAM.len() {
            let mut reader = Reader::default();
            STREAM.as_bytes().chunks(cut).for_each(|part| reader.take(part));
            assert_eq!(reader.ready, expected, "{cut}");
            assert_eq!(reader.rest, b"data");
        }
    }
}
