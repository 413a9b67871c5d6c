//! Functions and pools as they are to be, taken from the resources.

use std::sync::PoisonError;
use std::time::Duration;

use control_core::fleet::{FunctionTerms, PoolSettings, VersionKey};
use control_core::{FullName, Function, FunctionId, FunctionVersion, Kind, Name, Resources};

use super::{Deployed, Fleet};
use crate::app::App;

/// What is known of a function besides its versions.
pub(super) struct Followed {
    id: FunctionId,
    connectors: Vec<Name>,
}

impl Fleet {
    /// A function was added, changed or removed: brings what can be invoked to what the resources say.
    pub(crate) fn follow_function(&self, name: &FullName) {
        let mut followed = self.0.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(app) = self.app() else { return };
        let function = app.read(|resources| resources.function(name).ok().cloned());
        let before = followed.remove(name);
        // Another one of its name has nothing of it.
        let is_same = before.as_ref().zip(function.as_ref()).is_some_and(|(before, now)| before.id == now.id);
        if !is_same {
            self.versions(name).iter().for_each(|key| self.delete_version(key));
            self.0.logs.forget(name);
        }
        for runtime in app.runtimes() {
            self.set_pool(&runtime, pool(&app, &runtime));
        }
        let Some(function) = function else { return };
        self.set_versions(&function);
        if is_same && before.is_some_and(|before| before.connectors != function.connectors) {
            self.renew_versions(name);
        }
        followed.insert(name.clone(), Followed { id: function.id, connectors: function.connectors });
    }

    /// A pool is to be another.
    pub(crate) fn follow_pool(&self, runtime: &Name) {
        let _turn = self.0.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(app) = self.app() else { return };
        self.set_pool(runtime, pool(&app, runtime));
    }

    fn set_versions(&self, function: &Function) {
        let latest = function.latest().number;
        for version in &function.versions {
            match deployed(function, version, version.number == latest) {
                Some(deployed) => self.set_version(deployed),
                None => {
                    tracing::error!(function = %function.name, "code that was kept has no hash that it can have");
                }
            }
        }
        for key in self.versions(&function.name) {
            if function.version(key.version).is_none() {
                self.delete_version(&key);
            } else if key.version != latest {
                self.replace_version(&key);
            }
        }
    }

    fn renew_versions(&self, function: &FullName) {
        for key in self.versions(function) {
            self.with(|state, now| state.decisions.renew(now, &key));
        }
    }
}

/// What a pool is to be. One that nobody has asked for keeps nothing warm until there is a function for it.
fn pool(app: &App, runtime: &Name) -> PoolSettings {
    app.read(|resources| {
        let pool = resources.pool(runtime);
        let is_asked_for = resources.stamp(Kind::Pool, &Resources::pool_name(runtime)).asked > 0;
        let is_used = || resources.functions().any(|function| function.latest().spec.runtime == *runtime);
        PoolSettings {
            min_warm: if is_asked_for || is_used() { pool.min_warm as usize } else { 0 },
            max_warm: pool.max_warm as usize,
            refill_per_s: pool.refill_per_s,
            memory_mb: pool.memory_mb,
        }
    })
}

/// An environment of an older version serves who waits for it, and goes.
fn deployed(function: &Function, version: &FunctionVersion, is_latest: bool) -> Option<Deployed> {
    let keep_alive_s = if is_latest { function.keep_alive_s } else { 0 };
    let spec = &version.spec;
    Some(Deployed {
        key: VersionKey { function: function.name.clone(), version: version.number },
        terms: FunctionTerms {
            runtime: spec.runtime.clone(),
            concurrency: function.concurrency,
            keep_alive: Duration::from_secs(keep_alive_s.into()),
            memory_mb: spec.memory_mb,
        },
        timeout: Duration::from_secs(spec.timeout_s.into()),
        handler: spec.handler.clone().unwrap_or_default(),
        command: spec.command.clone(),
        environment: spec.environment.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        code: version.code.hash.as_str().parse().ok()?,
    })
}
