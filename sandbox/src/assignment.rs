//! What a warm container becomes: one version of one function.

pub(crate) mod variables;

use std::net::IpAddr;
use std::time::Duration;

use crate::CodeId;

/// One version of one function, as its container hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The function's name.
    pub function: String,
    /// Its version: 1, 2, …
    pub version: u64,
    /// The handler, as the language writes it: `module.function`.
    pub handler: String,
    /// What to start in place of the language's own bootstrap, which then speaks the runtime API itself; program and arguments.
    pub command: Option<Vec<String>>,
    /// The function's own environment variables. They go over those that the runtime API defines, as far as it does not reserve
    /// them.
    pub environment: Vec<(String, String)>,
    /// Its code.
    pub code: CodeId,
    /// Most memory of all its processes and its `/tmp` together. MiB.
    pub memory_mb: u32,
    /// How long an invocation may take; the start of the handler may take this long too.
    pub timeout: Duration,
    /// DNS servers of its connectors; at most three, resolv.conf(5).
    pub dns_servers: Vec<IpAddr>,
}
