//! What goes with every mutation: who asks, whether it is meant, and how it is told from others.

use control_core::{Caller, Change, Code, FullName, Kind, Name, Principal, Problem, Resources};

use super::{App, now};
use crate::registry::{Entry, Expected, Memory, Replay, ReplayKey, Request};

/// A call that changes something.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Who asks.
    pub(crate) caller: Caller,
    /// The request's id.
    pub(crate) request: String,
    /// Whether everything is to be checked and nothing to be done.
    pub(crate) dry_run: bool,
    /// What tells this request from others, if it may come again.
    pub(crate) key: Option<Key>,
    /// The ETag that the resource has to have.
    pub(crate) expected: Option<u64>,
}

/// What tells a request from others.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The client's key.
    pub(crate) key: String,
    /// Of method, path and body.
    pub(crate) fingerprint: String,
}

impl Call {
    /// Whose resources are meant.
    pub(crate) fn tenant(&self) -> &Name {
        &self.caller.tenant
    }

    /// The caller's resource of this name.
    pub(crate) fn named(&self, name: &str, kind: Kind) -> Result<FullName, Problem> {
        named(self.tenant(), name, kind)
    }

    /// A change, and what goes with it. `kind` and `name` are what it is about.
    pub(crate) fn request(&self, action: &str, kind: Kind, name: &FullName, change: Change) -> Request {
        let entry = Entry {
            at_ms: now().as_millis() as u64,
            principal: self.caller.principal.to_string(),
            tenant: name.tenant.to_string(),
            action: action.to_owned(),
            target: target(kind, name),
            request: self.request.clone(),
        };
        let expected = self.expected.map(|revision| Expected { kind, name: name.clone(), revision });
        Request { change, expected, audit: Some(entry), replay: None }
    }

    /// The same for what makes a resource, which is remembered if the request has a key.
    pub(crate) fn creation(&self, action: &str, kind: Kind, name: &FullName, change: Change) -> Request {
        let replay = self.key.as_ref().map(|key| {
            let replay = Replay::new(now().as_secs(), key.fingerprint.clone(), kind, name);
            Memory::Keep(ReplayKey::new(self.tenant(), &key.key), replay)
        });
        Request { replay, ..self.request(action, kind, name, change) }
    }

    /// A change that takes a creation back that failed.
    pub(crate) fn failed_creation(&self, change: Change) -> Request {
        let replay = self.key.as_ref().map(|key| Memory::Forget(ReplayKey::new(self.tenant(), &key.key)));
        Request { replay, ..Request::of(change) }
    }

    /// The namespaces that a token's tenant has not been given are nothing that it may name.
    pub(crate) fn may_name(
        &self,
        app: &App,
        netns: Option<&control_core::NetnsSpec>,
        field: &str,
    ) -> Result<(), Problem> {
        if matches!(self.caller.principal, Principal::Local { .. }) {
            return Ok(());
        }
        let may = app.read(|resources| Ok::<_, Problem>(resources.tenant(self.tenant())?.may_name(netns)))?;
        if may {
            return Ok(());
        }
        let detail = "the tenant may not name this namespace: only those of `ip netns` whose names begin with its netns_prefix";
        Err(Problem::new(Code::Forbidden, detail).at(field))
    }
}

/// A tenant's resource of this name.
pub(crate) fn named(tenant: &Name, name: &str, kind: Kind) -> Result<FullName, Problem> {
    let missing = |_| control_core::Refusal::NotFound { kind, name: name.to_owned() };
    let name = Name::parse("name", name.to_owned()).map_err(missing)?;
    Ok(FullName::new(tenant, &name))
}

fn target(kind: Kind, name: &FullName) -> String {
    format!("/v1/{}s/{}", kind.as_str(), name.name)
}

impl App {
    /// What a request that came before has made, if this is the same one again.
    pub(crate) fn repeated(&self, call: &Call, kind: Kind) -> Result<Option<FullName>, Problem> {
        let Some(key) = &call.key else { return Ok(None) };
        let found = self.registry().replay(&ReplayKey::new(call.tenant(), &key.key), now().as_secs());
        let Some(replay) = found else { return Ok(None) };
        if replay.fingerprint != key.fingerprint || replay.kind != kind.as_str() {
            let detail =
                "the idempotency key was used for another request; choose a new one for each request";
            return Err(Problem::new(Code::KeyReused, detail));
        }
        named(call.tenant(), &replay.name, kind).map(Some)
    }

    /// What a request that came before has made, as it is now.
    pub(crate) fn look_again<T>(&self, look: impl FnOnce(&Resources) -> Option<T>) -> Result<T, Problem> {
        let gone = "the request with this idempotency key is under way, or what it created was deleted since";
        self.read(look).ok_or_else(|| Problem::new(Code::KeyDone, gone))
    }
}
