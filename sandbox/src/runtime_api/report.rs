//! Error reports of runtimes, as far as they can be read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::limits::{NAME_BYTES, REPORT_BYTES};
use crate::FunctionError;

/// What is read of a report: all of its members are optional, and others are passed on unread.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    error_type: Option<String>,
    error_message: Option<String>,
}

/// What we report ourselves.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    error_type: &'a str,
    error_message: &'a str,
}

impl FunctionError {
    /// An error that nobody else has reported.
    pub(super) fn new(error_type: &str, message: &str) -> Self {
        let report = serde_json::to_vec(&Written { error_type, error_message: message });
        let report = report.expect("strings are JSON").into();
        Self { error_type: error_type.to_owned(), message: message.to_owned(), report }
    }

    /// Reads a report that came with `error_type` in its header. What is no JSON, or too long, becomes the message.
    pub(super) fn read(body: Bytes, error_type: Option<&str>) -> Self {
        let read = serde_json::from_slice::<Report>(&body).ok();
        let header = error_type.unwrap_or("Runtime.Unknown");
        let Some(read) = read else {
            let message = String::from_utf8_lossy(&body);
            return Self::new(cut(header, NAME_BYTES), cut(&message, MESSAGE_BYTES));
        };
        let error_type = read.error_type.as_deref().unwrap_or(header);
        let message = read.error_message.as_deref().unwrap_or_default();
        if body.len() > REPORT_BYTES {
            return Self::new(cut(error_type, NAME_BYTES), cut(message, MESSAGE_BYTES));
        }
        Self { error_type: cut(error_type, NAME_BYTES).to_owned(), message: message.to_owned(), report: body }
    }
}

/// As much of it as fits, in whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Bytes of a message whose report is not passed on as it came.
const MESSAGE_BYTES: usize = 16 * 1024;
