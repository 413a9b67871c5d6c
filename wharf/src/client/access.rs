//! What goes with every request: where it goes, for which tenant, and who asks.

use std::fmt;
use std::path::Path;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::Target;
use crate::failure::Failure;

/// The header by which the local administrator acts for another tenant.
const TENANT: &str = "wharf-tenant";

/// A daemon, and what it is told about us.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Where it is.
    pub(super) target: Target,
    headers: HeaderMap,
}

/// A bearer token. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Access {
    /// Adds the tenant to act for, and the token to bear.
    pub(crate) fn new(target: Target, tenant: Option<&str>, token: Option<&Token>) -> Result<Self, Failure> {
        let mut access = Self::from(target);
        if let Some(tenant) = tenant {
            let wrong = |_| Failure::usage("a tenant's name is letters a-z, digits and dashes");
            access.headers.insert(TENANT, HeaderValue::from_str(tenant).map_err(wrong)?);
        }
        if let Some(Token(secret)) = token {
            let value = HeaderValue::from_str(&format!("Bearer {secret}"));
            let mut value = value.expect("a token is visible ASCII");
            value.set_sensitive(true);
            access.headers.insert(AUTHORIZATION, value);
        }
        Ok(access)
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl From<Target> for Access {
    fn from(target: Target) -> Self {
        Self { target, headers: HeaderMap::new() }
    }
}

impl Token {
    /// The one in this file, or else in `$WHARF_TOKEN`. A command line would show it to everybody on the machine.
    pub(crate) fn find(file: Option<&Path>) -> Result<Option<Self>, Failure> {
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| {
                Failure::usage(format_args!("cannot read the token in {}: {e}", path.display()))
            })?;
            return Self::parse(&text, path.display()).map(Some);
        }
        let text = std::env::var_os("WHARF_TOKEN").filter(|text| !text.is_empty());
        text.map(|text| Self::parse(&text.to_string_lossy(), "$WHARF_TOKEN")).transpose()
    }

    /// The text is in no message: it may be a secret that only has a blank in it.
    fn parse(text: &str, place: impl fmt::Display) -> Result<Self, Failure> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Failure::usage(format_args!("there is no token in {place}"))
            .hint("`wharf token add NAME --role operator > FILE` makes one"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_taken_without_the_end_of_their_line_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "wharf_default_ci_01\n").unwrap();
        let token = Token::find(Some(file.path())).unwrap().unwrap();
        assert_eq!(token, Token("wharf_default_ci_01".to_owned()));
        let access = Access::new(Target::Unix("/s".into()), Some("acme"), Some(&token)).unwrap();
        assert_eq!(access.headers()["authorization"], "Bearer wharf_default_ci_01");
        assert_eq!(access.headers()["wharf-tenant"], "acme");
        let shown = format!("{token:?} {access:?}");
        assert!(!shown.contains("ci_01"), "{shown}");
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_being_repeated() {
        for wrong in ["", " \n", "two words", "käse"] {
            let refused = Token::parse(wrong, "the file").unwrap_err();
            let said = format!("{refused:?}");
            assert!(said.contains("no token in the file"), "{said}");
            assert!(wrong.trim().is_empty() || !said.contains(wrong), "{said}");
        }
        assert!(Token::find(Some(Path::new("/nonexistent/token"))).is_err());
    }
}
