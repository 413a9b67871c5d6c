//! A function as a resource, and its versions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FunctionSpec, NewFunction, StoredCode, Variables, VersionSpec};
use crate::limits::VERSIONS;
use crate::{FullName, FunctionId, Name};

/// A function as a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Tells it from those that had its name before.
    pub id: FunctionId,
    /// Its name and tenant.
    pub name: FullName,
    /// Most environments at once, and reserved for it.
    pub concurrency: Option<u32>,
    /// Connectors that its environments have, all different.
    pub connectors: Vec<Name>,
    /// Seconds that an environment waits for the next event.
    pub keep_alive_s: u32,
    /// Its latest versions by number; at least one.
    pub versions: Vec<Arc<FunctionVersion>>,
    /// What was asked for without the code, as it is kept.
    pub asked: NewFunction,
}

/// One version of a function. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct FunctionVersion {
    /// 1, 2, …; no two versions of one function have the same.
    pub number: u64,
    /// When it was made. Unix time, seconds.
    pub created_s: u64,
    /// Its code.
    #[serde(flatten)]
    pub code: StoredCode,
    /// The rest of it.
    #[serde(flatten)]
    pub spec: VersionSpec,
}

/// A function, with what its latest version is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionView {
    /// Its name.
    pub name: String,
    /// The tenant that it belongs to.
    pub tenant: String,
    /// Its latest version.
    #[serde(flatten)]
    pub latest: FunctionVersionView,
    /// Most environments at once, and reserved for it; as many as there is room for if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Connectors that its environments have.
    pub connectors: Vec<String>,
    /// Seconds that an environment waits for the next event.
    pub keep_alive_s: u32,
    /// Counts changes of what was asked for; the resource's ETag.
    pub revision: u64,
}

/// A version of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionVersionView {
    /// Its number: 1, 2, …
    pub version: u64,
    /// When it was made. Unix time, seconds.
    pub created_at: u64,
    /// What it runs in.
    pub runtime: String,
    /// What is called for each event; absent if the runtime needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// What is started in place of the language's own bootstrap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Its environment variables.
    pub environment: Variables,
    /// The SHA-256 of the archive of its code, in hexadecimal digits.
    pub code_sha256: String,
    /// How long the archive is. Bytes.
    pub code_bytes: u64,
    /// Seconds that an invocation may take.
    pub timeout_s: u32,
    /// MiB of memory of each environment, its `/tmp` included.
    pub memory_mb: u32,
}

impl Function {
    /// Memory that is kept free for its environments. MiB.
    pub fn reserved_mb(&self) -> u64 {
        let each = u64::from(self.latest().spec.memory_mb);
        self.concurrency.map_or(0, |concurrency| u64::from(concurrency) * each)
    }

    /// A new function with its first version.
    pub(crate) fn new(
        id: FunctionId,
        name: FullName,
        spec: FunctionSpec,
        code: StoredCode,
        created_s: u64,
    ) -> Self {
        let first = FunctionVersion { number: 1, created_s, code, spec: spec.version };
        let FunctionSpec { concurrency, connectors, keep_alive_s, asked, .. } = spec;
        let versions = vec![Arc::new(first)];
        Self { id, name, concurrency, connectors, keep_alive_s, versions, asked }
    }

    /// Makes it what `spec` says; a new version if that is made of something else. The oldest give way.
    pub(crate) fn change(&mut self, spec: FunctionSpec, code: Option<StoredCode>, created_s: u64) {
        let latest = self.latest();
        let code = code.unwrap_or_else(|| latest.code.clone());
        if (&code, &spec.version) != (&latest.code, &latest.spec) {
            let number = latest.number + 1;
            self.versions.push(Arc::new(FunctionVersion { number, created_s, code, spec: spec.version }));
            let old = self.versions.len().saturating_sub(VERSIONS);
            self.versions.drain(..old);
        }
        (self.concurrency, self.connectors) = (spec.concurrency, spec.connectors);
        (self.keep_alive_s, self.asked) = (spec.keep_alive_s, spec.asked);
    }

    /// Its latest version, which is the one that is invoked unless another is asked for.
    pub fn latest(&self) -> &Arc<FunctionVersion> {
        self.versions.last().expect("a function has a version")
    }

    /// The version of this number, if it is still there.
    pub fn version(&self, number: u64) -> Option<&Arc<FunctionVersion>> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// Whether the two are kept alike.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        self.asked == other.asked && self.versions == other.versions
    }

    /// What clients see.
    pub(crate) fn view(&self, revision: u64) -> FunctionView {
        FunctionView {
            name: self.name.name.to_string(),
            tenant: self.name.tenant.to_string(),
            latest: self.latest().view(),
            concurrency: self.concurrency,
            connectors: self.connectors.iter().map(ToString::to_string).collect(),
            keep_alive_s: self.keep_alive_s,
            revision,
        }
    }
}

impl FunctionVersion {
    /// What clients see.
    pub fn view(&self) -> FunctionVersionView {
        let Self { number, created_s, code, spec } = self;
        FunctionVersionView {
            version: *number,
            created_at: *created_s,
            runtime: spec.runtime.to_string(),
            handler: spec.handler.clone(),
            command: spec.command.clone(),
            environment: spec.environment.clone(),
            code_sha256: code.hash.to_string(),
            code_bytes: code.bytes,
            timeout_s: spec.timeout_s,
            memory_mb: spec.memory_mb,
        }
    }
}
