//! Connectors, and attaching them to containers.

use std::time::Instant;

use control_core::{
    Change, Connector, ConnectorView, Join, Name, NewConnector, Permission, Problem, Refusal, Resources,
};
use gateway::{CallError, CommandError, PortQuota};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, convert, failure};

/// A container has a connector.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttachView {
    container: String,
    connector: String,
    /// From the request's arrival to the worker's acknowledgement, in microseconds.
    attached_in_us: u64,
}

/// A container no longer has a connector.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetachView {
    container: String,
    connector: String,
    /// Sessions that ended with it.
    sessions_ended: usize,
}

impl App {
    /// Adds a connector. It has no device, so that it is there at once.
    pub(crate) fn create_connector(&self, new: NewConnector) -> Result<ConnectorView, Problem> {
        let spec = new.validate()?;
        let connector = spec.name.clone();
        self.commit(Change::AddConnector(spec))?;
        tracing::info!(%connector, "connector created");
        self.connector(connector.as_str())
    }

    /// All connectors, by name.
    pub(crate) fn connectors(&self) -> Vec<ConnectorView> {
        self.read(|resources| {
            resources.connectors().map(|connector| self.connector_view(resources, connector)).collect()
        })
    }

    /// One connector.
    pub(crate) fn connector(&self, name: &str) -> Result<ConnectorView, Problem> {
        self.read(|resources| Ok(self.connector_view(resources, resources.connector(name)?)))
    }

    fn connector_view(&self, resources: &Resources, connector: &Connector) -> ConnectorView {
        resources.connector_view(connector, self.0.quotas.used(connector.id))
    }

    /// Removes a connector. Refused while it is attached.
    pub(crate) fn delete_connector(&self, name: &str) -> Result<(), Problem> {
        let connector = self.read(|resources| resources.connector(name).map(|c| c.name.clone()))?;
        self.commit(Change::RemoveConnector(connector.clone()))?;
        self.read(|resources| self.0.quotas.retain(|id| resources.connector_of(id).is_some()));
        tracing::info!(%connector, "connector deleted");
        Ok(())
    }

    /// Lets a container use a connector. Answers when its worker has it; changes nothing if it has it already.
    pub(crate) async fn attach(&self, container: &str, connector: &str) -> Result<AttachView, Problem> {
        let started = Instant::now();
        let (container, connector) = self.pair(container, connector)?;
        self.carry_out(|app| app.join(container, connector, started)).await
    }

    /// Ends the permission. Every session of the pair has ended when this returns.
    pub(crate) async fn detach(&self, container: &str, connector: &str) -> Result<DetachView, Problem> {
        let (container, connector) = self.pair(container, connector)?;
        self.carry_out(|app| app.part(container, connector)).await
    }

    fn pair(&self, container: &str, connector: &str) -> Result<(Name, Name), Problem> {
        self.read(|resources| {
            let container = resources.container(container)?.spec.name.clone();
            Ok((container, resources.connector(connector)?.name.clone()))
        })
    }

    async fn join(self, container: Name, connector: Name, started: Instant) -> Result<AttachView, Problem> {
        let _turn = self.0.container_turns.take(&container).await;
        self.commit(Change::Attach { container: container.clone(), connector: connector.clone() })?;
        let (permission, quota) =
            self.read(|resources| self.permission(resources, &container, &connector))?;
        let mut acknowledged = started.elapsed();
        if permission.join == Join::Attaching {
            let attachment = convert::attachment(permission.attachment);
            let config = convert::connector_config(permission, quota);
            if let Err(error) = self.gateway().attach(attachment, config).await {
                self.commit(Change::Detached { container, connector })?;
                return Err(failure::of_call(error));
            }
            acknowledged = started.elapsed();
            self.commit(Change::Attached { container: container.clone(), connector: connector.clone() })?;
        }
        let attached_in_us = acknowledged.as_micros() as u64;
        tracing::info!(%container, %connector, attached_in_us, "attached");
        Ok(AttachView { container: container.to_string(), connector: connector.to_string(), attached_in_us })
    }

    /// A permission and its connector's quota, taken while the connector exists.
    fn permission(
        &self,
        resources: &Resources,
        container: &Name,
        connector: &Name,
    ) -> Result<(Permission, PortQuota), Refusal> {
        let permission = resources.permission(container, connector)?;
        let limit = permission.policy.translation.as_ref().and_then(|t| t.port_quota);
        let quota = self.0.quotas.of(permission.connector, limit);
        Ok((permission, quota))
    }

    async fn part(self, container: Name, connector: Name) -> Result<DetachView, Problem> {
        let _turn = self.0.container_turns.take(&container).await;
        let permission = self.read(|resources| resources.permission(&container, &connector))?;
        let attachment = convert::attachment(permission.attachment);
        let outcome = self.gateway().detach(attachment, convert::connector(permission.connector)).await;
        if let Err(error) = outcome
            && !already_ended(error)
        {
            return Err(failure::of_call(error));
        }
        self.commit(Change::Detached { container: container.clone(), connector: connector.clone() })?;
        let sessions_ended = outcome.map_err(failure::of_call)?.sessions_ended;
        tracing::info!(%container, %connector, sessions_ended, "detached");
        Ok(DetachView { container: container.to_string(), connector: connector.to_string(), sessions_ended })
    }
}

/// Whether the gateway does not have the permission, so that it must not stay written down either.
const fn already_ended(error: CallError) -> bool {
    matches!(error, CallError::Refused(CommandError::NotAttached(..) | CommandError::UnknownAttachment(_)))
}
