//! Functions: code of a tenant that runs when somebody asks for it, and what it runs in.

mod code;
mod resource;
mod variables;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use code::{CodeHash, NewCode, StoredCode};
pub use resource::{Function, FunctionVersion, FunctionVersionView, FunctionView};
pub use variables::Variables;

use crate::limits::{
    COMMAND_ARGUMENTS, COMMAND_BYTES, CONCURRENCY_MAX, CONNECTORS_PER_CONTAINER, HANDLER_BYTES,
    KEEP_ALIVE_DEFAULT_S, KEEP_ALIVE_MAX_S, MEMORY_DEFAULT_MB, MEMORY_MAX_MB, MEMORY_MIN_MB,
    TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S,
};
use crate::{Code, Faults, Name, Problem, number};

/// A requested function. What changes one is the same, of which nothing is required.
///
/// Connectors, concurrency and keep-alive are the function's own, for all of its versions: what a version may reach follows from
/// what its function may reach now. The rest is the version's, which never changes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewFunction {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "users")]
    pub name: String,
    /// What it runs in: `python3`, `nodejs`, `provided` (an executable `bootstrap` in the code), or one of the operator's.
    #[schema(example = "python3")]
    pub runtime: String,
    /// What is called for each event, as the language writes it: `module.function`. Required, except for `provided` or with a
    /// command.
    #[schema(example = "handler.handler")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Its code. Kept by its hash, and never shown.
    #[schema(value_type = NewCode, required = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<NewCode>,
    /// What is started in place of the language's own bootstrap, and then speaks the runtime API itself: program and arguments, at
    /// most 64, and 4 KiB together.
    #[schema(example = json!(["/var/task/server", "--quiet"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Its environment variables; 4 KiB together. Names that the runtime API defines are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Variables>,
    /// Seconds that an invocation may take, 1 to 900; 3 unless given.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 900)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<i64>,
    /// MiB of memory of each environment, its `/tmp` included, 64 to 3008; 128 unless given.
    #[schema(value_type = Option<u32>, minimum = 64, maximum = 3008)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<i64>,
    /// Most environments at once, 1 to 1000, which are reserved for it; as many as there is room for unless given.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<i64>,
    /// Connectors of the tenant that its environments have, at most 16. Each has to be approved and to let this function use it.
    #[schema(example = json!(["orders-db"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectors: Option<Vec<String>>,
    /// Seconds that an environment waits for the next event, 0 to 86400; 300 unless given.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 86_400)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive_s: Option<i64>,
}

/// A valid function, whose code and connectors were not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSpec {
    /// Its name.
    pub name: Name,
    /// What its next version is made of.
    pub version: VersionSpec,
    /// Most environments at once, and reserved for it.
    pub concurrency: Option<u32>,
    /// Connectors that its environments have, all different.
    pub connectors: Vec<Name>,
    /// Seconds that an environment waits for the next event.
    pub keep_alive_s: u32,
    /// What was asked for without the code, as it is kept.
    pub asked: NewFunction,
}

/// What a version of a function is made of, beside its code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct VersionSpec {
    /// What it runs in.
    pub runtime: Name,
    /// What is called for each event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// What is started in place of the language's own bootstrap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Its environment variables.
    #[serde(default)]
    pub environment: Variables,
    /// How long an invocation may take. Seconds.
    pub timeout_s: u32,
    /// Most memory of an environment. MiB.
    pub memory_mb: u32,
}

/// The runtime whose code brings its own bootstrap, and so needs no handler.
const PROVIDED: &str = "provided";

impl NewFunction {
    /// Checks everything that can be checked without looking at code, runtimes or other resources. The code is not part of what
    /// comes out: take it before.
    pub fn validate(mut self) -> Result<FunctionSpec, Problem> {
        self.code = None;
        let asked = self.clone();
        let mut faults = Faults::default();
        let name = faults.take(Name::parse("name", self.name));
        let handler = faults.take(self.handler.map(parse_handler).transpose());
        let command = faults.take(self.command.map(parse_command).transpose());
        if asked.handler.is_none() && asked.command.is_none() && self.runtime != PROVIDED {
            let detail = format!(
                "a function of runtime {:?} has a handler, such as \"handler.handler\"",
                self.runtime
            );
            faults.note(Problem::new(Code::MissingField, detail).at("handler"));
        }
        let runtime = faults.take(Name::parse("runtime", self.runtime));
        let environment = self.environment.unwrap_or_default();
        let environment = faults.take(environment.validate("environment"));
        let timeout_s = number::within("timeout_s", self.timeout_s, 1..=TIMEOUT_MAX_S, TIMEOUT_DEFAULT_S);
        let timeout_s = faults.take(timeout_s);
        let memory_mb =
            number::within("memory_mb", self.memory_mb, MEMORY_MIN_MB..=MEMORY_MAX_MB, MEMORY_DEFAULT_MB);
        let memory_mb = faults.take(memory_mb);
        let concurrency =
            self.concurrency.map(|n| number::within("concurrency", Some(n), 1..=CONCURRENCY_MAX, 1));
        let concurrency = faults.take(concurrency.transpose());
        let connectors = faults.take(parse_connectors(self.connectors.unwrap_or_default()));
        let keep_alive_s =
            number::within("keep_alive_s", self.keep_alive_s, 0..=KEEP_ALIVE_MAX_S, KEEP_ALIVE_DEFAULT_S);
        let keep_alive_s = faults.take(keep_alive_s);
        let spec = || {
            let version = VersionSpec {
                runtime: runtime?,
                handler: handler?,
                command: command?,
                environment: environment?,
                timeout_s: timeout_s?,
                memory_mb: memory_mb?,
            };
            Some(FunctionSpec {
                name: name?,
                version,
                concurrency: concurrency?,
                connectors: connectors?,
                keep_alive_s: keep_alive_s?,
                asked,
            })
        };
        let spec = spec();
        faults.end(spec)
    }
}

fn parse_handler(handler: String) -> Result<String, Problem> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control();
    if (1..=HANDLER_BYTES).contains(&handler.len()) && !handler.contains(forbidden) {
        return Ok(handler);
    }
    let detail =
        format!("a handler is 1 to {HANDLER_BYTES} bytes without white space and control characters");
    Err(Problem::new(Code::InvalidHandler, detail).at("handler"))
}

fn parse_command(command: Vec<String>) -> Result<Vec<String>, Problem> {
    let bytes: usize = command.iter().map(String::len).sum();
    let right = (1..=COMMAND_ARGUMENTS).contains(&command.len())
        && !command[0].is_empty()
        && bytes <= COMMAND_BYTES
        && !command.iter().any(|argument| argument.contains('\0'));
    if right {
        return Ok(command);
    }
    let detail = format!(
        "a command is a program and its arguments: 1 to {COMMAND_ARGUMENTS}, at most {COMMAND_BYTES} bytes together, and without NUL"
    );
    Err(Problem::new(Code::InvalidCommand, detail).at("command"))
}

fn parse_connectors(texts: Vec<String>) -> Result<Vec<Name>, Problem> {
    if texts.len() > CONNECTORS_PER_CONTAINER {
        let detail =
            format!("a function has at most {CONNECTORS_PER_CONTAINER} connectors, not {}", texts.len());
        return Err(Problem::new(Code::LimitReached, detail).at("connectors"));
    }
    let mut faults = Faults::default();
    let mut connectors = Vec::with_capacity(texts.len());
    for (i, text) in texts.into_iter().enumerate() {
        let field = format!("connectors[{i}]");
        let Some(connector) = faults.take(Name::parse(&field, text)) else { continue };
        if connectors.contains(&connector) {
            let detail = format!("{connector} is listed twice; list each connector once");
            faults.note(Problem::new(Code::InvalidName, detail).at(field));
        }
        connectors.push(connector);
    }
    faults.end(Some(connectors))
}

#[cfg(test)]
mod tests;
