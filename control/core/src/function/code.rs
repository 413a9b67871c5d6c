//! A function's code, as it is sent and as it is kept.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Code as it is sent.
#[derive(Clone, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewCode {
    /// A zip archive in base64 (RFC 4648 §4): at most 50 MiB of it, and 250 MiB unpacked.
    #[schema(content_encoding = "base64")]
    pub zip: String,
}

/// What code is known by: the SHA-256 of its archive, as 64 hexadecimal digits. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct CodeHash(Arc<str>);

/// Code that the store has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StoredCode {
    /// What it is known by.
    #[serde(rename = "code")]
    pub hash: CodeHash,
    /// How long its archive is. Bytes.
    #[serde(rename = "code_bytes")]
    pub bytes: u64,
}

impl CodeHash {
    /// Reads 64 hexadecimal digits; `None` if they are not.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(digit)).then(|| Self(text.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CodeHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::parse(&text).ok_or("a hash of code is 64 digits of 0 to 9 and a to f")
    }
}

impl From<CodeHash> for String {
    fn from(hash: CodeHash) -> Self {
        hash.as_str().to_owned()
    }
}

impl fmt::Display for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// No log is to have megabytes of it.
impl fmt::Debug for NewCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewCode({} bytes)", self.zip.len())
    }
}
