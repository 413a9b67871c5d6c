//! Requests: which are served at once, which wait, which are refused.

use std::time::Duration;

use super::version::Waiting;
use super::{Action, Cause, EnvironmentId, EnvironmentState, Fleet, Reason, RequestId, VersionKey};
use crate::limits::{REQUESTS_WAITING, REQUESTS_WAITING_PER_VERSION};

impl Fleet {
    /// Somebody wants a version invoked, and waits for an environment until `until`.
    pub fn handle_request(&mut self, now: Duration, request: RequestId, key: &VersionKey, until: Duration) {
        assert!(!self.requests.contains_key(&request), "{request:?} waits already");
        if let Some(reason) = self.refusal(now, key) {
            self.actions.push_back(Action::Refuse { request, reason });
            return;
        }
        let version = self.versions.get_mut(key).expect("it was not refused");
        if let Some(&(_, environment)) = version.idle.last() {
            self.run(now, environment, request);
            return;
        }
        version.waiting.push_back(Waiting { request, since: now, until });
        self.function(key).waiting += 1;
        self.requests.insert(request, key.clone());
        self.deadlines.insert((until, request));
        self.settle_version(now, key);
    }

    /// Nobody waits for it any more. Whether nothing has served it yet; otherwise it is served to its end.
    pub fn abandon(&mut self, now: Duration, request: RequestId) -> bool {
        let Some(key) = self.requests.get(&request).cloned() else { return false };
        self.take_out(&key, request);
        self.settle_version(now, &key);
        true
    }

    /// Why a request cannot be served, if that is known at once.
    fn refusal(&self, now: Duration, key: &VersionKey) -> Option<Reason> {
        if self.is_stopping {
            return Some(Reason::ShuttingDown);
        }
        let Some(version) = self.versions.get(key).filter(|version| !version.is_deleted) else {
            return Some(Reason::UnknownVersion);
        };
        let (function, pool) = (&self.functions[&key.function], &self.pools[&version.terms.runtime]);
        if !version.idle.is_empty() {
            return None;
        }
        let is_full = self.requests.len() >= REQUESTS_WAITING
            || version.waiting.len() >= REQUESTS_WAITING_PER_VERSION
            || function.is_crowded();
        if is_full {
            return Some(Reason::TooMany);
        }
        if version.is_served() {
            return None;
        }
        if version.is_broken(now) {
            return Some(Reason::NotLoaded);
        }
        let is_hopeless =
            version.terms.memory_mb > pool.settings.memory_mb || pool.is_broken(now) && pool.warm.is_empty();
        is_hopeless.then_some(Reason::NoEnvironment)
    }

    /// Those whose time is over.
    pub(super) fn refuse_late(&mut self, now: Duration) {
        while let Some(&(until, request)) = self.deadlines.first()
            && until <= now
        {
            let key = self.requests[&request].clone();
            let at_limit = self.functions[&key.function].free() == 0;
            let reason = if at_limit { Reason::TooMany } else { Reason::NoEnvironment };
            self.take_out(&key, request);
            self.actions.push_back(Action::Refuse { request, reason });
            self.settle_version(now, &key);
        }
    }

    /// Refuses the first `count` that wait.
    pub(super) fn refuse_first(&mut self, key: &VersionKey, count: usize, reason: Reason) {
        for _ in 0..count {
            let Some(request) = self.take_first(key) else { return };
            self.actions.push_back(Action::Refuse { request, reason });
        }
    }

    pub(super) fn refuse_waiting(&mut self, key: &VersionKey, reason: Reason) {
        self.refuse_first(key, usize::MAX, reason);
    }

    /// Gives an environment that has just nothing to do what waits first, if anything does.
    pub(super) fn run_next(&mut self, now: Duration, id: EnvironmentId, key: &VersionKey) {
        if let Some(request) = self.take_first(key) {
            self.run(now, id, request);
        }
    }

    fn run(&mut self, now: Duration, environment: EnvironmentId, request: RequestId) {
        self.step(now, environment, EnvironmentState::Busy, Cause::Invoked);
        self.environments.get_mut(&environment).expect("it took a step").request = Some(request);
        self.actions.push_back(Action::Run { environment, request });
    }

    fn take_first(&mut self, key: &VersionKey) -> Option<RequestId> {
        let request = self.versions.get(key)?.waiting.front()?.request;
        self.take_out(key, request);
        Some(request)
    }

    /// It does not wait any more.
    fn take_out(&mut self, key: &VersionKey, request: RequestId) {
        let version = self.versions.get_mut(key).expect("a version stays as long as somebody waits for it");
        let place = version.waiting.iter().position(|waiting| waiting.request == request);
        let waiting = place.and_then(|place| version.waiting.remove(place)).expect("it waits");
        self.function(key).waiting -= 1;
        self.requests.remove(&request);
        self.deadlines.remove(&(waiting.until, request));
    }
}
