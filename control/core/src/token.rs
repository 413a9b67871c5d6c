//! Bearer tokens: who may call from anywhere. Only the hash of a token's secret is kept.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::{TOKEN_LIFE_MAX_S, TOKEN_LIFE_MIN_S};
use crate::{Code, Faults, Name, Problem};

/// What a token may do in its tenant. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Reader,
    /// Creates, changes, deletes, attaches.
    Operator,
    /// Gives out tokens, and reads the audit log.
    Admin,
}

/// A requested token.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewToken {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "ci")]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Seconds until it expires, 60 to 315360000 (ten years); never unless given.
    #[schema(value_type = Option<u64>, minimum = 60, maximum = 315_360_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<i64>,
}

/// A valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// Its name.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Seconds that it lives; `None` for ever.
    pub life_s: Option<u64>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Token {
    /// What it may do.
    pub role: Role,
    /// SHA-256 of its secret, as hexadecimal digits.
    pub hash: String,
    /// When it was created. Unix time, seconds.
    pub created_at: u64,
    /// When it expires. Unix time, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// The tenant that it belongs to.
    pub tenant: String,
    /// What it may do.
    pub role: Role,
    /// When it was created. Unix time, seconds.
    pub created_at: u64,
    /// When it expires; never if absent. Unix time, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Whether it has expired.
    pub expired: bool,
    /// Counts changes; the resource's ETag.
    pub revision: u64,
}

impl NewToken {
    /// Checks everything.
    pub fn validate(self) -> Result<TokenSpec, Problem> {
        let mut faults = Faults::default();
        let name = faults.take(Name::parse("name", self.name));
        let life = faults.take(self.expires_in_s.map(parse_life).transpose());
        let both = name.zip(life);
        faults.end(both.map(|(name, life_s)| TokenSpec { name, role: self.role, life_s }))
    }
}

impl Token {
    /// Whether it is none any more.
    pub fn has_expired(&self, now_s: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now_s)
    }
}

fn parse_life(seconds: i64) -> Result<u64, Problem> {
    let life = u64::try_from(seconds).ok().filter(|s| (TOKEN_LIFE_MIN_S..=TOKEN_LIFE_MAX_S).contains(s));
    life.ok_or_else(|| {
        let detail = format!("a token lives {TOKEN_LIFE_MIN_S} to {TOKEN_LIFE_MAX_S} seconds, not {seconds}");
        Problem::new(Code::InvalidPolicy, detail).at("expires_in_s")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_bounded() {
        for (seconds, right) in
            [(59, false), (60, true), (315_360_000, true), (315_360_001, false), (-1, false)]
        {
            let new = NewToken { name: "t".into(), role: Role::Reader, expires_in_s: Some(seconds) };
            assert_eq!(new.validate().is_ok(), right, "{seconds}");
        }
    }

    #[test]
    fn a_token_expires_at_its_second() {
        let token = Token { role: Role::Admin, hash: String::new(), created_at: 0, expires_at: Some(100) };
        assert!(!token.has_expired(99) && token.has_expired(100));
        assert!(!Token { expires_at: None, ..token }.has_expired(u64::MAX));
    }
}
