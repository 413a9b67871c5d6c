//! How often somebody may ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use control_core::{Caller, Code, Principal, Problem};

/// Requests a second of one token, and of all that nobody knows together.
const RATE: f64 = 1_000.0;

/// Requests that may come at once.
const BURST: f64 = 2_000.0;

/// Tokens whose rates are remembered; when there are more, those that have been quiet are forgotten.
const REMEMBERED: usize = 4_096;

/// Counts requests. The local administrator's are not limited: it could do everything to the daemon anyway.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<HashMap<String, Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limiter {
    /// Counts a request; refuses it if that is one too many.
    pub(super) fn admit(&self, caller: Option<&Caller>) -> Result<(), Problem> {
        let who = match caller.map(|caller| &caller.principal) {
            Some(Principal::Local { .. }) => return Ok(()),
            Some(token @ Principal::Token { .. }) => token.to_string(),
            None => String::new(),
        };
        if self.take(who, Instant::now()) {
            return Ok(());
        }
        let detail = format!("at most {RATE} requests a second; try again in a moment");
        Err(Problem::new(Code::TooManyRequests, detail))
    }

    fn take(&self, who: String, now: Instant) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&who) {
            buckets.retain(|_, bucket| bucket.refill(now) < BURST);
        }
        let bucket = buckets.entry(who).or_insert(Bucket { left: BURST, at: now });
        bucket.left = bucket.refill(now);
        bucket.at = now;
        let admitted = bucket.left >= 1.0;
        if admitted {
            bucket.left -= 1.0;
        }
        admitted
    }
}

impl Bucket {
    fn refill(&self, now: Instant) -> f64 {
        (self.left + now.duration_since(self.at).as_secs_f64() * RATE).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_come_back_with_time() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let admitted = (0..3_000).filter(|_| limiter.take("a".into(), start)).count();
        assert_eq!(admitted, 2_000);
        assert!(limiter.take("b".into(), start), "everybody has their own");
        let later = start + Duration::from_millis(100);
        let admitted = (0..3_000).filter(|_| limiter.take("a".into(), later)).count();
        assert!((99..=101).contains(&admitted), "{admitted}");
    }

    #[test]
    fn those_who_are_quiet_are_forgotten() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        for i in 0..REMEMBERED {
            limiter.take(i.to_string(), start);
        }
        limiter.take("new".into(), start + Duration::from_secs(10));
        assert_eq!(limiter.0.lock().unwrap().len(), 1);
    }
}
