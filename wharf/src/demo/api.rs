//! The demo's own client of the daemon that it started: the same REST calls as anybody's.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::error::DemoError;
use crate::client::{Client, ClientError, Run, Said, Target};

/// A connection and the runtime that drives it.
pub(super) struct Api {
    runtime: Runtime,
    client: Client,
}

impl Api {
    /// Connects, if the daemon listens already.
    pub(super) fn connect(socket: &Path) -> Result<Self, DemoError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(DemoError::system("start the async runtime"))?;
        let client = runtime.block_on(Client::connect(Target::Unix(socket.to_owned()).into()))?;
        Ok(Self { runtime, client })
    }

    /// Reads a resource.
    pub(super) fn get(&mut self, path: &str) -> Result<Value, ClientError> {
        self.runtime.block_on(self.client.get(path))
    }

    /// Makes a resource, or asks a question that needs a body.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.runtime.block_on(self.client.ask(path, body))
    }

    /// Makes something so.
    pub(super) fn put(&mut self, path: &str) -> Result<Value, ClientError> {
        self.runtime.block_on(self.client.put(path, Run::Real))
    }

    /// Changes a resource.
    pub(super) fn patch(&mut self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.runtime.block_on(self.client.change(path, body, None, Run::Real))
    }

    /// Ends a resource, or what was made so.
    pub(super) fn delete(&mut self, path: &str) -> Result<Value, ClientError> {
        self.runtime.block_on(self.client.delete(path, Run::Real))
    }

    /// Invokes a function, on a connection of its own as any caller would.
    pub(super) fn invoke(&self, function: &str, event: &Value) -> Result<Invoked, ClientError> {
        let path = format!("/v1/functions/{function}/invocations");
        self.runtime.block_on(async {
            let sent = Instant::now();
            let reply = self.client.invoke(&path, event.to_string().into(), None).await?;
            let mut answer = Vec::new();
            if let Said::Answer(mut parts) = reply.outcome? {
                while let Some(part) = parts.next().await? {
                    answer.extend_from_slice(&part);
                }
            }
            let took = sent.elapsed();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            Ok(Invoked { id: reply.id.unwrap_or_default(), answer, sent, took })
        })
    }
}

/// An invocation that was answered, and its times as its caller saw them.
pub(super) struct Invoked {
    /// Its id.
    pub(super) id: String,
    /// What the function said.
    pub(super) answer: String,
    /// The trigger: when the caller began to ask.
    pub(super) sent: Instant,
    /// Until the answer was there to its end.
    pub(super) took: Duration,
}
