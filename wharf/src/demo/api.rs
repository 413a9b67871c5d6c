//! The demo's own client of the daemon that it started: the same REST calls as anybody's.

use std::path::Path;

use serde_json::Value;
use tokio::runtime::Runtime;

use super::error::DemoError;
use crate::client::{Client, ClientError, Run, Target};

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
}
