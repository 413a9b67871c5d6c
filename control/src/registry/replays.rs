//! Requests that may come again: what came of those that had an idempotency key.

use std::collections::{HashMap, VecDeque};

use control_core::{FullName, Kind, Name};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A tenant's key, as it is kept: a hash, so that it is no longer than any other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReplayKey(String);

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Replay {
    /// When. Unix time, seconds.
    pub(crate) at_s: u64,
    /// Tells the request from others.
    pub(crate) fingerprint: String,
    /// What kind of resource it made.
    pub(crate) kind: String,
    /// Its tenant.
    pub(crate) tenant: String,
    /// Its name.
    pub(crate) name: String,
}

/// Requests that are remembered; the oldest give way.
pub(super) const REPLAYS: usize = 10_000;

/// How long a request is remembered. Seconds.
const LIFE_S: u64 = 24 * 60 * 60;

/// Remembered requests.
#[derive(Debug, Default)]
pub(super) struct Replays {
    by_key: HashMap<ReplayKey, Replay>,
    order: VecDeque<ReplayKey>,
}

impl ReplayKey {
    /// The key that a tenant's client has chosen.
    pub(crate) fn new(tenant: &Name, key: &str) -> Self {
        Self(format!("{tenant}/{}", hexadecimal(&Sha256::digest(key.as_bytes()))))
    }

    pub(super) fn kept(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Replay {
    /// A request that makes this resource.
    pub(crate) fn new(at_s: u64, fingerprint: String, kind: Kind, name: &FullName) -> Self {
        let (tenant, name) = (name.tenant.to_string(), name.name.to_string());
        Self { at_s, fingerprint, kind: kind.as_str().to_owned(), tenant, name }
    }
}

impl Replays {
    pub(super) fn find(&self, key: &ReplayKey, now_s: u64) -> Option<Replay> {
        self.by_key.get(key).filter(|replay| now_s < replay.at_s.saturating_add(LIFE_S)).cloned()
    }

    /// Remembers a request. Gives the key of the one that had to give way.
    pub(super) fn keep(&mut self, key: ReplayKey, replay: Replay) -> Option<ReplayKey> {
        if self.by_key.insert(key.clone(), replay).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() <= REPLAYS {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.by_key.remove(&oldest);
        Some(oldest)
    }

    pub(super) fn forget(&mut self, key: &ReplayKey) {
        if self.by_key.remove(key).is_some() {
            self.order.retain(|other| other != key);
        }
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: usize) -> ReplayKey {
        ReplayKey::new(&Name::parse("tenant", "acme".into()).unwrap(), &i.to_string())
    }

    fn replay(at_s: u64) -> Replay {
        let (kind, tenant, name) = ("vpc".into(), "acme".into(), "v".into());
        Replay { at_s, fingerprint: String::new(), kind, tenant, name }
    }

    #[test]
    fn a_request_is_remembered_for_a_day() {
        let mut replays = Replays::default();
        replays.keep(key(1), replay(100));
        assert!(replays.find(&key(1), 100 + LIFE_S - 1).is_some());
        assert!(replays.find(&key(1), 100 + LIFE_S).is_none());
        replays.forget(&key(1));
        assert!(replays.find(&key(1), 100).is_none());
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut replays = Replays::default();
        for i in 0..REPLAYS {
            assert_eq!(replays.keep(key(i), replay(0)), None);
        }
        assert_eq!(replays.keep(key(0), replay(0)), None, "it is there already");
        assert_eq!(replays.keep(key(REPLAYS), replay(0)), Some(key(0)));
        assert!(replays.find(&key(0), 0).is_none() && replays.find(&key(1), 0).is_some());
    }
}
